// The kernel's modules that one load uses: those whose functions its programs watch, and those that have what its object uses of the
// kernel. The session gets each as the broker opens it, and calls it by the number that it has here.
#pragma once

#include "frontend/broker.h"
#include "frontend/module-btf.h"
#include "frontend/worker.h"
#include "schema/loader.capnp.h"

namespace bpfman {

class LoadModules {
 public:
  LoadModules(ModuleBtf& types, BrokerChannel& broker) : types(types), broker(broker) {}

  uint32_t numberOf(const std::string& module);                       // 1, 2, …; refuses more than the limit. 0: of "", the kernel itself
  void addWanted(schema::LoadResult::Wanting::Reader wanting);        // those that have what the kernel lacks
  void give(WorkerChannel& session, kj::WaitScope& scope);            // those that it does not have yet
  void put(schema::LoadJob::Builder job);                             // all, with their types
  const std::vector<std::string>& leftOut() const { return others; }  // they have some of it too, and there was no room

 private:
  ModuleBtf& types;
  BrokerChannel& broker;
  std::vector<std::string> names, others;
  size_t given = 0;
};

}  // namespace bpfman
