// On BTF that is made here, in files as /sys/kernel/btf has them: this project's machine has no modules. tests/module_test.py tries real
// ones.
#include "frontend/module-btf.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include <gtest/gtest.h>
#include <kj/io.h>

namespace bpfman {
namespace {

struct Named {
  uint32_t kind;
  std::string name;
};

// BTF with types of these kinds and names, none of which has more than that. base: the strings that its own begin behind; a name that is
// there is not said again, as the kernel's build leaves it out.
std::string btfOf(const std::vector<Named>& named, const std::string& base = "") {
  std::string types, strings = base.empty() ? std::string(1, '\0') : "";
  for (auto& each : named) {
    std::string terminated = '\0' + each.name + '\0';
    size_t there = base.find(terminated);
    btf_type type{};
    type.name_off = there == base.npos ? base.size() + strings.size() : there + 1;
    type.info = each.kind << 24;
    if (there == base.npos) strings += each.name + '\0';
    types.append(reinterpret_cast<const char*>(&type), sizeof type);
    types.append(btfTailOf(each.kind, 0), '\0');
  }
  btf_header header{BTF_MAGIC, BTF_VERSION, 0, sizeof header, 0, uint32_t(types.size()), uint32_t(types.size()), uint32_t(strings.size())};
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) + types + strings;
}

std::string stringsOf(const std::string& btf) {
  auto strings = btfSections({btf.data(), btf.size()}).strings;
  return {strings.data(), strings.size()};
}

class ModuleTypes : public testing::Test {
 protected:
  std::string directory;
  std::string kernel = btfOf({{BTF_KIND_STRUCT, "sk_buff"},
                              {BTF_KIND_FUNC, "do_unlinkat"},
                              {BTF_KIND_FUNC, "shared_name"},
                              {BTF_KIND_TYPEDEF, "btf_trace_sched_switch"}});
  std::string base = stringsOf(kernel);

  void SetUp() override {
    char name[] = "/tmp/bpfman-modules-XXXXXX";
    directory = mkdtemp(name);
    std::filesystem::create_directory(directory + "/btf");
    put("vmlinux", kernel);
    put("conntrack",
        btfOf({{BTF_KIND_STRUCT, "nf_conn"}, {BTF_KIND_FUNC, "ct_in"}, {BTF_KIND_FUNC, "common"}, {BTF_KIND_VAR, "ct_count"}}, base));
    put("bridge",
        btfOf({{BTF_KIND_FUNC, "br_in"}, {BTF_KIND_FUNC, "common"}, {BTF_KIND_FUNC, "sk_buff"}, {BTF_KIND_TYPEDEF, "btf_trace_br_add"}},
              base));
    put("empty", btfOf({}, base));
    std::ofstream(directory + "/modules")
        << "conntrack 188416 0 - Live 0x0000000000000000\nbridge 1 0 - Live 0x0\nplain_one 1 0 - Live 0x0\n";
  }
  void TearDown() override { std::filesystem::remove_all(directory); }

  void put(const std::string& name, const std::string& bytes) { std::ofstream(directory + "/btf/" + name) << bytes; }
  kj::AutoCloseFd opened(const std::string& name, int flags = O_RDONLY) {
    return kj::AutoCloseFd(open((directory + "/" + name).c_str(), flags | O_CLOEXEC));
  }

  template <typename Use>
  auto with(Use use) {
    auto vmlinux = opened("btf/vmlinux"), all = opened("btf", O_PATH | O_DIRECTORY), loaded = opened("modules");
    ModuleBtf modules(vmlinux, all, loaded);
    return use(modules);
  }
  std::string find(const char* name, ModuleBtf::Wanted wanted = ModuleBtf::Wanted::function) {
    std::string answer = "nothing";
    auto failure = kj::runCatchingExceptions([&] {
      KJ_IF_MAYBE (found, with([&](ModuleBtf& modules) { return modules.find(wanted, name); }))
        answer = found->module + " " + std::to_string(found->id);
    });
    KJ_IF_MAYBE (exception, failure) return exception->getDescription().cStr();
    return answer;
  }
  std::string having(std::initializer_list<const char*> symbols, std::initializer_list<const char*> types = {}) {
    ModuleBtf::Names names;
    for (auto each : symbols) names.symbols.insert(each);
    for (auto each : types) names.types.insert(each);
    std::string answer;
    for (auto& each : with([&](ModuleBtf& modules) { return modules.having(names); })) answer += each + " ";
    return answer;
  }
};

TEST_F(ModuleTypes, NumbersAndNamesBeginBehindTheKernels) {
  EXPECT_EQ(find("ct_in"), "conntrack 6");
  EXPECT_EQ(find("conntrack:ct_in"), "conntrack 6");
  EXPECT_EQ(find("bridge:sk_buff"), "bridge 7") << "a name that only the kernel's strings have";
  EXPECT_EQ(find("br_add", ModuleBtf::Wanted::tracepoint), "bridge 8");
  EXPECT_EQ(find("bridge:br_add", ModuleBtf::Wanted::tracepoint), "bridge 8");
  EXPECT_EQ(find("conntrack:common"), "conntrack 7");
  EXPECT_EQ(find("bridge:common"), "bridge 6");
}

TEST_F(ModuleTypes, SaysWhatToDoWhenThereIsNone) {
  EXPECT_EQ(find("no_such"), "nothing");
  EXPECT_EQ(find("nf_conn"), "nothing") << "a struct, no function";
  EXPECT_EQ(find("common"), "function common is in the modules bridge and conntrack: say in which (bridge:common)");
  EXPECT_EQ(find("conntrack:br_in"), "module conntrack has no function \"br_in\"");
  EXPECT_EQ(find("conntrack:do_unlinkat"),
            "module conntrack has no function \"do_unlinkat\"; the kernel itself has that function: leave conntrack: out");
  EXPECT_EQ(find("empty:x"), "module empty has no function \"x\"");
  EXPECT_EQ(find("plain_one:x"), "module plain_one has no types (BTF), by which the kernel knows its functions: a kprobe needs none");
  EXPECT_EQ(find("nowhere:x"), "module nowhere is not loaded: load it first (modprobe nowhere)");
  EXPECT_EQ(find("nowhere:x", ModuleBtf::Wanted::tracepoint), "module nowhere is not loaded: load it first (modprobe nowhere)");
  for (const char* odd : {":x", "conntrack:", "../btf/conntrack:ct_in", "vmlinux:do_unlinkat", "a b:x", ".:x", "..:x"})
    EXPECT_TRUE(find(odd).ends_with("a function of a module is MODULE:NAME")) << find(odd);
}

TEST_F(ModuleTypes, OnlyWhatTheKernelLacksIsLookedFor) {
  EXPECT_EQ(having({"ct_in"}), "conntrack ");
  EXPECT_EQ(having({"ct_count", "br_in"}), "bridge conntrack ") << "variables too";
  EXPECT_EQ(having({"common"}), "bridge conntrack ");
  EXPECT_EQ(having({}, {"nf_conn", "sk_buff"}), "conntrack ");
  EXPECT_EQ(having({"do_unlinkat", "nf_conn"}, {"sk_buff", "ct_in"}), "") << "of other kinds than these";
  EXPECT_EQ(having({}), "");
}

TEST_F(ModuleTypes, AKernelWithoutModulesHasNone) {
  auto vmlinux = opened("btf/vmlinux"), null = kj::AutoCloseFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  ModuleBtf modules(vmlinux, -1, -1);
  EXPECT_TRUE(modules.find(ModuleBtf::Wanted::function, "ct_in") == nullptr);
  EXPECT_TRUE(modules.having({{"ct_in"}, {}}).empty());
  EXPECT_TRUE(modules.typesOf("conntrack").empty());
  ModuleBtf untyped(null, -1, -1);
  EXPECT_TRUE(untyped.find(ModuleBtf::Wanted::function, "ct_in") == nullptr);
}

TEST_F(ModuleTypes, TypesAreReadFromThatDirectoryOnly) {
  std::filesystem::create_symlink(directory + "/modules", directory + "/btf/linked");
  with([&](ModuleBtf& modules) {
    EXPECT_FALSE(modules.typesOf("conntrack").empty());
    for (const char* name : {"vmlinux", "../modules", "linked", ".", "..", "", "no_such"})
      EXPECT_TRUE(modules.typesOf(name).empty()) << name;
    return 0;
  });
}

// They are the kernel's, but whatever is in them must end in an answer or an exception.
TEST_F(ModuleTypes, SpoiledTypesAreAnExceptionAtMost) {
  std::mt19937 random(1);
  std::string whole = btfOf({{BTF_KIND_STRUCT, "nf_conn"}, {BTF_KIND_FUNC, "ct_in"}, {BTF_KIND_ENUM, "kinds"}}, base);
  for (int round = 0; round < 2000; ++round) {
    std::string spoiled = whole.substr(0, round % 3 == 0 ? random() % whole.size() : whole.size());
    for (int i = 0; i < 3 && !spoiled.empty(); ++i) spoiled[random() % spoiled.size()] = random();
    put("conntrack", spoiled);
    find("conntrack:ct_in");
    kj::runCatchingExceptions([&] { having({"ct_in"}, {"kinds"}); });
  }
}

}  // namespace
}  // namespace bpfman
