#include "frontend/listener.h"

#include <cerrno>
#include <sys/socket.h>

#include <capnp/rpc-twoparty.h>
#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/servers.h"

namespace bpfman {

namespace {

capnp::ReaderOptions readerOptions() {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = limits::MESSAGE_WORDS;
  options.nestingLimit = limits::MESSAGE_NESTING;
  return options;
}

// In the order in which it must end: the RPC system first, the stream last. A message's descriptors come with its first bytes: Cap'n Proto
// 1.1's own stream, which reads ahead, loses those of a message above 64 KiB that another one precedes in the same read.
struct Served {
  kj::Own<Connection> connection;
  kj::Own<kj::AsyncCapabilityStream> stream;
  capnp::AsyncCapabilityMessageStream messages;
  capnp::TwoPartyVatNetwork network;
  capnp::RpcSystem<capnp::rpc::twoparty::VatId> rpc;

  Served(kj::Own<Connection> c, kj::Own<kj::AsyncCapabilityStream> s, SystemView& system)
      : connection(kj::mv(c)),
        stream(kj::mv(s)),
        messages(*stream),
        network(messages, limits::DESCRIPTORS_PER_MESSAGE, capnp::rpc::twoparty::Side::SERVER, readerOptions()),
        rpc(capnp::makeRpcServer(network, capnp::Capability::Client(newDaemon(*connection, system)))) {
    connection->network = &network;
    rpc.setFlowLimit(2 * limits::MESSAGE_WORDS);  // of calls that are not answered yet: what a client can make us keep
  }
};

}  // namespace

kj::Promise<void> Listener::serve() {
  for (;;) {
    int client = accept4(socket, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client >= 0) {
      accept(kj::AutoCloseFd(client));
    } else if (errno == EAGAIN) {
      return observer.whenBecomesReadable().then([this]() { return serve(); });
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      return core.io.provider->getTimer().afterDelay(100 * kj::MILLISECONDS).then([this]() { return serve(); });
    } else {
      KJ_REQUIRE(errno == EINTR || errno == ECONNABORTED, "accept", strerror(errno));
    }
  }
}

void Listener::accept(kj::AutoCloseFd client) {
  Identity identity = identify(client);
  KJ_IF_MAYBE (uid, fixed) {
    identity.caller.uid = *uid;
    identity.caller.gids.clear();
    identity.fixed = true;
  }
  uint32_t uid = identity.caller.uid;
  auto account = core.accounts.of(uid);
  size_t his = account->connections.size() + account->arriving;
  if (core.connections >= limits::CONNECTIONS || his >= core.options.maxConnections) {
    spdlog::warn("uid {}: refused, too many connections ({} of this user, {} in all)", uid, his, core.connections);
    return;
  }
  if (size_t hanging = core.intake.closer().waiting(uid); hanging >= limits::CLOSERS) {
    spdlog::warn("uid {}: refused, {} descriptors that it passed don't answer", uid, hanging);
    return;
  }
  ++core.connections;
  ++account->arriving;
  tasks.add(core.fibers.startFiber(
      [this, client = kj::mv(client), identity = kj::mv(identity), account = kj::mv(account)](kj::WaitScope& scope) mutable {
        KJ_ON_SCOPE_FAILURE(--core.connections);
        core.callers.settle(identity, scope);
        --account->arriving;
        serveOne(kj::mv(client), kj::mv(identity));
      }));
}

void Listener::serveOne(kj::AutoCloseFd client, Identity identity) {
  auto connection = kj::refcounted<Connection>(core, kj::mv(identity), name);
  connection->socket = client.get();
  auto stream = guard(core.io.lowLevelProvider->wrapUnixSocketFd(client.release(), kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP |
                                                                                       kj::LowLevelAsyncIoProvider::ALREADY_CLOEXEC |
                                                                                       kj::LowLevelAsyncIoProvider::ALREADY_NONBLOCK),
                      core.intake, connection->uid());
  auto served = kj::heap<Served>(kj::mv(connection), kj::mv(stream), system);
  auto ended = served->network.onDisconnect();
  tasks.add(ended.then([this, served = kj::mv(served)]() mutable {
    served->connection->disconnected();
    --core.connections;
  }));
}

void Listener::taskFailed(kj::Exception&& exception) { spdlog::warn("connection: {}", exception.getDescription().cStr()); }

}  // namespace bpfman
