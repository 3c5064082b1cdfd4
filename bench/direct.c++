#include "bench/direct.h"

#include <bpf/bpf.h>
#include <kj/debug.h>
#include <kj/io.h>

namespace bpfman::bench {

namespace {

constexpr uint32_t MOST_MAPS = 256;  // of one program; the kernel's limit is 64

bpf_prog_info infoOf(int program, uint32_t (&maps)[MOST_MAPS]) {
  bpf_prog_info info{};
  info.nr_map_ids = MOST_MAPS;
  info.map_ids = reinterpret_cast<uint64_t>(maps);
  uint32_t size = sizeof info;
  KJ_SYSCALL(bpf_obj_get_info_by_fd(program, &info, &size));
  return info;
}

}  // namespace

Direct::Direct(std::span<const unsigned char> bytes) : object(bpf_object__open_mem(bytes.data(), bytes.size(), nullptr)) {
  KJ_REQUIRE(object != nullptr, "libbpf can't open this object");
  KJ_REQUIRE(bpf_object__load(object.get()) == 0, "libbpf can't load this object");
}

int Direct::program() const { return bpf_program__fd(bpf_object__next_program(object.get(), nullptr)); }

uint32_t Direct::id() const {
  uint32_t maps[MOST_MAPS];
  return infoOf(program(), maps).id;
}

std::unique_ptr<bpf_link, DestroyLink> Direct::attachTcx(uint32_t interface) {
  auto link = bpf_program__attach_tcx(bpf_object__next_program(object.get(), nullptr), interface, nullptr);
  KJ_REQUIRE(link != nullptr, "libbpf can't attach");
  return std::unique_ptr<bpf_link, DestroyLink>(link);
}

// An object that goes between two calls is skipped, as every lister by id must.
size_t walkPrograms() {
  size_t maps = 0;
  uint32_t ids[MOST_MAPS];
  for (uint32_t id = 0; bpf_prog_get_next_id(id, &id) == 0;) {
    kj::AutoCloseFd program(bpf_prog_get_fd_by_id(id));
    if (program.get() >= 0) maps += infoOf(program.get(), ids).nr_map_ids > 0;
  }
  return maps;
}

size_t walkLinks() {
  size_t count = 0;
  for (uint32_t id = 0; bpf_link_get_next_id(id, &id) == 0; ++count) {
    kj::AutoCloseFd link(bpf_link_get_fd_by_id(id));
    if (link.get() < 0) continue;
    bpf_link_info info{};
    uint32_t size = sizeof info;
    KJ_SYSCALL(bpf_obj_get_info_by_fd(link.get(), &info, &size));
  }
  return count;
}

void inspect(uint32_t id) {
  int fd;
  KJ_SYSCALL(fd = bpf_prog_get_fd_by_id(id));
  kj::AutoCloseFd program(fd);
  uint32_t ids[MOST_MAPS];
  uint32_t maps = infoOf(program.get(), ids).nr_map_ids;
  for (uint32_t i = 0; i < maps; ++i) {
    KJ_SYSCALL(fd = bpf_map_get_fd_by_id(ids[i]));
    kj::AutoCloseFd map(fd);
    bpf_map_info info{};
    uint32_t size = sizeof info;
    KJ_SYSCALL(bpf_obj_get_info_by_fd(map.get(), &info, &size));
  }
}

kj::AutoCloseFd passProgram() {
  bpf_insn instructions[2] = {};
  instructions[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  instructions[0].imm = XDP_PASS;
  instructions[1].code = BPF_JMP | BPF_EXIT;
  int fd;
  KJ_SYSCALL(fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", instructions, 2, nullptr));
  return kj::AutoCloseFd(fd);
}

double nanosecondsPerRun(int program, uint32_t runs) {
  unsigned char packet[64] = {};
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof packet, .repeat = static_cast<int>(runs));
  KJ_SYSCALL(bpf_prog_test_run_opts(program, &options));
  return options.duration;
}

double nanosecondsPerRunOf(uint32_t id, uint32_t runs) {
  int fd;
  KJ_SYSCALL(fd = bpf_prog_get_fd_by_id(id));
  kj::AutoCloseFd program(fd);
  return nanosecondsPerRun(program.get(), runs);
}

}  // namespace bpfman::bench
