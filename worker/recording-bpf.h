// A kernel that notes down what the worker would have asked of it, for tests without root. Each new object is a descriptor of /dev/null.
#pragma once

#include "schema/kernel-numbers.h"
#include "worker/operations.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <string>

namespace bpfman {

class RecordingBpf final : public Bpf {
 public:
  struct Call {
    int command;
    bpf_attr attr;
    std::vector<bpf_insn> instructions;  // of BPF_PROG_LOAD: the request's memory is gone afterwards
    std::vector<int> named{};            // likewise: of its fd_array the modules, and what its instructions name
    decltype(LoadAttr::later) later{};
    std::vector<uint8_t> signature{};  // likewise
    uint32_t value = 0;                // of BPF_MAP_UPDATE_ELEM: the first 4 bytes
  };

  std::vector<Call> calls;
  std::vector<std::string> files;            // "mkdir staging/1", "pin loads/1/p0", …
  std::vector<std::string> names;            // what a directory is said to have
  std::map<std::string, int> failing;        // an entry of files -> -errno
  std::map<int, long> answers;               // a command -> what it answers instead
  std::vector<std::vector<uint8_t>> routed;  // messages to rtnetlink
  int routeAnswer = 0;
  bpf_map_info mapInfo{};  // what every map says of itself
  uint32_t kernelBtf = 1;  // whether every BTF is the kernel's
  uint32_t verified = 0;   // how many instructions of every program were; 0: what was asked was none
  std::string log;         // what the verifier writes

  long call(int command, bpf_attr& attr, uint32_t size) override {
    Call call{command, attr, {}};
    if (command == BPF_PROG_LOAD) {
      auto* first = reinterpret_cast<const bpf_insn*>(attr.insns);
      call.instructions.assign(first, first + attr.insn_cnt);
      int32_t last = wire::MAX_MODULES;
      for (auto& each : call.instructions)
        if (each.code == (BPF_LD | BPF_IMM | BPF_DW) && (each.src_reg == BPF_PSEUDO_MAP_IDX || each.src_reg == BPF_PSEUDO_MAP_IDX_VALUE))
          last = std::max(last, each.imm);
      auto* named = reinterpret_cast<const int*>(attr.fd_array);
      if (named) call.named.assign(named, named + last + 1);
      if (size >= sizeof(LoadAttr)) call.later = reinterpret_cast<const LoadAttr&>(attr).later;
      auto* signature = reinterpret_cast<const uint8_t*>(call.later.signature);
      call.signature.assign(signature, signature + call.later.signatureSize);
      if (attr.log_buf && !log.empty()) snprintf(reinterpret_cast<char*>(attr.log_buf), attr.log_size, "%s", log.c_str());
    }
    if (command == BPF_MAP_UPDATE_ELEM) memcpy(&call.value, reinterpret_cast<const void*>(attr.value), sizeof call.value);
    calls.push_back(call);
    if (auto answer = answers.find(command); answer != answers.end()) return answer->second;
    switch (command) {
      case BPF_MAP_CREATE:
      case BPF_PROG_LOAD:
      case BPF_BTF_LOAD:
      case BPF_OBJ_GET:
      case BPF_LINK_CREATE:
      case BPF_RAW_TRACEPOINT_OPEN:
      case BPF_ITER_CREATE: return ::open("/dev/null", O_RDWR | O_CLOEXEC);
      case BPF_OBJ_PIN: return file("pin", reinterpret_cast<const char*>(attr.pathname));
      case BPF_OBJ_GET_INFO_BY_FD:
        memcpy(reinterpret_cast<void*>(attr.info.info), &mapInfo, std::min<size_t>(attr.info.info_len, sizeof mapInfo));
        if (attr.info.info_len == sizeof(bpf_btf_info)) reinterpret_cast<bpf_btf_info*>(attr.info.info)->kernel_btf = kernelBtf;
        if (attr.info.info_len == sizeof(bpf_prog_info)) reinterpret_cast<bpf_prog_info*>(attr.info.info)->verified_insns = verified;
        return 0;
      default: return 0;
    }
  }
  int route(const void* message, uint32_t size) override {
    auto* bytes = static_cast<const uint8_t*>(message);
    routed.emplace_back(bytes, bytes + size);
    return routeAnswer;
  }
  int makeDirectory(const char* path) override { return file("mkdir", path); }
  int removeDirectory(const char* path) override { return file("rmdir", path); }
  int unlink(const char* path) override { return file("unlink", path); }
  int renameNew(const char* from, const char* to) override { return file("rename", (std::string(from) + " " + to).c_str()); }
  int list(const char* path, std::vector<std::string>& into) override {
    into = names;
    return 0;
  }

  size_t count(int command) const {
    return std::ranges::count_if(calls, [&](const Call& call) { return call.command == command; });
  }
  const Call& last(int command) const {
    for (size_t i = calls.size(); i-- > 0;)
      if (calls[i].command == command) return calls[i];
    ADD_FAILURE() << "no call of command " << command;
    static const Call none{};
    return none;
  }

 private:
  int file(const char* verb, const char* what) {
    files.push_back(std::string(verb) + " " + what);
    auto found = failing.find(files.back());
    return found == failing.end() ? 0 : found->second;
  }
};

// ---- requests ----

inline Request requestOf(wire::Op op, size_t bytes, size_t descriptors = 0) {
  Request request;
  request.op = op;
  request.body.resize(bytes);
  for (size_t i = 0; i < descriptors; ++i) request.descriptors[request.descriptorCount++] = Fd(open("/dev/null", O_RDWR | O_CLOEXEC));
  return request;
}

template <typename T>
Request requestOf(wire::Op op, const T& fixed, const std::vector<uint8_t>& tail = {}) {
  Request request = requestOf(op, sizeof fixed);
  memcpy(request.body.data(), &fixed, sizeof fixed);
  request.body.insert(request.body.end(), tail.begin(), tail.end());
  return request;
}

inline wire::Pin pinOf(wire::Dir dir, const char* name = "", uint32_t a = 1, uint32_t b = 2, uint32_t c = 3) {
  wire::Pin pin{dir, a, b, c, {}};
  memcpy(pin.name, name, std::min(strlen(name), sizeof pin.name));
  return pin;
}

inline wire::Ceiling ceilingForTests() {
  wire::Ceiling ceiling{};
  ceiling.programTypes = 1ull << BPF_PROG_TYPE_XDP | 1ull << BPF_PROG_TYPE_TRACING;
  ceiling.attachTypes[0] = 1ull << BPF_XDP | 1ull << BPF_TRACE_ITER | 1ull << BPF_TCX_INGRESS;
  ceiling.mapTypes = ((1ull << __MAX_BPF_MAP_TYPE) - 2) & ~(1ull << BPF_MAP_TYPE_STRUCT_OPS);
  ceiling.refusedHelpers[0] = 1ull << BPF_FUNC_probe_write_user;
  ceiling.maxMapBytes = 1 << 20;
  ceiling.maxMaps = 8;
  ceiling.maxPrograms = 4;
  ceiling.maxSessions = 2;
  ceiling.possibleCpus = 4;
  return ceiling;
}

// What dies says so in one line and leaves with status 70; it is tried in a child.
#define EXPECT_DEATH_BY_LINE(statement, line) EXPECT_EXIT(statement, testing::ExitedWithCode(70), line)

}  // namespace bpfman
