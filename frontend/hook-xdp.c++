// XDP: a member of its interface's chain. The chain itself is the engine's.
#include "frontend/hook-chain.h"

namespace bpfman {

namespace {

WantedMember wanted(schema::Place::Reader place) {
  auto xdp = place.getXdp();
  kj::Maybe<int32_t> adoptAs;
  if (xdp.getAdopt()) adoptAs = xdp.getAdoptedPriority();
  return {xdp.getInterface(), xdp.getNetnsPath(), xdp.getPriority(), xdp.getProceedOn(), schema::Direction::INGRESS, adoptAs};
}

const SharedHook SHARED{XDP_VERDICTS, wanted, {"xdp", "xdp"}, {wire::Dir::members, wire::Dir::members}};
const ChainMemberHook INSTANCE(SHARED);

}  // namespace

const Hook& xdpHook = INSTANCE;

}  // namespace bpfman
