#include "cli/text.h"
#include "cli/counters.h"
#include "cli/json.h"
#include "cli/names.h"

#include <algorithm>

namespace bpfman {
namespace {

std::string orNone(uint64_t number) { return number ? std::to_string(number) : "None"; }
std::string orNone(const std::string& text) { return text.empty() ? "None" : text; }
std::string yes(bool value) { return value ? "true" : "false"; }

template <typename List>
std::string joined(const List& numbers, const char* empty) {
  std::string result;
  for (auto number : numbers) result += (result.empty() ? "" : ", ") + std::to_string(number);
  return result.empty() ? empty : result;
}

std::string joined(capnp::List<schema::KeyValue>::Reader pairs) {
  std::string result;
  for (auto pair : pairs) result += (result.empty() ? "" : ", ") + std::string(pair.getKey().cStr()) + "=" + pair.getValue().cStr();
  return orNone(result);
}

std::string globalsText(capnp::List<schema::Global>::Reader globals) {
  std::string result;
  for (auto global : globals) {
    result += (result.empty() ? "" : ", ") + std::string(global.getName().cStr()) + "=0x";
    for (auto byte : global.getValue()) {
      result += "0123456789abcdef"[byte >> 4];
      result += "0123456789abcdef"[byte & 15];
    }
  }
  return orNone(result);
}

// Where a link is, in one line: "eth0 ingress pos-0 netns=/run/netns/a", "syscalls/sys_enter_kill".
std::string place(schema::LinkRecord::Reader record) {
  if (record.getInterface().size() == 0)
    return record.getTarget().cStr() + (record.getWaiting().size() ? std::string(" waiting: ") + record.getWaiting().cStr() : "");
  std::string text = record.getInterface().cStr();
  if (record.getKind() != schema::ProgramType::XDP) text += std::string(" ") + nameOf(record.getDirection());
  if (record.getPaused()) text += " paused";
  if (record.getPosition() >= 0) text += " pos-" + std::to_string(record.getPosition());
  if (record.getNetnsPath().size()) text += std::string(" netns=") + record.getNetnsPath().cStr();
  if (record.getWaiting().size()) text += std::string(" waiting: ") + record.getWaiting().cStr();
  return text;
}

std::string statistics(schema::Known::Reader known, const char* unit) {
  return known.isValue() ? std::to_string(known.getValue()) + unit : std::string("unknown: ") + known.getUnknown().cStr();
}

void printStatus(std::ostream& out, schema::ProgramDetails::Reader details) {
  auto record = details.getRecord();
  auto kernel = details.getKernel();
  out << "  Status:\n";
  printFields(out, "    ",
              {{"BTF ID", orNone(kernel.getBtfId())},
               {"Bytecode", record.getObjectPath().cStr()},
               {"Instructions", std::to_string(kernel.getVerifiedInstructions())},
               {"Kernel Seen", yes(details.getKernelSeen())},
               {"Kernel Type", orNone(std::string(kernel.getTypeName().cStr()))},
               {"Loaded At", kernel.getLoadedAt() ? timeText(kernel.getLoadedAt()) : "None"},
               {"Map Dir", record.getMapPinPath().cStr()},
               {"Maps Used By", joined(details.getMapUsedBy(), "None")},
               {"Memory", std::to_string(kernel.getMemlock()) + " bytes"},
               {"Prog Pin", record.getPinPath().cStr()},
               {"Size JITted", std::to_string(kernel.getJitedSize()) + " bytes"},
               {"Size Translated", std::to_string(kernel.getXlatedSize()) + " bytes"},
               {"Tag", orNone(std::string(kernel.getTag().cStr()))}});
  out << "    Links:" << (details.getLinks().size() ? "\n" : " None\n");
  for (auto link : details.getLinks()) out << "      " << link.getRecord().getId() << " " << place(link.getRecord()) << "\n";
  out << "    Maps:" << (details.getMaps().size() ? "\n" : " None\n");
  for (auto map : details.getMaps()) {
    out << "      " << map.getKernel().getId() << " " << map.getName().cStr() << " " << map.getKernel().getTypeName().cStr();
    if (map.getUnused()) out << ", not used by this program";
    if (map.getPinnedByName()) out << ", pinned by name";
    if (map.getSharedWith().size()) out << ", shared with " << joined(map.getSharedWith(), "");
    out << "\n";
  }
}

}  // namespace

void Table::elideIfEmpty(size_t column) {
  bool used = std::any_of(rows.begin() + 1, rows.end(), [&](auto& row) { return !row[column].empty(); });
  if (used) return;
  for (auto& row : rows) row.erase(row.begin() + column);
}

void Table::print(std::ostream& out, const std::string& indent) const {
  std::vector<size_t> widths(rows[0].size());
  for (auto& row : rows) {
    for (size_t i = 0; i < row.size(); i++) widths[i] = std::max(widths[i], row[i].size());
  }
  for (auto& row : rows) {
    std::string line = indent;
    for (size_t i = 0; i + 1 < row.size(); i++) line += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    line += row.back();
    out << line.substr(0, line.find_last_not_of(' ') + 1) << "\n";
  }
}

void printFields(std::ostream& out, const std::string& indent, const Fields& fields) {
  size_t width = 0;
  for (auto& [key, value] : fields) width = std::max(width, key.size());
  for (auto& [key, value] : fields) out << indent << key << ":" << std::string(width - key.size() + 1, ' ') << value << "\n";
}

void printProgram(std::ostream& out, schema::ProgramDetails::Reader details) {
  auto record = details.getRecord();
  auto kernel = details.getKernel();
  out << "Program ID: " << record.getId() << "\n  Spec:\n";
  Fields spec = {{"GPL Compatible", yes(record.getGplCompatible())},
                 {"Global", globalsText(record.getGlobals())},
                 {"License", record.getLicense().cStr()},
                 {"Map Owner ID", orNone(record.getMapOwner())},
                 {"Map Pin Path", record.getMapPinPath().cStr()},
                 {"Metadata", joined(record.getMetadata())},
                 {"Name", record.getName().cStr()},
                 {"Path", orNone(std::string(record.getSourcePath().cStr()))},
                 {"Type", nameOf(record.getType())}};
  if (record.getPersistent()) spec.push_back({"Persistent", "yes"});
  if (record.getNotLoaded().size()) spec.push_back({"Not Loaded", record.getNotLoaded().cStr()});
  if (record.getAttachTo().size()) spec.insert(spec.begin(), {"Attach Func", record.getAttachTo().cStr()});
  printFields(out, "    ", spec);
  printStatus(out, details);
  out << "  Stats:\n";
  printFields(out, "    ",
              {{"Recursion Misses", statistics(kernel.getRecursionMisses(), "")},
               {"Run Count", statistics(kernel.getRunCount(), "")},
               {"Run Time", statistics(kernel.getRunTime(), " ns")}});
}

void printPrograms(std::ostream& out, const std::vector<schema::ProgramEntry::Reader>& entries) {
  Table table({"PROGRAM ID", "APPLICATION", "TYPE", "FUNCTION NAME", "LINK IDS"});
  for (auto& entry : entries) {
    table.row({std::to_string(entry.getId()), entry.getApplication().cStr(),
               entry.getManaged() ? nameOf(entry.getRecord().getType()) : entry.getType().cStr(), entry.getFunctionName().cStr(),
               joined(entry.getLinkIds(), "<none>")});
  }
  table.elideIfEmpty(1);
  table.print(out);
}

void printLink(std::ostream& out, schema::LinkDetails::Reader details) {
  auto record = details.getRecord();
  bool xdp = record.getKind() == schema::ProgramType::XDP;
  Fields spec = {{"BPF Function", record.getProgramName().cStr()}};
  if (record.getInterface().size()) {
    if (!xdp) spec.push_back({"Direction", nameOf(record.getDirection())});
    spec.push_back({"Interface", record.getInterface().cStr()});
  }
  spec.push_back({"Kernel Link ID", orNone(record.getKernelLinkId())});
  spec.push_back({"Metadata", joined(record.getMetadata())});
  if (record.getInterface().size()) spec.push_back({"Network Namespace", orNone(std::string(record.getNetnsPath().cStr()))});
  spec.push_back({"Pin Path", record.getPinPath().cStr()});
  if (record.getInterface().size()) {
    spec.push_back({"Position", record.getPaused()         ? "None (paused)"
                                : record.getPosition() < 0 ? "None"
                                                           : std::to_string(record.getPosition())});
    spec.push_back({"Priority", std::to_string(record.getPriority())});
    if (record.getKind() != schema::ProgramType::TCX)
      spec.push_back({"Proceed On", orNone(verdictNames(record.getKind(), record.getProceedOn()))});
  }
  spec.push_back({"Program ID", std::to_string(record.getProgramId())});
  if (!record.getInterface().size()) spec.push_back({"Target", orNone(std::string(record.getTarget().cStr()))});
  spec.push_back({"Type", nameOf(record.getKind())});
  if (record.getWaitingChange()) spec.push_back({"Waiting Change", std::to_string(record.getWaitingChange())});
  if (record.getPersistent()) spec.push_back({"Persistent", "yes"});
  if (record.getWaiting().size()) spec.push_back({"Waiting", record.getWaiting().cStr()});

  out << "Link ID: " << record.getId() << "\n  Spec:\n";
  printFields(out, "    ", spec);
  out << "  Status:\n";
  printFields(out, "    ", {{"Kernel Seen", yes(details.getKernelSeen())}, {"Pin Present", yes(details.getPinPresent())}});
}

void printLinks(std::ostream& out, capnp::List<schema::LinkRecord>::Reader records) {
  Table table({"LINK ID", "KERNEL LINK ID", "KIND", "PROGRAM ID", "APPLICATION", "FUNCTION NAME", "ATTACHMENT"});
  for (auto record : records) {
    table.row({std::to_string(record.getId()), record.getKernelLinkId() ? std::to_string(record.getKernelLinkId()) : "<none>",
               nameOf(record.getKind()), std::to_string(record.getProgramId()), record.getApplication().cStr(),
               record.getProgramName().cStr(), place(record)});
  }
  table.elideIfEmpty(4);
  table.print(out);
}

void printDispatcher(std::ostream& out, schema::Dispatcher::Reader dispatcher) {
  out << "Dispatcher: " << dispatcher.getType().cStr() << " nsid=" << dispatcher.getNsid() << " ifindex=" << dispatcher.getIfindex()
      << "\n  Engine: " << dispatcher.getEngine().cStr() << (dispatcher.getParked() ? "\n  Parked: yes" : "")
      << "\n  Revision: " << dispatcher.getRevision() << "\n  Program ID: " << dispatcher.getProgramId() << "\n  Members ("
      << dispatcher.getMembers().size() << "):\n";
  auto type = dispatcher.getType() == "xdp" ? schema::ProgramType::XDP : schema::ProgramType::TC;
  Table table({"POS", "PRIORITY", "PROGRAM ID", "FUNCTION NAME", "LINK ID", "KERNEL LINK ID", "PROCEED ON"});
  for (auto member : dispatcher.getMembers()) {
    table.row({std::to_string(member.getPosition()), std::to_string(member.getPriority()), std::to_string(member.getProgramId()),
               member.getProgramName().cStr(), member.getForeign() ? "foreign" : std::to_string(member.getLinkId()),
               std::to_string(member.getKernelLinkId()), verdictNamesOfMask(type, member.getProceedOn())});
  }
  table.print(out, "    ");
  printCounters(out, dispatcher);
}

void printDispatchers(std::ostream& out, capnp::List<schema::Dispatcher>::Reader dispatchers) {
  Table table({"TYPE", "NSID", "IFINDEX", "REVISION", "PROGRAM ID", "KERNEL LINK ID", "PRIORITY", "HANDLE", "MEMBERS", "NETNS"});
  auto orEmpty = [](uint32_t number) { return number ? std::to_string(number) : std::string(); };
  for (auto dispatcher : dispatchers) {
    table.row({dispatcher.getType().cStr(), std::to_string(dispatcher.getNsid()), std::to_string(dispatcher.getIfindex()),
               std::to_string(dispatcher.getRevision()), std::to_string(dispatcher.getProgramId()), orEmpty(dispatcher.getKernelLinkId()),
               orEmpty(dispatcher.getFilterPriority()), orEmpty(dispatcher.getFilterHandle()),
               std::to_string(dispatcher.getMembers().size()), dispatcher.getNetnsPath().cStr()});
  }
  table.print(out);
}

void printPlan(std::ostream& out, const char* title, capnp::List<schema::Planned>::Reader members) {
  out << title << (members.size() ? "\n" : " nobody\n");
  Table table({"POS", "PRIORITY", "PROGRAM ID", "FUNCTION NAME", "LINK ID", "WHY"});
  for (size_t i = 0; i < members.size(); ++i) {
    auto member = members[i];
    table.row({std::to_string(i), member.getForeign() ? "" : std::to_string(member.getPriority()), std::to_string(member.getProgramId()),
               member.getForeign() ? "<foreign>" : member.getProgramName().cStr(),
               member.getWanted()    ? "<new>"
               : member.getForeign() ? ""
                                     : std::to_string(member.getLinkId()),
               member.getReason().cStr()});
  }
  if (members.size()) table.print(out, "  ");
}

}  // namespace bpfman
