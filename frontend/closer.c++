#include "frontend/closer.h"

#include <unistd.h>

#include <deque>
#include <mutex>
#include <thread>

#include <kj/debug.h>

#include "frontend/limits.h"

namespace bpfman {

struct Closer::Shared {
  std::mutex mutex;
  std::deque<int> queue;
  size_t threads = 0, open = 0;  // open: handed over and not closed yet

  void work();
};

// A thread closes what is queued until nothing is; where it hangs, it hangs alone.
void Closer::Shared::work() {
  std::unique_lock lock(mutex);
  while (!queue.empty()) {
    int descriptor = queue.front();
    queue.pop_front();
    lock.unlock();
    ::close(descriptor);
    lock.lock();
    --open;
  }
  --threads;
}

Closer::Closer() : shared(std::make_shared<Shared>()) {}

Closer::~Closer() = default;

void Closer::close(kj::AutoCloseFd descriptor) {
  std::lock_guard lock(shared->mutex);
  shared->queue.push_back(descriptor.release());
  ++shared->open;
  if (shared->threads == limits::CLOSERS) return;
  try {
    std::thread([shared = shared] { shared->work(); }).detach();
    ++shared->threads;
  } catch (std::system_error& error) {
    KJ_LOG(WARNING, "no thread to close a client's descriptor: it stays open until the next one comes", error.what());
  }
}

size_t Closer::waiting() const {
  std::lock_guard lock(shared->mutex);
  return shared->open;
}

}  // namespace bpfman
