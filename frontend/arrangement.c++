#include "frontend/arrangement.h"

#include "frontend/refuse.h"

namespace bpfman {

OrderRules orderRulesOf(const Core& core) { return {core.options.newestFirst != 0}; }

Member memberFrom(Core& core, const LinkRow& link, const ProgramRow& program) {
  Member member;
  member.link = link.id, member.program = program.id, member.name = program.name, member.kernelLink = link.kernelLinkId;
  member.priority = link.priority, member.proceedOn = link.proceedOn, member.since = link.id, member.tailCalls = program.tailCalls;
  member.before = link.before, member.after = link.after;
  uint32_t owner = 0;
  std::string source;
  KJ_IF_MAYBE (load, core.catalog.load(program.load)) owner = load->uid, source = load->sourcePath;
  Rank rank = rankOf(core.policy.allOrderRules(), {static_cast<schema::ProgramType>(link.kind), link.interface, program.name,
                                                   program.application, source, owner, program.metadata});
  member.rank = rank.rank, member.rule = rank.line;
  return member;
}

std::vector<Member> membersOn(Core& core, const LinkRow& link, std::vector<Member> members) {
  for (const LinkRow* other : core.catalog.linksOn(link.kind, link.nsid, link.ifindex, link.direction))
    if (other->state == LinkRow::attached && other->absence == LinkRow::none && other->id != link.id)
      KJ_IF_MAYBE (program, core.catalog.program(other->programId)) members.push_back(memberFrom(core, *other, *program));
  return orderMembers(std::move(members), orderRulesOf(core));
}

void resolveNeighbours(const AttachWish& wish, std::span<const Member> present, LinkRow& link, Member& newcomer) {
  auto resolve = [&](capnp::List<schema::Neighbour>::Reader neighbours, std::vector<uint32_t>& links, std::vector<uint32_t>& programs) {
    for (auto neighbour : neighbours) {
      size_t found = 0;
      for (const Member& member : present) {
        bool meant = neighbour.isLink()      ? !member.foreign && neighbour.getLink() == member.link
                     : neighbour.isProgram() ? neighbour.getProgram() == member.program
                                             : !member.foreign && neighbour.getName() == member.name.c_str();
        if (!meant) continue;
        ++found;
        bool momentary = member.foreign && !member.adopted;
        (momentary ? programs : links).push_back(momentary ? member.program : member.link);
      }
      if (found == 0)
        refuse("nobody on that hook is ",
               neighbour.isLink()      ? kj::str("link ", neighbour.getLink())
               : neighbour.isProgram() ? kj::str("program ", neighbour.getProgram())
                                       : kj::str("called ", neighbour.getName()),
               "; 'bpfman overview' shows who is");
    }
  };
  resolve(wish.before, link.before, newcomer.beforeForeign);
  resolve(wish.after, link.after, newcomer.afterForeign);
  newcomer.before = link.before, newcomer.after = link.after;
}

}  // namespace bpfman
