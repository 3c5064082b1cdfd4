// What may stand in an argument, and what an error says about what may not.
#include "schema/program-types.h"

#include <capnp/schema.h>

#include "cli/names.h"
#include "cli/selector.h"
#include "cli/values.h"
#include "client/error.h"

#include <capnp/message.h>
#include <gtest/gtest.h>

namespace bpfman {
namespace {

template <typename F>
std::string errorOf(F&& function) {
  try {
    function();
  } catch (const kj::Exception& exception) { return exception.getDescription().cStr(); }
  return "";
}

TEST(Programs, ListsMayBeRepeatedAndJoined) {
  auto programs = parsePrograms({"xdp:a,tp_btf:b", "fentry:c:do_unlinkat"});
  ASSERT_EQ(programs.size(), 3u);
  EXPECT_EQ(programs[1].type, schema::ProgramType::TP_BTF);
  EXPECT_EQ(programs[1].attachTo, "");
  EXPECT_EQ(programs[2].name, "c");
  EXPECT_EQ(programs[2].attachTo, "do_unlinkat");
  EXPECT_EQ(parsePrograms({"fentry:c:nf_conntrack:nf_conntrack_in"})[0].attachTo, "nf_conntrack:nf_conntrack_in");
}

TEST(Programs, MalformedOnesAreShown) {
  for (auto item : {"xdp:", "xdp:a:", "xdp:a:b:c:d", ":a"}) {
    EXPECT_NE(errorOf([&] { parsePrograms({item}); }), "") << item;
  }
  EXPECT_NE(errorOf([] { parsePrograms({"foo:a"}); }).find("unknown program type \"foo\": known are xdp, tc, tcx"), std::string::npos);
  EXPECT_NE(errorOf([] { parsePrograms({","}); }).find("--programs is empty"), std::string::npos);
}

TEST(Global, IsHexadecimalWithOrWithoutPrefix) {
  EXPECT_EQ(parseGlobal("w=0x01fF").second, (std::vector<kj::byte>{1, 255}));
  EXPECT_EQ(parseGlobal("w=0A").second, (std::vector<kj::byte>{10}));
  EXPECT_EQ(parseGlobal("w=0A").first, "w");
  for (auto text : {"w", "=01", "w=", "w=0x", "w=1", "w=0g", "w=0x0x01"}) {
    EXPECT_NE(errorOf([&] { parseGlobal(text); }), "") << text;
  }
}

TEST(Pair, KeepsEqualsSignsInTheValue) {
  EXPECT_EQ(parsePair("a=b=c", "-m"), Pair("a", "b=c"));
  EXPECT_EQ(parsePair("a=", "-m"), Pair("a", ""));
  EXPECT_EQ(errorOf([] { parsePair("=b", "--metadata"); }), "--metadata \"=b\": expected KEY=VALUE");
}

TEST(Duration, IsWrittenAsGoWritesIt) {
  EXPECT_EQ(parseDuration("1m30s") / kj::SECONDS, 90);
  EXPECT_EQ(parseDuration("500ms") / kj::MILLISECONDS, 500);
  EXPECT_EQ(parseDuration("2h") / kj::MINUTES, 120);
  for (auto text : {"", "5", "s", "-1s", "1d", "9999999999s"}) EXPECT_NE(errorOf([&] { parseDuration(text); }), "") << text;
}

TEST(Verdict, IsANameOrANumber) {
  EXPECT_EQ(parseVerdict(schema::ProgramType::XDP, "dispatcher_return"), 31);
  EXPECT_EQ(parseVerdict(schema::ProgramType::XDP, "0"), 0);
  EXPECT_EQ(parseVerdict(schema::ProgramType::XDP, "31"), 31);
  for (auto word : {"32", "-1", "pas", "2x", ""}) EXPECT_NE(errorOf([&] { parseVerdict(schema::ProgramType::XDP, word); }), "") << word;
  EXPECT_EQ(verdictNamesOfMask(schema::ProgramType::XDP, 1u << 31 | 1 << 2 | 1 << 7), "pass,7,dispatcher_return");
  EXPECT_EQ(parseVerdict(schema::ProgramType::TC, "unspec"), -1);
  EXPECT_EQ(parseVerdict(schema::ProgramType::TC, "-1"), -1);
  EXPECT_EQ(parseVerdict(schema::ProgramType::TC, "trap"), 8);
  for (auto word : {"31", "-2", "pass", "drop"}) EXPECT_NE(errorOf([&] { parseVerdict(schema::ProgramType::TC, word); }), "") << word;
  EXPECT_EQ(verdictNamesOfMask(schema::ProgramType::TC, 1u << 31 | 1 << 4 | 1), "unspec,pipe,dispatcher_return");
}

TEST(TypeNames, TheDaemonsWordForRawTracepointsIsUnderstood) {
  EXPECT_EQ(parseType("raw_tracepoint"), schema::ProgramType::RAW_TRACEPOINT);
}

TEST(TypeNames, EveryTypeHasOneThatIsUnderstood) {
  auto types = capnp::Schema::from<schema::ProgramType>().getEnumerants();
  for (auto enumerant : types) {
    auto type = schema::ProgramType(enumerant.getOrdinal());
    EXPECT_EQ(parseType(nameOf(type)), type);
  }
  EXPECT_LE(types.size(), TypeSet().size());
}

TEST(Selector, MatchesAsKubectlDoes) {
  capnp::MallocMessageBuilder message;
  auto labels = message.initRoot<schema::LoadOptions>().initMetadata(2);
  labels[0].setKey("team");
  labels[0].setValue("net");
  labels[1].setKey("bpfman.io/application");
  labels[1].setValue("edge");
  auto matches = [&](const char* text) { return Selector(text).matches(labels.asReader()); };
  for (auto text : {"", "team=net", "team==net", "team!=dev", "other!=x", "team", "!other", "team in (dev, net)", "team notin (dev)",
                    "other notin (a,b)", "team=net,bpfman.io/application=edge", " team = net , !x "}) {
    EXPECT_TRUE(matches(text)) << text;
  }
  for (auto text : {"team=dev", "team!=net", "other", "!team", "team in (dev)", "team notin (net,dev)", "team=net,other=x", "team="}) {
    EXPECT_FALSE(matches(text)) << text;
  }
  for (auto text : {"=x", "a b", "a in ()", "a in b", "a in (b", ",", "a=b,,c=d"}) {
    EXPECT_NE(errorOf([&] { Selector{text}; }), "") << text;
  }
}

}  // namespace
}  // namespace bpfman
