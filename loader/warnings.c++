#include "loader/warnings.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include <bpf/libbpf.h>

namespace bpfman {

namespace {

constexpr size_t MAX_LINES = 16, MAX_LINE = 512;
Warnings* current = nullptr;

int keep(libbpf_print_level level, const char* format, va_list arguments) {
  char line[MAX_LINE];
  if (level != LIBBPF_WARN || !current) return 0;
  vsnprintf(line, sizeof line, format, arguments);
  current->add(line);
  return 0;
}

// Lines that only say that something failed, behind the one that says what.
bool isEcho(const std::string& line) {
  for (const char* part :
       {"failed to load object", "failed to load: -", "-- BEGIN PROG LOAD LOG", "-- END PROG LOAD LOG", "BPF program load failed"})
    if (line.find(part) != std::string::npos) return true;
  return false;
}

}  // namespace

Warnings::Warnings() {
  current = this;
  libbpf_set_print(keep);
}

Warnings::~Warnings() { current = nullptr; }

void Warnings::add(std::string line) {
  if (line.starts_with("libbpf: ")) line.erase(0, 8);
  if (lines.size() == MAX_LINES) lines.pop_front();
  lines.push_back(printable(line.substr(0, line.find('\n')), false));
}

std::string Warnings::mostUseful() const {
  auto found = std::find_if(lines.rbegin(), lines.rend(), [](const std::string& line) { return !isEcho(line); });
  return found != lines.rend() ? *found : lines.empty() ? "" : lines.back();
}

std::string printable(std::string_view text, bool lines) {
  std::string result(text);
  for (char& c : result)
    if ((c < ' ' || c > '~') && !(lines && (c == '\n' || c == '\t'))) c = '?';
  return result;
}

}  // namespace bpfman
