// Hooks in the kernel's and in programs' own code.
#include "cli/attach-kinds.h"
#include "cli/text.h"
#include "cli/values.h"
#include "client/symbol.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <iterator>

namespace bpfman {
namespace {

void setTracepoint(schema::Place::Builder place, const AttachArguments& arguments) {
  auto& name = arguments.tracepoint;
  auto slash = name.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == name.size() || name.find('/', slash + 1) != std::string::npos) {
    fail(kj::str("tracepoint \"", name.c_str(), "\": expected GROUP/NAME"));
  }
  auto tracepoint = place.initTracepoint();
  tracepoint.setGroup(name.substr(0, slash).c_str());
  tracepoint.setName(name.substr(slash + 1).c_str());
}

void setRawTracepoint(schema::Place::Builder place, const AttachArguments& arguments) {
  place.setRawTracepoint(arguments.tracepoint.c_str());
}

void setTpBtf(schema::Place::Builder place, const AttachArguments& arguments) { place.setTpBtf(); }

template <schema::ProgramType TYPE>
void setFixed(schema::Place::Builder place, const AttachArguments& arguments) {
  place.setFixed(TYPE);
}

void setUprobe(schema::Place::Builder place, const AttachArguments& arguments) {
  auto uprobe = place.initUprobe();
  auto path = binaryPath(arguments);
  if (arguments.function.empty() && arguments.offset == 0) fail(kj::str("say where: --fn-name, or --offset in the file"));
  bool named = !arguments.function.empty();
  uint64_t offset = named ? offsetOf(path.c_str(), arguments.function.c_str(), arguments.offset) : arguments.offset;
  uprobe.setBinary(carry(openPath(path.c_str())));
  uprobe.setOffset(offset);
  if (arguments.process) uprobe.setProcess(carry(openProcess(arguments.process)));
  uprobe.setPath(arguments.binary.c_str());
  uprobe.setFunction(arguments.function.c_str());
}

uint64_t offsetIn(const std::string& text, const std::string& section) {
  char* end;
  uint64_t offset = strtoull(text.c_str(), &end, 0);
  if (text.empty() || !isdigit(static_cast<unsigned char>(text[0])) || *end)
    fail(
        kj::str("the program's section says \"", section.c_str(), "\": expected BINARY:FUNCTION, BINARY:FUNCTION+OFFSET or BINARY:OFFSET"));
  return offset;
}

// What is not said is as the program's section has it: "/bin/bash:readline", "libc:getppid+4", "/bin/bash:0x1234". Of several functions it
// is a pattern.
void takeSection(Session& session, AttachArguments& arguments) {
  bool placed = !arguments.function.empty() || !arguments.functions.empty() || arguments.offset > 0;
  if (!arguments.binary.empty() && placed) return;
  auto answer = session.wait(findProgram(session, arguments.program).getRequest().send());
  std::string section = answer.getDetails().getRecord().getAttachTo().cStr();
  auto colon = section.rfind(':');
  if (arguments.binary.empty()) arguments.binary = section.substr(0, colon);
  if (arguments.binary.empty()) fail(kj::str("say in which binary (TARGET): the section of program ", arguments.program, " names none"));
  if (placed || colon == section.npos) return;
  std::string where = section.substr(colon + 1);
  auto plus = where.find('+');
  arguments.functions = {where};
  arguments.function = where.substr(0, plus);
  if (plus != where.npos) arguments.offset = offsetIn(where.substr(plus + 1), section);
  if (!where.empty() && isdigit(static_cast<unsigned char>(where[0]))) arguments.function = "", arguments.offset = offsetIn(where, section);
}

void setUprobeMulti(schema::Place::Builder place, const AttachArguments& arguments) {
  auto uprobe = place.initUprobeMulti();
  auto path = binaryPath(arguments);
  auto functions = arguments.functions;
  if (functions.empty() && arguments.probe.empty()) fail(kj::str("say which functions; the program's section names none"));
  auto offsets = arguments.probe.empty() ? offsetsOf(path.c_str(), functions) : std::vector<uint64_t>();
  auto spots = uprobe.initSpots(offsets.size() + arguments.probes.size());
  for (size_t i = 0; i < offsets.size(); ++i) spots[i].setOffset(offsets[i]);
  for (size_t i = 0; i < arguments.probes.size(); ++i) {
    spots[i].setOffset(arguments.probes[i].offset);
    spots[i].setCounter(arguments.probes[i].semaphore);
    spots[i].setCookie(arguments.cookies[i]);
  }
  uprobe.setBinary(carry(openPath(path.c_str())));
  if (arguments.process) uprobe.setProcess(carry(openProcess(arguments.process)));
  uprobe.setPath(arguments.binary.c_str());
  std::string what = arguments.probe;
  for (auto& function : functions) what += (what.empty() ? "" : ",") + function;
  uprobe.setFunction(what.c_str());
}

void setKprobe(schema::Place::Builder place, const AttachArguments& arguments) {
  auto kprobe = place.initKprobe();
  kprobe.setFunction(arguments.function.c_str());
  kprobe.setOffset(arguments.offset);
}

void setKprobeMulti(schema::Place::Builder place, const AttachArguments& arguments) {
  put(place.initKprobeMulti(arguments.functions.size()), arguments.functions);
}

// As perf names them. By number: PERF_COUNT_SW_*, PERF_COUNT_HW_*.
constexpr const char* SOFTWARE[] = {"cpu-clock",        "task-clock",   "page-faults",  "context-switches",
                                    "cpu-migrations",   "minor-faults", "major-faults", "alignment-faults",
                                    "emulation-faults", "dummy",        "bpf-output",   "cgroup-switches"};
constexpr const char* HARDWARE[] = {"cycles",        "instructions", "cache-references",        "cache-misses",           "branches",
                                    "branch-misses", "bus-cycles",   "stalled-cycles-frontend", "stalled-cycles-backend", "ref-cycles"};

template <size_t N>
size_t indexOf(const char* const (&names)[N], const std::string& name) {
  return std::find(names, names + N, name) - names;
}

std::string eventNames() {
  std::string text;
  for (auto name : SOFTWARE) text += std::string(text.empty() ? "" : ", ") + name;
  for (auto name : HARDWARE) text += std::string(", ") + name;
  return text;
}

void setPerfEvent(schema::Place::Builder place, const AttachArguments& arguments) {
  auto perf = place.initPerfEvent();
  size_t software = indexOf(SOFTWARE, arguments.event), hardware = indexOf(HARDWARE, arguments.event);
  if (software < std::size(SOFTWARE))
    perf.initEvent().setSoftware(software);
  else if (hardware < std::size(HARDWARE))
    perf.initEvent().setHardware(hardware);
  else
    fail(kj::str("unknown event \"", arguments.event.c_str(), "\": known are ", eventNames().c_str()));
  if (arguments.frequency)
    perf.initSampling().setFrequency(arguments.frequency);
  else
    perf.initSampling().setPeriod(arguments.period ? arguments.period : 1);
  perf.setCpu(arguments.cpu);
  if (arguments.process) perf.setProcess(carry(openProcess(arguments.process)));
}

void setIterator(schema::Place::Builder place, const AttachArguments& arguments) { place.setIterator(arguments.map); }

}  // namespace

// A library's name, such as "libc", is looked for where the dynamic linker does; a path is taken as it is, inside the container if one
// is named.
std::string binaryPath(const AttachArguments& arguments) {
  namespace fs = std::filesystem;
  std::string root = arguments.container ? "/proc/" + std::to_string(arguments.container) + "/root" : "";
  if (arguments.binary.find('/') != std::string::npos) return root + arguments.binary;
  for (auto directory : {"/lib64", "/usr/lib64", "/lib/" MULTIARCH, "/usr/lib/" MULTIARCH, "/lib", "/usr/lib", "/usr/local/lib"}) {
    std::error_code none;
    for (auto& entry : fs::directory_iterator(root + directory, none)) {
      if (entry.path().filename().string().starts_with(arguments.binary + ".so")) return entry.path();
    }
  }
  fail(kj::str("there is no library ", arguments.binary.c_str(), ": give the binary's path"));
}

void setStructOps(schema::Place::Builder place, const AttachArguments& arguments) { place.setStructOps(arguments.operations); }

void addTracingKinds(Kinds& kinds) {
  auto& given = *kinds.arguments;
  kinds.add("tracepoint", "To a tracepoint of the kernel", setTracepoint)
      .add_option(kinds.named("TRACEPOINT", "-t,--tracepoint"), given.tracepoint, "GROUP/NAME")
      ->required();
  kinds.add("raw_tp", "To a raw tracepoint", setRawTracepoint)
      .add_option(kinds.named("TRACEPOINT", "-t,--tracepoint"), given.tracepoint, "NAME (default: the one in the program's section)");
  kinds.add("tp_btf", "To the tracepoint that was fixed at load", setTpBtf);
  kinds.add("fentry", "To the start of the function that was fixed at load", setFixed<schema::ProgramType::FENTRY>);
  kinds.add("fexit", "To the return of the function that was fixed at load", setFixed<schema::ProgramType::FEXIT>);
  kinds.add("fmod_ret", "To the function that was fixed at load, whose result it may set", setFixed<schema::ProgramType::FMOD_RET>);
  kinds.add("lsm", "To the security hook that was fixed at load", setFixed<schema::ProgramType::LSM>);
  kinds.add("struct_ops", "Lets the kernel call the functions that the object put together", setStructOps)
      .add_option(kinds.named("NAME", "--map"), given.operations, "Of the struct_ops (default: the only one of the load)");

  auto& kprobe = kinds.add("kprobe", "To a function of the kernel; of a kretprobe program: to its return", setKprobe);
  kprobe.add_option(kinds.named("FUNCTION", "-f,--fn-name"), given.function, "Its name (default: the one in the program's section)");
  kprobe.add_option("--offset", given.offset, "Bytes behind the function's start");
  auto& multi = kinds.add("kprobe.multi", "To many functions of the kernel in one link, all or none", setKprobeMulti);
  multi.add_option(kinds.named("FUNCTIONS", "-f,--fn-name"), given.functions,
                   "Names, or patterns such as 'vfs_*' (default: what the program's section names)");

  auto addBinary = [&](CLI::App& app) {
    app.add_option(kinds.named("TARGET", "-t,--target"), given.binary, "PATH of the program or library, or a library's name");
    app.add_option("-p,--pid", given.process, "Only in this process (default: in all)")->check(CLI::Range(1, INT32_MAX));
    app.add_option("--container-pid", given.container, "TARGET is as this process sees it")->check(CLI::Range(1, INT32_MAX));
  };
  auto& uprobe = kinds.add("uprobe", "To a function of a binary; of a uretprobe program: to its return", setUprobe, takeSection);
  addBinary(uprobe);
  uprobe.add_option("-f,--fn-name", given.function, "The function (default: the one in the program's section, as TARGET)");
  uprobe.add_option("--offset", given.offset, "Bytes behind the function's start; without one, in the file");
  auto& uprobes = kinds.add("uprobe.multi", "To many functions of a binary in one link, all or none", setUprobeMulti, takeSection);
  addBinary(uprobes);
  uprobes.add_option(kinds.named("FUNCTIONS", "-f,--fn-name"), given.functions,
                     "Names, or patterns such as 'SSL_*' (default: the one in the program's section, as TARGET)");
  auto& usdt = kinds.add("usdt", "To a static probe of a binary (usdt programs)", setUprobeMulti, chooseUsdtSpecs);
  addBinary(usdt);
  usdt.add_option(kinds.named("PROBE", "--probe"), given.probe, "PROVIDER:NAME (default: the one in the program's section, as TARGET)");

  auto& perf = kinds.add("perf_event", "To an event that the processor or the kernel counts", setPerfEvent);
  perf.add_option(kinds.named("EVENT", "-e,--event"), given.event, "cycles, cpu-clock, page-faults, … as perf names them")->required();
  auto period = perf.add_option("--period", given.period, "After so many of them (default: each)");
  perf.add_option("--frequency", given.frequency, "So often a second")->excludes(period);
  perf.add_option("--cpu", given.cpu, "On this CPU")->check(CLI::Range(0, INT32_MAX));
  perf.add_option("-p,--pid", given.process, "In this process, on any CPU unless one is named")->check(CLI::Range(1, INT32_MAX));

  auto& iterator = kinds.add("iter", "An iterator: 'bpfman link read' then shows what it says", setIterator);
  iterator.add_option("--map", given.map, "The id of the map that it runs over, for programs that run over a map's elements");
}

}  // namespace bpfman
