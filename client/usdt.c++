#include "client/usdt.h"
#include "client/error.h"

#include <asm/ptrace.h>

#include <charconv>
#include <cstddef>
#include <cstring>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

namespace bpfman {
namespace {

enum class Kind : uint32_t { constant, inRegister, atRegister };

struct ArgumentSpec {
  uint64_t value = 0;  // the constant, or the offset behind the register's address
  Kind kind = Kind::constant;
  int16_t registerOffset = 0;  // in struct pt_regs
  bool isSigned = false;
  uint8_t shift = 0;  // bits that are cleared, and filled with the sign
};

struct Spec {
  ArgumentSpec arguments[USDT_ARGUMENTS];
  uint64_t cookie;
  int16_t count;
};
static_assert(sizeof(ArgumentSpec) == 16 && sizeof(Spec) == 12 * 16 + 16);

#ifdef __x86_64__
constexpr struct {
  const char* names[4];  // of its 8, 4, 2 and 1 bytes
  size_t offset;
} REGISTERS[] = {
    {{"rax", "eax", "ax", "al"}, offsetof(pt_regs, rax)},      {{"rbx", "ebx", "bx", "bl"}, offsetof(pt_regs, rbx)},
    {{"rcx", "ecx", "cx", "cl"}, offsetof(pt_regs, rcx)},      {{"rdx", "edx", "dx", "dl"}, offsetof(pt_regs, rdx)},
    {{"rsi", "esi", "si", "sil"}, offsetof(pt_regs, rsi)},     {{"rdi", "edi", "di", "dil"}, offsetof(pt_regs, rdi)},
    {{"rbp", "ebp", "bp", "bpl"}, offsetof(pt_regs, rbp)},     {{"rsp", "esp", "sp", "spl"}, offsetof(pt_regs, rsp)},
    {{"r8", "r8d", "r8w", "r8b"}, offsetof(pt_regs, r8)},      {{"r9", "r9d", "r9w", "r9b"}, offsetof(pt_regs, r9)},
    {{"r10", "r10d", "r10w", "r10b"}, offsetof(pt_regs, r10)}, {{"r11", "r11d", "r11w", "r11b"}, offsetof(pt_regs, r11)},
    {{"r12", "r12d", "r12w", "r12b"}, offsetof(pt_regs, r12)}, {{"r13", "r13d", "r13w", "r13b"}, offsetof(pt_regs, r13)},
    {{"r14", "r14d", "r14w", "r14b"}, offsetof(pt_regs, r14)}, {{"r15", "r15d", "r15w", "r15b"}, offsetof(pt_regs, r15)},
    {{"rip", "eip", "rip", "rip"}, offsetof(pt_regs, rip)},
};

std::optional<int16_t> registerOffset(std::string_view name) {
  for (auto& each : REGISTERS)
    for (auto known : each.names)
      if (name == known) return each.offset;
  return std::nullopt;
}
#else
std::optional<int16_t> registerOffset(std::string_view) { return std::nullopt; }
#endif

// A whole decimal number; nothing else.
std::optional<int64_t> numberFrom(std::string_view text) {
  int64_t number = 0;
  auto [end, error] = std::from_chars(text.begin(), text.end(), number);
  if (error != std::errc() || end != text.end()) return std::nullopt;
  return number;
}

// "-4@$5", "8@%rax", "-4@-20(%rbp)", "8@(%rax)": the size, negative for what is signed; then the constant, the register, or where in
// memory.
std::optional<ArgumentSpec> argumentFrom(std::string_view text) {
  ArgumentSpec spec;
  size_t at = text.find('@');
  auto size = numberFrom(text.substr(0, at));
  if (at == text.npos || !size ||
      (*size != 1 && *size != 2 && *size != 4 && *size != 8 && *size != -1 && *size != -2 && *size != -4 && *size != -8))
    return std::nullopt;
  spec.isSigned = *size < 0;
  spec.shift = 64 - 8 * (spec.isSigned ? -*size : *size);
  std::string_view place = text.substr(at + 1);
  std::optional<int64_t> value = 0;
  std::optional<int16_t> where = 0;
  if (place.starts_with('$')) {
    value = numberFrom(place.substr(1));
  } else if (place.starts_with('%')) {
    spec.kind = Kind::inRegister;
    where = registerOffset(place.substr(1));
  } else {
    size_t open = place.find("(%");
    if (open == place.npos || !place.ends_with(')')) return std::nullopt;
    spec.kind = Kind::atRegister;
    if (open > 0) value = numberFrom(place.substr(0, open));
    where = registerOffset(place.substr(open + 2, place.size() - open - 3));
  }
  if (!value || !where) return std::nullopt;
  spec.value = *value;
  spec.registerOffset = *where;
  return spec;
}

}  // namespace

kj::Array<kj::byte> usdtSpec(kj::StringPtr arguments, uint64_t cookie) {
  Spec spec{{}, cookie, 0};
  std::istringstream words(arguments.cStr());
  for (std::string word; words >> word;) {
    if (spec.count == USDT_ARGUMENTS) fail(kj::str("a static probe with more than ", USDT_ARGUMENTS, " arguments: ", arguments));
    auto argument = argumentFrom(word);
    if (!argument) fail(kj::str("argument \"", word.c_str(), "\" of the static probe is where no program can read it"));
    spec.arguments[spec.count++] = *argument;
  }
  if (spec.count == 0) spec.arguments[0].value = 1;  // which nobody reads: an element of zeros is one that nobody uses
  auto bytes = kj::heapArray<kj::byte>(sizeof spec);
  memcpy(bytes.begin(), &spec, sizeof spec);
  return bytes;
}

}  // namespace bpfman
