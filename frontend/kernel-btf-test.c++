#include "frontend/kernel-btf.h"
#include "tests/cannot-run.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <linux/btf.h>
#include <random>
#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <kj/debug.h>
#include <kj/io.h>

namespace bpfman {
namespace {

class KernelBtfOfThisKernel : public ::testing::Test {
 protected:
  int vmlinux = open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC);
  void SetUp() override {
    if (vmlinux < 0) CANNOT_RUN("this kernel has no BTF");
  }
  void TearDown() override { close(vmlinux); }

  static uint32_t saidByBpftool(std::string kind, std::string name) {
    FILE* pipe =
        popen(("bpftool btf dump file /sys/kernel/btf/vmlinux | grep -m1 \"^\\[[0-9]*\\] " + kind + " '" + name + "'\"").c_str(), "r");
    unsigned id = 0;
    EXPECT_EQ(fscanf(pipe, "[%u]", &id), 1);
    pclose(pipe);
    return id;
  }
};

uint32_t value(kj::Maybe<uint32_t> maybe) {
  KJ_IF_MAYBE (it, maybe) return *it;
  return 0;
}

TEST_F(KernelBtfOfThisKernel, AgreesWithBpftool) {
  KernelBtf btf(vmlinux);
  EXPECT_EQ(value(btf.tracepointId("sched_switch")), saidByBpftool("TYPEDEF", "btf_trace_sched_switch"));
  EXPECT_EQ(value(btf.functionId("do_unlinkat")), saidByBpftool("FUNC", "do_unlinkat"));
  EXPECT_GT(btf.tracepointCount(), 300u);
  for (const char* name : {"", "no_such_tracepoint", "sched_switch2", "btf_trace_sched_switch"})
    EXPECT_TRUE(btf.tracepointId(name) == nullptr) << name;
  EXPECT_TRUE(btf.functionId("no_such_function_at_all") == nullptr);
  KJ_IF_MAYBE (found, btf.structOpsMember("tcp_congestion_ops.ssthresh")) {
    EXPECT_EQ(found->type, saidByBpftool("STRUCT", "tcp_congestion_ops"));
    EXPECT_EQ(found->index, 0u);
    EXPECT_EQ(found->valueType, saidByBpftool("STRUCT", "bpf_struct_ops_tcp_congestion_ops"));
    EXPECT_EQ(found->offset % 8, 0u);
    EXPECT_GT(found->offset, 0u) << "behind what the kernel keeps of it";
  } else {
    ADD_FAILURE() << "no tcp_congestion_ops";
  }
  for (const char* name : {"tcp_congestion_ops", "tcp_congestion_ops.", "tcp_congestion_ops.nothing", "sk_buff.len", ".x", ""})
    EXPECT_TRUE(btf.structOpsMember(name) == nullptr) << name;
}

TEST_F(KernelBtfOfThisKernel, FindsManyAtOnceAsOneByOne) {
  KernelBtf btf(vmlinux), one(vmlinux);
  auto found = btf.find({{"vfs_read", "do_unlinkat", "no_such_function_at_all"}, "tcp_congestion_ops.cong_avoid"});
  EXPECT_EQ(found.functions.size(), 2u);
  for (auto& [name, id] : found.functions) EXPECT_EQ(id, value(one.functionId(name.c_str()))) << name;
  auto expected = KJ_ASSERT_NONNULL(one.structOpsMember("tcp_congestion_ops.cong_avoid"));
  auto member = KJ_ASSERT_NONNULL(found.member);
  EXPECT_EQ(std::make_tuple(member.type, member.index, member.valueType, member.offset),
            std::make_tuple(expected.type, expected.index, expected.valueType, expected.offset));
  EXPECT_EQ(btf.tracepointCount(), one.tracepointCount());
  EXPECT_EQ(std::ranges::count(btf.structOps(), "tcp_congestion_ops"), 1);
  EXPECT_EQ(std::ranges::count(btf.structOps(), "map"), 0) << "whose name only looks so";
  EXPECT_TRUE(btf.find({}).functions.empty());
  EXPECT_TRUE(btf.find({{}, "tcp_congestion_ops.nothing"}).member == nullptr);
}

TEST_F(KernelBtfOfThisKernel, ProposesNearMisses) {
  KernelBtf btf(vmlinux);
  for (const char* wrong : {"sched_swich", "sched_switsch", "shed_switch"}) {
    KJ_IF_MAYBE (near, btf.nearestTracepoint(wrong))
      EXPECT_EQ(*near, "sched_switch") << wrong;
    else
      ADD_FAILURE() << wrong;
  }
  EXPECT_TRUE(btf.nearestTracepoint("completely_other_words_here") == nullptr);
  EXPECT_TRUE(btf.nearestTracepoint("") == nullptr);
}

TEST(KernelBtf, FindsNothingWhereTheKernelHasNone) {
  kj::AutoCloseFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  KernelBtf btf(null.get());
  EXPECT_TRUE(btf.tracepointId("sched_switch") == nullptr);
  EXPECT_TRUE(btf.functionId("do_unlinkat") == nullptr);
}

std::vector<char> smallBtf() {
  std::string strings("\0btf_trace_one\0int\0two\0", 23);
  struct {
    btf_header header;
    btf_type integer;
    uint32_t bits;
    btf_type typedefOne;
    btf_type function;
  } all{};
  all.header = {.magic = BTF_MAGIC,
                .version = 1,
                .flags = 0,
                .hdr_len = sizeof(btf_header),
                .type_off = 0,
                .type_len = sizeof(all) - sizeof(btf_header),
                .str_off = sizeof(all) - sizeof(btf_header),
                .str_len = uint32_t(strings.size())};
  all.integer = {.name_off = 15, .info = BTF_KIND_INT << 24, .size = 4};
  all.typedefOne = {.name_off = 1, .info = BTF_KIND_TYPEDEF << 24, .type = 1};
  all.function = {.name_off = 19, .info = BTF_KIND_FUNC << 24, .type = 0};
  std::vector<char> bytes(sizeof(all));
  std::memcpy(bytes.data(), &all, sizeof(all));
  bytes.insert(bytes.end(), strings.begin(), strings.end());
  return bytes;
}

kj::AutoCloseFd fileOf(const std::vector<char>& bytes) {
  kj::AutoCloseFd file(memfd_create("btf", MFD_CLOEXEC));
  EXPECT_EQ(write(file.get(), bytes.data(), bytes.size()), ssize_t(bytes.size()));
  return file;
}

TEST(KernelBtf, NeverReadsOutsideWhateverTheBytesAre) {
  auto good = smallBtf();
  auto file = fileOf(good);
  KernelBtf btf(file.get());
  EXPECT_EQ(value(btf.tracepointId("one")), 2u);
  EXPECT_EQ(value(btf.functionId("two")), 3u);
  std::mt19937 random(3);
  for (int i = 0; i < 3000; i++) {
    auto bad = good;
    for (int change = 0; change < 2; change++) bad[random() % bad.size()] = char(random());
    bad.resize(1 + random() % bad.size());
    auto damaged = fileOf(bad);
    try {
      KernelBtf it(damaged.get());
      it.tracepointId("one");
      it.functionId("two");
    } catch (const kj::Exception&) {}
  }
}

}  // namespace
}  // namespace bpfman
