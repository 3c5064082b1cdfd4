#include "cli/values.h"
#include "cli/names.h"
#include "client/error.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

namespace bpfman {
namespace {

WantedProgram parseProgram(const std::string& item) {
  auto shape = [&] { fail(kj::str("--programs \"", item.c_str(), "\": expected [TYPE:]NAME[:ATTACH_FUNC]")); };
  auto colon = item.find(':');
  if (colon == std::string::npos) return {schema::ProgramType::XDP, item, "", true};
  WantedProgram wanted{parseType(item.substr(0, colon)), item.substr(colon + 1), ""};
  if (auto second = wanted.name.find(':'); second != std::string::npos) {
    wanted.attachTo = wanted.name.substr(second + 1);
    wanted.name.resize(second);
    auto module = wanted.attachTo.find(':');  // MODULE:FUNCTION
    if (wanted.attachTo.empty() || wanted.attachTo.find(':', module == std::string::npos ? module : module + 1) != std::string::npos)
      shape();
  }
  if (wanted.name.empty()) shape();
  return wanted;
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

template <typename Wrong>
std::vector<kj::byte> bytesFrom(std::string hex, Wrong wrong) {
  if (hex.starts_with("0x") || hex.starts_with("0X")) hex.erase(0, 2);
  if (hex.empty()) wrong("the value is empty");
  if (hex.size() % 2) wrong("the value needs two hexadecimal digits for each byte");
  std::vector<kj::byte> bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    int high = digit(hex[i]), low = digit(hex[i + 1]);
    if (high < 0 || low < 0) wrong("the value is not hexadecimal");
    bytes.push_back(high << 4 | low);
  }
  return bytes;
}

}  // namespace

std::vector<std::string> split(const std::string& list, char separator) {
  std::vector<std::string> result;
  std::istringstream stream(list);
  for (std::string piece; std::getline(stream, piece, separator);) {
    if (!piece.empty()) result.push_back(piece);
  }
  return result;
}

std::vector<std::string> splitAll(const std::vector<std::string>& lists) {
  std::vector<std::string> result;
  for (auto& list : lists) {
    for (auto& piece : split(list)) result.push_back(piece);
  }
  return result;
}

std::vector<WantedProgram> parsePrograms(const std::vector<std::string>& items) {
  std::vector<WantedProgram> result;
  for (auto& item : splitAll(items)) result.push_back(parseProgram(item));
  if (result.empty()) fail(kj::str("--programs is empty: expected TYPE:NAME[:ATTACH_FUNC][,…]"));
  return result;
}

Pair parsePair(const std::string& text, const char* option) {
  auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0) fail(kj::str(option, " \"", text.c_str(), "\": expected KEY=VALUE"));
  return {text.substr(0, equals), text.substr(equals + 1)};
}

std::pair<std::string, std::vector<kj::byte>> parseGlobal(const std::string& text) {
  auto wrong = [&](const char* why) { fail(kj::str("--global \"", text.c_str(), "\": ", why)); };
  auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0) wrong("expected NAME=HEX");
  return {text.substr(0, equals), bytesFrom(text.substr(equals + 1), wrong)};
}

std::vector<kj::byte> parseBytes(const std::string& text, const char* option) {
  return bytesFrom(text, [&](const char* why) { fail(kj::str(option, " \"", text.c_str(), "\": ", why)); });
}

Pair parseTyped(const std::string& text) {
  auto wrong = [&](const char* why) { fail(kj::str("variable \"", text.c_str(), "\": ", why)); };
  auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0) wrong("expected NAME=VALUE");
  if (equals + 1 == text.size()) wrong("the value is empty; an empty text is '\"\"', in quotation marks");
  return {text.substr(0, equals), text.substr(equals + 1)};
}

std::pair<std::string, uint32_t> parseMapSize(const std::string& text) {
  auto [name, number] = parsePair(text, "--map-size");
  uint32_t entries = 0;
  auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), entries);
  if (error != std::errc() || end != number.data() + number.size() || entries == 0)
    fail(kj::str("--map-size \"", text.c_str(), "\": expected NAME=ENTRIES, 1 .. 4294967295"));
  return {name, entries};
}

kj::Duration parseDuration(const std::string& text) {
  static const std::pair<const char*, kj::Duration> UNITS[] = {
      {"ms", kj::MILLISECONDS}, {"s", kj::SECONDS}, {"m", kj::MINUTES}, {"h", kj::HOURS}};  // "ms" before "m"
  kj::Duration sum = 0 * kj::SECONDS;
  auto wrong = [&] { fail(kj::str("duration \"", text.c_str(), "\": expected for example 500ms, 30s, 5m or 1m30s")); };
  size_t at = 0;
  while (at < text.size()) {
    int number = 0;
    auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), number);
    if (error != std::errc() || number < 0 || number > 1'000'000) wrong();
    at = end - text.data();
    auto unit = std::find_if(std::begin(UNITS), std::end(UNITS),
                             [&](auto& entry) { return text.compare(at, strlen(entry.first), entry.first) == 0; });
    if (unit == std::end(UNITS)) wrong();
    at += strlen(unit->first);
    sum += number * unit->second;
  }
  if (text.empty()) wrong();
  return sum;
}

void putGlobals(capnp::List<schema::Global>::Builder list, const std::vector<std::string>& bytes, const std::vector<std::string>& typed) {
  for (size_t i = 0; i < bytes.size(); i++) {
    auto [name, value] = parseGlobal(bytes[i]);
    list[i].setName(name.c_str());
    list[i].setValue(kj::arrayPtr(value.data(), value.size()));
  }
  for (size_t i = 0; i < typed.size(); i++) {
    auto [name, value] = parseTyped(typed[i]);
    list[bytes.size() + i].setName(name.c_str());
    list[bytes.size() + i].setJson(value.c_str());
  }
}

static int32_t parseKeyring(const std::string& text) {
  static constexpr const char* SYSTEM[] = {"builtin", "secondary", "platform"};  // by the kernel's numbers
  for (int32_t i = 0; i < 3; i++)
    if (text == SYSTEM[i]) return i;
  int32_t serial = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), serial);
  if (error != std::errc() || end != text.data() + text.size() || serial < 0)
    fail(kj::str("--keyring \"", text.c_str(), "\": expected builtin, secondary, platform or the serial of a keyring"));
  return serial;
}

void putSignatures(capnp::List<schema::Signature>::Builder list, const std::vector<std::string>& files, const std::string& keyring) {
  for (size_t i = 0; i < files.size(); i++) {
    auto [name, path] = parsePair(files[i], "--signature");
    std::ifstream file(path, std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(file), {}};
    if (!file || bytes.empty())
      fail(kj::str("--signature \"", files[i].c_str(), "\": ", path.c_str(), file ? " is empty" : " can't be read"));
    list[i].setProgram(name.c_str());
    list[i].setPkcs7(kj::StringPtr(bytes.data(), bytes.size()).asBytes());
    list[i].setKeyring(parseKeyring(keyring));
  }
}

void put(capnp::List<schema::KeyValue>::Builder list, const std::vector<std::string>& pairs, const char* option) {
  for (size_t i = 0; i < pairs.size(); i++) {
    auto [key, value] = parsePair(pairs[i], option);
    list[i].setKey(key.c_str());
    list[i].setValue(value.c_str());
  }
}

void put(capnp::List<capnp::Text>::Builder list, const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size(); i++) list.set(i, words[i].c_str());
}

}  // namespace bpfman
