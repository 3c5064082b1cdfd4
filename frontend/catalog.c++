#include "frontend/catalog.h"

#include <algorithm>
#include <cstring>

#include <kj/debug.h>

#include "frontend/catalog-schema.h"
#include "frontend/catalog-store.h"
#include "frontend/limits.h"
#include "frontend/refuse.h"

namespace bpfman {
namespace {

// After a power cut the last writes of a boot may be missing (synchronous=NORMAL): so many ids are skipped, and none comes twice.
constexpr uint32_t SKIPPED_AT_BOOT = 1024;

[[noreturn]] void refuseChange(const SqliteError& error) {
  bool full = error.primary() == SQLITE_FULL || error.system == ENOSPC || error.system == EDQUOT;
  if (full) {
    refuse(kj::Exception::Type::OVERLOADED,
           kj::str("the state directory is full (", error.text.c_str(), "): nothing was changed; free space and try again"));
  }
  if (error.primary() == SQLITE_READONLY || error.system == EROFS) {
    refuse("the state directory can't be written (", error.text.c_str(), "): nothing was changed; make it writable and restart bpfman");
  }
  refuse("the catalogue could not be written (", error.text.c_str(), error.system == 0 ? "" : ": ",
         error.system == 0 ? "" : strerror(error.system), "): nothing was changed");
}

template <typename Rows, typename Key>
auto find(const Rows& rows, const Key& key) -> kj::Maybe<const typename Rows::mapped_type&> {
  auto found = rows.find(key);
  if (found == rows.end()) return nullptr;
  return found->second;
}

template <typename Index, typename Key, typename Value>
void unindex(Index& index, const Key& key, const Value& value) {
  auto found = index.find(key);
  if (found == index.end()) return;
  found->second.erase(value);
  if (found->second.empty()) index.erase(found);
}

}  // namespace

Catalog::Catalog(std::string path) : path(std::move(path)) { open(); }

Catalog::~Catalog() = default;

// Damage is found when the file is opened, checked or read; whichever it is, the second try is with a new file.
void Catalog::open() {
  std::string damage;
  for (bool again : {false, true}) {
    try {
      OpenedDatabase opened = openDatabase(path);
      adopt(readContent(*opened.database));
      database = std::move(opened.database);
      readOnly = opened.readOnly;
      reported = damage + opened.report;
      return;
    } catch (SqliteError& error) {
      if (error.primary() == SQLITE_BUSY) refuse("the catalogue ", path.c_str(), " is in use by another process");
      if (again || !isDamage(error)) refuseChange(error);
      damage = "the catalogue was damaged (" + error.text + "): it is kept as " + setAside(path) + " and a new one was begun";
    }
  }
}

void Catalog::adopt(Content content) {
  for (auto& row : content.loads) remember(std::move(row));
  for (auto& row : content.programs) remember(std::move(row));
  for (auto& row : content.links) remember(std::move(row));
  for (auto& row : content.dispatchers) dispatcherRows.insert_or_assign(DispatcherKey(row.type, row.nsid, row.ifindex), row);
  for (auto& row : content.changes) changeRows.insert_or_assign(row.id, row);
  for (auto& row : content.tokens) tokenRows.insert_or_assign(row.id, row);
  loadSequence = content.nextLoad;
  linkSequence = content.nextLink;
  changeSequence = content.nextChange;
  tokenSequence = content.nextToken;
  boot = std::move(content.bootId);
}

void Catalog::setBootId(const std::string& id) {
  if (id == boot) return;
  if (!tokenRows.empty()) change([](Database& to) { dropTokens(to); }, [this] { tokenRows.clear(); });
  uint32_t skipped = boot.empty() ? 0 : SKIPPED_AT_BOOT;
  reserve(loadSequence + skipped, linkSequence + skipped, id);
}

uint32_t Catalog::nextLoad() {
  if (loadSequence > limits::ID_MAX) refuse("all load ids were used: move the state directory away and begin anew");
  return loadSequence++;
}

uint32_t Catalog::nextLink() {
  if (linkSequence > limits::ID_MAX) refuse("all link ids were used: move the state directory away and begin anew");
  return linkSequence++;
}

uint32_t Catalog::nextChange() {
  if (changeSequence > limits::ID_MAX) refuse("all change ids were used: move the state directory away and begin anew");
  return changeSequence++;
}

uint32_t Catalog::nextToken() {
  if (tokenSequence > limits::ID_MAX) refuse("all token ids were used: move the state directory away and begin anew");
  return tokenSequence++;
}

// A nested failure that its caller catches has left half a change behind, so it dooms the whole transaction.
void Catalog::transaction(const std::function<void()>& changes) {
  if (inTransaction) {
    try {
      return changes();
    } catch (SqliteError& error) {
      doomed = true;
      refuseChange(error);
    } catch (...) {
      doomed = true;
      throw;
    }
  }
  KJ_DEFER({
    inTransaction = doomed = false;
    pending.clear();
  });
  try {
    if (readOnly) throw SqliteError{SQLITE_READONLY, "read-only file system", 0};
    database->run("BEGIN IMMEDIATE");
    inTransaction = true;
    changes();
    KJ_REQUIRE(!doomed, "a part of this change of the catalogue failed: nothing was changed");
    database->run("COMMIT");
  } catch (SqliteError& error) {
    rollBack();
    refuseChange(error);
  } catch (...) {
    rollBack();
    throw;
  }
  for (auto& change : pending) change();
}

void Catalog::rollBack() {
  try {
    if (database->inTransaction()) database->run("ROLLBACK");
  } catch (SqliteError& error) { KJ_LOG(ERROR, "the catalogue's transaction could not be rolled back", error.text.c_str()); }
}

template <typename Write>
void Catalog::change(Write&& write, std::function<void()> then) {
  transaction([&] {
    write(*database);
    pending.push_back(std::move(then));
  });
}

void Catalog::reserve(uint32_t load, uint32_t link, const std::string& bootId) {
  load = std::min(load, limits::ID_MAX + 1);
  link = std::min(link, limits::ID_MAX + 1);
  change(
      [&](Database& to) {
        storeNext(to, load, link);
        storeBootId(to, bootId);
      },
      [this, load, link, bootId] {
        loadSequence = std::max(loadSequence, load);
        linkSequence = std::max(linkSequence, link);
        boot = bootId;
      });
}

void Catalog::skipIds(uint32_t highestLoad, uint32_t highestLink) { reserve(highestLoad + 1, highestLink + 1, boot); }

void Catalog::put(const LoadRow& row) {
  change([&](Database& to) { store(to, row); }, [this, row] { remember(row); });
}

void Catalog::put(const ProgramRow& row) {
  change([&](Database& to) { store(to, row); }, [this, row] { remember(row); });
}

void Catalog::put(const LinkRow& row) {
  change([&](Database& to) { store(to, row); }, [this, row] { remember(row); });
}

void Catalog::put(const DispatcherRow& row) {
  change([&](Database& to) { store(to, row); },
         [this, row] { dispatcherRows.insert_or_assign(DispatcherKey(row.type, row.nsid, row.ifindex), row); });
}

void Catalog::put(const ChangeRow& row) {
  change([&](Database& to) { store(to, row); }, [this, row] { changeRows.insert_or_assign(row.id, row); });
}

void Catalog::eraseChange(uint32_t id) {
  change([&](Database& to) { dropChange(to, id); }, [this, id] { changeRows.erase(id); });
}

void Catalog::put(const TokenRow& row) {
  change([&](Database& to) { store(to, row); }, [this, row] { tokenRows.insert_or_assign(row.id, row); });
}

void Catalog::eraseToken(uint32_t id) {
  change([&](Database& to) { dropToken(to, id); }, [this, id] { tokenRows.erase(id); });
}

void Catalog::putLoaded(const LoadRow& load, const std::vector<ProgramRow>& programs) {
  transaction([&] {
    put(load);
    for (auto& program : programs) put(program);
  });
}

void Catalog::renumber(const LoadRow& load, const std::vector<uint32_t>& before, const std::vector<ProgramRow>& programs) {
  KJ_REQUIRE(before.size() == programs.size());
  transaction([&] {
    put(load);
    for (uint32_t id : before) eraseProgram(id);
    for (size_t i = 0; i < before.size(); ++i) {
      put(programs[i]);
      for (auto link : linksOf(before[i])) {
        LinkRow row = *link;
        row.programId = programs[i].id;
        put(row);
      }
      for (auto& [id, user] : programRows) {
        if (user.mapOwner != before[i] || user.load == load.load) continue;
        ProgramRow row = user;
        row.mapOwner = programs[i].id;
        put(row);
      }
    }
  });
}

void Catalog::eraseLoad(uint32_t load) {
  change([&](Database& to) { dropLoad(to, load); },
         [this, load] {
           for (auto program : programsOf(load)) forgetProgram(program->id);
           auto found = loadRows.find(load);
           if (found == loadRows.end()) return;
           loadByRequest.erase(found->second.request);
           loadRows.erase(found);
         });
}

void Catalog::eraseProgram(uint32_t id) {
  change([&](Database& to) { dropProgram(to, id); }, [this, id] { forgetProgram(id); });
}

void Catalog::eraseLink(uint32_t id) {
  change([&](Database& to) { dropLink(to, id); }, [this, id] { forgetLink(id); });
}

void Catalog::eraseDispatcher(const std::string& type, uint64_t nsid, uint32_t ifindex) {
  change([&](Database& to) { dropDispatcher(to, type, nsid, ifindex); },
         [this, key = DispatcherKey(type, nsid, ifindex)] { dispatcherRows.erase(key); });
}

void Catalog::remember(LoadRow row) {
  loadSequence = std::max(loadSequence, row.load + 1);
  if (!row.request.empty()) loadByRequest[row.request] = row.load;
  loadRows.insert_or_assign(row.load, std::move(row));
}

void Catalog::remember(ProgramRow row) {
  forgetProgram(row.id);
  programsByLoad[row.load].emplace(row.index, row.id);
  if (row.mapOwner != 0) programsByMapOwner[row.mapOwner].insert(row.id);
  programRows.emplace(row.id, std::move(row));
}

void Catalog::remember(LinkRow row) {
  forgetLink(row.id);
  linkSequence = std::max(linkSequence, row.id + 1);
  if (!row.request.empty()) linkByRequest[row.request] = row.id;
  linksByProgram[row.programId].insert(row.id);
  linksByHook[Hook(row.kind, row.nsid, row.ifindex, row.direction)].insert(row.id);
  linkRows.emplace(row.id, std::move(row));
}

void Catalog::forgetProgram(uint32_t id) {
  auto found = programRows.find(id);
  if (found == programRows.end()) return;
  unindex(programsByLoad, found->second.load, std::pair(found->second.index, id));
  unindex(programsByMapOwner, found->second.mapOwner, id);
  programRows.erase(found);
}

void Catalog::forgetLink(uint32_t id) {
  auto found = linkRows.find(id);
  if (found == linkRows.end()) return;
  const LinkRow& row = found->second;
  unindex(linksByProgram, row.programId, id);
  linkByRequest.erase(row.request);
  unindex(linksByHook, Hook(row.kind, row.nsid, row.ifindex, row.direction), id);
  linkRows.erase(found);
}

kj::Maybe<const LoadRow&> Catalog::load(uint32_t load) const { return find(loadRows, load); }
kj::Maybe<const ProgramRow&> Catalog::program(uint32_t id) const { return find(programRows, id); }
kj::Maybe<const LinkRow&> Catalog::link(uint32_t id) const { return find(linkRows, id); }
kj::Maybe<const DispatcherRow&> Catalog::dispatcher(const std::string& type, uint64_t nsid, uint32_t ifindex) const {
  return find(dispatcherRows, DispatcherKey(type, nsid, ifindex));
}

kj::Maybe<const LoadRow&> Catalog::loadOf(const std::string& request) const {
  auto found = loadByRequest.find(request);
  return found == loadByRequest.end() ? nullptr : load(found->second);
}

kj::Maybe<const LinkRow&> Catalog::linkOf(const std::string& request) const {
  auto found = linkByRequest.find(request);
  return found == linkByRequest.end() ? nullptr : link(found->second);
}

std::vector<const ProgramRow*> Catalog::programsOf(uint32_t load) const {
  std::vector<const ProgramRow*> rows;
  auto found = programsByLoad.find(load);
  if (found == programsByLoad.end()) return rows;
  for (auto& [index, id] : found->second) rows.push_back(&programRows.at(id));
  return rows;
}

std::vector<const LinkRow*> Catalog::linksOf(uint32_t programId) const {
  auto found = linksByProgram.find(programId);
  return found == linksByProgram.end() ? std::vector<const LinkRow*>() : rowsOf(found->second);
}

std::vector<uint32_t> Catalog::mapUsersOf(uint32_t programId) const {
  std::set<uint32_t> users{programId};
  KJ_IF_MAYBE (row, program(programId))
    for (auto other : programsOf(row->load)) users.insert(other->id);
  auto found = programsByMapOwner.find(programId);
  if (found != programsByMapOwner.end()) users.insert(found->second.begin(), found->second.end());
  return {users.begin(), users.end()};
}

std::vector<const LinkRow*> Catalog::linksOn(uint16_t kind, uint64_t nsid, uint32_t ifindex, uint8_t direction) const {
  auto found = linksByHook.find(Hook(kind, nsid, ifindex, direction));
  return found == linksByHook.end() ? std::vector<const LinkRow*>() : rowsOf(found->second);
}

std::vector<const LinkRow*> Catalog::rowsOf(const std::set<uint32_t>& ids) const {
  std::vector<const LinkRow*> rows;
  for (uint32_t id : ids) rows.push_back(&linkRows.at(id));
  return rows;
}

}  // namespace bpfman
