#include "frontend/kept-bytecode.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <kj/debug.h>

#include "frontend/limits.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr const char* DIRECTORY = "persistent";

kj::String pathOf(uint32_t load, KeptBytecode::What what) {
  return kj::str(DIRECTORY, '/', load, what == KeptBytecode::types ? ".btf" : ".o");
}

[[noreturn]] void refuseKeeping() {
  auto type = errno == ENOSPC || errno == EDQUOT ? kj::Exception::Type::OVERLOADED : kj::Exception::Type::FAILED;
  refuse(type, kj::str("a persistent program's bytecode can't be kept in the state directory: ", strerror(errno), "; nothing was loaded"));
}

void require(bool done) {
  if (!done) refuseKeeping();
}

kj::AutoCloseFd openPath(kj::StringPtr path, int flags) { return kj::AutoCloseFd(open(path.cStr(), flags | O_CLOEXEC | O_NOFOLLOW, 0600)); }

}  // namespace

// Under its name it is whole: a power cut leaves it or nothing.
void KeptBytecode::keep(uint32_t load, What what, int from, uint64_t size) {
  require(mkdirat(AT_FDCWD, DIRECTORY, 0700) == 0 || errno == EEXIST);
  auto path = pathOf(load, what), half = kj::str(path, ".new");
  auto file = openPath(half, O_WRONLY | O_CREAT | O_TRUNC);
  require(file.get() >= 0);
  KJ_ON_SCOPE_FAILURE(unlink(half.cStr()));
  off_t offset = 0;
  while (static_cast<uint64_t>(offset) < size) {
    ssize_t sent = sendfile(file.get(), from, &offset, size - offset);
    if (sent == 0) errno = EIO;
    require(sent > 0);
  }
  require(fsync(file.get()) == 0 && rename(half.cStr(), path.cStr()) == 0);
  auto directory = openPath(DIRECTORY, O_RDONLY | O_DIRECTORY);
  require(directory.get() >= 0 && fsync(directory.get()) == 0);
}

SealedObject KeptBytecode::read(uint32_t load, What what) {
  auto file = openPath(pathOf(load, what), O_RDONLY);
  if (file.get() < 0)
    refuse(what == types ? "the BTF that it is fitted to" : "its bytecode", " is not in the state directory: ", strerror(errno));
  return sealedCopyOf(kj::mv(file));
}

SealedObject sealedCopyOf(kj::AutoCloseFd file) {
  struct stat status;
  KJ_SYSCALL(fstat(file, &status));
  if (status.st_size == 0) refuse("its bytecode, as it was kept, is empty");
  auto bytes = kj::heapArray<kj::byte>(kj::min<uint64_t>(status.st_size, limits::OBJECT_BYTES));
  ssize_t got = pread(file.get(), bytes.begin(), bytes.size(), 0);
  if (got != status.st_size) refuse("its bytecode, as it was kept, can't be read");
  Upload upload(bytes.size());
  upload.write(bytes);
  return upload.finish();
}

uint64_t KeptBytecode::bytes(uint32_t load) {
  uint64_t bytes = 0;
  struct stat status;
  for (What what : {object, types})
    if (stat(pathOf(load, what).cStr(), &status) == 0) bytes += status.st_size;
  return bytes;
}

void KeptBytecode::remove(uint32_t load) {
  for (What what : {object, types}) unlink(pathOf(load, what).cStr());
}

void KeptBytecode::removeOthers(const std::set<uint32_t>& loads) {
  std::error_code none;
  std::set<std::string> wanted, found;
  for (uint32_t load : loads)
    for (What what : {object, types}) wanted.insert(pathOf(load, what).cStr());
  for (auto& entry : std::filesystem::directory_iterator(DIRECTORY, none)) found.insert(entry.path().string());
  for (auto& path : found)
    if (!wanted.count(path)) unlink(path.c_str());
}

}  // namespace bpfman
