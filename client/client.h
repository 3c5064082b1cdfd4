// The client library of bpfman: a connection to bpfmand, and the powers that its policy grants to whoever connected.
//
//   auto io = kj::setupAsyncIo();
//   bpfman::Connection daemon(io, bpfman::DEFAULT_RUNTIME_DIR);
//   auto answer = daemon.programs().listRequest().send().wait(io.waitScope);
//
// Descriptors: see client/descriptor.h. Errors are kj exceptions; whatWentWrong() (client/error.h) makes them into a line for people.
//
// When the daemon restarts, what is attached stays attached, but every capability of the connection fails from then on with type
// DISCONNECTED, calls under way included: whether such a call took effect is unknown. Make a new Connection (connectWithin waits for
// the daemon), fetch the programs and links anew by their ids, and look what was done before repeating a call that changes something.
#pragma once

#include "client/descriptor.h"
#include "client/error.h"
#include "schema/bpfman.capnp.h"

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>

namespace bpfman {

constexpr char DEFAULT_RUNTIME_DIR[] = "/run/bpfman";
constexpr char SOCKET_NAME[] = "bpfman.sock";
constexpr unsigned DESCRIPTORS_PER_MESSAGE = 4;

// A connected socket, or an exception that says what is in the way: no socket (FAILED), no permission (FAILED), or a socket where
// nobody answers (DISCONNECTED: a daemon that restarts looks like this). Waits at most 10 s for a daemon that is too busy to accept.
kj::AutoCloseFd connectSocket(kj::StringPtr runtimeDir);

class Connection {
 public:
  Connection(kj::AsyncIoContext& io, kj::StringPtr runtimeDir);
  Connection(kj::AsyncIoContext& io, kj::AutoCloseFd connectedSocket);
  KJ_DISALLOW_COPY(Connection);

  schema::Daemon::Client daemon() { return root; }

  // The powers. They may be used at once, without waiting, and outlive neither the connection nor a restart of the daemon.
  schema::Programs::Client programs() { return enter().getPrograms(); }
  schema::Links::Client links() { return enter().getLinks(); }
  schema::Overview::Client overview() { return enter().getOverview(); }
  schema::Audit::Client audit() { return enter().getAudit(); }
  schema::Tokens::Client tokens() { return enter().getTokens(); }

  // Resolves when the other side is gone.
  kj::Promise<void> onDisconnect() { return network.onDisconnect(); }

 private:
  capnp::RemotePromise<schema::Daemon::EnterResults> enter() { return root.enterRequest().send(); }

  kj::Own<kj::AsyncCapabilityStream> stream;
  capnp::TwoPartyClient network;
  schema::Daemon::Client root;
};

// As the constructor, but where the socket is there and nobody answers it tries again, 20 times a second, for as long as `patience`.
kj::Promise<kj::Own<Connection>> connectWithin(kj::AsyncIoContext& io, kj::StringPtr runtimeDir, kj::Duration patience);

}  // namespace bpfman
