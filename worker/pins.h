// Where things are in our bpffs. The only place that forms a path, from typed words.
#pragma once

#include "schema/worker.h"
#include "worker/bpf.h"

namespace bpfman {

struct Path {
  char text[192];
};

Path pathOf(const wire::Pin& pin);               // dies on a malformed pin
Path directoryOf(const wire::Pin& pin);          // the directory that the pin is in
wire::Kind kindOf(const wire::Pin& pin);         // what can be pinned there
Fd openProgram(Bpf& bpf, const wire::Pin& pin);  // dies when no program can be there
Path loadPath(const char* root, uint32_t load);  // root: "loads" or "staging"

void makeDirectories(Bpf& bpf);              // the fixed ones; kept if they are there
int removeTree(Bpf& bpf, const char* path);  // a directory and the pins in it

}  // namespace bpfman
