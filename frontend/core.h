// The frontend's parts, wired once in main. Whoever needs several of them takes this.
#pragma once

#include <kj/async-io.h>

#include "frontend/account.h"
#include "frontend/audit.h"
#include "frontend/broker.h"
#include "frontend/catalog.h"
#include "frontend/elements.h"
#include "frontend/engine.h"
#include "frontend/intake.h"
#include "frontend/load.h"
#include "frontend/locks.h"
#include "frontend/policy.h"
#include "frontend/whereabouts.h"
#include "frontend/workers.h"

namespace bpfman {

struct Core {
  kj::AsyncIoContext& io;
  const wire::FrontendOptions& options;
  kj::FiberPool& fibers;  // each change runs in one: its steps stand one under the other
  Intake& intake;
  const Policy& policy;
  Catalog& catalog;
  BrokerChannel& broker;
  Workers& workers;
  Loads& loads;
  KernelBtf& btf;
  Engines& engines;
  Accounts& accounts;
  Audit& audit;
  class Tickets& tickets;
  ElementIterators& elements;
  Callers& callers;
  int hostNetns;          // the host's network namespace
  uint32_t possibleCpus;  // how many values an element of a per-CPU map has
  Locks locks;
  class Changes& changes;
  uint32_t connections = 0;  // over all sockets

  kj::StringPtr runtimeDir() const { return options.runtimeDir; }
};

}  // namespace bpfman
