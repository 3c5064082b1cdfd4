#include "loader/session.h"

#include <cerrno>
#include <cstring>
#include <iterator>

#include <kj/debug.h>

#include "loader/packets.h"

namespace bpfman {

SessionAnswer SocketSession::receive() {
  ReceivedPacket packet = receivePacket(socket, {buffer.begin(), buffer.size()});
  KJ_REQUIRE(!packet.ended(), "the session ended");
  wire::Reply reply;
  KJ_REQUIRE(packet.size >= sizeof reply, "short answer from the session");
  memcpy(&reply, buffer.begin(), sizeof reply);
  KJ_REQUIRE(reply.size == packet.size && reply.descriptors == packet.descriptors.size(), "malformed answer from the session");
  SessionAnswer answer{reply.result, {buffer.begin() + sizeof reply, buffer.begin() + packet.size}, nullptr};
  if (!packet.descriptors.empty()) answer.descriptor = kj::mv(packet.descriptors[0]);
  return answer;
}

SessionAnswer SocketSession::call(wire::Op op, Bytes fixed, std::initializer_list<Bytes> tail) {
  SessionAnswer answer{-EPIPE, {}, nullptr};
  if (gone) return answer;
  auto failure = kj::runCatchingExceptions([&]() {
    size_t tailSize = 0;
    for (Bytes part : tail) tailSize += part.size();
    size_t size = sizeof(wire::Header) + fixed.size() + tailSize;
    if (size <= wire::MAX_MESSAGE) {
      Bytes parts[5];
      KJ_REQUIRE(tail.size() <= std::size(parts));
      std::copy(tail.begin(), tail.end(), parts);
      wire::Header header{op, static_cast<uint32_t>(size)};
      sendPacket(socket, {bytesOf(header), fixed, parts[0], parts[1], parts[2], parts[3], parts[4]}, nullptr);
    } else {
      wire::Header header{op, static_cast<uint32_t>(sizeof(wire::Header) + fixed.size())};
      kj::AutoCloseFd blob = sealedMemfd("blob", tail);
      sendPacket(socket, {bytesOf(header), fixed}, blob.get());
    }
    answer = receive();
  });
  if (failure != nullptr) gone = true;
  return answer;
}

}  // namespace bpfman
