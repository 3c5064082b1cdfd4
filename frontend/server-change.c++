// Changes of several links at once, those that wait to be confirmed, and dispatchers that stay.
#include <kj/debug.h>

#include "frontend/attach-request.h"
#include "frontend/chain-change.h"
#include "frontend/clock.h"
#include "frontend/describe.h"
#include "frontend/limited-text.h"
#include "frontend/refuse.h"
#include "frontend/servers.h"

namespace bpfman {

namespace {

using Params = schema::Links::ChangeParams::Reader;

LinkRow linkRow(Core& core, uint32_t id) {
  KJ_IF_MAYBE (row, core.catalog.link(id)) return *row;
  refuse("link ", id, " does not exist");
}

ProgramRow programRow(Core& core, uint32_t id) {
  KJ_IF_MAYBE (row, core.catalog.program(id)) return *row;
  refuseNoProgram(core, id);
}

// A new priority may be reserved. Whose link it is attached there already, so the namespace was his if it had to be.
void requireMayModify(Connection& connection, schema::ChangeStep::Modify::Reader wish) {
  LinkRow link = linkRow(connection.core, wish.getLink());
  connection.rights.requireUnload(link.uid);
  if (wish.getPriority() < 0) return;
  AttachTarget target{static_cast<schema::ProgramType>(link.kind), link.interface.c_str(), link.hostNetns, link.uid == connection.uid(),
                      link.nsid};
  target.priority = wish.getPriority();
  connection.rights.requireAttach(target);
}

void requireMay(Connection& connection, capnp::List<schema::ChangeStep>::Reader steps) {
  if (steps.size() == 0 || steps.size() > limits::CHANGE_STEPS)
    refuse("a change has 1 to ", limits::CHANGE_STEPS, " steps, not ", steps.size());
  Core& core = connection.core;
  for (auto step : steps) {
    switch (step.which()) {
      case schema::ChangeStep::ATTACH:
        requireMayAttach(connection, nullptr, programRow(core, step.getAttach().getProgramId()), step.getAttach().getPlace());
        break;
      case schema::ChangeStep::DETACH: connection.rights.requireUnload(linkRow(core, step.getDetach()).uid); break;
      case schema::ChangeStep::MODIFY: requireMayModify(connection, step.getModify()); break;
    }
  }
}

Modification modificationOf(schema::ChangeStep::Modify::Reader wish) {
  Modification to;
  if (wish.getPriority() < -1) refuse("priority ", wish.getPriority(), ": it must be 0 or more");
  if (wish.getPriority() >= 0) to.priority = wish.getPriority();
  for (int32_t verdict : wish.getProceedOn()) to.proceedOn.push_back(verdict);
  if (wish.getRunning() != schema::ChangeStep::Running::AS_IT_IS) to.paused = wish.getRunning() == schema::ChangeStep::Running::PAUSED;
  return to;
}

// The request id of the step: each attach of the change has its own.
std::string requestOf(const std::string& request, size_t step) { return request.empty() ? "" : request + "#" + std::to_string(step); }

// By the first try of a request whose answer was lost: what it attached is there. Empty: there was none.
std::vector<uint32_t> madeBefore(Core& core, const std::string& request, Params params) {
  std::vector<uint32_t> links;
  for (size_t i = 0; !request.empty() && i < params.getSteps().size(); ++i)
    KJ_IF_MAYBE (link, core.catalog.linkOf(requestOf(request, i))) links.push_back(link->id);
  return links;
}

std::vector<uint32_t> carryOut(Connection& connection, Params params, const std::string& request, kj::Vector<AttachTargets>& targets,
                               kj::Maybe<ChangeRow>& waiting, kj::WaitScope& scope) {
  Core& core = connection.core;
  ChainChange change(core, connection.uid(), scope);
  kj::Vector<kj::Own<AttachWish>> wishes;
  auto steps = params.getSteps();
  for (size_t i = 0; i < steps.size(); ++i) {
    switch (steps[i].which()) {
      case schema::ChangeStep::ATTACH: {
        auto attach = steps[i].getAttach();
        auto& given = targets[wishes.size()];
        wishes.add(kj::heap(AttachWish{programRow(core, attach.getProgramId()), attach.getPlace(), kj::mv(given.netns),
                                       kj::mv(given.target), kj::mv(given.process), pairsFrom(attach.getMetadata()), connection.rights,
                                       connection.uid(), requestOf(request, i), attach.getBefore(), attach.getAfter()}));
        change.attach(*wishes.back());
        break;
      }
      case schema::ChangeStep::DETACH: change.detach(steps[i].getDetach()); break;
      case schema::ChangeStep::MODIFY: change.modify(steps[i].getModify().getLink(), modificationOf(steps[i].getModify())); break;
    }
  }
  ChangeRow row = change.carryOut(nanosecondsFrom(params.getConfirmWithin()));
  if (row.state == ChangeRow::waiting) waiting = kj::mv(row);
  return change.links();
}

}  // namespace

uint64_t nanosecondsFrom(uint32_t confirmWithin) {
  if (confirmWithin > limits::CONFIRM_SECONDS) refuse("a change can wait at most ", limits::CONFIRM_SECONDS, " s to be confirmed");
  return confirmWithin * uint64_t{1'000'000'000};
}

void describeWaiting(const ChangeRow& row, schema::WaitingChange::Builder out) {
  out.setId(row.id);
  out.setUntil(wallClock() + static_cast<int64_t>(row.until - monotonicClock()));
  out.setInKernel(row.inKernel);
  out.setUid(row.uid);
  auto links = out.initLinks(row.links.size());
  for (size_t i = 0; i < row.links.size(); ++i) links.set(i, row.links[i].link);
  out.setReplaced(row.replaced);
  out.setReplacement(row.replacement);
}

kj::Promise<void> changeLinks(Holding& connection, ChangeContext context) {
  auto params = context.getParams();
  requireMay(*connection, params.getSteps());
  kj::Vector<kj::Promise<AttachTargets>> arriving;
  for (auto step : params.getSteps())
    if (step.isAttach()) arriving.add(targetsOf(connection->core, step.getAttach().getPlace()));
  std::string request = connection->requestKey(params.getRequestId());
  return kj::joinPromises(arriving.releaseAsArray()).then([&connection, context, request](kj::Array<AttachTargets> given) mutable {
    return connection.change("change", [&connection, context, request, given = kj::Vector<AttachTargets>(kj::mv(given))](
                                           kj::WaitScope& scope, AuditLine& line) mutable {
      Core& core = connection->core;
      kj::Maybe<ChangeRow> waiting;
      line.request = request;
      kj::Maybe<Locks::Turn> turn;
      if (!request.empty()) turn = core.locks.take("request:" + request, scope);
      line.links = madeBefore(core, request, context.getParams());
      if (line.links.empty())
        line.links = carryOut(*connection, context.getParams(), request, given, waiting, scope);
      else
        line.what = "again";
      auto results = context.getResults();
      auto links = results.initLinks(line.links.size());
      for (size_t i = 0; i < line.links.size(); ++i) describe(core, linkRow(core, line.links[i]), links[i]);
      KJ_IF_MAYBE (row, waiting) {
        describeWaiting(*row, results.initWaiting(1)[0]);
        line.what = kj::str("change ", row->id, " waits to be confirmed").cStr();
      }
    });
  });
}

kj::Promise<void> parkDispatcher(Holding& connection, ParkContext context, kj::Maybe<NamespaceTarget> netns) {
  bool parked = context.getParams().getParked();
  return connection.change(
      parked ? "park" : "unpark", [&connection, context, parked, netns = kj::mv(netns)](kj::WaitScope& scope, AuditLine& line) mutable {
        auto params = context.getParams();
        kj::StringPtr type = params.getType(), interface = params.getInterface();
        line.what = kj::str(type, ' ', interface).cStr();
        if (type != "xdp" && type != "tc-ingress" && type != "tc-egress")
          refuse("type \"", type, "\": expected xdp, tc-ingress or tc-egress");
        Core& core = connection->core;
        auto in = core.workers.in(netns, scope);
        ChainHook hook{type.cStr(), in->nsid, 0, "", limitedText(params.getNetnsPath(), "the path", limits::PATH_BYTES), in->host};
        KJ_IF_MAYBE (found, Netlink(in->netlink).interfaceNamed(interface))
          hook.interface = found->name, hook.ifindex = found->index;
        else
          refuse("interface ", interface, " does not exist there; 'ip link' lists those that do");
        LinkRow place = linkOn(hook);
        hookOf(place).hook.sharing()->park(core, place, *in, parked, scope);
      });
}

kj::Promise<void> endChange(Holding& connection, uint32_t id, bool confirm) {
  auto found = connection->core.catalog.changes().find(id);
  if (found != connection->core.catalog.changes().end()) connection->rights.requireUnload(found->second.uid);
  return connection.change(confirm ? "confirm" : "revert", [&connection, id, confirm](kj::WaitScope& scope, AuditLine& line) {
    line.what = kj::str("change ", id).cStr();
    Core& core = connection->core;
    confirm ? core.changes.confirm(core, id, scope) : core.changes.takeBack(core, id, scope);
  });
}

}  // namespace bpfman
