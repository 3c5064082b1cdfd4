// The catalogue's rows in the database: one row with everything that belongs to it is written, erased or read.
#pragma once

#include <string>
#include <vector>

#include "frontend/catalog-rows.h"
#include "frontend/sqlite.h"

namespace bpfman {

struct Content {  // everything, each ascending by id
  std::vector<LoadRow> loads;
  std::vector<ProgramRow> programs;
  std::vector<LinkRow> links;
  std::vector<DispatcherRow> dispatchers;
  std::vector<ChangeRow> changes;
  std::vector<TokenRow> tokens;
  uint32_t nextLoad = 1, nextLink = 1, nextChange = 1, nextToken = 1;
  std::string bootId;
};

Content readContent(Database& database);

// Each is several statements: call it inside a transaction.
void store(Database& database, const LoadRow& row);
void store(Database& database, const ProgramRow& row);
void store(Database& database, const LinkRow& row);
void store(Database& database, const DispatcherRow& row);
void store(Database& database, const ChangeRow& row);
void store(Database& database, const TokenRow& row);
void storeBootId(Database& database, const std::string& id);
void storeNext(Database& database, uint32_t load, uint32_t link);  // at least these
void dropLoad(Database& database, uint32_t load);                  // and its programs
void dropProgram(Database& database, uint32_t id);
void dropLink(Database& database, uint32_t id);
void dropChange(Database& database, uint32_t id);
void dropToken(Database& database, uint32_t id);
void dropTokens(Database& database);  // all
void dropDispatcher(Database& database, const std::string& type, uint64_t nsid, uint32_t ifindex);

}  // namespace bpfman
