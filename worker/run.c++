// The worker's life, on whatever stands for the kernel: main.c++ gives it the real one, tests/stepping-worker.c++ one that stops.
#include "worker/operations.h"
#include "worker/pins.h"

#include "schema/descriptors.h"
#include "seccomp/confine.h"
#include "seccomp/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>

namespace bpfman {

static wire::Ceiling readCeiling() {
  wire::Ceiling ceiling;
  if (pread(wire::fd::worker::ceiling, &ceiling, sizeof ceiling, 0) != sizeof ceiling) die("no ceiling");
  close(wire::fd::worker::ceiling);
  if (ceiling.possibleCpus == 0) die("a ceiling without CPUs");
  return ceiling;
}

static void stayInBpffs() {
  Fd root(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  FileRule rule{root.get(), LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                                LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REFER};
  restrictFiles(&rule, 1);
}

int runWorker(Bpf& bpf) {
  prctl(PR_SET_NAME, "bpfman-worker");
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);  // whatever it would execute starts with nothing
  wire::Ceiling ceiling = readCeiling();
  Context context{bpf, ceiling};
  makeDirectories(bpf);
  stayInBpffs();
  enterPolicy(seccomp::WORKER_POLICY);  // last: from here on it only serves
  serveControl(context);
  return 0;
}

}  // namespace bpfman
