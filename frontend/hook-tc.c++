// TC: a member of the chain of one direction of its interface. The chain itself is the engine's; a clsact filter or a TCX link runs it.
#include "frontend/hook-chain.h"

namespace bpfman {

namespace {

WantedMember wanted(schema::Place::Reader place) {
  auto tc = place.getTc();
  return {tc.getInterface(), tc.getNetnsPath(), tc.getPriority(), tc.getProceedOn(), tc.getDirection()};
}

const SharedHook SHARED{TC_VERDICTS, wanted, {"tc-ingress", "tc-egress"}, {wire::Dir::tcIngressMembers, wire::Dir::tcEgressMembers}};
const ChainMemberHook INSTANCE(SHARED);

}  // namespace

const Hook& tcHook = INSTANCE;

}  // namespace bpfman
