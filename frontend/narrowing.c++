#include "frontend/narrowing.h"

#include <algorithm>

#include "frontend/limits.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr char REVOKED[] = "this capability was revoked by whoever handed it on";

}  // namespace

Narrowing::Narrowing(schema::Narrowing::Reader wish, kj::Maybe<kj::Own<Narrowing>> above)
    : readOnly(wish.getReadOnly()), noDescriptors(wish.getNoDescriptors()), above(kj::mv(above)) {
  if (wish.getInterfaces().size() > limits::NARROWED_INTERFACES)
    refuse("at most ", limits::NARROWED_INTERFACES, " interfaces in one narrowing");
  for (auto name : wish.getInterfaces()) interfaces.emplace_back(name.cStr());
}

void Narrowing::requireLive() const {
  if (revoked) refuse(REVOKED);
  KJ_IF_MAYBE (a, above) (*a)->requireLive();
}

void Narrowing::requireChange() const {
  if (readOnly) refuse("this capability was handed on for reading only");
  KJ_IF_MAYBE (a, above) (*a)->requireChange();
}

void Narrowing::requireDescriptor() const {
  if (noDescriptors) refuse("this capability was handed on without the power to take descriptors of maps");
  KJ_IF_MAYBE (a, above) (*a)->requireDescriptor();
}

void Narrowing::requireInterface(kj::StringPtr name) const {
  if (!interfaces.empty() && std::ranges::find(interfaces, name.cStr()) == interfaces.end())
    refuse("this capability was handed on for other interfaces than \"", name, "\"");
  KJ_IF_MAYBE (a, above) (*a)->requireInterface(name);
}

void Narrowing::note(HandOver handOver) {
  handOvers.push_back(handOver);
  KJ_IF_MAYBE (a, above) (*a)->note(handOver);
}

kj::Promise<void> Narrowing::guard(kj::Promise<void> call) {
  auto fork = call.fork();
  fork.addBranch().detach([](kj::Exception&&) {});  // its caller is told; a change must not stop half way
  return wrap(fork.addBranch());
}

kj::Promise<void> Narrowing::wrap(kj::Promise<void> answer) {
  auto mine = calls.wrap(kj::mv(answer));
  KJ_IF_MAYBE (a, above) return (*a)->wrap(kj::mv(mine));
  return mine;
}

void Narrowing::revoke() {
  revoked = true;
  calls.cancel(REVOKED);
}

}  // namespace bpfman
