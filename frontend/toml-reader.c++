#include "frontend/toml-reader.h"

#include <algorithm>

#include <kj/vector.h>

namespace bpfman {
namespace {

kj::String listed(std::initializer_list<std::string_view> names) {
  kj::Vector<kj::String> parts;
  for (auto name : names) parts.add(plain(name));
  return kj::strArray(parts, ", ");
}

}  // namespace

kj::String quoted(std::string_view text) { return kj::str('"', kj::heapString(text.data(), text.size()), '"'); }
kj::String plain(std::string_view text) { return kj::heapString(text.data(), text.size()); }

toml::table TomlReader::parse(kj::StringPtr text) const {
  try {
    return toml::parse(std::string_view(text.begin(), text.size()), std::string_view(name.begin(), name.size()));
  } catch (const toml::parse_error& error) { fail(error.source().begin, plain(error.description())); }
}

void TomlReader::requireKeys(const toml::table& table, std::string_view what, std::initializer_list<std::string_view> keys) const {
  for (auto& [key, value] : table) {
    if (std::ranges::find(keys, key.str()) != keys.end()) continue;
    fail(key.source().begin, "unknown key ", quoted(key.str()), ": ", plain(what), " has only ", listed(keys));
  }
}

const toml::table& TomlReader::tableOf(const toml::node& node, std::string_view what) const {
  auto table = node.as_table();
  if (table == nullptr) fail(node.source().begin, plain(what), " must be a table");
  return *table;
}

const toml::array& TomlReader::arrayOf(const toml::node& node, std::string_view what) const {
  auto array = node.as_array();
  if (array == nullptr) fail(node.source().begin, plain(what), " must be an array");
  return *array;
}

std::string TomlReader::textOf(const toml::node& node, std::string_view what) const {
  auto text = node.as_string();
  if (text == nullptr) fail(node.source().begin, plain(what), " must be a string");
  if (text->get().find('\0') != std::string::npos) fail(node.source().begin, plain(what), " must not contain a zero byte");
  return text->get();
}

int64_t TomlReader::numberOf(const toml::node& node, std::string_view what, int64_t least, int64_t most) const {
  auto number = node.as_integer();
  if (number == nullptr) fail(node.source().begin, plain(what), " must be a whole number");
  if (number->get() < least || number->get() > most) fail(node.source().begin, plain(what), " must be between ", least, " and ", most);
  return number->get();
}

uint32_t TomlReader::bitsOf(const toml::node& node, std::string_view what, std::initializer_list<std::string_view> names) const {
  uint32_t bits = 0;
  for (auto& entry : arrayOf(node, what)) {
    std::string text = textOf(entry, what);
    auto found = std::ranges::find(names, text);
    if (found == names.end()) fail(entry.source().begin, quoted(text), " in ", plain(what), " is not one of ", listed(names));
    bits |= 1u << (found - names.begin());
  }
  return bits;
}

}  // namespace bpfman
