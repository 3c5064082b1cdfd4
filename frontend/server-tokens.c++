// Tokens: what a container may do itself, with the kernel. Written down before it is delegated, and kept unless the delegator says that it
// was not, as nobody can ask the kernel afterwards.
#include <algorithm>

#include "frontend/clock.h"
#include "frontend/delegation.h"
#include "frontend/refuse.h"
#include "frontend/servers.h"

namespace bpfman {

namespace {

void describe(const TokenRow& row, schema::TokenRecord::Builder out) {
  out.setId(row.id);
  out.setUid(row.uid);
  out.setCreatedAt(row.createdAt);
  describeDelegation(row.delegated, out.initDelegation());
  out.setProcess(row.process);
  out.setUserNamespace(row.userNamespace);
  out.setCgroup(row.cgroup);
  out.setWithdrawn(row.withdrawn);
}

void describe(const std::vector<TokenRow>& rows, capnp::List<schema::TokenRecord>::Builder out) {
  for (size_t i = 0; i < rows.size(); ++i) describe(rows[i], out[i]);
}

class TokensServer final : public schema::Tokens::Server {
 public:
  explicit TokensServer(Connection& connection) : connection(connection), core(connection.core) {}

  kj::Promise<void> create(CreateContext context) override {
    auto params = context.getParams();
    Delegation delegation = delegationFrom(params.getDelegation());
    connection->rights.requireDelegate(typesOf(delegation));
    return descriptorOf(params.getContext(), "the bpffs's context").then([this, context, delegation](kj::AutoCloseFd given) mutable {
      auto bpffs = core.intake.contexts.take(given);
      auto create = [this, context, delegation, bpffs = kj::mv(bpffs)](kj::WaitScope& scope, AuditLine& line) mutable {
        auto delegator = core.broker.startDelegator().wait(scope);
        TokenRow row = newRow(delegation);  // what it counts stays so until the row is there
        line.what = kj::str("token ", row.id).cStr();
        core.catalog.put(row);
        KJ_IF_MAYBE (refused, delegate(core, kj::mv(delegator), bpffs, delegation, scope)) {
          core.catalog.eraseToken(row.id);
          refuse(kj::mv(*refused));
        }
        describe(row, context.getResults().initToken());
      };
      return connection.change("delegate", kj::mv(create));
    });
  }

  kj::Promise<void> list(ListContext context) override {
    connection->rights.requireView();
    auto rows = rowsThat([](const TokenRow&) { return true; });
    describe(rows, context.getResults().initTokens(rows.size()));
    return kj::READY_NOW;
  }

  kj::Promise<void> withdraw(WithdrawContext context) override {
    uint32_t id = context.getParams().getId();
    connection->rights.requireUnload(rowOf(id).uid);
    return connection.change("withdraw", [this, context, id](kj::WaitScope&, AuditLine& line) mutable {
      TokenRow row = rowOf(id);
      line.what = kj::str("token ", id, " of user ", row.uid).cStr();
      row.withdrawn = true;
      core.catalog.put(row);
      auto live = rowsThat([&](const TokenRow& other) { return other.uid == row.uid; });
      describe(live, context.getResults().initLive(live.size()));
    });
  }

  kj::Promise<void> forget(ForgetContext context) override {
    connection->rights.requireAdministrator("forget a token");
    return connection.change("forget", [this, id = context.getParams().getId()](kj::WaitScope&, AuditLine& line) {
      line.what = kj::str("token ", id, " of user ", rowOf(id).uid).cStr();
      core.catalog.eraseToken(id);
    });
  }

 private:
  Holding connection;
  Core& core;

  template <typename Wanted>
  std::vector<TokenRow> rowsThat(Wanted wanted) {
    std::vector<TokenRow> rows;
    for (auto& [id, row] : core.catalog.tokens())
      if (wanted(row)) rows.push_back(row);
    return rows;
  }

  TokenRow rowOf(uint32_t id) {
    auto found = core.catalog.tokens().find(id);
    if (found == core.catalog.tokens().end()) refuse("token ", id, " does not exist");
    return found->second;
  }

  TokenRow newRow(const Delegation& delegation) {
    auto before = rowsThat([&](const TokenRow& row) { return row.uid == connection->uid(); });
    if (std::ranges::any_of(before, &TokenRow::withdrawn))
      refuse("a token of user ", connection->uid(), " was withdrawn: nothing is delegated to him until an administrator forgets it");
    if (before.size() >= limits::TOKENS_PER_USER)
      refuse(kj::Exception::Type::OVERLOADED, kj::str("user ", connection->uid(), " has ", before.size(),
                                                      " tokens in this boot: an administrator must forget those that are gone"));
    TokenRow row;
    row.id = core.catalog.nextToken();
    row.uid = connection->uid();
    row.createdAt = wallClock();
    std::ranges::copy(delegation.masks, row.delegated);
    auto& identity = connection->identity;
    row.process = identity.caller.pid;
    row.userNamespace = identity.where.userNamespace;
    row.cgroup = identity.where.cgroup;
    return row;
  }
};

}  // namespace

schema::Tokens::Client newTokens(Connection& connection) { return kj::heap<TokensServer>(connection); }

}  // namespace bpfman
