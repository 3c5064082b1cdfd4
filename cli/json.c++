#include "cli/json.h"
#include "cli/counters.h"
#include "cli/names.h"

#include <kj/encoding.h>

#include <ctime>
#include <optional>

namespace bpfman {
namespace {

Json orNull(uint32_t id) { return id == 0 ? Json(nullptr) : Json(id); }
Json orNull(capnp::Text::Reader text) { return text.size() == 0 ? Json(nullptr) : Json(text.cStr()); }

template <typename List>
Json numbers(const List& list) {
  Json result = Json::array();
  for (auto number : list) result.push_back(number);
  return result;
}

Json pairs(capnp::List<schema::KeyValue>::Reader list, Json whenEmpty) {
  Json result = kj::mv(whenEmpty);
  for (auto pair : list) result[pair.getKey().cStr()] = pair.getValue().cStr();
  return result;
}

// `owner`: for whom bpfman loaded it, of a program of ours. The kernel knows only the worker that called bpf().
Json kernelJson(schema::KernelProgram::Reader kernel, std::optional<uint32_t> owner) {
  Json json = {
      {"id", kernel.getId()},
      {"name", kernel.getName().cStr()},
      {"program_type", kernel.getTypeName().cStr()},
      {"tag", kernel.getTag().cStr()},
      {"loaded_at", timeText(kernel.getLoadedAt())},
      {"uid", owner.value_or(kernel.getUid())},
      {"has_uid", true},
      {"btf_id", kernel.getBtfId()},
      {"has_btf_id", kernel.getBtfId() != 0},
      {"map_ids", numbers(kernel.getMapIds())},
      {"has_map_ids", true},
      {"jited_size", kernel.getJitedSize()},
      {"xlated_size", kernel.getXlatedSize()},
      {"verified_insns", kernel.getVerifiedInstructions()},
      {"memlock", kernel.getMemlock()},
      {"has_memlock", kernel.getMemlock() != 0},
      {"restricted", false},
  };
  if (owner) json["loader_uid"] = kernel.getUid();
  return json;
}

Json recordJson(schema::ProgramRecord::Reader record) {
  Json globals = Json::object();
  for (auto global : record.getGlobals()) globals[global.getName().cStr()] = kj::encodeBase64(global.getValue()).cStr();
  Json json = {
      {"program_id", record.getId()},
      {"load",
       {{"object_path", orNull(record.getObjectPath())},
        {"source_path", orNull(record.getSourcePath())},
        {"program_name", record.getName().cStr()},
        {"program_type", nameOf(record.getType())},
        {"global_data", globals},
        {"image_source", nullptr},
        {"attach_func", orNull(record.getAttachTo())},
        {"map_owner_id", orNull(record.getMapOwner())}}},
      {"license", record.getLicense().cStr()},
      {"gpl_compatible", record.getGplCompatible()},
      {"handles",
       {{"pin_path", record.getPinPath().cStr()},
        {"map_pin_path", record.getMapPinPath().cStr()},
        {"map_owner_id", orNull(record.getMapOwner())}}},
      {"meta",
       {{"name", record.getName().cStr()}, {"owner", ""}, {"description", ""}, {"metadata", pairs(record.getMetadata(), Json::object())}}},
      {"created_at", timeText(record.getCreatedAt())},
      {"updated_at", nullptr},
  };
  if (record.getPersistent()) json["persistent"] = true;
  if (record.getNotLoaded().size()) json["not_loaded"] = record.getNotLoaded().cStr();
  return json;
}

Json mapJson(schema::MapDetails::Reader map) {
  auto kernel = map.getKernel();
  Json json = {
      {"id", kernel.getId()},
      {"name", (kernel.getName().size() ? kernel.getName() : map.getName()).cStr()},
      {"map_type", kernel.getTypeName().cStr()},
      {"key_size", kernel.getKeySize()},
      {"value_size", kernel.getValueSize()},
      {"max_entries", kernel.getMaxEntries()},
      {"flags", kernel.getFlags()},
      {"btf_id", kernel.getBtfId()},
      {"has_btf_id", kernel.getBtfId() != 0},
      {"map_extra", kernel.getExtra()},
      {"has_map_extra", kernel.getExtra() != 0},
      {"memlock", kernel.getMemlock()},
      {"has_memlock", kernel.getMemlock() != 0},
      {"frozen", kernel.getFrozen()},
      {"pin_path", map.getPinPath().cStr()},
      {"present", map.getPresent()},
  };
  if (map.getUnused()) json["unused"] = true;
  if (map.getPinnedByName()) json["pinned_by_name"] = true;
  if (map.getSharedWith().size()) json["shared_with"] = numbers(map.getSharedWith());
  return json;
}

uint64_t valueOr0(schema::Known::Reader known) { return known.isValue() ? known.getValue() : 0; }

// One row for each kind of link: what its details are, in upstream's order.
Json linkPlaceJson(schema::LinkRecord::Reader record) {
  std::string target = record.getTarget().cStr();
  Json interface = {{"interface", record.getInterface().cStr()}, {"ifindex", record.getIfindex()}};
  Json network = {{"netns", record.getNetnsPath().cStr()}, {"nsid", record.getNsid()}};
  Json order = {{"priority", record.getPriority()}, {"position", record.getPosition()}};
  Json json = Json::object();
  switch (record.getKind()) {
    case schema::ProgramType::XDP:
    case schema::ProgramType::TC:
      json.update(interface);
      if (record.getKind() == schema::ProgramType::TC) json["direction"] = nameOf(record.getDirection());
      json.update(order);
      json["proceed_on"] = numbers(record.getProceedOn());
      json.update(network);
      json["dispatcher_id"] = record.getDispatcherId();
      json["revision"] = record.getRevision();
      break;
    case schema::ProgramType::TCX:
      json.update(interface);
      json["direction"] = nameOf(record.getDirection());
      json.update(order);
      json.update(network);
      break;
    case schema::ProgramType::NETKIT:
      json.update(interface);
      json["side"] = record.getDirection() == schema::Direction::EGRESS ? "peer" : "primary";
      json.update(order);
      json.update(network);
      break;
    case schema::ProgramType::NETFILTER:
    case schema::ProgramType::SK_LOOKUP:
    case schema::ProgramType::FLOW_DISSECTOR:
      json["name"] = target;
      json.update(network);
      break;
    case schema::ProgramType::KPROBE:
    case schema::ProgramType::KRETPROBE: {
      auto plus = target.find('+');
      json["fn_name"] = target.substr(0, plus);
      json["offset"] = plus == std::string::npos ? 0 : std::stoull(target.substr(plus + 1));
      json["retprobe"] = record.getKind() == schema::ProgramType::KRETPROBE;
      break;
    }
    case schema::ProgramType::FENTRY:
    case schema::ProgramType::FEXIT:
    case schema::ProgramType::FMOD_RET: json["fn_name"] = target; break;
    case schema::ProgramType::LSM: json["hook_name"] = target; break;
    case schema::ProgramType::TRACEPOINT: {
      auto slash = target.find('/');
      json["group"] = slash == std::string::npos ? "" : target.substr(0, slash);
      json["name"] = slash == std::string::npos ? target : target.substr(slash + 1);
      break;
    }
    case schema::ProgramType::CGROUP_SKB:
      json["name"] = target;
      json["direction"] = nameOf(record.getDirection());
      break;
    case schema::ProgramType::UPROBE:
    case schema::ProgramType::URETPROBE: {
      auto colon = target.rfind(':');
      json["target"] = target.substr(0, colon);
      json["fn_name"] = colon == std::string::npos ? "" : target.substr(colon + 1);
      json["retprobe"] = record.getKind() == schema::ProgramType::URETPROBE;
      break;
    }
    default: json["name"] = target;
  }
  return json;
}

// Links whose kind has no attach type in the kernel's description.
bool hasAttachType(schema::KernelLink::Reader link) {
  kj::StringPtr type = link.getTypeName();
  return type != "perf_event" && type != "raw_tracepoint" && (type != "xdp" || link.getAttachType() != 0);
}

Json kernelJson(schema::KernelLink::Reader link) {
  Json json = {
      {"id", link.getId()},
      {"program_id", link.getProgramId()},
      {"link_type", link.getTypeName().cStr()},
      {"attach_type", hasAttachType(link) ? std::to_string(link.getAttachType()) : ""},
      {"ifindex", link.getIfindex()},
      {"target_obj_id", link.getTargetProgramId()},
      {"target_btf_id", link.getTargetBtfId()},
      {"cgroup_id", link.getCgroupId()},
      {"netns_ino", link.getNetns()},
  };
  // Kinds of links that bpfman does not make: there for scripts that read every key.
  for (auto key : {"netfilter_pf", "netfilter_hooknum", "netfilter_priority", "netfilter_flags", "kprobe_multi_count", "kprobe_multi_flags",
                   "kprobe_multi_missed", "kprobe_address", "kprobe_missed"}) {
    json[key] = 0;
  }
  return json;
}

}  // namespace

std::string timeText(int64_t nanoseconds) {
  time_t seconds = nanoseconds / 1'000'000'000;
  tm parts;
  gmtime_r(&seconds, &parts);
  char text[40];
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

Json jsonOf(schema::ProgramDetails::Reader details) {
  auto record = details.getRecord();
  auto kernel = details.getKernel();
  auto runCount = kernel.getRunCount();
  Json status = {{"kernel", details.getKernelSeen() ? kernelJson(kernel, record.getUid()) : Json(nullptr)}, {"stats", nullptr}};
  if (runCount.isValue()) {
    status["stats"] = {{"runtime", valueOr0(kernel.getRunTime())},
                       {"run_count", runCount.getValue()},
                       {"recursion_misses", valueOr0(kernel.getRecursionMisses())}};
  } else {
    status["stats_unknown"] = runCount.getUnknown().cStr();
  }
  status["prog_pin"] = record.getPinPath().cStr();
  status["map_dir"] = record.getMapPinPath().cStr();
  status["bytecode"] = record.getObjectPath().cStr();
  status["links"] = jsonArray(details.getLinks());
  status["maps"] = Json::array();
  for (auto map : details.getMaps()) status["maps"].push_back(mapJson(map));
  status["map_used_by"] = numbers(details.getMapUsedBy());
  return {{"record", recordJson(record)}, {"status", status}};
}

Json jsonOf(schema::ProgramEntry::Reader entry) {
  auto kernel = entry.getKernel();
  std::optional<uint32_t> owner;
  if (entry.getManaged()) owner = entry.getRecord().getUid();
  return {
      {"program_id", entry.getId()},
      {"managed", entry.getManaged()},
      {"application", entry.getApplication().cStr()},
      {"type", entry.getManaged() ? nameOf(entry.getRecord().getType()) : entry.getType().cStr()},
      {"function_name", entry.getFunctionName().cStr()},
      {"links", numbers(entry.getLinkIds())},
      {"record", entry.getManaged() ? recordJson(entry.getRecord()) : Json(nullptr)},
      {"kernel", kernel.getId() ? kernelJson(kernel, owner) : Json(nullptr)},
  };
}

Json jsonOf(schema::LinkRecord::Reader record) {
  Json json = {
      {"id", record.getId()},
      {"program_id", record.getProgramId()},
      {"kernel_link_id", orNull(record.getKernelLinkId())},
      {"kind", nameOf(record.getKind())},
      {"pin_path", record.getPinPath().cStr()},
      {"details", linkPlaceJson(record)},
      {"created_at", timeText(record.getCreatedAt())},
      {"metadata", pairs(record.getMetadata(), nullptr)},
  };
  if (record.getPaused()) json["paused"] = true;
  if (record.getWaitingChange()) json["waiting_change"] = record.getWaitingChange();
  if (record.getPersistent()) json["persistent"] = true;
  if (record.getWaiting().size()) json["waiting"] = record.getWaiting().cStr();
  return json;
}

Json jsonOf(schema::LinkDetails::Reader details) {
  return {{"record", jsonOf(details.getRecord())},
          {"status",
           {{"kernel", details.getKernelSeen() ? kernelJson(details.getKernel()) : Json(nullptr)},
            {"kernel_seen", details.getKernelSeen()},
            {"pin_present", details.getPinPresent()}}}};
}

Json jsonOf(schema::Dispatcher::Reader dispatcher) {
  Json members = Json::array();
  for (auto member : dispatcher.getMembers()) {
    members.push_back({
        {"program_id", member.getProgramId()},
        {"program_name", member.getProgramName().cStr()},
        {"prog_pin_path", member.getProgramPinPath().cStr()},
        {"link_id", member.getLinkId()},
        {"kernel_link_id", orNull(member.getKernelLinkId())},
        {"link_pin_path", member.getLinkPinPath().cStr()},
        {"position", member.getPosition()},
        {"priority", member.getPriority()},
        {"proceed_on", member.getProceedOn()},
        {"ifname", member.getInterface().cStr()},
        {"metadata", pairs(member.getMetadata(), nullptr)},
    });
    if (member.getForeign()) members.back()["foreign"] = true;
    if (member.hasCounters()) members.back()["counters"] = countersJson(dispatcher, member);
  }
  Json runtime = {{"program_id", dispatcher.getProgramId()}};
  if (dispatcher.getFilterHandle()) {
    runtime["filter_priority"] = dispatcher.getFilterPriority();
    runtime["filter_handle"] = dispatcher.getFilterHandle();
  } else {
    runtime["kernel_link_id"] = orNull(dispatcher.getKernelLinkId());
  }
  runtime["netns_path"] = dispatcher.getNetnsPath().cStr();
  Json json = {
      {"key", {{"type", dispatcher.getType().cStr()}, {"nsid", dispatcher.getNsid()}, {"ifindex", dispatcher.getIfindex()}}},
      {"revision", dispatcher.getRevision()},
      {"runtime", runtime},
      {"members", members},
      {"engine", dispatcher.getEngine().cStr()},
      {"counting", nameOf(dispatcher.getCounting())},
  };
  if (dispatcher.getParked()) json["parked"] = true;
  if (dispatcher.getNoCounters().size()) json["no_counters"] = dispatcher.getNoCounters().cStr();
  return json;
}

Json jsonOf(schema::Planned::Reader member) {
  return {
      {"link_id", orNull(member.getLinkId())},
      {"program_id", member.getProgramId()},
      {"program_name", member.getProgramName().cStr()},
      {"priority", member.getForeign() ? Json(nullptr) : Json(member.getPriority())},
      {"foreign", member.getForeign()},
      {"new", member.getWanted()},
      {"reason", member.getReason().cStr()},
  };
}

Json jsonOf(schema::Attachment::Reader attachment, const std::string& programName) {
  return {
      {"hook", attachment.getHook().cStr()},
      {"target", attachment.getTarget().cStr()},
      {"ifindex", attachment.getIfindex()},
      {"nsid", attachment.getNsid()},
      {"position", attachment.getPosition() < 0 ? Json(nullptr) : Json(attachment.getPosition())},
      {"program_id", attachment.getProgramId()},
      {"program_name", programName},
      {"kernel_link_id", orNull(attachment.getLinkId())},
      {"managed", attachment.getManaged()},
      {"how", attachment.getHow().cStr()},
  };
}

// Names from the kernel are bytes: what is not UTF-8 is replaced rather than refused.
void print(std::ostream& out, const Json& json) { out << json.dump(2, ' ', false, Json::error_handler_t::replace) << "\n"; }

}  // namespace bpfman
