#include "worker/pins.h"

#include "worker/die.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace bpfman {

using wire::Dir;
using wire::Kind;

namespace {

struct Place {
  Dir dir;
  Kind kind;
  bool named;
  const char* directory;  // 1$, 2$, 3$ are the pin's a, b, c; 4$ its name
  const char* file;
};

constexpr Place PLACES[] = {
    {Dir::loads, Kind::program, true, "loads/%1$u", "%4$s%2$u"},
    {Dir::programs, Kind::program, false, ".", "prog_%1$u"},
    {Dir::maps, Kind::map, true, "maps/%1$u", "%4$s"},
    {Dir::links, Kind::link, false, "links", "%1$u"},
    {Dir::dispatchers, Kind::link, true, "xdp", "dispatcher_%1$u_%2$u_%4$s"},
    {Dir::tcIngress, Kind::link, true, "tc-ingress", "dispatcher_%1$u_%2$u_%4$s"},
    {Dir::tcEgress, Kind::link, true, "tc-egress", "dispatcher_%1$u_%2$u_%4$s"},
    {Dir::members, Kind::program, false, "xdp/dispatcher_%1$u_%2$u", "link_%3$u"},
    {Dir::tcIngressMembers, Kind::program, false, "tc-ingress/dispatcher_%1$u_%2$u", "link_%3$u"},
    {Dir::tcEgressMembers, Kind::program, false, "tc-egress/dispatcher_%1$u_%2$u", "link_%3$u"},
    {Dir::tcxIngress, Kind::link, false, "tcx-ingress", "link_%1$u_%2$u_%3$u"},
    {Dir::tcxEgress, Kind::link, false, "tcx-egress", "link_%1$u_%2$u_%3$u"},
    {Dir::netkitPrimary, Kind::link, false, "netkit-primary", "link_%1$u_%2$u_%3$u"},
    {Dir::netkitPeer, Kind::link, false, "netkit-peer", "link_%1$u_%2$u_%3$u"},
    {Dir::iterators, Kind::link, true, "iterators", "%4$s"},
    {Dir::version, Kind::map, false, ".", "version_%1$u"},
    {Dir::xdpPrograms, Kind::program, false, "libxdp/dispatch-%1$u-%2$u", "prog%3$u-prog"},
    {Dir::xdpLinks, Kind::link, false, "libxdp/dispatch-%1$u-%2$u", "prog%3$u-link"},
};
static_assert(sizeof PLACES / sizeof *PLACES == static_cast<size_t>(Dir::count));

// What always exists beneath the root of the bpffs.
constexpr const char* DIRECTORIES[] = {"staging",     "loads",      "maps",           "links",       "xdp",       "tc-ingress", "tc-egress",
                                       "tcx-ingress", "tcx-egress", "netkit-primary", "netkit-peer", "iterators", "libxdp"};

const Place& placeOf(const wire::Pin& pin) {
  if (pin.dir >= Dir::count) die("pin in an unknown directory %u", static_cast<unsigned>(pin.dir));
  return PLACES[static_cast<size_t>(pin.dir)];
}

// [A-Za-z0-9_]{1,63}, or nothing where the place needs none; NUL-padded to the end.
void requireName(const wire::Pin& pin, bool needed) {
  size_t length = strnlen(pin.name, sizeof pin.name);
  if (length == sizeof pin.name || (length != 0) != needed) die("pin with a bad name");
  for (size_t i = 0; i < sizeof pin.name; ++i) {
    char c = pin.name[i];
    bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (i < length ? !allowed : c != 0) die("pin with a bad name");
  }
  if (pin.dir == Dir::loads && strcmp(pin.name, "p") != 0 && strcmp(pin.name, "m") != 0) die("a load has only p and m");
}

Path format(const char* pattern, const wire::Pin& pin) {
  Path path;
  snprintf(path.text, sizeof path.text, pattern, pin.a, pin.b, pin.c, pin.name);
  return path;
}

}  // namespace

Path directoryOf(const wire::Pin& pin) { return format(placeOf(pin).directory, pin); }

Path pathOf(const wire::Pin& pin) {
  const Place& place = placeOf(pin);
  requireName(pin, place.named);
  Path directory = directoryOf(pin), file = format(place.file, pin), path;
  if (snprintf(path.text, sizeof path.text, "%s/%s", directory.text, file.text) >= static_cast<int>(sizeof path.text)) die("path too long");
  return path;
}

Kind kindOf(const wire::Pin& pin) { return pin.dir == Dir::loads && pin.name[0] == 'm' ? Kind::map : placeOf(pin).kind; }

Fd openProgram(Bpf& bpf, const wire::Pin& pin) {
  if (kindOf(pin) != Kind::program) die("not a program");
  return bpf.open(pathOf(pin).text);
}

Path loadPath(const char* root, uint32_t load) {
  Path path;
  snprintf(path.text, sizeof path.text, "%s/%u", root, load);
  return path;
}

void makeDirectories(Bpf& bpf) {
  for (const char* directory : DIRECTORIES)
    if (int error = bpf.makeDirectory(directory); error && error != -EEXIST)
      die("cannot make %s in our bpffs: %s", directory, strerror(-error));
}

int removeTree(Bpf& bpf, const char* path) {
  std::vector<std::string> names;
  if (int error = bpf.list(path, names)) return error;
  for (const std::string& name : names) {
    if (int error = bpf.unlink((std::string(path) + "/" + name).c_str()); error && error != -ENOENT) return error;
  }
  return bpf.removeDirectory(path);
}

}  // namespace bpfman
