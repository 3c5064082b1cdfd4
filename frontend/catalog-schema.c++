#include "frontend/catalog-schema.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include <kj/debug.h>
#include <kj/io.h>

#include "frontend/refuse.h"

namespace bpfman {
namespace {

constexpr MigrationStep STEPS[] = {
    // 0 -> 1: the first layout.
    R"(
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE sequence (name TEXT PRIMARY KEY, next INTEGER NOT NULL CHECK (next BETWEEN 1 AND 2147483648)) STRICT, WITHOUT ROWID;
INSERT INTO sequence VALUES ('load', 1), ('link', 1);
CREATE TABLE load (
  load INTEGER PRIMARY KEY CHECK (load BETWEEN 1 AND 2147483647), state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
  source_path TEXT NOT NULL, uid INTEGER NOT NULL, license TEXT NOT NULL, created_at INTEGER NOT NULL,
  own INTEGER NOT NULL CHECK (own IN (0, 1)), purpose TEXT NOT NULL, request TEXT NOT NULL) STRICT;
CREATE TABLE map (
  load INTEGER NOT NULL REFERENCES load ON DELETE CASCADE, position INTEGER NOT NULL, name TEXT NOT NULL, id INTEGER NOT NULL,
  internal INTEGER NOT NULL CHECK (internal IN (0, 1)), source_load INTEGER NOT NULL, source_index INTEGER NOT NULL,
  PRIMARY KEY (load, position)) STRICT, WITHOUT ROWID;
CREATE TABLE program (
  id INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 4294967295), load INTEGER NOT NULL REFERENCES load ON DELETE CASCADE,
  position INTEGER NOT NULL, name TEXT NOT NULL, type INTEGER NOT NULL, attach_to TEXT NOT NULL, application TEXT NOT NULL,
  map_owner INTEGER NOT NULL, tail_calls INTEGER NOT NULL, gpl_compatible INTEGER NOT NULL CHECK (gpl_compatible IN (0, 1)),
  tag TEXT NOT NULL, UNIQUE (load, position)) STRICT;
CREATE TABLE program_global (
  program INTEGER NOT NULL REFERENCES program ON DELETE CASCADE, position INTEGER NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (program, position)) STRICT, WITHOUT ROWID;
CREATE TABLE program_metadata (
  program INTEGER NOT NULL REFERENCES program ON DELETE CASCADE, position INTEGER NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (program, position)) STRICT, WITHOUT ROWID;
CREATE TABLE link (
  id INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 2147483647), state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
  program INTEGER NOT NULL, kind INTEGER NOT NULL, kernel_link INTEGER NOT NULL, interface TEXT NOT NULL, ifindex INTEGER NOT NULL,
  direction INTEGER NOT NULL, priority INTEGER NOT NULL, proceed_on INTEGER NOT NULL, netns_path TEXT NOT NULL, nsid INTEGER NOT NULL,
  host_netns INTEGER NOT NULL CHECK (host_netns IN (0, 1)), target TEXT NOT NULL, created_at INTEGER NOT NULL,
  uid INTEGER NOT NULL, request TEXT NOT NULL) STRICT;
CREATE TABLE link_metadata (
  link INTEGER NOT NULL REFERENCES link ON DELETE CASCADE, position INTEGER NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (link, position)) STRICT, WITHOUT ROWID;
CREATE TABLE link_proceed_on (
  link INTEGER NOT NULL REFERENCES link ON DELETE CASCADE, position INTEGER NOT NULL, verdict INTEGER NOT NULL,
  PRIMARY KEY (link, position)) STRICT, WITHOUT ROWID;
CREATE TABLE dispatcher (
  type TEXT NOT NULL, nsid INTEGER NOT NULL, ifindex INTEGER NOT NULL, revision INTEGER NOT NULL, load INTEGER NOT NULL,
  program INTEGER NOT NULL, kernel_link INTEGER NOT NULL, netns_path TEXT NOT NULL, interface TEXT NOT NULL,
  host_netns INTEGER NOT NULL CHECK (host_netns IN (0, 1)), PRIMARY KEY (type, nsid, ifindex)) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
)",
    // 1 -> 2: XDP programs of the libxdp engine; filters of TC dispatchers; whom a link wants to run before or after.
    R"(
ALTER TABLE program ADD COLUMN extension INTEGER NOT NULL DEFAULT 0 CHECK (extension IN (0, 1));
ALTER TABLE program ADD COLUMN frags INTEGER NOT NULL DEFAULT 0 CHECK (frags IN (0, 1));
ALTER TABLE program ADD COLUMN run_priority INTEGER NOT NULL DEFAULT -1;
ALTER TABLE program ADD COLUMN run_proceed_on INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dispatcher ADD COLUMN engine TEXT NOT NULL DEFAULT 'tailcall';
ALTER TABLE dispatcher ADD COLUMN filter_priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dispatcher ADD COLUMN filter_handle INTEGER NOT NULL DEFAULT 0;
CREATE TABLE link_neighbour (
  link INTEGER NOT NULL REFERENCES link ON DELETE CASCADE, position INTEGER NOT NULL, other INTEGER NOT NULL,
  before INTEGER NOT NULL CHECK (before IN (0, 1)), PRIMARY KEY (link, position)) STRICT, WITHOUT ROWID;
PRAGMA user_version = 2;
)",
    // 2 -> 3: members that pause; dispatchers that stay; changes of several links, and those that wait to be confirmed.
    R"(
ALTER TABLE link ADD COLUMN absence INTEGER NOT NULL DEFAULT 0 CHECK (absence BETWEEN 0 AND 2);
ALTER TABLE dispatcher ADD COLUMN parked INTEGER NOT NULL DEFAULT 0 CHECK (parked IN (0, 1));
CREATE TABLE change (
  id INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 2147483647), state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2), uid INTEGER NOT NULL,
  until INTEGER NOT NULL, in_kernel INTEGER NOT NULL CHECK (in_kernel IN (0, 1)), replaced INTEGER NOT NULL,
  replacement INTEGER NOT NULL) STRICT;
CREATE TABLE change_link (
  change INTEGER NOT NULL REFERENCES change ON DELETE CASCADE, position INTEGER NOT NULL, link INTEGER NOT NULL,
  joined INTEGER NOT NULL CHECK (joined IN (0, 1)), program INTEGER NOT NULL, priority INTEGER NOT NULL, proceed_on INTEGER NOT NULL,
  absence INTEGER NOT NULL CHECK (absence BETWEEN 0 AND 2), PRIMARY KEY (change, position)) STRICT, WITHOUT ROWID;
INSERT INTO sequence VALUES ('change', 1);
PRAGMA user_version = 3;
)",
    // 3 -> 4: programs that outlive a reboot, and links that wait for their interface.
    R"(
ALTER TABLE load ADD COLUMN persistent INTEGER NOT NULL DEFAULT 0 CHECK (persistent IN (0, 1));
ALTER TABLE load ADD COLUMN missing TEXT NOT NULL DEFAULT '';
ALTER TABLE link ADD COLUMN waiting TEXT NOT NULL DEFAULT '';
PRAGMA user_version = 4;
)",
    // 4 -> 5: programs of others that a dispatcher adopted.
    R"(
ALTER TABLE dispatcher ADD COLUMN adopted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dispatcher ADD COLUMN adopted_priority INTEGER NOT NULL DEFAULT 50;
PRAGMA user_version = 5;
)",
    // 5 -> 6: where a link is, as whoever attached it said.
    R"(
ALTER TABLE link ADD COLUMN place BLOB NOT NULL DEFAULT x'';
PRAGMA user_version = 6;
)",
    // 6 -> 7: maps that an application's loads share by their name.
    R"(
ALTER TABLE map ADD COLUMN named INTEGER NOT NULL DEFAULT 0 CHECK (named IN (0, 1));
PRAGMA user_version = 7;
)",
    // 7 -> 8: how persistent programs are loaded again: sizes of maps, and types of another kernel.
    R"(
ALTER TABLE load ADD COLUMN other_types INTEGER NOT NULL DEFAULT 0 CHECK (other_types IN (0, 1));
CREATE TABLE map_size (
  load INTEGER NOT NULL REFERENCES load ON DELETE CASCADE, position INTEGER NOT NULL, name TEXT NOT NULL, entries INTEGER NOT NULL,
  PRIMARY KEY (load, position)) STRICT, WITHOUT ROWID;
PRAGMA user_version = 8;
)",
    // 8 -> 9: what was delegated to whom, in this boot. Masks are bits, so all 64 of a number.
    R"(
CREATE TABLE token (
  id INTEGER PRIMARY KEY, uid INTEGER NOT NULL, created_at INTEGER NOT NULL, commands INTEGER NOT NULL, map_types INTEGER NOT NULL,
  program_types INTEGER NOT NULL, attach_types INTEGER NOT NULL, process INTEGER NOT NULL, user_namespace INTEGER NOT NULL,
  cgroup INTEGER NOT NULL, withdrawn INTEGER NOT NULL CHECK (withdrawn IN (0, 1))) STRICT;
INSERT INTO sequence (name, next) VALUES ('token', 1);
PRAGMA user_version = 9;
)",
    // 9 -> 10: the signatures with which persistent programs are loaded again.
    R"(
CREATE TABLE signature (
  load INTEGER NOT NULL REFERENCES load ON DELETE CASCADE, position INTEGER NOT NULL, program TEXT NOT NULL, pkcs7 BLOB NOT NULL,
  keyring INTEGER NOT NULL, PRIMARY KEY (load, position)) STRICT, WITHOUT ROWID;
PRAGMA user_version = 10;
)"};

[[noreturn]] void refuseNewer(const std::string& path, int64_t found, size_t known) {
  refuse("the catalogue ", path.c_str(), " has version ", found, ", which a newer bpfman wrote; this one knows versions up to ", known,
         ": nothing was changed. Install the newer bpfman again, or move the file away");
}

// The version as the file's header says, so that a newer database is refused before SQLite has touched it.
void checkHeader(const std::string& path, size_t known) {
  int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  kj::AutoCloseFd file(descriptor);
  unsigned char header[64];
  if (pread(file, header, sizeof header, 0) != sizeof header || memcmp(header, "SQLite format 3", 16) != 0) return;
  uint32_t version = uint32_t(header[60]) << 24 | header[61] << 16 | header[62] << 8 | header[63];
  if (version > known) refuseNewer(path, version, known);
}

bool hasBytes(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && status.st_size > 0;
}

// A database on a disk that can't be written is read without a lock, and with its log, if there is one: the log's index is in our memory.
OpenedDatabase openReadOnly(const std::string& path) {
  if (!hasBytes(path)) refuse("the state directory can't be written, and there is no catalogue ", path.c_str(), " to read");
  std::string uri = "file:";
  for (unsigned char c : path) {
    char escaped[4];
    snprintf(escaped, sizeof escaped, "%%%02x", c);
    uri += isalnum(c) || c == '/' || c == '.' || c == '-' || c == '_' ? std::string(1, c) : escaped;
  }
  OpenedDatabase opened;
  opened.database = std::make_unique<Database>(uri + (hasBytes(path + "-wal") ? "?vfs=unix-none" : "?immutable=1"),
                                               SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
  opened.readOnly = true;
  opened.report = "the state directory can't be written: the catalogue " + path + " is only read, every change will be refused";
  return opened;
}

void checkIntegrity(Database& database) {
  Statement check = database.prepare("PRAGMA quick_check(1)");
  if (check.step() && check.bytes(0) != "ok") throw SqliteError{SQLITE_CORRUPT, check.bytes(0)};
}

// A whole copy under its final name, or none.
void keepCopy(Database& database, const std::string& copy) {
  std::string half = copy + ".new";
  unlink(half.c_str());
  database.prepare("VACUUM INTO ?1").with(half).run();
  KJ_SYSCALL(rename(half.c_str(), copy.c_str()));
}

void migrate(OpenedDatabase& opened, const std::string& path, std::span<const MigrationStep> steps) {
  Database& database = *opened.database;
  int64_t version = database.number("PRAGMA user_version");
  if (version == int64_t(steps.size())) return;
  bool fresh = version == 0 && database.number("SELECT count(*) FROM sqlite_schema") == 0;
  if (!fresh) {
    std::string copy = path + ".v" + std::to_string(version) + ".bak";
    keepCopy(database, copy);
    opened.report = "the catalogue was migrated from version " + std::to_string(version) + " to " + std::to_string(steps.size()) +
                    "; the old one is kept as " + copy;
  }
  database.run("BEGIN IMMEDIATE");
  try {
    for (MigrationStep step : steps.subspan(version)) database.run(step);
    database.run("COMMIT");
  } catch (...) {
    if (database.inTransaction()) database.run("ROLLBACK");
    throw;
  }
  database.run("PRAGMA wal_checkpoint(TRUNCATE)");  // so that the header tells an older bpfman the version
}

}  // namespace

std::span<const MigrationStep> migrationSteps() { return STEPS; }

// locking_mode before anything else: with the lock kept, the log's index is in our memory and not in a shared file.
OpenedDatabase openDatabase(const std::string& path, std::span<const MigrationStep> steps) {
  checkHeader(path, steps.size());
  OpenedDatabase opened;
  try {
    opened.database = std::make_unique<Database>(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    if (opened.database->readOnly()) opened = openReadOnly(path);
  } catch (SqliteError& error) {
    if (error.primary() != SQLITE_CANTOPEN && error.primary() != SQLITE_READONLY) throw;
    opened = openReadOnly(path);
  }
  Database& database = *opened.database;
  database.run("PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF");
  int64_t version = database.number("PRAGMA user_version");
  if (version > int64_t(steps.size())) {
    database.keepLog();
    refuseNewer(path, version, steps.size());
  }
  if (opened.readOnly) {
    KJ_REQUIRE(version == int64_t(steps.size()), "the catalogue is of an older version and can't be migrated on a read-only disk", version);
  } else {
    database.run("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 4194304");
  }
  checkIntegrity(database);
  if (!opened.readOnly) migrate(opened, path, steps);
  return opened;
}

bool isDamage(const SqliteError& error) { return error.primary() == SQLITE_NOTADB || error.primary() == SQLITE_CORRUPT; }

// The log first: without it the file stays damaged, while a log without its file would be lost.
std::string setAside(const std::string& path) {
  std::string name;
  for (int n = 1; n == 1 || access(name.c_str(), F_OK) == 0; ++n) name = path + ".damaged-" + std::to_string(n);
  if (rename((path + "-wal").c_str(), (name + "-wal").c_str()) < 0 && errno != ENOENT) {
    KJ_FAIL_SYSCALL("rename the log of the damaged catalogue", errno, path.c_str());
  }
  KJ_SYSCALL(rename(path.c_str(), name.c_str()), path.c_str(), name.c_str());
  return name;
}

}  // namespace bpfman
