// Programs at functions of the kernel, one or many in a link, and at events that the processor or the kernel counts.
#include <fnmatch.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <set>
#include <string_view>

#include <kj/debug.h>
#include <kj/vector.h>

#include "frontend/hook-single.h"
#include "frontend/limits.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

using schema::ProgramType;

struct Spot {
  std::string function;
  uint64_t offset = 0;
};

// "do_nanosleep" or "do_nanosleep+10", as sections of libbpf's and Aya's programs have it too.
Spot spotIn(const std::string& text) {
  size_t plus = text.find('+');
  if (plus == text.npos) return {text};
  const char* digits = text.c_str() + plus + 1;
  char* end;
  uint64_t offset = strtoull(digits, &end, 0);
  if (!isdigit(static_cast<unsigned char>(*digits)) || *end || plus == 0)
    refuse('"', text.c_str(), "\": expected a function of the kernel, or FUNCTION+OFFSET");
  return {text.substr(0, plus), offset};
}

class KprobeHook final : public SingleHook {
  SingleLink describe(Core& core, AttachWish& wish, LinkRow& link, kj::WaitScope& scope) const override {
    SingleLink made;
    requireClass(wish);
    auto place = wish.place.getKprobe();
    bool returns = wish.program.type == static_cast<uint16_t>(ProgramType::KRETPROBE);
    auto [function, offset] = spotIn(place.getFunction().size() > 0 ? place.getFunction().cStr() : wish.program.attachTo);
    if (function.empty()) refuse("say which function of the kernel; the section of ", wish.program.name.c_str(), " names none");
    if (place.getOffset() > 0) offset = place.getOffset();
    if (offset >= limits::PROBED_OFFSET) refuse("offset ", offset, " is outside of any function of the kernel");
    if (returns && offset > 0) refuse("a kretprobe runs where the function returns: it takes no offset");
    link.target = function + (offset ? kj::str("+", offset).cStr() : "");
    made.wanted.kind = wire::LinkKind::perfEvent;
    made.wanted.attachType = BPF_PERF_EVENT;
    made.target = core.broker.openKprobe(function.c_str(), offset, returns).wait(scope);
    return made;
  }
};

// Which functions can be probed, as the kernel lists them for ftrace; a module's have its name behind them.
void addProbed(std::span<const std::string> patterns, std::set<std::string>& found) {
  constexpr std::string_view BLANK = " \t";
  std::vector<char> text;
  for (size_t used = 0;;) {
    text.resize(used + (256 << 10));
    ssize_t got;
    KJ_SYSCALL(got = pread(wire::fd::frontend::probed, text.data() + used, text.size() - used, used));
    if (got == 0) break;
    used += got;
    text.resize(used);
  }
  for (char *line = text.data(), *end; (end = std::find(line, text.data() + text.size(), '\n')) != text.data() + text.size();
       line = end + 1) {
    std::string name(line, std::find_first_of(line, end, BLANK.begin(), BLANK.end()));
    if (std::ranges::any_of(patterns, [&](auto& pattern) { return fnmatch(pattern.c_str(), name.c_str(), 0) == 0; })) found.insert(name);
  }
}

// Each is compared with all functions of the kernel, and one with many stars takes long.
void requireQuick(std::span<const std::string> patterns) {
  if (patterns.size() > limits::PROBED_PATTERNS) refuse(patterns.size(), " patterns: at most ", limits::PROBED_PATTERNS, " in one link");
  for (auto& pattern : patterns)
    if (std::ranges::count(pattern, '*') > limits::PATTERN_STARS)
      refuse("pattern ", pattern.c_str(), ": at most ", limits::PATTERN_STARS, " stars in one");
}

class KprobeMultiHook final : public SingleHook {
  SingleLink describe(Core& core, AttachWish& wish, LinkRow& link, kj::WaitScope&) const override {
    SingleLink made;
    requireClass(wish);
    std::vector<std::string> names, patterns;
    for (auto name : wish.place.getKprobeMulti()) names.push_back(name.cStr());
    if (names.empty() && !wish.program.attachTo.empty()) names.push_back(wish.program.attachTo);
    if (names.empty()) refuse("say which functions of the kernel; the section of ", wish.program.name.c_str(), " names none");
    link.target = kj::strArray(names, ",").cStr();
    if (link.target.size() > limits::PATH_BYTES)
      refuse("the functions' names have ", link.target.size(), " bytes together, of at most ", limits::PATH_BYTES, ": use patterns");
    std::set<std::string> functions;
    for (auto& name : names) {
      if (name.find_first_of("*?[") == name.npos)
        functions.insert(name);
      else
        patterns.push_back(name);
    }
    requireQuick(patterns);
    if (!patterns.empty()) addProbed(patterns, functions);
    if (functions.empty()) refuse("no function of this kernel that can be probed matches ", link.target.c_str());

    made.wanted.kind = wire::LinkKind::kprobeMulti;
    made.wanted.attachType = rowOf(wish).expectedAttachType;
    made.wanted.flags = wish.program.type == static_cast<uint16_t>(ProgramType::KRETPROBE_MULTI) ? BPF_F_KPROBE_MULTI_RETURN : 0;
    for (auto& function : functions) made.tail.append(function.c_str(), function.size() + 1);
    if (functions.size() > limits::PROBED_FUNCTIONS || made.tail.size() > limits::PROBED_FUNCTIONS_BYTES)
      refuse(functions.size(), " functions match ", link.target.c_str(), ": at most ", limits::PROBED_FUNCTIONS, " in one link, with ",
             limits::PROBED_FUNCTIONS_BYTES, " bytes of names");
    return made;
  }
};

class PerfEventHook final : public SingleHook {
  SingleLink describe(Core& core, AttachWish& wish, LinkRow& link, kj::WaitScope& scope) const override {
    SingleLink made;
    AttachTarget target{ProgramType::PERF_EVENT, ""};
    wish.rights.requireAttach(target);
    auto place = wish.place.getPerfEvent();
    bool hardware = place.getEvent().isHardware(), frequent = place.getSampling().isFrequency();
    uint64_t number = hardware ? place.getEvent().getHardware() : place.getEvent().getSoftware();
    uint64_t often = frequent ? place.getSampling().getFrequency() : place.getSampling().getPeriod();
    if (number >= (hardware ? uint64_t{PERF_COUNT_HW_MAX} : uint64_t{PERF_COUNT_SW_MAX})) refuse("there is no such event: ", number);
    if (often == 0) refuse("say how often: after so many events (period), or so often a second (frequency)");
    if (place.getCpu() < -1) refuse("there is no CPU ", place.getCpu());
    pid_t pid = 0;
    KJ_IF_MAYBE (process, wish.process) pid = process->pid();
    if (pid == 0 && place.getCpu() < 0) refuse("say on which CPU, or in which process: an event is of one of them");
    auto event = core.broker.openCounter(hardware, number, frequent, often, place.getCpu(), pid).wait(scope);
    KJ_IF_MAYBE (process, wish.process)
      if (!process->alive()) refuse("that process has ended");
    link.target =
        kj::str(hardware ? "hardware " : "software ", number, frequent ? " frequency " : " period ", often,
                place.getCpu() < 0 ? kj::String() : kj::str(" cpu ", place.getCpu()), pid ? kj::str(" in process ", pid) : kj::String())
            .cStr();
    made.wanted.kind = wire::LinkKind::perfEvent;
    made.wanted.attachType = BPF_PERF_EVENT;
    made.target = kj::mv(event);
    return made;
  }
};

const KprobeHook KPROBE;
const KprobeMultiHook KPROBE_MULTI;
const PerfEventHook PERF_EVENT;

}  // namespace

const Hook& kprobeHook = KPROBE;
const Hook& kprobeMultiHook = KPROBE_MULTI;
const Hook& perfEventHook = PERF_EVENT;

}  // namespace bpfman
