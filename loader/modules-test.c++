// What an object uses of the kernel, and modules as libbpf sees them; then the real loader, which asks for them. The last needs root.
#include "loader/modules.h"

#include <cerrno>
#include <cstring>
#include <unistd.h>

#include <bpf/libbpf.h>
#include <gtest/gtest.h>

#include "loader/test-session.h"
#include "tests/cannot-run.h"

namespace bpfman {
namespace {

TEST(KernelNamesOfAnObject, AreItsExternsAndTheTypesThatItIsFittedTo) {
  auto namesOf = [](const char* name) {
    auto bytes = example(name);
    std::unique_ptr<bpf_object, void (*)(bpf_object*)> object(bpf_object__open_mem(bytes.data(), bytes.size(), nullptr), bpf_object__close);
    return kernelNamesOf(bpf_object__btf(object.get()), bytes);
  };
  EXPECT_EQ(namesOf("module_calls").symbols, (std::set<std::string>{"bpf_ct_release", "bpf_xdp_ct_lookup"}));
  EXPECT_TRUE(namesOf("module_calls").types.empty()) << "it has what it needs of them";
  EXPECT_EQ(namesOf("module_functions").types, std::set<std::string>{"veth_priv"});
  EXPECT_TRUE(namesOf("module_functions").symbols.empty());
  EXPECT_TRUE(namesOf("core_offset").symbols.empty());
}

TEST(KernelNamesOfAnObject, AreNoneOfOneThatIsCut) {
  auto whole = example("module_functions");
  for (size_t size = 0; size < whole.size(); size += 7) {
    std::vector<unsigned char> cut(whole.begin(), whole.begin() + size);
    kernelNamesOf(nullptr, cut);
  }
}

TEST(Modules, AreAskedForOnceAndDescribedAsTheKernelDoes) {
  const unsigned char TYPES[] = "0123456789";
  int asked = 0;
  Modules modules([&] { return ++asked, std::vector<Module>{{"one", {TYPES, 10}}, {"another", {TYPES, 3}}}; });
  EXPECT_FALSE(modules.has(1)) << "before";
  EXPECT_EQ(modules.after(0), 1u);
  EXPECT_EQ(modules.after(1), 2u);
  EXPECT_EQ(modules.after(2), 0u);
  EXPECT_EQ(modules.after(~0u), 0u);
  EXPECT_EQ(asked, 1);
  EXPECT_FALSE(modules.has(0));
  EXPECT_TRUE(modules.has(2));
  EXPECT_FALSE(modules.has(3));

  char name[4] = "", types[12] = "";
  bpf_btf_info info{reinterpret_cast<uint64_t>(types), 4, 0, reinterpret_cast<uint64_t>(name), sizeof name, 0};
  EXPECT_EQ(modules.describe(1, info), 0);
  EXPECT_STREQ(name, "one");
  EXPECT_STREQ(types, "0123") << "as many as there is room for";
  EXPECT_EQ(info.btf_size, 10u);
  EXPECT_EQ(info.id, 1u);
  EXPECT_EQ(info.kernel_btf, 1u);
  info.name_len = sizeof name;
  EXPECT_EQ(modules.describe(2, info), -ENOSPC);
}

TEST(ModulesOfALoad, AreAskedForOnlyIfTheKernelLacksWhatTheObjectUses) {
  if (geteuid() != 0) CANNOT_RUN("needs root, for bpf(2)");
  auto run = [](const char* name) {
    TestLoad load({{"calls", BPF_PROG_TYPE_SCHED_CLS, BPF_TCX_INGRESS, "tcx"}});
    auto result = load.run(example(name));
    std::string answer = result.isDone() ? "done" : result.getFailed().getReason().cStr();
    for (auto& each : load.wanted) answer += " " + each;
    return answer;
  };
  EXPECT_EQ(run("tcx_counter"), "program(s) not found in object file: [calls]; available programs: [tcx_counter]");
  std::string missing = run("missing_function");
  EXPECT_NE(missing.find("'bpfman_no_such_function': not found in kernel or module BTFs; if a module has it, load that first (modprobe)"),
            std::string::npos)
      << missing;
  EXPECT_TRUE(missing.ends_with(" bpfman_no_such_function")) << missing;
  TestLoad plain({{"xdp_counter"}});
  EXPECT_TRUE(plain.run(example("xdp_counter")).isDone());
  EXPECT_TRUE(plain.wanted.empty());
}

}  // namespace
}  // namespace bpfman
