#include "loader/explain.h"

#include <cerrno>
#include <cstring>

#include <bpf/libbpf.h>

namespace bpfman {

namespace {

constexpr size_t MAX_LINE = 300;

bool isStatistics(std::string_view line) {
  return line.starts_with("processed ") || line.starts_with("verification time") || line.starts_with("stack depth");
}

// The last line for which `wanted` is true, of the log up to its end, which becomes that line's begin.
template <typename Wanted>
std::string_view lastLine(std::string_view& log, Wanted&& wanted) {
  while (!log.empty()) {
    if (log.back() == '\n') {
      log.remove_suffix(1);
      continue;
    }
    std::string_view line = log.substr(log.rfind('\n') + 1);
    log.remove_suffix(line.size());
    if (wanted(line)) return line;
  }
  return {};
}

// The verifier ends with the reason, and statistics behind it.
std::string_view complaintIn(std::string_view& log) {
  return lastLine(log, [](std::string_view line) { return !isStatistics(line) && line.find_first_not_of(" \t") != line.npos; });
}

std::string lastWord(std::string_view log) { return printable(complaintIn(log).substr(0, MAX_LINE), false); }

bool isInstruction(std::string_view line) {  // "12: (79) r1 = *(u64 *)(r2 +0)     ; R1_w=…"
  size_t digits = line.find_first_not_of("0123456789");
  return digits != 0 && digits != line.npos && line.substr(digits).starts_with(": (");
}

// The kernel verifies the signature first, and writes no log then.
std::string aboutSignature(int error) {
  switch (error) {
    case E2BIG: return "this kernel takes no signatures: Linux 6.18 or newer does";
    case EOPNOTSUPP: return "this kernel was built without what verifies signatures (CONFIG_SYSTEM_DATA_VERIFICATION)";
    case ENOKEY: return "the keyring has no key that made the signature";
    case EKEYREJECTED:
    case EBADMSG:
      return "the signature is not of these instructions: they change with the object, the options of the load and the kernel (--to-sign)";
    case EINVAL: return "there is no such keyring, or the signature is no PKCS#7 in DER";
    default: return "its signature may be why";
  }
}

std::string aboutProgram(const Proxy::Failure& failure, std::string_view log) {
  std::string text = "the kernel refused program \"" + failure.name + "\": " + strerror(failure.error);
  if (failure.error == ENOSPC)
    text += " (the verifier's log has more than " + std::to_string(wire::MAX_LOG >> 20) + " MiB: a lower log level, or none, needs less)";
  if (std::string word = lastWord(log); !word.empty()) return text + ": " + word;
  if (failure.ofSigned) return text + ": " + aboutSignature(failure.error);
  if (failure.error == EPERM)
    return text + ": it does not load programs of this type here (locked down?), or the daemon lacks a capability";
  return text;
}

std::string aboutMap(const Proxy::Failure& failure) {
  const char* type = libbpf_bpf_map_type_str(static_cast<bpf_map_type>(failure.mapType));
  std::string text = "cannot create map \"" + failure.name + "\" (" + (type ? type : "of an unknown type") + ", about " +
                     std::to_string(failure.mapBytes) + " bytes): " + strerror(failure.error);
  if (failure.error == EPERM) return text + ": more maps or map memory than the policy allows";
  if (failure.error == EINVAL && failure.mapBytes == 0)
    return text + ": the object leaves its number of elements to a loader of its own; recompile it with max_entries";
  return text;
}

// "extern 'CONFIG_NR_CPUS' (strong): not resolved"
std::string aboutObject(const std::string& word) {
  std::string text = "cannot load the object: " + word;
  if (word.starts_with("extern 'CONFIG_") && word.find("(strong)") != word.npos)
    text +=
        ": how the kernel was built (__kconfig) is not known here. Declared __weak it is 0; or let it be a global variable, which --set "
        "sets";
  return text;
}

const char* under(wire::Op op) {
  switch (op) {
    case wire::Op::createMap: return "creating a map";
    case wire::Op::loadBtf: return "loading its types";
    case wire::Op::loadProgram: return "loading a program";
    case wire::Op::initialise: return "initialising a map";
    default: return "loading";
  }
}

}  // namespace

std::string cutInTheMiddle(std::string_view log, size_t limit) {
  if (log.size() <= limit) return std::string(log);
  size_t half = limit / 2 - 64;
  std::string_view head = log.substr(0, half), tail = log.substr(log.size() - half);
  if (size_t end = head.rfind('\n'); end != head.npos) head = head.substr(0, end + 1);
  if (size_t start = tail.find('\n'); start != tail.npos) tail = tail.substr(start + 1);
  std::string missing = std::to_string(log.size() - head.size() - tail.size());
  return std::string(head) + "[... " + missing + " bytes left out ...]\n" + std::string(tail);
}

std::string summaryOf(std::string_view log) {
  std::string_view complaint = complaintIn(log), instruction = lastLine(log, isInstruction);
  if (instruction.empty()) return "";  // it did not come so far
  std::string_view source = lastLine(log, [](std::string_view line) { return line.starts_with("; "); });
  std::string text;
  auto add = [&](const char* what, std::string_view line) { text += what + printable(line.substr(0, MAX_LINE), false) + "\n"; };
  if (!source.empty()) {
    source.remove_prefix(2);
    size_t at = source.rfind(" @ ");  // kernels before 6.8 don't say in which file
    if (at != source.npos) add("source:      ", source.substr(at + 3));
    add(at == source.npos ? "source:      " : "             ", source.substr(0, at));
  }
  instruction = instruction.substr(0, instruction.find(" ; "));
  add("instruction: ", instruction.substr(0, instruction.find_last_not_of(' ') + 1));
  add("verifier:    ", complaint);
  return text;
}

Refusal explain(const Proxy& proxy, const Warnings& warnings, int error, std::string_view log) {
  const Proxy::Failure& failure = proxy.lastFailure();
  if (proxy.sessionLost())
    return {std::string("the load session ended while ") + under(failure.op) + (failure.name.empty() ? "" : " \"" + failure.name + "\"") +
                ": the object asks for something that this load may not have (the daemon's log says what)",
            EPIPE};
  if (failure.op == wire::Op::loadProgram)
    return {aboutProgram(failure, log), failure.error, printable(cutInTheMiddle(log, MAX_VERIFIER_LOG), true), summaryOf(log)};
  if (failure.op == wire::Op::createMap) return {aboutMap(failure), failure.error};
  std::string word = warnings.mostUseful();
  if (word.find("not found in kernel or module BTFs") != word.npos) word += "; if a module has it, load that first (modprobe)";
  return {aboutObject(word.empty() ? std::string(strerror(error)) : word), failure.error ? failure.error : error};
}

}  // namespace bpfman
