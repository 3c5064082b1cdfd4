#include "frontend/catalog-store.h"

namespace bpfman {
namespace {

// Child rows are read in the order of their parents, so one pass over both joins them.
template <typename Row, typename Member, typename Take>
void join(Statement& children, std::vector<Row>& parents, Member id, Take take) {
  auto parent = parents.begin();
  while (children.step()) {
    uint64_t owner = children.number(0);
    while (parent != parents.end() && uint64_t(*parent.*id) < owner) ++parent;
    if (parent == parents.end() || uint64_t(*parent.*id) != owner) throw SqliteError{SQLITE_CORRUPT, "a row belongs to none"};
    take(*parent, children);
  }
}

std::vector<LoadRow> readLoads(Database& database) {
  std::vector<LoadRow> rows;
  Statement loads = database.prepare(
      "SELECT load, state, source_path, uid, license, created_at, own, purpose, request, persistent, missing, other_types FROM load "
      "ORDER BY load");
  while (loads.step()) {
    LoadRow& row = rows.emplace_back();
    row.load = loads.number(0);
    row.state = LoadRow::State(loads.number(1));
    row.sourcePath = loads.bytes(2);
    row.uid = loads.number(3);
    row.license = loads.bytes(4);
    row.createdAt = loads.number(5);
    row.own = loads.number(6);
    row.purpose = loads.bytes(7);
    row.request = loads.bytes(8);
    row.persistent = loads.number(9);
    row.missing = loads.bytes(10);
    row.otherTypes = loads.number(11);
  }
  Statement maps =
      database.prepare("SELECT load, position, name, id, internal, source_load, source_index, named FROM map ORDER BY load, position");
  join(maps, rows, &LoadRow::load, [](LoadRow& load, Statement& s) {
    load.maps.push_back({uint32_t(s.number(1)), s.bytes(2), uint32_t(s.number(3)), s.number(4) != 0, uint32_t(s.number(5)),
                         uint32_t(s.number(6)), s.number(7) != 0});
  });
  Statement sizes = database.prepare("SELECT load, name, entries FROM map_size ORDER BY load, position");
  join(sizes, rows, &LoadRow::load, [](LoadRow& load, Statement& s) { load.mapSizes.emplace_back(s.bytes(1), uint32_t(s.number(2))); });
  Statement signatures = database.prepare("SELECT load, program, pkcs7, keyring FROM signature ORDER BY load, position");
  auto add = [](LoadRow& load, Statement& s) { load.signatures.push_back({s.bytes(1), s.bytes(2), int32_t(s.number(3))}); };
  join(signatures, rows, &LoadRow::load, add);
  return rows;
}

std::vector<ProgramRow> readPrograms(Database& database) {
  std::vector<ProgramRow> rows;
  Statement programs = database.prepare(
      "SELECT id, load, position, name, type, attach_to, application, map_owner, tail_calls, gpl_compatible, tag, extension, frags, "
      "run_priority, run_proceed_on FROM program ORDER BY id");
  while (programs.step()) {
    ProgramRow& row = rows.emplace_back();
    row.id = programs.number(0);
    row.load = programs.number(1);
    row.index = programs.number(2);
    row.name = programs.bytes(3);
    row.type = programs.number(4);
    row.attachTo = programs.bytes(5);
    row.application = programs.bytes(6);
    row.mapOwner = programs.number(7);
    row.tailCalls = programs.number(8);
    row.gplCompatible = programs.number(9);
    row.tag = programs.bytes(10);
    row.extension = programs.number(11);
    row.frags = programs.number(12);
    row.runPriority = programs.number(13);
    row.runProceedOn = programs.number(14);
  }
  Statement globals = database.prepare("SELECT program, name, value FROM program_global ORDER BY program, position");
  join(globals, rows, &ProgramRow::id, [](ProgramRow& row, Statement& s) { row.globals.emplace_back(s.bytes(1), s.bytes(2)); });
  Statement metadata = database.prepare("SELECT program, name, value FROM program_metadata ORDER BY program, position");
  join(metadata, rows, &ProgramRow::id, [](ProgramRow& row, Statement& s) { row.metadata.emplace_back(s.bytes(1), s.bytes(2)); });
  return rows;
}

std::vector<LinkRow> readLinks(Database& database) {
  std::vector<LinkRow> rows;
  Statement links = database.prepare(
      "SELECT id, state, program, kind, kernel_link, interface, ifindex, direction, priority, proceed_on, netns_path, nsid, host_netns, "
      "target, created_at, uid, request, absence, waiting, place FROM link ORDER BY id");
  while (links.step()) {
    LinkRow& row = rows.emplace_back();
    row.id = links.number(0);
    row.state = LinkRow::State(links.number(1));
    row.programId = links.number(2);
    row.kind = links.number(3);
    row.kernelLinkId = links.number(4);
    row.interface = links.bytes(5);
    row.ifindex = links.number(6);
    row.direction = links.number(7);
    row.priority = links.number(8);
    row.proceedOn = links.number(9);
    row.netnsPath = links.bytes(10);
    row.nsid = links.number(11);
    row.hostNetns = links.number(12);
    row.target = links.bytes(13);
    row.createdAt = links.number(14);
    row.uid = links.number(15);
    row.request = links.bytes(16);
    row.absence = LinkRow::Absence(links.number(17));
    row.waiting = links.bytes(18);
    row.place = links.bytes(19);
  }
  Statement metadata = database.prepare("SELECT link, name, value FROM link_metadata ORDER BY link, position");
  join(metadata, rows, &LinkRow::id, [](LinkRow& row, Statement& s) { row.metadata.emplace_back(s.bytes(1), s.bytes(2)); });
  Statement verdicts = database.prepare("SELECT link, verdict FROM link_proceed_on ORDER BY link, position");
  join(verdicts, rows, &LinkRow::id, [](LinkRow& row, Statement& s) { row.proceedOnList.push_back(s.number(1)); });
  Statement neighbours = database.prepare("SELECT link, other, before FROM link_neighbour ORDER BY link, position");
  join(neighbours, rows, &LinkRow::id, [](LinkRow& row, Statement& s) { (s.number(2) ? row.before : row.after).push_back(s.number(1)); });
  return rows;
}

std::vector<DispatcherRow> readDispatchers(Database& database) {
  std::vector<DispatcherRow> rows;
  Statement dispatchers = database.prepare(
      "SELECT type, nsid, ifindex, revision, load, program, kernel_link, netns_path, interface, host_netns, filter_priority, "
      "filter_handle, engine, parked, adopted, adopted_priority FROM dispatcher "
      "ORDER BY type, nsid, ifindex");
  while (dispatchers.step()) {
    DispatcherRow& row = rows.emplace_back();
    row.type = dispatchers.bytes(0);
    row.nsid = dispatchers.number(1);
    row.ifindex = dispatchers.number(2);
    row.revision = dispatchers.number(3);
    row.load = dispatchers.number(4);
    row.programId = dispatchers.number(5);
    row.kernelLinkId = dispatchers.number(6);
    row.netnsPath = dispatchers.bytes(7);
    row.interface = dispatchers.bytes(8);
    row.hostNetns = dispatchers.number(9);
    row.filterPriority = dispatchers.number(10);
    row.filterHandle = dispatchers.number(11);
    row.engine = dispatchers.bytes(12);
    row.parked = dispatchers.number(13);
    row.adopted = dispatchers.number(14);
    row.adoptedPriority = dispatchers.number(15);
  }
  return rows;
}

std::vector<ChangeRow> readChanges(Database& database) {
  std::vector<ChangeRow> rows;
  Statement changes = database.prepare("SELECT id, state, uid, until, in_kernel, replaced, replacement FROM change ORDER BY id");
  while (changes.step()) {
    ChangeRow& row = rows.emplace_back();
    row.id = changes.number(0);
    row.state = ChangeRow::State(changes.number(1));
    row.uid = changes.number(2);
    row.until = changes.number(3);
    row.inKernel = changes.number(4);
    row.replaced = changes.number(5);
    row.replacement = changes.number(6);
  }
  Statement links =
      database.prepare("SELECT change, link, joined, program, priority, proceed_on, absence FROM change_link ORDER BY change, position");
  join(links, rows, &ChangeRow::id, [](ChangeRow& row, Statement& s) {
    row.links.push_back({uint32_t(s.number(1)), s.number(2) != 0, uint32_t(s.number(3)), int32_t(s.number(4)), uint32_t(s.number(5)),
                         LinkRow::Absence(s.number(6))});
  });
  return rows;
}

std::vector<TokenRow> readTokens(Database& database) {
  std::vector<TokenRow> rows;
  Statement tokens = database.prepare(
      "SELECT id, uid, created_at, commands, map_types, program_types, attach_types, process, user_namespace, cgroup, withdrawn FROM token "
      "ORDER BY id");
  while (tokens.step()) {
    TokenRow& row = rows.emplace_back();
    row.id = tokens.number(0);
    row.uid = tokens.number(1);
    row.createdAt = tokens.number(2);
    for (int i = 0; i < 4; ++i) row.delegated[i] = tokens.number(3 + i);
    row.process = tokens.number(7);
    row.userNamespace = tokens.number(8);
    row.cgroup = tokens.number(9);
    row.withdrawn = tokens.number(10);
  }
  return rows;
}

void storePairs(Statement& insert, uint32_t owner, const Pairs& pairs) {
  int64_t position = 0;
  for (auto& [name, value] : pairs) insert.with(owner, position++, name, Blob{value}).run();
}

constexpr char RAISE[] = "UPDATE sequence SET next = ?2 WHERE name = ?1 AND next < ?2";

}  // namespace

Content readContent(Database& database) {
  Content content;
  content.loads = readLoads(database);
  content.programs = readPrograms(database);
  content.links = readLinks(database);
  content.dispatchers = readDispatchers(database);
  content.changes = readChanges(database);
  content.tokens = readTokens(database);
  content.nextLoad = database.number("SELECT next FROM sequence WHERE name = 'load'");
  content.nextLink = database.number("SELECT next FROM sequence WHERE name = 'link'");
  content.nextChange = database.number("SELECT next FROM sequence WHERE name = 'change'");
  content.nextToken = database.number("SELECT next FROM sequence WHERE name = 'token'");
  Statement boot = database.prepare("SELECT value FROM setting WHERE name = 'boot'");
  if (boot.step()) content.bootId = boot.bytes(0);
  return content;
}

// An upsert and not REPLACE, which would take the load's programs with it.
void store(Database& database, const LoadRow& row) {
  database
      .kept(
          "INSERT INTO load (load, state, source_path, uid, license, created_at, own, purpose, request, persistent, missing, other_types) "
          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) "
          "ON CONFLICT (load) DO UPDATE SET state = ?2, source_path = ?3, uid = ?4, license = ?5, created_at = ?6, own = ?7, purpose = ?8, "
          "request = ?9, persistent = ?10, missing = ?11, other_types = ?12")
      .with(row.load, row.state, row.sourcePath, row.uid, row.license, row.createdAt, row.own, row.purpose, row.request, row.persistent,
            row.missing, row.otherTypes)
      .run();
  database.kept("DELETE FROM map WHERE load = ?1").with(row.load).run();
  Statement& insert = database.kept(
      "INSERT INTO map (load, position, name, id, internal, source_load, source_index, named) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
  for (auto& map : row.maps)
    insert.with(row.load, map.index, map.name, map.id, map.internal, map.sourceLoad, map.sourceIndex, map.named).run();
  database.kept("DELETE FROM map_size WHERE load = ?1").with(row.load).run();
  Statement& size = database.kept("INSERT INTO map_size (load, position, name, entries) VALUES (?1, ?2, ?3, ?4)");
  int64_t position = 0;
  for (auto& [name, entries] : row.mapSizes) size.with(row.load, position++, name, entries).run();
  database.kept("DELETE FROM signature WHERE load = ?1").with(row.load).run();
  Statement& signature = database.kept("INSERT INTO signature (load, position, program, pkcs7, keyring) VALUES (?1, ?2, ?3, ?4, ?5)");
  position = 0;
  for (auto& [program, pkcs7, keyring] : row.signatures) signature.with(row.load, position++, program, Blob{pkcs7}, keyring).run();
  database.kept(RAISE).with(std::string_view("load"), int64_t(row.load) + 1).run();
}

void store(Database& database, const ProgramRow& row) {
  database
      .kept(
          "INSERT INTO program (id, load, position, name, type, attach_to, application, map_owner, tail_calls, gpl_compatible, tag, "
          "extension, frags, run_priority, run_proceed_on) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) ON "
          "CONFLICT (id) DO UPDATE SET load = ?2, position = ?3, name = ?4, "
          "type = ?5, attach_to = ?6, application = ?7, map_owner = ?8, tail_calls = ?9, gpl_compatible = ?10, tag = ?11, "
          "extension = ?12, frags = ?13, run_priority = ?14, run_proceed_on = ?15")
      .with(row.id, row.load, row.index, row.name, row.type, row.attachTo, row.application, row.mapOwner, row.tailCalls, row.gplCompatible,
            row.tag, row.extension, row.frags, row.runPriority, row.runProceedOn)
      .run();
  database.kept("DELETE FROM program_global WHERE program = ?1").with(row.id).run();
  database.kept("DELETE FROM program_metadata WHERE program = ?1").with(row.id).run();
  storePairs(database.kept("INSERT INTO program_global (program, position, name, value) VALUES (?1, ?2, ?3, ?4)"), row.id, row.globals);
  storePairs(database.kept("INSERT INTO program_metadata (program, position, name, value) VALUES (?1, ?2, ?3, ?4)"), row.id, row.metadata);
}

void store(Database& database, const LinkRow& row) {
  database
      .kept(
          "INSERT INTO link (id, state, program, kind, kernel_link, interface, ifindex, direction, priority, proceed_on, netns_path, "
          "nsid, host_netns, target, created_at, uid, request, absence, waiting, place) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, "
          "?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20) "
          "ON CONFLICT (id) DO UPDATE SET state = ?2, program = ?3, kind = ?4, kernel_link = ?5, interface = ?6, ifindex = ?7, "
          "direction = ?8, priority = ?9, proceed_on = ?10, netns_path = ?11, nsid = ?12, host_netns = ?13, target = ?14, "
          "created_at = ?15, uid = ?16, request = ?17, absence = ?18, waiting = ?19, place = ?20")
      .with(row.id, row.state, row.programId, row.kind, row.kernelLinkId, row.interface, row.ifindex, row.direction, row.priority,
            row.proceedOn, row.netnsPath, row.nsid, row.hostNetns, row.target, row.createdAt, row.uid, row.request, row.absence,
            row.waiting, Blob{row.place})
      .run();
  database.kept("DELETE FROM link_metadata WHERE link = ?1").with(row.id).run();
  database.kept("DELETE FROM link_proceed_on WHERE link = ?1").with(row.id).run();
  storePairs(database.kept("INSERT INTO link_metadata (link, position, name, value) VALUES (?1, ?2, ?3, ?4)"), row.id, row.metadata);
  Statement& verdict = database.kept("INSERT INTO link_proceed_on (link, position, verdict) VALUES (?1, ?2, ?3)");
  int64_t position = 0;
  for (int32_t proceedOn : row.proceedOnList) verdict.with(row.id, position++, proceedOn).run();
  database.kept("DELETE FROM link_neighbour WHERE link = ?1").with(row.id).run();
  Statement& neighbour = database.kept("INSERT INTO link_neighbour (link, position, other, before) VALUES (?1, ?2, ?3, ?4)");
  for (uint32_t other : row.before) neighbour.with(row.id, position++, other, true).run();
  for (uint32_t other : row.after) neighbour.with(row.id, position++, other, false).run();
  database.kept(RAISE).with(std::string_view("link"), int64_t(row.id) + 1).run();
}

void store(Database& database, const DispatcherRow& row) {
  database
      .kept(
          "INSERT INTO dispatcher (type, nsid, ifindex, revision, load, program, kernel_link, netns_path, interface, host_netns, "
          "filter_priority, filter_handle, engine, parked, adopted, adopted_priority) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, "
          "?11, "
          "?12, ?13, ?14, ?15, ?16) "
          "ON CONFLICT (type, nsid, ifindex) DO UPDATE SET revision = ?4, load = ?5, program = ?6, kernel_link = ?7, netns_path = ?8, "
          "interface = ?9, host_netns = ?10, filter_priority = ?11, filter_handle = ?12, engine = ?13, parked = ?14, "
          "adopted = ?15, adopted_priority = ?16")
      .with(row.type, row.nsid, row.ifindex, row.revision, row.load, row.programId, row.kernelLinkId, row.netnsPath, row.interface,
            row.hostNetns, row.filterPriority, row.filterHandle, row.engine, row.parked, row.adopted, row.adoptedPriority)
      .run();
}

void store(Database& database, const ChangeRow& row) {
  database
      .kept(
          "INSERT INTO change (id, state, uid, until, in_kernel, replaced, replacement) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) "
          "ON CONFLICT (id) DO UPDATE SET state = ?2, uid = ?3, until = ?4, in_kernel = ?5, replaced = ?6, replacement = ?7")
      .with(row.id, row.state, row.uid, int64_t(row.until), row.inKernel, row.replaced, row.replacement)
      .run();
  database.kept("DELETE FROM change_link WHERE change = ?1").with(row.id).run();
  Statement& insert = database.kept(
      "INSERT INTO change_link (change, position, link, joined, program, priority, proceed_on, absence) "
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
  int64_t position = 0;
  for (auto& link : row.links)
    insert.with(row.id, position++, link.link, link.joined, link.programId, link.priority, link.proceedOn, link.absence).run();
  database.kept(RAISE).with(std::string_view("change"), int64_t(row.id) + 1).run();
}

void store(Database& database, const TokenRow& row) {
  database.kept("INSERT OR REPLACE INTO token VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")
      .with(row.id, row.uid, row.createdAt, int64_t(row.delegated[0]), int64_t(row.delegated[1]), int64_t(row.delegated[2]),
            int64_t(row.delegated[3]), row.process, int64_t(row.userNamespace), int64_t(row.cgroup), row.withdrawn)
      .run();
  database.kept(RAISE).with(std::string_view("token"), int64_t(row.id) + 1).run();
}

void storeBootId(Database& database, const std::string& id) {
  database.kept("INSERT INTO setting (name, value) VALUES ('boot', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1").with(id).run();
}

void storeNext(Database& database, uint32_t load, uint32_t link) {
  database.kept(RAISE).with(std::string_view("load"), load).run();
  database.kept(RAISE).with(std::string_view("link"), link).run();
}

void dropLoad(Database& database, uint32_t load) { database.kept("DELETE FROM load WHERE load = ?1").with(load).run(); }
void dropProgram(Database& database, uint32_t id) { database.kept("DELETE FROM program WHERE id = ?1").with(id).run(); }
void dropLink(Database& database, uint32_t id) { database.kept("DELETE FROM link WHERE id = ?1").with(id).run(); }

void dropChange(Database& database, uint32_t id) { database.kept("DELETE FROM change WHERE id = ?1").with(id).run(); }

void dropToken(Database& database, uint32_t id) { database.kept("DELETE FROM token WHERE id = ?1").with(id).run(); }
void dropTokens(Database& database) { database.run("DELETE FROM token"); }

void dropDispatcher(Database& database, const std::string& type, uint64_t nsid, uint32_t ifindex) {
  database.kept("DELETE FROM dispatcher WHERE type = ?1 AND nsid = ?2 AND ifindex = ?3").with(type, nsid, ifindex).run();
}

}  // namespace bpfman
