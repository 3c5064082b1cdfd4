// Reading a TOML file strictly: whatever is not as it must be refuses the whole file, with line, column and reason.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include <kj/common.h>
#include <kj/string.h>
#include <toml++/toml.h>

#include "frontend/refuse.h"

namespace bpfman {

kj::String quoted(std::string_view text);
kj::String plain(std::string_view text);

class TomlReader {
 protected:
  explicit TomlReader(kj::StringPtr name) : name(name) {}
  kj::StringPtr name;

  template <typename... Parts>
  [[noreturn]] void fail(const toml::source_position& at, Parts&&... parts) const {
    refuse(name, ":", at.line, ":", at.column, ": ", kj::fwd<Parts>(parts)...);
  }
  toml::table parse(kj::StringPtr text) const;
  void requireKeys(const toml::table& table, std::string_view what, std::initializer_list<std::string_view> keys) const;
  const toml::table& tableOf(const toml::node& node, std::string_view what) const;
  const toml::array& arrayOf(const toml::node& node, std::string_view what) const;
  std::string textOf(const toml::node& node, std::string_view what) const;
  int64_t numberOf(const toml::node& node, std::string_view what, int64_t least, int64_t most) const;
  uint32_t bitsOf(const toml::node& node, std::string_view what, std::initializer_list<std::string_view> names) const;
};

}  // namespace bpfman
