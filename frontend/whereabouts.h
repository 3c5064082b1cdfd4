// Where a caller is, as the kernel says of the process that connected, found by its pidfd and never by its number: its cgroup, its user and
// network namespace. An iterator of bpfman's own (bpf/caller.bpf.c) reads it, as the frontend may look into no other process.
#pragma once

#include "frontend/identity.h"
#include "frontend/load.h"

namespace bpfman {

class Callers {
 public:
  Callers(Loads& loads, Catalog& catalog, Workers& workers, uint64_t hostUserNamespace)
      : loads(loads), catalog(catalog), workers(workers), hostUserNamespace(hostUserNamespace) {}

  void install(kj::WaitScope& scope);  // before any other

  void settle(Identity& identity, kj::WaitScope& scope);
  // Fills in where it is, and whether what is root there is root here. Where it can't be known: empty, with the reason.

 private:
  Loads& loads;
  Catalog& catalog;
  Workers& workers;
  uint64_t hostUserNamespace;
  uint32_t load = 0;

  kj::Maybe<Whereabouts> look(int process, kj::WaitScope& scope);
};

}  // namespace bpfman
