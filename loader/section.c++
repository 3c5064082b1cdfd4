#include "loader/section.h"

#include <map>
#include <string_view>

#include "schema/kernel-numbers.h"

namespace bpfman {

namespace {

// Sections that libbpf 1.4, which Debian 12 has, does not know.
constexpr struct {
  const char* section;
  uint32_t type, attachType;
} LATER[] = {{"kprobe.session", BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_SESSION},
             {"uprobe.session", BPF_PROG_TYPE_KPROBE, UPROBE_SESSION},
             {"sk_skb/verdict", BPF_PROG_TYPE_SK_SKB, BPF_SK_SKB_VERDICT}};

std::string familyOf(std::string_view section, uint32_t type) {
  static const std::map<std::string_view, const char*> others = {
      {"tp", "tracepoint"},        {"raw_tp", "raw_tracepoint"}, {"classifier", "tc"},         {"action", "tc"},
      {"socket", "socket_filter"}, {"ksyscall", "kprobe"},       {"kretsyscall", "kretprobe"}, {"cgroup", "cgroup_skb"}};
  if (type == BPF_PROG_TYPE_UNSPEC) return "";
  if (section == "sk_reuseport/migrate") return "sk_reuseport.migrate";
  std::string_view first = section.substr(0, section.find_first_of("/.@"));
  if (first == "cgroup" && type != BPF_PROG_TYPE_CGROUP_SKB) return std::string(section);
  auto other = others.find(first);
  return other != others.end() ? other->second : std::string(first);
}

uint32_t flagsOf(std::string_view section, uint32_t type) {
  std::string_view first = section.substr(0, section.find('/'));
  if (type == BPF_PROG_TYPE_XDP) return first.starts_with("xdp.frags") ? BPF_F_XDP_HAS_FRAGS : 0;
  return first.ends_with(".s") || type == BPF_PROG_TYPE_SYSCALL ? BPF_F_SLEEPABLE : 0;
}

}  // namespace

Section::Section(const bpf_program* program)
    : name(bpf_program__section_name(program)),
      type(bpf_program__type(program)),
      expectedAttachType(bpf_program__expected_attach_type(program)) {
  for (auto& each : LATER)
    if (type == BPF_PROG_TYPE_UNSPEC && name.starts_with(each.section)) type = each.type, expectedAttachType = each.attachType;
  // libbpf no longer takes names behind what it knows ("xdp/mine", "classifier_mine"); others still do.
  std::string known = name;
  while (type == BPF_PROG_TYPE_UNSPEC && known.find('/') != std::string::npos) {
    known.resize(known.rfind('/'));
    typeNamed(known);
  }
  if (type == BPF_PROG_TYPE_UNSPEC && name.starts_with("classifier")) type = BPF_PROG_TYPE_SCHED_CLS;
  if (type == BPF_PROG_TYPE_UNSPEC) known = name;
  family = familyOf(name, type);
  flags = flagsOf(name, type);
  size_t slash = known.find('/');
  if (slash != std::string::npos && type != BPF_PROG_TYPE_XDP && type != BPF_PROG_TYPE_SCHED_CLS) attachTo = known.substr(slash + 1);
}

void Section::typeNamed(const std::string& known) {
  bpf_prog_type found;
  bpf_attach_type attach;
  if (libbpf_prog_type_by_name(known.c_str(), &found, &attach) < 0) return;
  type = found;
  expectedAttachType = attach;
}

}  // namespace bpfman
