#include "frontend/netlink.h"
#include "tests/cannot-run.h"

#include <cstring>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <random>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>
#include <kj/io.h>

namespace bpfman {
namespace {

kj::AutoCloseFd routeSocket(int groups = 0) {
  kj::AutoCloseFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  EXPECT_EQ(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return socket;
}

TEST(Netlink, FindsLoopbackByNameByIndexAndInTheList) {
  auto socket = routeSocket();
  Netlink netlink(socket.get());
  uint32_t index = if_nametoindex("lo");
  KJ_IF_MAYBE (lo, netlink.interfaceNamed("lo"))
    EXPECT_EQ(lo->index, index);
  else
    FAIL() << "no lo by name";
  KJ_IF_MAYBE (lo, netlink.interfaceAt(index))
    EXPECT_EQ(lo->name, "lo");
  else
    FAIL() << "no lo by index";
  bool listed = false;
  for (auto& interface : netlink.interfaces()) listed |= interface.index == index && interface.name == "lo";
  EXPECT_TRUE(listed);
}

TEST(Netlink, AnswersNothingForInterfacesThatCannotBe) {
  auto socket = routeSocket();
  Netlink netlink(socket.get());
  for (const char* name : {"", "nosuch0", "a-name-of-16-chars", "x/y"}) EXPECT_TRUE(netlink.interfaceNamed(name) == nullptr) << name;
  for (uint32_t index : {0u, 4'000'000u, ~0u}) EXPECT_TRUE(netlink.interfaceAt(index) == nullptr) << index;
  EXPECT_TRUE(netlink.filters(4'000'000, false).empty());
}

TEST(Netlink, AnswersOnANonblockingSocketManyTimes) {
  auto socket = routeSocket();
  fcntl(socket.get(), F_SETFL, O_NONBLOCK);
  for (int i = 0; i < 200; i++) {
    Netlink netlink(socket.get());
    EXPECT_TRUE(netlink.interfaceNamed("nosuch0") == nullptr);
    EXPECT_FALSE(netlink.interfaces().empty());
  }
}

TEST(Netlink, RefusesASocketThatIsNotRtnetlink) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
  kj::AutoCloseFd one(pair[0]), other(pair[1]);
  EXPECT_ANY_THROW(Netlink(one.get()).interfaceNamed("lo"));
}

// Real packets, from the kernel, then cut and changed at random.
TEST(NetlinkDecoding, SurvivesWhateverTheBytesAre) {
  auto socket = routeSocket();
  struct {
    nlmsghdr head;
    ifinfomsg body;
  } request{{sizeof(request), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {}};
  ASSERT_EQ(send(socket.get(), &request, sizeof(request), 0), ssize_t(sizeof(request)));
  std::vector<std::byte> packet(65536);
  ssize_t size = recv(socket.get(), packet.data(), packet.size(), 0);
  ASSERT_GT(size, 0);
  packet.resize(size);
  ASSERT_FALSE(splitMessages(packet).empty());
  std::mt19937 random(2);
  uint16_t types[] = {RTM_NEWLINK, RTM_DELLINK, RTM_NEWTFILTER, RTM_NEWQDISC};
  for (int i = 0; i < 20000; i++) {
    std::vector<std::byte> changed(packet.begin(), packet.begin() + random() % (packet.size() + 1));
    for (int change = 0; change < 4 && !changed.empty(); change++) changed[random() % changed.size()] = std::byte(random());
    for (auto message : splitMessages(changed)) {
      message.type = types[random() % 4];
      if (auto interface = decodeInterface(message)) { EXPECT_GT(interface->index, 0u); }
      decodeChange(message);
      decodeFilter(message);
      decodeQdisc(message);
      netlinkError(message);
    }
  }
}

TEST(NetlinkNotification, TellsARenameAndThatAnInterfaceIsGone) {
  std::vector<InterfaceChange> changes;
  std::string failure;
  std::thread([&] {  // its own network namespace, which ends with it
    if (unshare(CLONE_NEWNET) != 0) {
      failure = "can't make a network namespace";
      return;
    }
    auto socket = routeSocket(RTMGRP_LINK);
    for (auto command : {"ip link add d0 type veth peer name d1", "ip link set d0 name d9", "ip link del d9"})
      if (system(command) != 0) failure = command;
    fcntl(socket.get(), F_SETFL, O_NONBLOCK);
    std::vector<std::byte> packet(65536);
    for (ssize_t size; (size = recv(socket.get(), packet.data(), packet.size(), 0)) > 0;)
      for (auto& message : splitMessages(std::span(packet).first(size)))
        if (auto change = decodeChange(message); change && change->interface.name != "d1") changes.push_back(*change);
  })
      .join();
  if (!failure.empty()) CANNOT_RUN(failure);
  ASSERT_GE(changes.size(), 3u);
  EXPECT_EQ(changes.front().interface.name, "d0");
  EXPECT_FALSE(changes.front().gone);
  EXPECT_EQ(changes.back().interface.name, "d9");
  EXPECT_TRUE(changes.back().gone);
}

}  // namespace
}  // namespace bpfman
