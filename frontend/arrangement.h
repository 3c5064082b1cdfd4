// The order of the programs that bpfman has on a hook: chain.h's rule, applied to the catalogue, the policy and the configuration.
#pragma once

#include "frontend/chain.h"
#include "frontend/hook.h"

namespace bpfman {

OrderRules orderRulesOf(const Core& core);
Member memberFrom(Core& core, const LinkRow& link, const ProgramRow& program);

std::vector<Member> membersOn(Core& core, const LinkRow& link, std::vector<Member> others = {});
// Those that are attached where the link is or will be, in their order; itself left out. `others`: of other tools.

void resolveNeighbours(const AttachWish& wish, std::span<const Member> present, LinkRow& link, Member& newcomer);
// Whom the wish names becomes links (and, of foreign ones, programs). Refuses a name that nobody there has.

}  // namespace bpfman
