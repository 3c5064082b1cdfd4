#include "frontend/module-btf.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include <kj/io.h>

#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr std::string_view TRACEPOINT = "btf_trace_";
constexpr const char* LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

bool isModuleName(std::string_view name) {
  return !name.empty() && name.size() < 64 && name.find_first_not_of(LETTERS) == name.npos && name != "vmlinux";
}

uint32_t kindOf(ModuleBtf::Wanted wanted) { return wanted == ModuleBtf::Wanted::function ? BTF_KIND_FUNC : BTF_KIND_TYPEDEF; }
kj::StringPtr wordFor(ModuleBtf::Wanted wanted) { return wanted == ModuleBtf::Wanted::function ? "function"_kj : "tracepoint"_kj; }

bool isSymbol(uint32_t kind) { return kind == BTF_KIND_FUNC || kind == BTF_KIND_VAR; }
bool isNamedType(uint32_t kind) {
  return kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION || kind == BTF_KIND_ENUM || kind == BTF_KIND_ENUM64 ||
         kind == BTF_KIND_TYPEDEF || kind == BTF_KIND_INT || kind == BTF_KIND_FLOAT;
}
// Of the kinds that they are, the names among these.
std::set<std::string, std::less<>>* setFor(ModuleBtf::Names& names, uint32_t kind) {
  return isSymbol(kind) ? &names.symbols : isNamedType(kind) ? &names.types : nullptr;
}

}  // namespace

struct ModuleBtf::Base {
  explicit Base(int kernel) : bytes(readBtf(kernel)) {}

  template <typename Each>
  void walk(Each each) {  // once
    if (bytes.empty()) return;
    behind.strings = btfSections(bytes).strings;
    behind.types = forEachType(bytes, [&](const BtfType& type) { return each(type), true; });
  }

  std::vector<char> bytes;
  BtfBase behind{};
};

std::vector<std::string> ModuleBtf::modules() {
  std::vector<std::string> names;
  int copy = directory < 0 ? -1 : openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* listing = copy < 0 ? nullptr : fdopendir(copy);
  if (!listing) return names;
  KJ_DEFER(closedir(listing));
  while (dirent* entry = readdir(listing))
    if (isModuleName(entry->d_name)) names.push_back(entry->d_name);
  std::ranges::sort(names);
  return names;
}

std::vector<char> ModuleBtf::typesOf(kj::StringPtr module) {
  if (directory < 0 || !isModuleName(module.cStr())) return {};
  kj::AutoCloseFd file(openat(directory, module.cStr(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  return file.get() < 0 ? std::vector<char>() : readBtf(file);
}

uint32_t ModuleBtf::idIn(kj::StringPtr module, Wanted wanted, std::string_view name, const Base& base) {
  auto bytes = typesOf(module);
  uint32_t id = 0;
  std::string typedefName = wanted == Wanted::tracepoint ? std::string(TRACEPOINT) + std::string(name) : std::string(name);
  auto each = [&](const BtfType& type) {
    if (type.kind == kindOf(wanted) && type.name == typedefName) id = type.id;
    return id == 0;
  };
  if (!bytes.empty()) forEachType(bytes, each, base.behind);
  return id;
}

bool ModuleBtf::isLoaded(kj::StringPtr module) {
  auto lines = loaded < 0 ? std::vector<char>() : readBtf(loaded);
  std::string all = "\n" + std::string(lines.data(), lines.size());
  return all.find(kj::str('\n', module, ' ').cStr()) != all.npos;
}

kj::Maybe<ModuleBtf::Found> ModuleBtf::find(Wanted wanted, kj::StringPtr name) {
  Base base(kernel);
  std::string_view whole(name.cStr(), name.size()), function = whole.substr(whole.find(':') + 1);
  bool kernelHas = false;
  std::string typedefName = (wanted == Wanted::tracepoint ? std::string(TRACEPOINT) : "") + std::string(function);
  base.walk([&](const BtfType& type) { kernelHas |= type.kind == kindOf(wanted) && type.name == typedefName; });
  if (!isQualified(name)) {
    std::vector<Found> found;
    for (auto& module : modules())
      if (uint32_t id = idIn(module.c_str(), wanted, function, base)) found.push_back({module, id});
    if (found.size() > 1)
      refuse(wordFor(wanted), " ", name, " is in the modules ", found[0].module.c_str(), " and ", found[1].module.c_str(),
             found.size() > 2 ? " and others" : "", ": say in which (", found[0].module.c_str(), ':', name, ')');
    return found.empty() ? kj::Maybe<Found>() : kj::Maybe<Found>(found[0]);
  }
  auto module = kj::str(std::string(whole.substr(0, whole.find(':'))).c_str());
  if (!isModuleName(module.cStr()) || function.empty()) refuse("\"", name, "\": a ", wordFor(wanted), " of a module is MODULE:NAME");
  if (uint32_t id = idIn(module, wanted, function, base)) return Found{module.cStr(), id};
  auto instead = kernelHas ? kj::str("; the kernel itself has that ", wordFor(wanted), ": leave ", module, ": out") : kj::String();
  if (!typesOf(module).empty()) refuse("module ", module, " has no ", wordFor(wanted), " \"", function.data(), "\"", instead);
  if (isLoaded(module))
    refuse("module ", module, " has no types (BTF), by which the kernel knows its functions: a kprobe needs none", instead);
  refuse("module ", module, " is not loaded: load it first (modprobe ", module, ')', instead);
}

std::vector<std::string> ModuleBtf::having(Names names) {
  Base base(kernel);
  base.walk([&](const BtfType& type) {
    auto* set = setFor(names, type.kind);
    if (!set) return;
    auto name = set->find(type.name);
    if (name != set->end()) set->erase(name);
  });
  std::vector<std::string> found;
  if (names.symbols.empty() && names.types.empty()) return found;
  for (auto& module : modules()) {
    auto bytes = typesOf(module.c_str());
    bool has = false;
    auto each = [&](const BtfType& type) {
      auto* set = setFor(names, type.kind);
      has |= set && set->contains(type.name);
      return !has;
    };
    if (!bytes.empty()) forEachType(bytes, each, base.behind);
    if (has) found.push_back(module);
  }
  return found;
}

}  // namespace bpfman
