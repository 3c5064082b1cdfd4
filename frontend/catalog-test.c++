#include "frontend/catalog-fixture.h"

#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <random>

#include <kj/debug.h>

namespace bpfman {
namespace {

using CatalogRows = InTemporaryDirectory;
using CatalogTransaction = InTemporaryDirectory;
using CatalogIds = InTemporaryDirectory;
using CatalogCrash = InTemporaryDirectory;

template <typename T>
bool none(kj::Maybe<T&> maybe) {
  return maybe == nullptr;
}

TEST_F(CatalogRows, AreTheSameAfterOpeningAgain) {
  {
    Catalog catalog;
    EXPECT_EQ(catalog.report(), "");
    catalog.putLoaded(loadRow(5), {programRow(100, 5, 0), programRow(101, 5, 1)});
    catalog.put(loadRow(6));
    catalog.put(linkRow(9, 100));
    catalog.put(dispatcherRow(2));
    catalog.put(changeRow(7));
  }
  Catalog catalog;
  EXPECT_EQ(catalog.report(), "");
  EXPECT_EQ(catalog.changes().at(7), changeRow(7));
  EXPECT_EQ(catalog.nextChange(), 8u);
  EXPECT_EQ(catalog.loads().at(5), loadRow(5));
  EXPECT_EQ(catalog.loads().at(6), loadRow(6));
  EXPECT_EQ(catalog.programs().at(101), programRow(101, 5, 1));
  EXPECT_EQ(catalog.links().at(9), linkRow(9, 100));
  EXPECT_EQ(catalog.dispatchers().begin()->second, dispatcherRow(2));
  EXPECT_EQ(catalog.programsOf(5).size(), 2u);
  EXPECT_EQ(catalog.linksOf(100).size(), 1u);
  EXPECT_EQ(catalog.linksOn(0, 4026531840, 2, 1).size(), 1u);
  EXPECT_FALSE(none(catalog.dispatcher("xdp", 4026531840, 2)));
  EXPECT_TRUE(none(catalog.program(102)));
}

TEST_F(CatalogRows, AreReplacedWholeAndLeaveNothingOfTheOldBehind) {
  Catalog catalog;
  catalog.putLoaded(loadRow(5), {programRow(100, 5)});
  catalog.put(linkRow(9, 100));
  LoadRow load;
  load.load = 5;
  catalog.put(load);
  EXPECT_EQ(catalog.programs().at(100), programRow(100, 5));
  LinkRow link;
  link.id = 9;
  link.state = LinkRow::detaching;
  link.programId = 100;
  catalog.put(link);
  EXPECT_TRUE(catalog.linksOn(0, 4026531840, 2, 1).empty());
  EXPECT_EQ(catalog.linksOf(100).at(0)->state, LinkRow::detaching);
  EXPECT_EQ(catalog.loads().at(5), load);
  EXPECT_EQ(catalog.links().at(9), link);
  catalog.put(changeRow(7));
  ChangeRow change;
  change.id = 7;
  catalog.put(change);
  EXPECT_EQ(catalog.changes().at(7), change);
  catalog.eraseChange(7);
  EXPECT_TRUE(catalog.changes().empty());
}

TEST_F(CatalogRows, OfTokensAreKeptUntilTheNextBoot) {
  {
    Catalog catalog;
    catalog.setBootId("first");
    catalog.put(tokenRow(3));
    catalog.put(tokenRow(4));
    catalog.eraseToken(3);
  }
  {
    Catalog catalog;
    ASSERT_EQ(catalog.tokens().size(), 1u);
    EXPECT_EQ(catalog.tokens().at(4), tokenRow(4));
    EXPECT_EQ(catalog.nextToken(), 5u);
    catalog.setBootId("second");
    EXPECT_TRUE(catalog.tokens().empty());
  }
  Catalog catalog;
  EXPECT_TRUE(catalog.tokens().empty());
  EXPECT_EQ(catalog.nextToken(), 5u);
}

TEST_F(CatalogRows, OfALoadGoWithIt) {
  {
    Catalog catalog;
    catalog.putLoaded(loadRow(5), {programRow(100, 5, 0), programRow(101, 5, 1)});
    catalog.putLoaded(loadRow(6), {programRow(102, 6)});
    catalog.put(linkRow(9, 102));
    catalog.put(dispatcherRow(2));
    catalog.eraseLoad(5);
    catalog.eraseLoad(77);
    catalog.eraseLink(9);
    catalog.eraseDispatcher("xdp", 4026531840, 2);
    EXPECT_EQ(catalog.programs().size(), 1u);
    EXPECT_TRUE(catalog.programsOf(5).empty());
    EXPECT_TRUE(catalog.linksOf(102).empty());
    EXPECT_TRUE(catalog.dispatchers().empty());
    catalog.eraseProgram(102);
  }
  Catalog catalog;
  EXPECT_EQ(catalog.loads().size(), 1u);
  EXPECT_TRUE(catalog.programs().empty() && catalog.links().empty() && catalog.dispatchers().empty());
}

// The same random changes, some of them given up in the middle, are seen in memory and by whoever opens the file afterwards.
TEST_F(CatalogRows, InMemoryAndInTheFileNeverDiffer) {
  std::mt19937 random(20240601);
  auto pick = [&](uint32_t most) { return 1 + random() % most; };
  for (int round = 0; round < 20; ++round) {
    Catalog catalog;
    auto changes = [&] {
      for (int n = 0; n < 30; ++n) {
        switch (random() % 8) {
          case 0:
          case 1: catalog.put(loadRow(pick(8))); break;
          case 2:
            if (!catalog.loads().empty()) {
              auto id = pick(30);
              catalog.put(programRow(id, catalog.loads().begin()->first, id));
            }
            break;
          case 3:
          case 4: catalog.put(linkRow(pick(30), pick(30))); break;
          case 5: catalog.eraseLink(pick(30)); break;
          case 6: catalog.eraseProgram(pick(30)); break;
          case 7: catalog.put(dispatcherRow(pick(4))); break;
        }
      }
      if (random() % 3 == 0) catalog.eraseLoad(pick(8));
    };
    changes();
    try {
      catalog.transaction([&] {
        for (int n = 0; n < 5; ++n) catalog.put(linkRow(pick(30), pick(30)));
        if (random() % 2) throw 1;
      });
    } catch (int) {}
    std::filesystem::copy_file("bpfman.db", "copy.db", std::filesystem::copy_options::overwrite_existing);
    std::filesystem::copy_file("bpfman.db-wal", "copy.db-wal", std::filesystem::copy_options::overwrite_existing);
    Catalog copy("copy.db");
    EXPECT_EQ(copy.report(), "");
    ASSERT_TRUE(sameRows(catalog, copy)) << "round " << round;
  }
}

TEST_F(CatalogRows, AreTenThousandAndStillQuick) {
  auto begin = std::chrono::steady_clock::now();
  auto lap = [&](const char* what) {
    auto now = std::chrono::steady_clock::now();
    auto took = std::chrono::duration_cast<std::chrono::milliseconds>(now - begin).count();
    RecordProperty(what, std::to_string(took));
    printf("%s: %ld ms\n", what, long(took));
    begin = now;
  };
  {
    Catalog catalog;
    catalog.transaction([&] {
      for (uint32_t n = 1; n <= 10000; ++n) {
        catalog.putLoaded(loadRow(n), {programRow(n, n)});
        catalog.put(linkRow(n, n));
      }
    });
    lap("30,000 rows in one transaction");
    for (uint32_t n = 1; n <= 1000; ++n) catalog.put(linkRow(n, n));
    lap("1,000 changes, each a transaction");
    size_t found = 0;
    for (uint32_t n = 1; n <= 10000; ++n) found += catalog.linksOf(n).size() + catalog.programsOf(n).size();
    EXPECT_EQ(found, 20000u);
    lap("20,000 lookups");
  }
  Catalog catalog;
  lap("opening");
  EXPECT_EQ(catalog.links().size(), 10000u);
  EXPECT_EQ(catalog.linksOn(0, 4026531840, 2, 1).size(), 10000u);
}

TEST_F(CatalogTransaction, ThatThrowsChangesNeitherMemoryNorFile) {
  Catalog catalog;
  catalog.put(loadRow(1));
  EXPECT_THROW(catalog.transaction([&] {
    catalog.put(loadRow(2));
    catalog.eraseLoad(1);
    throw std::runtime_error("stop");
  }),
               std::runtime_error);
  EXPECT_EQ(catalog.loads().size(), 1u);
  catalog.put(loadRow(3));
  EXPECT_EQ(catalog.loads().size(), 2u);
}

TEST_F(CatalogTransaction, IsLostWholeWhenAPartFailedAndTheErrorWasSwallowed) {
  Catalog catalog;
  std::string refusal = refusalOf([&] {
    catalog.transaction([&] {
      catalog.put(loadRow(1));
      EXPECT_NE(refusalOf([&] { catalog.put(programRow(100, 999)); }), "");  // no such load
    });
  });
  EXPECT_NE(refusal, "");
  EXPECT_TRUE(catalog.loads().empty());
}

TEST_F(CatalogTransaction, OfAProgramWithoutItsLoadIsRefused) {
  Catalog catalog;
  EXPECT_NE(refusalOf([&] { catalog.put(programRow(100, 999)); }).find("nothing was changed"), std::string::npos);
  EXPECT_TRUE(catalog.programs().empty());
}

TEST_F(CatalogTransaction, HoldsOneCatalogueForOneProcess) {
  Catalog catalog;
  EXPECT_NE(refusalOf([] { Catalog second; }).find("in use by another process"), std::string::npos);
}

TEST_F(CatalogIds, AreNeverGivenTwice) {
  uint32_t load, link;
  {
    Catalog catalog;
    EXPECT_EQ(catalog.nextLoad(), 1u);
    load = catalog.nextLoad(), link = catalog.nextLink();
    catalog.put(loadRow(load));
    catalog.put(linkRow(link, 3));
    catalog.eraseLoad(load);
    catalog.eraseLink(link);
  }
  {
    Catalog catalog;
    EXPECT_GT(catalog.nextLoad(), load);
    EXPECT_GT(catalog.nextLink(), link);
    catalog.skipIds(500, 600);
    EXPECT_EQ(catalog.nextLoad(), 501u);
  }
  Catalog catalog;
  EXPECT_GE(catalog.nextLoad(), 501u);
  EXPECT_EQ(catalog.nextLink(), 601u);
}

TEST_F(CatalogIds, SkipWhatAPowerCutMayHaveForgotten) {
  uint32_t before;
  {
    Catalog catalog;
    EXPECT_EQ(catalog.bootId(), "");
    catalog.setBootId("first");
    EXPECT_EQ(catalog.nextLink(), 1u);
    before = catalog.nextLink();
  }
  Catalog catalog;
  EXPECT_EQ(catalog.bootId(), "first");
  catalog.setBootId("second");
  EXPECT_EQ(catalog.bootId(), "second");
  EXPECT_GT(catalog.nextLink(), before + 1000);
}

// A reboot gives the programs of a load other ids: whoever named them names the new ones.
TEST_F(CatalogIds, OfProgramsThatAreLoadedAgainAreFollowedByLinksAndUsersOfTheirMaps) {
  {
    Catalog catalog;
    ProgramRow user = programRow(60, 2), other = programRow(61, 3);
    user.mapOwner = 50;
    catalog.putLoaded(loadRow(1), {programRow(50, 1, 0), programRow(51, 1, 2)});
    catalog.putLoaded(loadRow(2), {user});
    catalog.putLoaded(loadRow(3), {other});
    catalog.put(linkRow(7, 50));
    catalog.put(linkRow(8, 51));
    LoadRow again = loadRow(1);
    again.license = "GPL";
    catalog.renumber(again, {50, 51}, {programRow(61 + 100, 1, 0), programRow(50, 1, 1)});
  }
  Catalog catalog;
  EXPECT_EQ(KJ_ASSERT_NONNULL(catalog.load(1)).license, "GPL");
  ASSERT_EQ(catalog.programsOf(1).size(), 2u);
  EXPECT_EQ(catalog.programsOf(1)[0]->id, 161u);
  EXPECT_EQ(catalog.programsOf(1)[1]->id, 50u);
  EXPECT_EQ(KJ_ASSERT_NONNULL(catalog.program(60)).mapOwner, 161u);
  EXPECT_EQ(catalog.mapUsersOf(161), (std::vector<uint32_t>{50, 60, 161}));
  ASSERT_EQ(catalog.linksOf(161).size(), 1u);
  EXPECT_EQ(catalog.linksOf(161)[0]->id, 7u);
  ASSERT_EQ(catalog.linksOf(50).size(), 1u);
  EXPECT_EQ(catalog.linksOf(50)[0]->id, 8u);
}

TEST_F(CatalogIds, EndAtTheLastOneWithAnError) {
  Catalog catalog;
  catalog.put(linkRow(2147483646, 1));
  EXPECT_EQ(catalog.nextLink(), 2147483647u);
  catalog.put(linkRow(2147483647, 1));
  EXPECT_NE(refusalOf([&] { catalog.nextLink(); }), "");
}

// The child is killed while its transaction is open: what was committed before is there, the rest is not.
TEST_F(CatalogCrash, InTheMiddleOfATransactionLosesThatTransactionOnly) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  pid_t child = fork();
  if (child == 0) {
    Catalog catalog;
    catalog.putLoaded(loadRow(1), {programRow(100, 1)});
    catalog.transaction([&] {
      for (uint32_t n = 2; n < 500; ++n) catalog.put(loadRow(n));
      catalog.eraseLoad(1);
      if (write(ready[1], "x", 1) != 1) _exit(1);
      for (;;) pause();
    });
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ready[0]), close(ready[1]);
  Catalog catalog;
  EXPECT_EQ(catalog.report(), "");
  EXPECT_EQ(catalog.loads().size(), 1u);
  EXPECT_EQ(catalog.programs().at(100), programRow(100, 1));
}

TEST_F(CatalogCrash, AtAnyMomentLeavesEachChangeWholeOrNotThere) {
  std::mt19937 random(7);
  for (int round = 0; round < 30; ++round) {
    pid_t child = fork();
    if (child == 0) {
      Catalog catalog;
      for (;;) {
        uint32_t load = catalog.nextLoad();
        catalog.putLoaded(loadRow(load), {programRow(load * 2, load, 0), programRow(load * 2 + 1, load, 1)});
        if (load % 3 == 0) catalog.eraseLoad(load - 1);
      }
    }
    usleep(1000 + random() % 30000);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    Catalog catalog;
    ASSERT_EQ(catalog.report(), "");
    ASSERT_EQ(catalog.programs().size(), catalog.loads().size() * 2);
    for (auto& [load, row] : catalog.loads()) {
      ASSERT_EQ(row, loadRow(load));
      ASSERT_EQ(catalog.programsOf(load).size(), 2u);
    }
  }
}

}  // namespace
}  // namespace bpfman
