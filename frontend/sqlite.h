// SQLite's C interface with owners. Statements are prepared and get their values bound; a failed call throws SqliteError with the
// library's own code, which the catalogue turns into something for people.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace bpfman {

struct Blob {
  std::string_view bytes;
};

struct SqliteError {
  int code;  // extended: SQLITE_FULL, SQLITE_CORRUPT, SQLITE_IOERR_…
  std::string text;
  int system = 0;  // errno of a failed system call, or 0
  int primary() const { return code & 0xff; }
};

class Statement {
 public:
  Statement(sqlite3* database, std::string_view sql, const char** rest = nullptr);

  template <typename... Values>
  Statement& with(const Values&... values) {
    // Binds all parameters, in order, and begins anew.
    sqlite3_reset(handle.get());
    int position = 0;
    (bind(++position, values), ...);
    return *this;
  }
  bool step();                                      // true: there is a row
  void run();                                       // to its end
  bool empty() const { return handle == nullptr; }  // it was only white space

  int64_t number(int column) const { return sqlite3_column_int64(handle.get(), column); }
  std::string bytes(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> handle;

  void bind(int position, int64_t value);
  void bind(int position, std::string_view text);
  void bind(int position, const std::string& text) { bind(position, std::string_view(text)); }
  void bind(int position, const Blob& blob);
  void check(int code) const;
};

class Database {
 public:
  Database(const std::string& path, int flags);  // SQLITE_OPEN_*

  Statement prepare(std::string_view sql) { return Statement(handle.get(), sql); }
  Statement& kept(const char* sql);  // prepared once. sql: a constant, known by its address
  void run(const char* sql);         // constant text: one or several statements
  int64_t number(const char* sql);   // the first column of the first row; 0 without a row
  void keepLog();                    // closing it then leaves its files as they are
  bool inTransaction() const { return !sqlite3_get_autocommit(handle.get()); }
  bool readOnly() const { return sqlite3_db_readonly(handle.get(), "main") == 1; }

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
  };
  std::unique_ptr<sqlite3, Close> handle;
  std::unordered_map<const char*, Statement> statements;  // behind handle: finalised before it closes
};

}  // namespace bpfman
