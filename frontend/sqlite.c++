#include "frontend/sqlite.h"

namespace bpfman {
namespace {

// The library keeps the errno of an earlier failure too: it belongs only to those errors that are a system call's.
[[noreturn]] void fail(sqlite3* database) {
  SqliteError error{sqlite3_extended_errcode(database), sqlite3_errmsg(database)};
  int primary = error.primary();
  if (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN) error.system = sqlite3_system_errno(database);
  throw error;
}

}  // namespace

Statement::Statement(sqlite3* database, std::string_view sql, const char** rest) {
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v3(database, sql.data(), static_cast<int>(sql.size()), 0, &statement, rest);
  handle.reset(statement);
  if (code != SQLITE_OK) fail(database);
}

void Statement::check(int code) const {
  if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) return;
  fail(sqlite3_db_handle(handle.get()));
}

bool Statement::step() {
  int code = sqlite3_step(handle.get());
  check(code);
  return code == SQLITE_ROW;
}

void Statement::run() {
  while (step()) {}
  check(sqlite3_reset(handle.get()));
}

std::string Statement::bytes(int column) const {
  auto data = static_cast<const char*>(sqlite3_column_blob(handle.get(), column));
  return data == nullptr ? std::string() : std::string(data, sqlite3_column_bytes(handle.get(), column));
}

void Statement::bind(int position, int64_t value) { check(sqlite3_bind_int64(handle.get(), position, value)); }

// SQLITE_TRANSIENT: the library copies, so that a bound value may end before the statement runs. A null pointer would bind NULL.
void Statement::bind(int position, std::string_view text) {
  check(sqlite3_bind_text64(handle.get(), position, text.data() == nullptr ? "" : text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}

void Statement::bind(int position, const Blob& blob) {
  const char* data = blob.bytes.data() == nullptr ? "" : blob.bytes.data();
  check(sqlite3_bind_blob64(handle.get(), position, data, blob.bytes.size(), SQLITE_TRANSIENT));
}

Database::Database(const std::string& path, int flags) {
  sqlite3* database = nullptr;
  int code = sqlite3_open_v2(path.c_str(), &database, flags | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOMUTEX, nullptr);
  handle.reset(database);
  if (database == nullptr) throw SqliteError{SQLITE_NOMEM, "out of memory"};
  if (code != SQLITE_OK) fail(database);
}

Statement& Database::kept(const char* sql) {
  auto found = statements.find(sql);
  return found != statements.end() ? found->second : statements.emplace(sql, prepare(sql)).first->second;
}

void Database::keepLog() { sqlite3_db_config(handle.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr); }

void Database::run(const char* sql) {
  while (*sql != '\0') {
    Statement statement(handle.get(), sql, &sql);
    if (!statement.empty()) statement.run();
  }
}

int64_t Database::number(const char* sql) {
  Statement statement = prepare(sql);
  return statement.step() ? statement.number(0) : 0;
}

}  // namespace bpfman
