#include "frontend/load-modules.h"

#include <algorithm>

#include "frontend/limits.h"
#include "frontend/refuse.h"

namespace bpfman {

uint32_t LoadModules::numberOf(const std::string& module) {
  if (module.empty()) return 0;
  auto found = std::ranges::find(names, module);
  if (found == names.end()) {
    if (names.size() == wire::MAX_MODULES) refuse("a load can use ", wire::MAX_MODULES, " modules of the kernel at most");
    found = names.insert(names.end(), module);
  }
  return found - names.begin() + 1;
}

void LoadModules::addWanted(schema::LoadResult::Wanting::Reader wanting) {
  ModuleBtf::Names wanted;
  for (auto name : wanting.getSymbols()) wanted.symbols.insert(name.cStr());
  for (auto name : wanting.getTypes()) wanted.types.insert(name.cStr());
  for (auto& module : types.having(std::move(wanted))) {
    bool known = std::ranges::count(names, module) > 0;
    if (!known && names.size() == wire::MAX_MODULES)
      others.push_back(module);
    else
      numberOf(module);
  }
}

void LoadModules::give(WorkerChannel& session, kj::WaitScope& scope) {
  for (; given < names.size(); ++given) {
    auto module = broker.openModule(names[given].c_str()).wait(scope);
    int descriptor = module.get();
    auto number = requireOk(session.callPlain(wire::Op::addModule, kj::arrayPtr(&descriptor, 1)).wait(scope), "use a module's types");
    KJ_REQUIRE(number == int64_t(given) + 1, "malformed answer from the load session");
  }
}

void LoadModules::put(schema::LoadJob::Builder job) {
  auto list = job.initModules(names.size());
  uint64_t together = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    auto bytes = types.typesOf(names[i].c_str());
    together += bytes.size();
    if (together > limits::MODULE_TYPES_BYTES)
      refuse("the types of the modules that it uses have more than ", limits::MODULE_TYPES_BYTES >> 20, " MiB");
    list[i].setName(names[i].c_str());
    list[i].setTypes(kj::arrayPtr(reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()));
  }
}

}  // namespace bpfman
