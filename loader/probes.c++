#include "loader/probes.h"

#include <charconv>
#include <cstring>

#include <bpf/btf.h>

namespace bpfman {

namespace {

constexpr unsigned ARG_CTX_TAG = 6 << 16 | 8;  // the first kernel that takes any pointer as context where "arg:ctx" says so

// Kernel names are cut at 15 characters.
template <size_t N>
bool sameName(const char (&kernelName)[N], const char* name) {
  return strncmp(kernelName, name, N - 1) == 0;
}

}  // namespace

unsigned versionOf(std::string_view release) {
  unsigned major = 0, minor = 0;
  auto [dot, error] = std::from_chars(release.begin(), release.end(), major);
  if (error != std::errc() || dot == release.end() || *dot != '.') return 0;
  if (std::from_chars(dot + 1, release.end(), minor).ec != std::errc()) return 0;
  return major << 16 | minor;
}

Probes::Probes(const bpf_object* object, std::string_view kernelRelease) : object(object), version(versionOf(kernelRelease)) {}

bool Probes::isProgram(const bpf_attr& attr) const {
  if (attr.prog_name[0] == 0) return true;
  bpf_program* program;
  bpf_object__for_each_program(program,
                               const_cast<bpf_object*>(object)) if (bpf_program__autoload(program) &&
                                                                    sameName(attr.prog_name, bpf_program__name(program))) return false;
  return true;
}

bool Probes::isMap(const bpf_attr& attr) const {
  if (strncmp(attr.map_name, "libbpf_", 7) != 0) return attr.map_name[0] == 0;
  const bpf_map* map;
  bpf_object__for_each_map(map, object) if (sameName(attr.map_name, bpf_map__name(map))) return false;
  return true;
}

// libbpf hands its own copy of the object's types to the kernel as it is: nothing has to be left out since 6.1.
bool Probes::isBtf(const bpf_attr& attr) const {
  const btf* types = bpf_object__btf(object);
  unsigned size;
  return !types || reinterpret_cast<const void*>(attr.btf) != btf__raw_data(types, &size);
}

bool Probes::programLoads(const bpf_attr& attr) const { return strcmp(attr.prog_name, "det_arg_ctx") != 0 || version >= ARG_CTX_TAG; }

}  // namespace bpfman
