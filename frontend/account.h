// What one user has under way, over all his connections: he can't have more by connecting once more.
#pragma once

#include <map>
#include <set>

#include <kj/refcount.h>

namespace bpfman {

class Accounts;
class Connection;

class Account : public kj::Refcounted {
 public:
  Account(Accounts& accounts, uint32_t uid) : accounts(accounts), uid(uid) {}
  ~Account() noexcept(false);

  std::set<const Connection*> connections;  // open ones
  uint32_t arriving = 0;                    // connections whose peer is being looked at
  uint32_t calls = 0;                       // in flight

 private:
  Accounts& accounts;
  const uint32_t uid;
};

class Accounts {
 public:
  kj::Own<Account> of(uint32_t uid) {
    auto found = byUid.find(uid);
    if (found != byUid.end()) return kj::addRef(*found->second);
    auto account = kj::refcounted<Account>(*this, uid);
    byUid[uid] = account.get();
    return account;
  }

 private:
  friend class Account;
  std::map<uint32_t, Account*> byUid;  // each lives as long as anything of his: a connection, or a call that outlived it
};

inline Account::~Account() noexcept(false) { accounts.byUid.erase(uid); }

}  // namespace bpfman
