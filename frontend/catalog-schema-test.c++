#include "frontend/catalog-schema.h"

#include "frontend/catalog-fixture.h"

namespace bpfman {
namespace {

using CatalogDamage = InTemporaryDirectory;
using CatalogVersion = InTemporaryDirectory;
using std::filesystem::exists;

void make(const char* path = "bpfman.db") {
  Catalog catalog(path);
  for (uint32_t n = 1; n <= 200; ++n) catalog.putLoaded(loadRow(n), {programRow(n, n)});
}

std::string version(size_t later = 0) { return std::to_string(migrationSteps().size() + later); }

void overwrite(const char* path, size_t at, const std::string& with) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(at);
  file.write(with.data(), with.size());
}

TEST_F(CatalogDamage, OfAFileThatIsNoDatabaseIsSetAsideAndReported) {
  for (int n = 1; n <= 2; ++n) {
    std::filesystem::remove("bpfman.db");
    std::ofstream("bpfman.db") << "this is no database, it is the administrator's diary " << n << std::string(5000, '.');
    Catalog catalog;
    std::string kept = "bpfman.db.damaged-" + std::to_string(n);
    EXPECT_NE(catalog.report().find(kept), std::string::npos) << catalog.report();
    EXPECT_NE(contents(kept).find("diary " + std::to_string(n)), std::string::npos);
    EXPECT_TRUE(catalog.loads().empty());
    catalog.put(loadRow(1));
  }
}

TEST_F(CatalogDamage, InTheMiddleOfADatabaseIsFoundWhenItIsOpened) {
  make();
  size_t size = std::filesystem::file_size("bpfman.db");
  overwrite("bpfman.db", 4096, std::string(size - 4096, '\x5a'));
  Catalog catalog;
  EXPECT_TRUE(exists("bpfman.db.damaged-1")) << catalog.report();
  EXPECT_TRUE(catalog.loads().empty());
}

TEST_F(CatalogDamage, OfAnyPageOrATruncationNeverCrashesTheFrontend) {
  make("whole.db");
  size_t size = std::filesystem::file_size("whole.db");
  for (size_t page = 0; page < size; page += 4096) {
    for (bool truncated : {false, true}) {
      std::filesystem::copy_file("whole.db", "bpfman.db", std::filesystem::copy_options::overwrite_existing);
      if (truncated)
        std::filesystem::resize_file("bpfman.db", page + 100);
      else
        overwrite("bpfman.db", page, std::string(4096, '\xa5'));
      Catalog catalog;
      EXPECT_NE(catalog.report(), "") << "page at " << page;
      catalog.put(loadRow(1000));
    }
  }
}

TEST_F(CatalogDamage, ThatMakesRowsImpossibleIsFoundToo) {
  make();
  {
    Database database("bpfman.db", SQLITE_OPEN_READWRITE);
    database.run("PRAGMA foreign_keys = OFF; DELETE FROM load WHERE load = 7");  // its maps stay, belonging to nobody
  }
  Catalog catalog;
  EXPECT_NE(catalog.report().find("belongs to none"), std::string::npos) << catalog.report();
}

TEST_F(CatalogVersion, ThatIsNewerIsRefusedUntouchedNamingBoth) {
  make();
  overwrite("bpfman.db", 60, std::string("\0\0\0\x63", 4));
  std::string before = contents("bpfman.db");
  std::string refusal = refusalOf([] { Catalog catalog; });
  EXPECT_NE(refusal.find("has version 99"), std::string::npos) << refusal;
  EXPECT_NE(refusal.find("versions up to " + version()), std::string::npos) << refusal;
  EXPECT_EQ(contents("bpfman.db"), before);
  EXPECT_FALSE(exists("bpfman.db.damaged-1"));
}

TEST_F(CatalogVersion, ThatIsNewerIsRefusedAlsoWhenOnlyTheLogSaysSo) {
  make();
  {
    Database database("bpfman.db", SQLITE_OPEN_READWRITE);
    database.run("PRAGMA journal_mode = WAL; PRAGMA user_version = 98");
    database.keepLog();
  }
  std::string before = contents("bpfman.db"), log = contents("bpfman.db-wal");
  ASSERT_NE(log, "");
  EXPECT_NE(refusalOf([] { Catalog catalog; }).find("has version 98"), std::string::npos);
  EXPECT_EQ(contents("bpfman.db"), before);
  EXPECT_EQ(contents("bpfman.db-wal"), log);
}

// Version 0 has no tables of ours: whoever made it, its content is kept beside the new one.
TEST_F(CatalogVersion, ZeroIsMigratedAndItsCopyKept) {
  {
    Database database("bpfman.db", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    database.run("CREATE TABLE remark (text TEXT); INSERT INTO remark VALUES ('from before')");
  }
  {
    Catalog catalog;
    EXPECT_NE(catalog.report().find("from version 0 to " + version()), std::string::npos) << catalog.report();
    catalog.put(loadRow(1));
  }
  Database copy("bpfman.db.v0.bak", SQLITE_OPEN_READONLY);
  Statement remark = copy.prepare("SELECT text FROM remark");
  ASSERT_TRUE(remark.step());
  EXPECT_EQ(remark.bytes(0), "from before");
  EXPECT_EQ(Catalog().loads().size(), 1u);
}

TEST_F(CatalogVersion, OneIsMigratedInStepsByALaterBpfman) {
  make();
  std::vector<MigrationStep> steps(migrationSteps().begin(), migrationSteps().end());
  std::string first = "ALTER TABLE load ADD COLUMN invented INTEGER NOT NULL DEFAULT 0; PRAGMA user_version = " + version(1);
  std::string second = "UPDATE load SET invented = 1 WHERE load > 100; PRAGMA user_version = " + version(2);
  steps.push_back(first.c_str());
  steps.push_back(second.c_str());
  {
    OpenedDatabase opened = openDatabase("bpfman.db", steps);
    EXPECT_NE(opened.report.find("bpfman.db.v" + version() + ".bak"), std::string::npos);
    EXPECT_EQ(opened.database->number("SELECT count(*) FROM load WHERE invented = 1"), 100);
  }
  EXPECT_NE(refusalOf([] { Catalog catalog; }).find("has version " + version(2)), std::string::npos);
  EXPECT_EQ(Catalog("bpfman.db.v" + version() + ".bak").programs().size(), 200u);
}

TEST_F(CatalogVersion, OneStaysAsItIsWhenAStepFails) {
  make();
  std::vector<MigrationStep> steps(migrationSteps().begin(), migrationSteps().end());
  steps.push_back("DELETE FROM load; PRAGMA user_version = 99");
  steps.push_back("UPDATE nonsense SET x = 1; PRAGMA user_version = 100");
  EXPECT_THROW(openDatabase("bpfman.db", steps), SqliteError);
  EXPECT_EQ(Catalog().loads().size(), 200u);
}

}  // namespace
}  // namespace bpfman
