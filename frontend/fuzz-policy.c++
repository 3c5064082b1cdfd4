// libFuzzer: the policy file's text. It is understood or refused with a sentence; nobody gets rights that no grant names, and root keeps
// his. The machine's users, groups and files are replaced (--wrap): the input decides alone.
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <cstdarg>

#include <kj/exception.h>

#include "frontend/policy-reader.h"
#include "frontend/policy.h"
#include "tests/fuzz.h"

extern "C" {

int __real_open(const char* path, int flags, ...);

// Only this; the product opens with O_RDONLY and no mode.
int __wrap_open(const char* path, int flags, ...) {
  if (strcmp(path, "/n") == 0) return __real_open("/proc/self/ns/net", flags);
  if (strcmp(path, "/m") == 0) return __real_open("/proc/self/ns/mnt", flags);
  if (strcmp(path, "/f") == 0) return __real_open("/dev/null", flags);
  errno = ENOENT;
  return -1;
}

int __wrap_getpwnam_r(const char* name, passwd* entry, char*, size_t, passwd** found) {
  *entry = {};
  entry->pw_uid = 1000;
  *found = strcmp(name, "alice") == 0 ? entry : nullptr;
  return 0;
}

int __wrap_getgrnam_r(const char* name, group* entry, char*, size_t size, group** found) {
  *found = nullptr;
  if (size < 10000) return ERANGE;
  *entry = {};
  entry->gr_gid = 2000;
  if (strcmp(name, "bpfman") == 0 || strcmp(name, "netops") == 0) *found = entry;
  return 0;
}
}

namespace bpfman {
namespace {

constexpr kj::StringPtr NAME = "p.toml"_kj;

void requireRights(const Policy& policy, const std::vector<Grant>& grants, uid_t uid, gid_t gid) {
  Rights rights = policy.rightsOf({uid, {gid}, 1});
  bool named = uid == 0 || gid == 2000, administrator = named;  // root, and the group bpfman
  for (auto& grant : grants) {
    if (!std::ranges::count(grant.users, uid) && !std::ranges::count(grant.groups, gid)) continue;
    for (auto& role : grant.roles) named = true, administrator |= role->base == Role::administrator;
  }
  FUZZ_REQUIRE(rights.view() == named, "uid %u, gid %u", uid, gid);
  FUZZ_REQUIRE(rights.administrator() == administrator, "uid %u, gid %u", uid, gid);
  for (uint16_t type = 0; type < 20; ++type) {
    try {
      rights.requireLoad(1u << type, 1);
      FUZZ_REQUIRE(named);
    } catch (const kj::Exception&) { FUZZ_REQUIRE(!administrator || type >= 13); }
    try {
      rights.requireAttach({static_cast<schema::ProgramType>(type), "eth0", true, false, 7, 5});
      FUZZ_REQUIRE(named);
    } catch (const kj::Exception&) {}
  }
}

}  // namespace
}  // namespace bpfman

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bpfman;
  OpenDescriptors descriptors;
  std::string text(reinterpret_cast<const char*>(data), size);
  kj::StringPtr view(text.c_str(), text.size());
  try {
    Policy policy = Policy::parseText(view, NAME);
    PolicyReader reader(NAME, thisMachine(), Names::known);
    reader.read(view);
    auto& grants = reader.grants;
    for (uid_t uid : {0u, 1u, 1000u, 65534u, ~0u})
      for (gid_t gid : {0u, 100u, 2000u, ~0u}) requireRights(policy, grants, uid, gid);
  } catch (const kj::Exception& refusal) {
    FUZZ_REQUIRE(refusal.getDescription().startsWith("p.toml:"), "%s", refusal.getDescription().cStr());
  }
  descriptors.tidy(false);
  return 0;
}
