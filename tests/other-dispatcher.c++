// other-dispatcher VERSION DISPATCHER.o INTERFACE [MEMBER.o PRIORITY PROCEED]...: another tool that keeps to a version of the libxdp
// protocol. It loads the dispatcher, puts the members into it, pins them where the protocol says and attaches it; PROCEED is a mask of
// verdicts. Prints the members' program ids.
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr uint32_t POSITIONS = 10, RETURN = 1u << 31;

bpf_object* opened(const char* path) {
  bpf_object* object = bpf_object__open(path);
  if (!object) err(1, "%s", path);
  return object;
}

bpf_program* onlyProgram(bpf_object* object) { return bpf_object__next_program(object, nullptr); }

uint32_t idOf(int program) {
  bpf_prog_info info{};
  uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(program, &info, &size)) err(1, "information about a program");
  return info.id;
}

// Version 1: the number of members in a byte of its own; later ones: four bytes first, and one array more.
void configure(bpf_object* dispatcher, uint8_t version, char** members, uint32_t count) {
  bpf_map* map = bpf_object__next_map(dispatcher, nullptr);
  size_t size = bpf_map__value_size(map);
  std::string bytes(size, 0);
  uint8_t head[4] = {236, version, static_cast<uint8_t>(count), 0};
  if (version == 1) head[0] = head[2], head[1] = head[2] = 0;
  memcpy(bytes.data(), head, sizeof head);
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t priority = atoi(members[3 * i + 1]), proceed = atoi(members[3 * i + 2]) | RETURN;
    memcpy(bytes.data() + 4 + 4 * i, &proceed, 4);
    memcpy(bytes.data() + 4 + 4 * (POSITIONS + i), &priority, 4);
  }
  if (bpf_map__set_initial_value(map, bytes.data(), size)) err(1, "configuration");
}

}  // namespace

int main(int argc, char* argv[]) {
  if (argc < 4 || argc % 3 != 1) return 2;
  char** members = argv + 4;
  uint32_t count = (argc - 4) / 3, interface = if_nametoindex(argv[3]);
  bpf_object* dispatcher = opened(argv[2]);
  configure(dispatcher, atoi(argv[1]), members, count);
  if (bpf_object__load(dispatcher)) err(1, "load %s", argv[2]);
  int main = bpf_program__fd(onlyProgram(dispatcher));

  std::string directory = "/sys/fs/bpf/xdp/dispatch-" + std::to_string(interface) + "-" + std::to_string(idOf(main));
  if ((mkdir("/sys/fs/bpf/xdp", 0700) && errno != EEXIST) || mkdir(directory.c_str(), 0700)) err(1, "%s", directory.c_str());
  for (uint32_t i = 0; i < count; ++i) {
    std::string position = "prog" + std::to_string(i), pin = directory + "/" + position;
    bpf_object* object = opened(members[3 * i]);
    bpf_program* program = onlyProgram(object);
    bpf_program__set_type(program, BPF_PROG_TYPE_EXT);
    bpf_program__set_expected_attach_type(program, static_cast<bpf_attach_type>(0));
    if (bpf_program__set_attach_target(program, main, position.c_str()) || bpf_object__load(object)) err(1, "load %s", members[3 * i]);
    LIBBPF_OPTS(bpf_link_create_opts, options);
    options.target_btf_id = btf__find_by_name_kind(bpf_object__btf(dispatcher), position.c_str(), BTF_KIND_FUNC);
    int link = bpf_link_create(bpf_program__fd(program), main, static_cast<bpf_attach_type>(0), &options);
    if (link < 0) err(1, "link %s", members[3 * i]);
    if (bpf_obj_pin(link, (pin + "-link").c_str()) || bpf_obj_pin(bpf_program__fd(program), (pin + "-prog").c_str())) err(1, "pin");
    printf("%u\n", idOf(bpf_program__fd(program)));
  }
  if (bpf_xdp_attach(interface, main, XDP_FLAGS_UPDATE_IF_NOEXIST, nullptr)) err(1, "attach to %s", argv[3]);
}
