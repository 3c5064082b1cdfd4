// Intent, in SQLite. The frontend is the database's only user (it keeps it locked), so all rows are also here in memory and are read
// from there. A change is written first; memory changes when the database has it. If it can't be written nothing was changed, and an
// exception (type overloaded: a full disk; failed: anything else) says so.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include <kj/common.h>
#include <kj/string.h>

#include "frontend/catalog-rows.h"

namespace bpfman {

class Database;

class Catalog {
 public:
  explicit Catalog(std::string path = "bpfman.db");
  // Opens it, makes it if it is missing, migrates an older one (keeping PATH.vN.bak), sets a damaged one aside (PATH.damaged-N) and
  // begins anew. Fails, touching nothing, on one that a newer bpfman wrote. On a read-only disk it can only be read.
  ~Catalog();
  KJ_DISALLOW_COPY(Catalog);

  const std::string& report() const { return reported; }
  // What opening it had to do, for the log and the administrator: "" if nothing.

  const std::string& bootId() const { return boot; }
  void setBootId(const std::string& id);
  // The boot during which the rows were true. When it changes, ids that a power cut may have made us forget are skipped, and tokens are
  // gone.

  uint32_t nextLoad();
  uint32_t nextLink();
  uint32_t nextChange();
  uint32_t nextToken();
  // A number that no row ever had. It is remembered together with the row that uses it: write that before the number leaves us.

  void skipIds(uint32_t highestLoad, uint32_t highestLink);
  // Ids up to these are taken: pins have them, though a new catalogue, begun after damage, does not know them.

  void transaction(const std::function<void()>& changes);
  // All changes made inside it, or none. Inside it, lookups still answer as before it. A nested one is part of the outer one.

  void put(const LoadRow& row);  // each: inserts, or replaces the whole row
  void put(const ProgramRow& row);
  void put(const LinkRow& row);
  void put(const DispatcherRow& row);
  void put(const ChangeRow& row);
  void put(const TokenRow& row);
  void putLoaded(const LoadRow& load, const std::vector<ProgramRow>& programs);
  void renumber(const LoadRow& load, const std::vector<uint32_t>& before, const std::vector<ProgramRow>& programs);
  // Its programs, which had the ids `before`, are these now; links and users of their maps follow. All or none.
  void eraseLoad(uint32_t load);  // and its programs; their links must be gone before
  void eraseProgram(uint32_t id);
  void eraseLink(uint32_t id);
  void eraseChange(uint32_t id);
  void eraseToken(uint32_t id);
  void eraseDispatcher(const std::string& type, uint64_t nsid, uint32_t ifindex);
  // Erasing what is not there changes nothing.

  using DispatcherKey = std::tuple<std::string, uint64_t, uint32_t>;  // type, nsid, ifindex

  // References are good until the next change: don't keep one over a promise.
  const std::map<uint32_t, LoadRow>& loads() const { return loadRows; }
  const std::map<uint32_t, ProgramRow>& programs() const { return programRows; }
  const std::map<uint32_t, LinkRow>& links() const { return linkRows; }
  const std::map<DispatcherKey, DispatcherRow>& dispatchers() const { return dispatcherRows; }
  const std::map<uint32_t, ChangeRow>& changes() const { return changeRows; }
  const std::map<uint32_t, TokenRow>& tokens() const { return tokenRows; }
  kj::Maybe<const LoadRow&> load(uint32_t load) const;
  kj::Maybe<const ProgramRow&> program(uint32_t id) const;
  kj::Maybe<const LinkRow&> link(uint32_t id) const;
  kj::Maybe<const DispatcherRow&> dispatcher(const std::string& type, uint64_t nsid, uint32_t ifindex) const;

  // What a request with that key made: nothing if it was undone, or never made.
  kj::Maybe<const LoadRow&> loadOf(const std::string& request) const;
  kj::Maybe<const LinkRow&> linkOf(const std::string& request) const;

  std::vector<const ProgramRow*> programsOf(uint32_t load) const;  // ascending by index
  std::vector<const LinkRow*> linksOf(uint32_t programId) const;   // ascending by id
  std::vector<uint32_t> mapUsersOf(uint32_t programId) const;      // programs with its maps, itself among them; ascending
  std::vector<const LinkRow*> linksOn(uint16_t kind, uint64_t nsid, uint32_t ifindex, uint8_t direction = 0) const;
  // All on that hook, of any state, ascending by id. Of a dispatcher: its members.

 private:
  using Hook = std::tuple<uint16_t, uint64_t, uint32_t, uint8_t>;

  std::string path;
  std::unique_ptr<Database> database;
  bool readOnly = false, inTransaction = false, doomed = false;
  std::string reported, boot;
  uint32_t loadSequence = 1, linkSequence = 1, changeSequence = 1, tokenSequence = 1;  // the next ones
  std::map<uint32_t, LoadRow> loadRows;
  std::map<uint32_t, ProgramRow> programRows;
  std::map<uint32_t, LinkRow> linkRows;
  std::map<DispatcherKey, DispatcherRow> dispatcherRows;
  std::map<uint32_t, ChangeRow> changeRows;
  std::map<uint32_t, TokenRow> tokenRows;
  std::map<uint32_t, std::set<std::pair<uint32_t, uint32_t>>> programsByLoad;  // load -> index, id
  std::map<uint32_t, std::set<uint32_t>> linksByProgram, programsByMapOwner;
  std::map<Hook, std::set<uint32_t>> linksByHook;
  std::map<std::string, uint32_t> loadByRequest, linkByRequest;
  std::vector<std::function<void()>> pending;  // what memory does once the transaction is written

  void open();
  void adopt(struct Content content);
  void remember(LoadRow row);
  void remember(ProgramRow row);
  void remember(LinkRow row);
  void forgetProgram(uint32_t id);
  void forgetLink(uint32_t id);
  void reserve(uint32_t load, uint32_t link, const std::string& bootId);
  void rollBack();
  template <typename Write>
  void change(Write&& write, std::function<void()> then);
  std::vector<const LinkRow*> rowsOf(const std::set<uint32_t>& ids) const;
};

}  // namespace bpfman
