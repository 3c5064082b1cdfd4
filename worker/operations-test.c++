// The table, and the framing beneath it: what does not belong ends the process that received it. Needs no root.
#include "worker/recording-bpf.h"

#include <sys/socket.h>

namespace bpfman {
namespace {

using wire::Op;

class WorkerTable : public testing::Test {
 protected:
  RecordingBpf bpf;
  wire::Ceiling ceiling = ceilingForTests();
  Context context{bpf, ceiling};

  void perform(Request request, State state) { bpfman::perform(context, request, state); }
};

// As schema/worker.h groups them: said here once more, so that a row that gains a state is noticed.
uint32_t statesOf(Op op) {
  if (op <= Op::setFilter) return Control;
  if (op == Op::grant) return Waiting;
  if (op == Op::inspectHandle) return Granted | Loading;
  if (op <= Op::commit) return Granted;
  if (op == Op::addModule) return Waiting | Granted;
  return Loading;
}

TEST_F(WorkerTable, HasOneRowForEachOperationInItsPlace) {
  ASSERT_EQ(operations().size(), size_t(Op::count));
  for (uint32_t i = 0; i < operations().size(); ++i) {
    EXPECT_EQ(uint32_t(operations()[i].op), i);
    EXPECT_EQ(operations()[i].states, statesOf(Op(i))) << "operation " << i;
  }
}

TEST_F(WorkerTable, EveryOperationIsRefusedInEveryStateThatDoesNotListIt) {
  for (const Operation& operation : operations())
    for (State state : {Control, Waiting, Granted, Loading})
      if (!(statesOf(operation.op) & state)) {
        EXPECT_DEATH_BY_LINE(perform(requestOf(operation.op, operation.fixedSize, operation.minDescriptors), state),
                             "operation [0-9]+ is not permitted in state");
      }
}

TEST_F(WorkerTable, EveryOperationWantsExactlyItsStruct) {
  for (const Operation& operation : operations()) {
    State state = State(operation.states);
    if (operation.fixedSize) {
      EXPECT_DEATH_BY_LINE(perform(requestOf(operation.op, operation.fixedSize - 1, operation.minDescriptors), state),
                           "operation [0-9]+ with [0-9]+ bytes");
      EXPECT_DEATH_BY_LINE(perform(requestOf(operation.op, 0, operation.minDescriptors), state), "operation [0-9]+ with 0 bytes");
    }
    if (!operation.tail) {
      EXPECT_DEATH_BY_LINE(perform(requestOf(operation.op, operation.fixedSize + 1, operation.minDescriptors), state),
                           "operation [0-9]+ with [0-9]+ bytes");
    }
  }
}

TEST_F(WorkerTable, EveryOperationTakesOnlyItsNumberOfDescriptors) {
  for (const Operation& operation : operations()) {
    State state = State(operation.states);
    for (size_t count = 0; count <= wire::MAX_DESCRIPTORS; ++count)
      if (count < operation.minDescriptors || count > operation.maxDescriptors) {
        EXPECT_DEATH_BY_LINE(perform(requestOf(operation.op, operation.fixedSize, count), state),
                             "operation [0-9]+ with [0-9]+ descriptors");
      }
  }
}

TEST_F(WorkerTable, AnOperationThatDoesNotExistEndsTheProcess) {
  for (uint32_t op : {uint32_t(Op::count), uint32_t(Op::count) + 1, 0x7fffffffu, ~0u})
    for (State state : {Control, Waiting, Granted, Loading})
      EXPECT_DEATH_BY_LINE(perform(requestOf(Op(op), 0), state), "unknown operation");
}

TEST_F(WorkerTable, KnowsEachMapTypeWhoseValuesTheKernelTakesForDescriptors) {
  for (uint32_t type :
       {BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_RINGBUF, BPF_MAP_TYPE_LPM_TRIE, BPF_MAP_TYPE_ARENA})
    EXPECT_FALSE(holdsDescriptors(type)) << type;
  for (uint32_t type : {BPF_MAP_TYPE_PROG_ARRAY, BPF_MAP_TYPE_PERF_EVENT_ARRAY, BPF_MAP_TYPE_CGROUP_ARRAY, BPF_MAP_TYPE_ARRAY_OF_MAPS,
                        BPF_MAP_TYPE_HASH_OF_MAPS, BPF_MAP_TYPE_DEVMAP, BPF_MAP_TYPE_DEVMAP_HASH, BPF_MAP_TYPE_CPUMAP, BPF_MAP_TYPE_XSKMAP,
                        BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_SOCKHASH, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, BPF_MAP_TYPE_STRUCT_OPS})
    EXPECT_TRUE(holdsDescriptors(type)) << type;
  EXPECT_TRUE(holdsDescriptors(__MAX_BPF_MAP_TYPE)) << "one that is newer than this program";
}

// ---- framing ----

class WorkerChannel : public testing::Test {
 protected:
  int pair[2];
  void SetUp() override { ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0); }
  void TearDown() override {
    close(pair[0]);
    close(pair[1]);
  }

  void send(const void* bytes, size_t size, size_t descriptors = 0) {
    iovec part{const_cast<void*>(bytes), size};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 16)] = {};
    msghdr message{nullptr, 0, &part, 1, nullptr, 0, 0};
    if (descriptors) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptors);
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      *header = {CMSG_LEN(sizeof(int) * descriptors), SOL_SOCKET, SCM_RIGHTS};
      std::vector<int> numbers(descriptors, pair[0]);
      memcpy(CMSG_DATA(header), numbers.data(), sizeof(int) * descriptors);
    }
    ASSERT_EQ(sendmsg(pair[0], &message, 0), ssize_t(size));
  }
  bool receive() {
    Channel channel{Fd(dup(pair[1]))};
    Request request;
    return channel.receive(request);
  }
  static std::vector<uint8_t> listMessage() {
    std::vector<uint8_t> bytes(sizeof(wire::Header) + sizeof(wire::List));
    wire::Header header{Op::list, uint32_t(bytes.size())};
    memcpy(bytes.data(), &header, sizeof header);
    return bytes;
  }
};

TEST_F(WorkerChannel, TakesAWholeMessageWithUpToThreeDescriptors) {
  auto bytes = listMessage();
  for (size_t descriptors = 0; descriptors <= wire::MAX_DESCRIPTORS; ++descriptors) {
    send(bytes.data(), bytes.size(), descriptors);
    Channel channel{Fd(dup(pair[1]))};
    Request request;
    ASSERT_TRUE(channel.receive(request));
    EXPECT_EQ(request.op, Op::list);
    EXPECT_EQ(request.body.size(), sizeof(wire::List));
    EXPECT_EQ(request.descriptorCount, descriptors);
  }
}

TEST_F(WorkerChannel, AMessageCutAtAnyByteEndsTheProcess) {
  auto bytes = listMessage();
  for (size_t size = 1; size < bytes.size(); ++size)
    EXPECT_DEATH_BY_LINE((send(bytes.data(), size), receive()), size < sizeof(wire::Header) ? "short message" : "says it has") << size;
}

TEST_F(WorkerChannel, AHeaderThatLiesAboutTheSizeEndsTheProcess) {
  for (uint32_t said : {0u, 8u, uint32_t(listMessage().size()) - 1, uint32_t(listMessage().size()) + 1, ~0u}) {
    auto bytes = listMessage();
    wire::Header header{Op::list, said};
    memcpy(bytes.data(), &header, sizeof header);
    EXPECT_DEATH_BY_LINE((send(bytes.data(), bytes.size()), receive()), "says it has") << said;
  }
}

TEST_F(WorkerChannel, TooManyDescriptorsEndTheProcess) {
  auto bytes = listMessage();
  for (size_t descriptors : {4, 5, 16})
    EXPECT_DEATH_BY_LINE((send(bytes.data(), bytes.size(), descriptors), receive()), "too many descriptors|oversized message");
}

TEST_F(WorkerChannel, AMessageThatIsTooLongEndsTheProcess) {
  int room = 1 << 20;
  setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  std::vector<uint8_t> bytes(wire::MAX_MESSAGE + 1);
  wire::Header header{Op::update, uint32_t(bytes.size())};
  memcpy(bytes.data(), &header, sizeof header);
  EXPECT_DEATH_BY_LINE((send(bytes.data(), bytes.size()), receive()), "oversized message");
}

// The kernel does not tell an empty packet from the end: both mean that the other side has nothing to say any more.
TEST_F(WorkerChannel, AnEmptyMessageIsTheEnd) {
  send("", 0);
  EXPECT_FALSE(receive());
}

TEST_F(WorkerChannel, AnAnswerToOneWhoLeftIsLost) {
  Channel channel{Fd(dup(pair[1]))};
  close(pair[0]);
  channel.send(Answer(0));
  pair[0] = -1;
}

}  // namespace
}  // namespace bpfman
