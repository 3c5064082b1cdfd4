// Between a client and the daemon. When it is told to, it no longer takes what the daemon sends.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include <kj/debug.h>
#include <kj/io.h>

namespace bpfman {

class DeafRelay {
 public:
  explicit DeafRelay(kj::AutoCloseFd daemon) : daemon(kj::mv(daemon)) {
    int ends[2];
    KJ_SYSCALL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    ours = kj::AutoCloseFd(ends[0]);
    client = kj::AutoCloseFd(ends[1]);
    thread = std::thread([this] { run(); });
  }
  ~DeafRelay() {
    stop = true;
    shutdown(daemon, SHUT_RDWR);
    thread.join();
  }
  kj::AutoCloseFd client;
  std::atomic<bool> deaf = false;
  std::atomic<size_t> passed = 0;  // bytes that the daemon took

 private:
  kj::AutoCloseFd daemon, ours;
  std::thread thread;
  std::atomic<bool> stop = false;

  void run() {
    while (!stop) {
      pollfd both[2] = {{ours, POLLIN, 0}, {deaf ? -1 : daemon.get(), POLLIN, 0}};
      poll(both, 2, 20);
      if (both[0].revents) move(ours, daemon, &passed);
      if (both[1].revents) move(daemon, ours, nullptr);
    }
  }
  void move(int from, int to, std::atomic<size_t>* count) {
    char bytes[4096];
    ssize_t got = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
    for (ssize_t sent = 0; sent < got && !stop;) {
      ssize_t now = send(to, bytes + sent, got - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (now > 0) sent += now;
      if (now > 0 && count) *count += now;
      if (now <= 0) usleep(1000);
    }
  }
};

}  // namespace bpfman
