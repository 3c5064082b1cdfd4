// A disk that is full, or can't be written: a small tmpfs in a mount namespace of the test's own.
#include "frontend/catalog-fixture.h"
#include "tests/cannot-run.h"

#include <sched.h>
#include <sys/mount.h>

#include <cstring>

namespace bpfman {
namespace {

class CatalogDisk : public InTemporaryDirectory {
 protected:
  void SetUp() override {
    InTemporaryDirectory::SetUp();
    bool mounted = unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                   mount("tmpfs", directory.c_str(), "tmpfs", 0, "size=2m") == 0;
    if (!mounted) CANNOT_RUN(std::string("can't mount a tmpfs: ") + strerror(errno));
    std::filesystem::current_path(directory);
  }
  void TearDown() override {
    std::filesystem::current_path(previous);
    umount2(directory.c_str(), MNT_DETACH);
    InTemporaryDirectory::TearDown();
  }
};

// Rows until the disk is full; then once more after space was freed.
TEST_F(CatalogDisk, ThatIsFullChangesNothingAndGoesOnOnceThereIsSpace) {
  std::ofstream("filler") << std::string(1200 << 10, 'x');
  Catalog catalog;
  std::string refusal;
  uint32_t n = 1;
  for (; refusal.empty() && n < 100000; ++n) {
    LinkRow row = linkRow(n, 1);
    row.metadata.emplace_back("big", std::string(3000, char('a' + n % 26)));
    refusal = refusalOf([&] { catalog.put(row); });
  }
  uint32_t failed = n - 1;
  EXPECT_EQ(refusal.find("the state directory is full ("), 0u) << refusal;
  EXPECT_NE(refusal.find("nothing was changed; free space and try again"), std::string::npos) << refusal;
  EXPECT_EQ(catalog.links().size(), failed - 1);
  EXPECT_TRUE(catalog.link(failed) == nullptr);
  auto many = [&] {
    for (uint32_t id = 900000; id < 900200; ++id) {
      LinkRow row = linkRow(id, 1);
      row.metadata.emplace_back("big", std::string(3000, 'y'));
      catalog.put(row);
    }
  };
  EXPECT_NE(refusalOf([&] { catalog.transaction(many); }), "");
  EXPECT_EQ(catalog.links().size(), failed - 1);

  std::filesystem::remove("filler");
  catalog.put(linkRow(failed, 1));
  std::filesystem::create_directory("copy");
  for (auto file : {"bpfman.db", "bpfman.db-wal"}) std::filesystem::copy_file(file, std::string("copy/") + file);
  Catalog copy("copy/bpfman.db");
  EXPECT_TRUE(sameRows(catalog, copy));
}

TEST_F(CatalogDisk, ThatIsFullFromTheStartIsSaid) {
  std::ofstream("filler") << std::string(4 << 20, 'x');
  std::string refusal = refusalOf([] { Catalog catalog; });
  EXPECT_NE(refusal.find("is full"), std::string::npos) << refusal;
  std::filesystem::remove("filler");
  Catalog catalog;
  EXPECT_EQ(catalog.report(), "");
}

TEST_F(CatalogDisk, ThatCanNotBeWrittenIsStillRead) {
  { Catalog().put(loadRow(1)); }
  ASSERT_EQ(mount("none", directory.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  Catalog catalog;
  EXPECT_NE(catalog.report().find("only read"), std::string::npos) << catalog.report();
  EXPECT_EQ(catalog.loads().at(1), loadRow(1));
  std::string refusal = refusalOf([&] { catalog.put(loadRow(2)); });
  EXPECT_NE(refusal.find("can't be written"), std::string::npos) << refusal;
  EXPECT_EQ(catalog.loads().size(), 1u);
}

TEST_F(CatalogDisk, ThatCanNotBeWrittenAndHasNoCatalogueIsSaid) {
  ASSERT_EQ(mount("none", directory.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  EXPECT_NE(refusalOf([] { Catalog catalog; }).find("can't be written"), std::string::npos);
}

}  // namespace
}  // namespace bpfman
