// What the loader may not do, imposed by itself before it reads anything that a client wrote.
#pragma once

namespace bpfman {

void limitResources();    // memory, CPU time, descriptors, file sizes: whatever the object does, the loader ends
void confine();           // no files, no new system calls: the last thing before the first job
void confineToLoading();  // the first job says which of the two remains
void confineToRunning();

}  // namespace bpfman
