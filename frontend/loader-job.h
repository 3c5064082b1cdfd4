// A conversation with one loader: jobs and answers of schema/loader.capnp, within the time that a load may take. What is answered was made
// from a client's object: its size and shape are checked here, its content by whoever asked.
#pragma once

#include <capnp/message.h>
#include <capnp/serialize.h>

#include "frontend/load.h"
#include "schema/loader.capnp.h"

namespace bpfman {

class LoaderJob {
 public:
  LoaderJob(LoadPair pair, kj::Timer& timer, kj::Duration patience, Cancellation& cancellation, kj::WaitScope& scope)
      : pair(kj::mv(pair)), timer(timer), patience(patience), cancellation(cancellation), scope(scope) {}
  KJ_DISALLOW_COPY(LoaderJob);

  schema::LoadResult::Reader ask(capnp::MessageBuilder& job, kj::ArrayPtr<const int> files);  // files: as LoadJob says. Until the next one
  WorkerChannel& session() { return *pair.session; }

 private:
  LoadPair pair;
  kj::Timer& timer;
  kj::Duration patience;
  Cancellation& cancellation;
  kj::WaitScope& scope;
  kj::Maybe<kj::String> stopped;  // why we ended the session
  kj::Array<capnp::word> words;   // of the last answer
  kj::Own<capnp::FlatArrayMessageReader> answer;

  Packet waitFor(kj::Promise<Packet> answer, kj::StringPtr what);  // what: takes the time
  void end(kj::String reason);
};

kj::Maybe<Refused> refusalOf(schema::LoadResult::Reader result);
kj::String releaseOfKernel();  // as LoadJob wants it

}  // namespace bpfman
