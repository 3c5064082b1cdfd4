#include "frontend/overview-fixture.h"

#include <cstring>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

extern "C" const unsigned char bpfman_overview[], bpfman_overview_end[];

namespace bpfman::testing {
namespace {

// Of this thread only: the system calls themselves, not glibc's, which would change every thread.
bool become(uint64_t capabilities) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  for (int half = 0; half < 2; half++) data[half].effective = data[half].permitted = uint32_t(capabilities >> (32 * half));
  return prctl(PR_SET_KEEPCAPS, 1) == 0 && syscall(SYS_setresgid, 65534, 65534, 65534) == 0 &&
         syscall(SYS_setresuid, 65534, 65534, 65534) == 0 && syscall(SYS_capset, &header, data) == 0;
}

bool dropAll() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  return syscall(SYS_capset, &header, data) == 0;
}

std::string load(Iterators& into) {
  if (!become(1ull << CAP_BPF | 1ull << CAP_PERFMON | 1ull << CAP_NET_ADMIN)) return "can't change the user: not root?";
  bpf_object* object = bpf_object__open_mem(bpfman_overview, bpfman_overview_end - bpfman_overview, nullptr);
  if (object == nullptr) return "the object can't be opened";
  std::shared_ptr<bpf_object> owned(object, bpf_object__close);
  if (int error = bpf_object__load(object)) return std::string("the kernel refuses the iterators: ") + strerror(-error);
  auto link = [&](const char* name) {
    return kj::AutoCloseFd(bpf_link_create(bpf_program__fd(bpf_object__find_program_by_name(object, name)), 0, BPF_TRACE_ITER, nullptr));
  };
  into.programs = link("dump_programs");
  into.maps = link("dump_maps");
  into.links = link("dump_links");
  auto first = into.open(into.programs), second = into.open(into.maps), third = into.open(into.links);
  if (!dropAll()) return "can't drop the last capabilities";
  if (readAll(first).empty() || readAll(second).empty() || readAll(third).empty()) return "an iterator shows nothing";
  into.object = owned;
  return "";
}

}  // namespace

Iterators loadWithThreeCapabilities() {
  Iterators iterators;
  std::thread([&] {
    try {
      iterators.failure = load(iterators);
    } catch (const kj::Exception& e) { iterators.failure = e.getDescription().cStr(); }
  }).join();
  return iterators;
}

kj::AutoCloseFd program(bpf_prog_type type, const char* name, uint32_t expectedAttachType, uint32_t attachBtfId,
                        const std::vector<int>& maps) {
  std::vector<bpf_insn> code;
  for (int map : maps) {
    code.push_back({.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .off = 0, .imm = map});
    code.push_back({});
  }
  int result = type == BPF_PROG_TYPE_XDP ? 2 : type == BPF_PROG_TYPE_CGROUP_SKB ? 1 : 0;
  code.push_back({.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = result});
  code.push_back({.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0});
  LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = bpf_attach_type(expectedAttachType), .attach_btf_id = attachBtfId);
  int descriptor = bpf_prog_load(type, name, "GPL", code.data(), code.size(), &options);
  if (descriptor < 0) throw std::runtime_error(std::string("program ") + name + ": " + strerror(-descriptor));
  return kj::AutoCloseFd(descriptor);
}

nlohmann::json bpftool(const std::string& arguments) {
  std::string text;
  FILE* pipe = popen(("bpftool -j " + arguments).c_str(), "r");
  char buffer[65536];
  for (size_t got; (got = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) text.append(buffer, got);
  pclose(pipe);
  return nlohmann::json::parse(text, nullptr, false);
}

bool run(const std::string& command) { return system((command + " >/dev/null 2>&1").c_str()) == 0; }

}  // namespace bpfman::testing
