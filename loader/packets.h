// Packets with descriptors over SOCK_SEQPACKET, and memfds that nobody can change any more: what job socket and session share.
#pragma once

#include <initializer_list>
#include <span>
#include <vector>

#include <kj/io.h>

namespace bpfman {

kj::AutoCloseFd newMemfd(const char* name);
kj::AutoCloseFd sealedMemfd(const char* name, std::initializer_list<std::span<const unsigned char>> parts);

void sendPacket(int socket, std::initializer_list<std::span<const unsigned char>> parts, kj::Maybe<int> descriptor);

struct ReceivedPacket {
  size_t size = 0;
  std::vector<kj::AutoCloseFd> descriptors;
  bool ended() const { return size == 0 && descriptors.empty(); }  // an empty packet with a descriptor is a packet
};
ReceivedPacket receivePacket(int socket, std::span<unsigned char> buffer);

}  // namespace bpfman
