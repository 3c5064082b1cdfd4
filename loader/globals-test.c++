// Values of variables by their types, on BTF that is made here, and on the examples.
#include <cstring>
#include <map>
#include <vector>

#include <capnp/message.h>
#include <gtest/gtest.h>

#include "loader/object.h"
#include "loader/refusal.h"
#include "loader/test-session.h"
#include "loader/typed-value.h"

namespace bpfman {

namespace {

using ByteVector = std::vector<unsigned char>;

class TypedValue : public testing::Test {
 protected:
  btf* types = btf__new_empty();
  int u8 = btf__add_int(types, "unsigned char", 1, 0), s16 = btf__add_int(types, "short", 2, BTF_INT_SIGNED),
      u32 = btf__add_int(types, "unsigned int", 4, 0), s64 = btf__add_int(types, "long", 8, BTF_INT_SIGNED),
      u64 = btf__add_int(types, "unsigned long", 8, 0), truth = btf__add_int(types, "_Bool", 1, BTF_INT_BOOL),
      character = btf__add_int(types, "char", 1, BTF_INT_SIGNED), wide = btf__add_int(types, "__int128", 16, BTF_INT_SIGNED);
  ByteVector value, mask;

  ~TypedValue() override { btf__free(types); }

  // "" or why not; the bytes are in `value`, which were 0xee before.
  std::string set(int type, const std::string& json, size_t size) {
    value.assign(size, 0xee);
    mask.assign(size, 0);
    try {
      writeJson(types, type, "v", json, value, mask);
    } catch (const Refusal& refusal) { return refusal.reason; }
    return "";
  }
  uint64_t number() const {
    uint64_t result = 0;
    memcpy(&result, value.data(), std::min(value.size(), sizeof result));
    return result;
  }
  int array(int element, int count) { return btf__add_array(types, u32, element, count); }
  int structure(const char* name, int size) { return btf__add_struct(types, name, size); }
};

bool has(const std::string& whole, const std::string& part) { return whole.find(part) != std::string::npos; }

TEST_F(TypedValue, IntegersOfEachSizeToTheirLimits) {
  struct Case {
    int type;
    size_t size;
    const char *text, *refused;
    uint64_t bits = 0;
  };
  const Case cases[] = {
      {u8, 1, "255", "", 255},
      {u8, 1, "256", "0 .. 255"},
      {u8, 1, "-1", "0 .. 255"},
      {u8, 1, "-0", "", 0},
      {s16, 2, "-32768", "", 0x8000},
      {s16, 2, "-32769", "-32768 .. 32767"},
      {s16, 2, "32767", "", 0x7fff},
      {s16, 2, "32768", "-32768 .. 32767"},
      {u32, 4, "0xffffffff", "", 0xffffffff},
      {u32, 4, "0x100000000", "0 .. 4294967295"},
      {u32, 4, "\"0x10\"", "", 16},
      {u64, 8, "18446744073709551615", "", ~uint64_t{0}},
      {u64, 8, "18446744073709551616", "0 .. 18446744073709551615"},
      {s64, 8, "-9223372036854775808", "", uint64_t{1} << 63},
      {s64, 8, "-0x8000000000000001", "-9223372036854775808 .. 9223372036854775807"},
      {s64, 8, "9223372036854775808", "-9223372036854775808 .. 9223372036854775807"},
      {u32, 4, "1.5", "1.5: expected an integer"},
      {u32, 4, "true", "true: expected an integer"},
      {u32, 4, "ten", "\"ten\": expected an integer"},
      {u32, 4, "0x", "expected an integer"},
      {u32, 4, "--1", "expected an integer"},
      {u32, 4, "", "expected an integer"},
      {u32, 4, "[1", "no valid JSON"},
      {wide, 16, "1", "integers of 128 bits"},
  };
  for (auto& each : cases) {
    std::string said = set(each.type, each.text, each.size);
    EXPECT_EQ(said.empty(), each.refused[0] == 0) << each.text << ": " << said;
    EXPECT_TRUE(has(said, each.refused)) << each.text << ": " << said;
    if (said.empty()) {
      EXPECT_EQ(number(), each.bits) << each.text;
      EXPECT_EQ(mask, ByteVector(each.size, 0xff));
    } else {
      EXPECT_TRUE(said.starts_with("global variable \"v\": ")) << said;
    }
  }
}

TEST_F(TypedValue, TruthAndEnumsByNameAndNumber) {
  EXPECT_EQ(set(truth, "true", 1), "");
  EXPECT_EQ(number(), 1u);
  EXPECT_EQ(set(truth, "0", 1), "");
  EXPECT_EQ(number(), 0u);
  EXPECT_TRUE(has(set(truth, "2", 1), "expected true or false"));
  EXPECT_TRUE(has(set(truth, "yes", 1), "expected true or false"));

  int small = btf__add_enum(types, "mode", 4);
  btf__add_enum_value(types, "OFF", 0);
  btf__add_enum_value(types, "DEBUG", -1);
  int large = btf__add_enum64(types, "wide", 8, false);
  btf__add_enum64_value(types, "HIGH", 0x100000000ull);
  int alias = btf__add_typedef(types, "mode_t", btf__add_volatile(types, btf__add_const(types, small)));
  EXPECT_EQ(set(alias, "DEBUG", 4), "");
  EXPECT_EQ(number(), 0xffffffffu);
  EXPECT_TRUE(has(set(small, "4294967296", 4), "an integer, -2147483648 .. 2147483647"));
  int old = btf__add_enum(types, "cut", 8);
  btf__add_enum_value(types, "LOW", 1);
  EXPECT_TRUE(has(set(old, "LOW", 8), "expected an integer"));
  EXPECT_EQ(set(small, "7", 4), "");
  EXPECT_EQ(number(), 7u);
  EXPECT_TRUE(has(set(small, "ON", 4), "\"ON\": expected one of [OFF DEBUG] or an integer")) << set(small, "ON", 4);
  EXPECT_EQ(set(large, "HIGH", 8), "");
  EXPECT_EQ(number(), 0x100000000u);
  EXPECT_EQ(set(large, "0x200000000", 8), "");
  EXPECT_EQ(number(), 0x200000000u);
}

TEST_F(TypedValue, NumbersWithAFraction) {
  int narrow = btf__add_float(types, "float", 4), broad = btf__add_float(types, "double", 8);
  EXPECT_EQ(set(narrow, "1.5", 4), "");
  EXPECT_EQ(number(), 0x3fc00000u);
  EXPECT_EQ(set(broad, "-2", 8), "");
  EXPECT_EQ(number(), 0xc000000000000000u);
  EXPECT_TRUE(has(set(narrow, "1e300", 4), "a number that 4 bytes of float can have"));
  EXPECT_TRUE(has(set(broad, "1e999", 8), "expected a number"));
  EXPECT_TRUE(has(set(broad, "nan", 8), "expected a number"));
}

TEST_F(TypedValue, TextsAndArrays) {
  int text = array(character, 8);
  EXPECT_EQ(set(text, "eth0", 8), "");
  EXPECT_STREQ(reinterpret_cast<char*>(value.data()), "eth0");
  EXPECT_EQ(value[7], 0);  // what was there is gone
  EXPECT_EQ(set(text, "\"seven77\"", 8), "");
  EXPECT_TRUE(has(set(text, "eight888", 8), "the text has 8 bytes; it has 8, of which the last ends the text"));
  EXPECT_TRUE(has(set(text, "12", 8), "12: expected a string in quotation marks"));
  EXPECT_EQ(set(text, "[65,66]", 8), "");
  EXPECT_EQ(value[2], 0xee);
  EXPECT_EQ(mask, (ByteVector{0xff, 0xff, 0, 0, 0, 0, 0, 0}));
  int numbers = array(s16, 3);
  EXPECT_EQ(set(numbers, "[1,-2,3]", 6), "");
  EXPECT_EQ(value, (ByteVector{1, 0, 0xfe, 0xff, 3, 0}));
  EXPECT_TRUE(has(set(numbers, "[1,2,3,4]", 6), "4 elements were given, it has 3"));
  EXPECT_TRUE(has(set(numbers, "[1,99999]", 6), "\"v[1]\": 99999: expected an integer"));
  EXPECT_TRUE(has(set(numbers, "1", 6), "expected an array of 3 elements"));
}

TEST_F(TypedValue, StructsMemberByMemberAndBitByBit) {
  int inner = structure("inner", 4);
  btf__add_field(types, "c", truth, 0, 0);
  int choice = btf__add_union(types, "", 4);
  btf__add_field(types, "word", u32, 0, 0);
  int pointer = btf__add_ptr(types, u32), conf = structure("conf", 24);
  btf__add_field(types, "a", u32, 0, 0);
  btf__add_field(types, "b", inner, 32, 0);
  btf__add_field(types, "low", u8, 64, 3);
  btf__add_field(types, "high", u8, 67, 5);
  btf__add_field(types, "", choice, 96, 0);
  btf__add_field(types, "p", pointer, 128, 0);
  EXPECT_EQ(set(conf, R"({"a":1,"b":{"c":true}})", 24), "");
  EXPECT_EQ(ByteVector(value.begin(), value.begin() + 6), (ByteVector{1, 0, 0, 0, 1, 0xee}));
  EXPECT_EQ(ByteVector(mask.begin(), mask.begin() + 6), (ByteVector{0xff, 0xff, 0xff, 0xff, 0xff, 0}));
  EXPECT_EQ(set(conf, R"({"high":31})", 24), "");
  EXPECT_EQ(value[8], 0xf8 | (0xee & 7));
  EXPECT_EQ(mask[8], 0xf8);
  EXPECT_TRUE(has(set(conf, R"({"low":8})", 24), "\"v.low\": 8: expected an integer, 0 .. 7"));
  EXPECT_TRUE(has(set(conf, R"({"x":1})", 24), "struct conf has no member \"x\"; it has [a b low high word p]"));
  EXPECT_TRUE(has(set(conf, R"({"b":{"d":1}})", 24), "\"v.b\": struct inner has no member \"d\"; it has [c]"));
  EXPECT_TRUE(has(set(conf, R"({"word":1})", 24), "lies in a union"));
  EXPECT_TRUE(has(set(conf, R"({"p":1})", 24), "a pointer can't be set"));
  EXPECT_TRUE(has(set(conf, "3", 24), "expected an object"));
}

TEST_F(TypedValue, TypesThatDoNotFitOrLeadRoundInACircle) {
  EXPECT_TRUE(has(set(u64, "1", 4), "does not agree"));
  int array3 = array(u32, 3);
  EXPECT_TRUE(has(set(array3, "[1,2,3]", 8), "does not agree"));
  int circle = structure("circle", 4);
  btf__add_field(types, "again", circle, 0, 0);
  std::string json = "1";
  for (int i = 0; i < 50; ++i) json = R"({"again":)" + json + "}";
  EXPECT_TRUE(has(set(circle, json, 4), "nested too deeply"));
  int far = structure("far", 4);
  btf__add_field(types, "away", u32, 0x7ffffff8, 0);
  EXPECT_TRUE(has(set(far, R"({"away":1})", 4), "does not agree"));
  EXPECT_TRUE(has(set(btf__add_typedef(types, "nothing", 0), "1", 4), "can't be set"));
}

TEST_F(TypedValue, IsReadAsItIsWritten) {
  int text = array(character, 8), numbers = array(s16, 2), mode = btf__add_enum(types, "mode", 4);
  btf__add_enum_value(types, "ON", 1);
  int real = btf__add_float(types, "float", 4), pointer = btf__add_ptr(types, u32), conf = structure("conf", 40);
  btf__add_field(types, "n", numbers, 0, 0);
  btf__add_field(types, "low", u8, 32, 3);
  btf__add_field(types, "high", u8, 35, 5);
  btf__add_field(types, "t", text, 64, 0);
  btf__add_field(types, "m", mode, 128, 0);
  btf__add_field(types, "ok", truth, 160, 0);
  btf__add_field(types, "big", u64, 192, 0);
  btf__add_field(types, "f", real, 256, 0);
  std::string json = R"({"n":[-2,3],"low":5,"high":17,"t":"eth0","m":"ON","ok":true,"big":18446744073709551615,"f":0.5})";
  ASSERT_EQ(set(conf, json, 40), "");
  EXPECT_EQ(readJson(types, conf, value, 1000), json);
  EXPECT_EQ(readJson(types, conf, value, json.size() - 1), "");
  value.assign(8, 0xff);
  EXPECT_EQ(readJson(types, text, value, 100), "[-1,-1,-1,-1,-1,-1,-1,-1]");  // no text
  EXPECT_EQ(readJson(types, mode, value, 100), "4294967295");
  EXPECT_EQ(readJson(types, pointer, value, 100), "null");
  EXPECT_EQ(readJson(types, real, value, 100), "null");  // no number
  EXPECT_EQ(readJson(types, s64, value, 100), "-1");
  EXPECT_EQ(readJson(types, u64, {}, 100), "");
}

std::string reasonFor(const ByteVector& object, const std::vector<std::pair<std::string, std::string>>& globals,
                      capnp::MallocMessageBuilder& answer) {
  capnp::MallocMessageBuilder message;
  auto job = message.initRoot<schema::LoadJob>();
  job.setInspectOnly(true);
  auto list = job.initGlobals(globals.size());
  for (size_t i = 0; i < globals.size(); ++i) {
    list[i].setName(globals[i].first.c_str());
    list[i].setJson(globals[i].second.c_str());
  }
  ByteVector bytes = object;
  try {
    BpfObject(bytes, job).describe(answer.initRoot<schema::LoadResult>().initDone());
  } catch (const Refusal& refusal) { return refusal.reason; }
  return "";
}

TEST(Globals, AnswersTheBytesOfWhatWasGivenByType) {
  capnp::MallocMessageBuilder answer;
  ASSERT_EQ(reasonFor(example("typed_globals"), {{"limits", "[1,2]"}, {"threshold", "0x100"}, {"mode", "MODE_ON"}, {"wide", "0x100000000"}},
                      answer),
            "");
  auto variables = answer.getRoot<schema::LoadResult>().getDone().getVariables();
  ASSERT_EQ(variables.size(), 4u);
  EXPECT_STREQ(variables[0].getSection().cStr(), ".data");
  EXPECT_EQ(ByteVector(variables[0].getValue().begin(), variables[0].getValue().end()), (ByteVector{1, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0}));
  EXPECT_STREQ(variables[1].getSection().cStr(), ".rodata");
  EXPECT_EQ(variables[1].getValue()[1], 1);
  EXPECT_EQ(variables[3].getValue()[4], 1);
}

// The example without its BTF: its sections are named otherwise.
TEST(Globals, OfAnObjectWithoutTypesAreSetByBytes) {
  ByteVector object = example("typed_globals");
  for (const char* name : {".BTF", ".rel.BTF"})
    for (size_t i = 0; i + 5 < object.size(); ++i)
      if (memcmp(&object[i], name, strlen(name)) == 0) object[i + strlen(name) - 1] = 'X';
  capnp::MallocMessageBuilder answer;
  std::string said = reasonFor(object, {{"limits", "[1,2]"}}, answer);
  EXPECT_TRUE(has(said, "has no BTF") && has(said, "give the 12 bytes of the value with -g NAME=HEX")) << said;
  EXPECT_TRUE(has(reasonFor(object, {{"nope", "1"}}, answer), "available: [")) << reasonFor(object, {{"nope", "1"}}, answer);
}

TEST(Globals, ByTypeAreLimitedInTheirSize) {
  capnp::MallocMessageBuilder answer;
  EXPECT_EQ(reasonFor(example("large_globals"), {{"fits", "x"}}, answer), "");
  EXPECT_TRUE(has(reasonFor(example("large_globals"), {{"one_more", "x"}}, answer), "at most 65536 bytes each"));
  std::vector<std::pair<std::string, std::string>> all;
  for (int i = 0; i < 16; ++i) all.push_back({"fits", "x"});
  EXPECT_EQ(reasonFor(example("large_globals"), all, answer), "");
  all.push_back({"fits", "x"});
  EXPECT_TRUE(has(reasonFor(example("large_globals"), all, answer), "1048576 together"));
}

schema::LoadResult::Done::Reader listed(const std::string& name, capnp::MallocMessageBuilder& answer, ByteVector data = {}) {
  capnp::MallocMessageBuilder message;
  auto job = message.initRoot<schema::LoadJob>();
  job.setInspectOnly(true);
  job.setListVariables(true);
  auto content = job.initContents(1)[0];
  content.setSection(".data");
  content.setBytes(kj::arrayPtr(data.data(), data.size()));
  ByteVector bytes = example(name);
  BpfObject(bytes, job).describe(answer.initRoot<schema::LoadResult>().initDone());
  return answer.getRoot<schema::LoadResult>().asReader().getDone();
}

TEST(Globals, AreListedWithTypesAndTheirValuesOfNow) {
  capnp::MallocMessageBuilder answer;
  auto done = listed("typed_globals", answer, ByteVector(1024, 1));
  std::map<std::string, std::string> types, values;
  for (auto variable : done.getVariables()) {
    types[variable.getName().cStr()] = variable.getType().cStr();
    values[variable.getName().cStr()] = variable.getJson().cStr();
  }
  EXPECT_EQ(types["threshold"], "threshold_t");
  EXPECT_EQ(types["limits"], "__u32[3]");
  EXPECT_EQ(types["conf"], "struct conf");
  EXPECT_EQ(values["limits"], "[16843009,16843009,16843009]");
  EXPECT_EQ(values["threshold"], "");  // of .rodata nothing was said
}

TEST(Globals, ListsSoManyVariablesAndValues) {
  capnp::MallocMessageBuilder answer;
  EXPECT_EQ(listed("many_globals", answer).getVariables().size(), 4096u);
  capnp::MallocMessageBuilder second;
  auto done = listed("large_values", second, ByteVector(4 * 131072 + 4));
  ASSERT_EQ(done.getVariables().size(), 2u);
  EXPECT_EQ(done.getVariables()[0].getJson().size(), (256u << 10) - 1);  // each element has two characters
  EXPECT_EQ(done.getVariables()[1].getJson().size(), 1u);
  capnp::MallocMessageBuilder third;
  done = listed("larger_values", third, ByteVector(4 * 131072 + 8));
  EXPECT_EQ(done.getVariables()[0].getJson().size(), 0u);
  EXPECT_EQ(done.getVariables()[1].getJson().size(), 1u);
}

}  // namespace
}  // namespace bpfman
