// The loader's side of the job socket: schema/loader.capnp, one message each way.
#pragma once

#include <span>
#include <vector>

#include <capnp/serialize.h>
#include <kj/io.h>

#include "schema/loader.capnp.h"

namespace bpfman {

class ReceivedJob {
 public:
  ReceivedJob(kj::AutoCloseFd given, kj::AutoCloseFd types, kj::Array<capnp::word> words);
  int otherTypes() const { return types; }  // the file that came second; -1: none
  schema::LoadJob::Reader get() { return job; }
  std::span<unsigned char> object() { return {bytes.begin(), bytes.size()}; }
  int program() const { return given; }  // of a job that is to run one

 private:
  kj::AutoCloseFd given, types;
  kj::Array<capnp::word> words;
  capnp::FlatArrayMessageReader message;
  schema::LoadJob::Reader job;
  kj::Array<unsigned char> bytes;  // a private mapping: libelf may write into it
};

class JobSocket {
 public:
  explicit JobSocket(kj::AutoCloseFd socket) : socket(kj::mv(socket)) {}
  kj::Maybe<kj::Own<ReceivedJob>> receive();  // nothing: nobody will send one any more
  void answer(capnp::MessageBuilder& result);

 private:
  kj::AutoCloseFd socket;
};

}  // namespace bpfman
