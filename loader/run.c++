#include "loader/run.h"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace bpfman {

static kj::String whyNot(int error, size_t size) {
  if (error == EINVAL) return kj::str("it needs a larger context than ", size, " bytes, or is not of type syscall");
  return kj::str(strerror(error));
}

void runOnce(int program, capnp::Data::Reader context, schema::LoadResult::Builder result) {
  auto bytes = kj::heapArray(context);  // which the kernel writes back to
  bpf_attr attr{};
  attr.test.prog_fd = program;
  attr.test.ctx_in = bytes.size() == 0 ? 0 : reinterpret_cast<uint64_t>(bytes.begin());
  attr.test.ctx_size_in = bytes.size();
  if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof attr) != 0) {
    int error = errno;
    auto failure = result.initFailed();
    failure.setReason(kj::str("the kernel did not run the program: ", whyNot(error, bytes.size())));
    failure.setErrno(error);
    return;
  }
  auto ran = result.initRan();
  ran.setResult(attr.test.retval);
  ran.setContext(bytes);
}

}  // namespace bpfman
