// The database file: its versions, and how it is opened whatever state it is in.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "frontend/sqlite.h"

namespace bpfman {

using MigrationStep = const char*;                // SQL from version N (its place) to N+1; ends with PRAGMA user_version
std::span<const MigrationStep> migrationSteps();  // their number is the version that this bpfman writes

struct OpenedDatabase {
  std::unique_ptr<Database> database;
  bool readOnly = false;
  std::string report;  // what had to be done; "" if nothing
};

OpenedDatabase openDatabase(const std::string& path, std::span<const MigrationStep> steps = migrationSteps());
// Throws SqliteError: NOTADB or CORRUPT for a damaged file, READONLY for a disk that has none and can't be written. A newer version
// is an exception for the user.

bool isDamage(const SqliteError& error);
std::string setAside(const std::string& path);
// Renames the damaged file (and its log) to PATH.damaged-N and returns that name.

}  // namespace bpfman
