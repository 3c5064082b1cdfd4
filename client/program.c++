// A program that was loaded already, by whom this process is: bpf(2) with its own privilege, to hand it over.
#include "client/descriptor.h"
#include "client/error.h"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace bpfman {
namespace {

long bpf(int command, bpf_attr& attr) { return syscall(__NR_bpf, command, &attr, sizeof attr); }

}  // namespace

kj::AutoCloseFd pinnedProgram(kj::StringPtr path) {
  bpf_attr attr = {};
  attr.pathname = reinterpret_cast<uint64_t>(path.cStr());
  int fd = bpf(BPF_OBJ_GET, attr);
  if (fd < 0) fail(kj::str("open the pin ", path, ": ", strerror(errno), errno == EACCES ? " (is it a pin in a bpffs?)" : ""));
  return kj::AutoCloseFd(fd);
}

kj::AutoCloseFd programById(uint32_t id) {
  bpf_attr attr = {};
  attr.prog_id = id;
  int fd = bpf(BPF_PROG_GET_FD_BY_ID, attr);
  if (fd < 0) fail(kj::str("open program ", id, ": ", errno == ENOENT ? "there is none" : strerror(errno)));
  return kj::AutoCloseFd(fd);
}

uint32_t kernelTypeOf(int program) {
  bpf_prog_info info = {};
  bpf_attr attr = {};
  attr.info.bpf_fd = program;
  attr.info.info_len = sizeof info;
  attr.info.info = reinterpret_cast<uint64_t>(&info);
  // Maps and links are described by fewer words: what they lack stays zero, and each program was verified.
  if (bpf(BPF_OBJ_GET_INFO_BY_FD, attr) < 0 || info.verified_insns == 0) fail(kj::str("that is not a program"));
  return info.type;
}

}  // namespace bpfman
