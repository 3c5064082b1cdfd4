#include "frontend/closer.h"

#include <unistd.h>

#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include <kj/debug.h>

#include "frontend/limits.h"

namespace bpfman {

struct Closer::Shared {
  std::mutex mutex;
  struct Handed {
    int descriptor;
    uint32_t uid;
  };
  std::deque<Handed> queue;
  std::map<uint32_t, size_t> open;  // by user: handed over and not closed yet
  size_t threads = 0;

  void work();
};

// A thread closes what is queued until nothing is; where it hangs, it hangs alone.
void Closer::Shared::work() {
  std::unique_lock lock(mutex);
  while (!queue.empty()) {
    Handed next = queue.front();
    queue.pop_front();
    lock.unlock();
    ::close(next.descriptor);
    lock.lock();
    if (--open[next.uid] == 0) open.erase(next.uid);
  }
  --threads;
}

Closer::Closer() : shared(std::make_shared<Shared>()) {}

Closer::~Closer() = default;

void Closer::close(kj::AutoCloseFd descriptor, uint32_t uid) {
  std::lock_guard lock(shared->mutex);
  shared->queue.push_back({descriptor.release(), uid});
  ++shared->open[uid];
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
  size_t all = 0;
  for (auto& [uid, count] : shared->open) all += count;
  return all;
}

size_t Closer::waiting(uint32_t uid) const {
  std::lock_guard lock(shared->mutex);
  auto his = shared->open.find(uid);
  return his == shared->open.end() ? 0 : his->second;
}

}  // namespace bpfman
