#include "frontend/delegation.h"

#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include <kj/debug.h>

#include "frontend/kernel-names.h"
#include "frontend/refuse.h"
#include "schema/delegator.h"

namespace bpfman {

namespace {

constexpr uint32_t NUMBERS = 64;            // in a mask
constexpr auto PATIENCE = 3 * kj::SECONDS;  // the delegator ends soon afterwards

kj::StringPtr commandName(uint32_t command) {
  switch (command) {
    case BPF_MAP_CREATE: return "mapcreate"_kj;
    case BPF_PROG_LOAD: return "progload"_kj;
    case BPF_BTF_LOAD: return "btfload"_kj;
    default: return "unknown"_kj;
  }
}

// In the order of the masks.
constexpr struct {
  const char* what;
  kj::StringPtr (*name)(uint32_t number);
} KINDS[] = {{"a command of tokens", commandName},
             {"a map type", mapTypeName},
             {"a program type", programTypeName},
             {"an attach type", attachTypeName}};

// The kernel's words that differ in more than "_" from ours.
constexpr std::pair<std::string_view, const char*> OTHER_WORDS[] = {
    {"progarray", "programarray"}, {"lrupercpuhash", "lrucpuhash"}, {"none", "cgroupinetingress"}};

uint64_t bitOf(size_t kind, kj::StringPtr word) {
  std::string plain;
  for (char c : word)
    if (c != '_' && c != '-') plain += c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
  auto other = std::ranges::find(OTHER_WORDS, plain, [](auto& pair) { return pair.first; });
  if (other != std::end(OTHER_WORDS)) plain = other->second;
  for (uint32_t number = 0; number < NUMBERS; ++number)
    if (plain != "unknown" && plain != "unspecified" && KINDS[kind].name(number) == plain.c_str()) return 1ull << number;
  refuse("\"", word, "\" is not ", KINDS[kind].what);
}

bool isOurs(uint32_t kernelType) {
  return std::ranges::any_of(programTypes(), [&](auto& row) { return row.kernelType == kernelType; });
}

}  // namespace

Delegation delegationFrom(schema::Delegation::Reader wish) {
  Delegation delegation;
  capnp::List<capnp::Text>::Reader lists[] = {wish.getCommands(), wish.getMapTypes(), wish.getProgramTypes(), wish.getAttachTypes()};
  for (size_t kind = 0; kind < kj::size(lists); ++kind)
    for (auto word : lists[kind]) delegation.masks[kind] |= bitOf(kind, word);
  if (delegation.masks[0] == 0) refuse("name at least one command: map_create, prog_load, btf_load");
  for (uint32_t type = 0; type < NUMBERS; ++type)
    if (delegation.masks[2] >> type & 1 && !isOurs(type))
      refuse("programs of type ", programTypeName(type), " are not delegated: no class of the policy has them");
  return delegation;
}

kj::Maybe<kj::String> delegate(Core& core, kj::AutoCloseFd job, const FileSystemContext& bpffs, const Delegation& delegation,
                               kj::WaitScope& scope) {
  Channel delegator(core.io.unixEventPort, kj::mv(job), "the delegator");
  wire::Delegation wish{delegation.masks[0], delegation.masks[1], delegation.masks[2], delegation.masks[3]};
  int passed[1] = {bpffs.fd()};
  auto answer = delegator.call(kj::arrayPtr(reinterpret_cast<const kj::byte*>(&wish), sizeof wish), passed);
  auto late = core.io.provider->getTimer().afterDelay(PATIENCE).then(
      []() -> kj::Promise<Packet> { refuse("the bpffs's context does not answer: do nothing with it before it was passed"); });
  auto ended = [](kj::Exception&& exception) -> Packet {
    if (exception.getType() != kj::Exception::Type::DISCONNECTED) kj::throwFatalException(kj::mv(exception));
    refuse("the delegator ended (see the daemon's log)");
  };
  Packet packet = answer.catch_(ended).exclusiveJoin(kj::mv(late)).wait(scope);
  wire::Delegated delegated;
  KJ_REQUIRE(packet.bytes.size() == sizeof delegated, "malformed answer from the delegator");
  memcpy(&delegated, packet.bytes.begin(), sizeof delegated);
  if (delegated.result == 0) return nullptr;
  if (delegated.result == -EOPNOTSUPP || delegated.result == -EBUSY)
    return kj::str("the context is not a bpffs's, or was used already, or this kernel has no tokens: they need Linux 6.9");
  if (delegated.result == -EPERM) return kj::str("above the ceiling of the daemon's configuration");
  return kj::str("create the bpffs: ", strerror(-delegated.result));
}

// The kernel asks for the program's type and its attach type, each by itself.
TypeSet typesOf(const Delegation& delegation) {
  TypeSet types;
  for (auto& row : programTypes()) {
    bool attaches = row.expectedAttachType == 0 || delegation.masks[3] >> row.expectedAttachType & 1;
    if (delegation.masks[2] >> row.kernelType & 1 && attaches) types |= setOf({row.type});
  }
  return types;
}

void describeDelegation(const uint64_t (&masks)[4], schema::Delegation::Builder out) {
  std::vector<kj::StringPtr> words[4];
  for (size_t kind = 0; kind < kj::size(words); ++kind)
    for (uint32_t number = 0; number < NUMBERS; ++number)
      if (masks[kind] >> number & 1) words[kind].push_back(KINDS[kind].name(number));
  auto put = [](capnp::List<capnp::Text>::Builder list, const std::vector<kj::StringPtr>& from) {
    for (size_t i = 0; i < from.size(); ++i) list.set(i, from[i]);
  };
  put(out.initCommands(words[0].size()), words[0]);
  put(out.initMapTypes(words[1].size()), words[1]);
  put(out.initProgramTypes(words[2].size()), words[2]);
  put(out.initAttachTypes(words[3].size()), words[3]);
}

}  // namespace bpfman
