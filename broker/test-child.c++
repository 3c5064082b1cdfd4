// Stands in for frontend, worker and loader in the broker's tests (argv[0] says which): lives, says its pid, and asks the broker
// what a test tells it to. What it was started with the test reads in /proc. Static: a worker has no file system.
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "schema/broker.h"

using namespace bpfman::wire;

static std::string report() { return "pid " + std::to_string(getpid()) + "\n"; }

static std::vector<int> descriptorsOf(msghdr& message) {
  std::vector<int> result;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header))
    for (size_t i = 0; i < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i)
      result.push_back(reinterpret_cast<int*>(CMSG_DATA(header))[i]);
  return result;
}

static ssize_t receive(int socket, void* bytes, size_t size, std::vector<int>& descriptors) {
  iovec part{bytes, size};
  alignas(cmsghdr) char space[256];
  msghdr message{nullptr, 0, &part, 1, space, sizeof space, 0};
  ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  descriptors = descriptorsOf(message);
  return got;
}

static void send(int socket, const void* bytes, size_t size, const std::vector<int>& descriptors) {
  iovec part{const_cast<void*>(bytes), size};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int) * 4)] = {};
  msghdr message{nullptr, 0, &part, 1, nullptr, 0, 0};
  if (!descriptors.empty()) {
    message.msg_control = space;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptors.size());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * descriptors.size());
    memcpy(CMSG_DATA(header), descriptors.data(), sizeof(int) * descriptors.size());
  }
  (void)!sendmsg(socket, &message, MSG_NOSIGNAL);
}

static std::vector<int> kept;  // the children's sockets: they live as long as we do

// "OP GROUP NAME [keep|die|raw, or what is asked for]": asks the broker; the answer is "RESULT DELAY COUNT" and, of a child, its report.
static std::string ask(const std::string& command, const std::vector<int>& passed) {
  BrokerRequest request{};
  unsigned op = 0;
  char group[256] = "", name[256] = "", then[16] = "";
  sscanf(command.c_str(), "%u %255s %255s %15s", &op, group, name, then);
  request.op = static_cast<BrokerOp>(op);
  if (group[0] != '-') memcpy(request.group, group, std::min(sizeof request.group, strlen(group)));
  if (name[0] != '-') memcpy(request.name, name, std::min(sizeof request.name, strlen(name)));
  auto is = [&](const char* word) { return !strcmp(then, word); };
  if (is("uprobe")) request.kind = EventKind::uprobe;
  if (is("kprobe")) request.kind = EventKind::kprobe;
  if (is("clock") || is("nowhere")) request.kind = EventKind::software;
  if (is("nowhere")) request.cpu = -1;
  if (is("kind")) request.kind = EventKind::count;
  if (is("returns")) request.returns = 2;
  send(fd::control, &request, strcmp(then, "short") ? sizeof request : 5, passed);
  BrokerReply reply{};
  std::vector<int> descriptors;
  if (receive(fd::control, &reply, sizeof reply, descriptors) != sizeof reply) _exit(3);
  std::string text =
      std::to_string(reply.result) + " " + std::to_string(reply.delayMilliseconds) + " " + std::to_string(descriptors.size()) + "\n";
  for (int descriptor : descriptors) {
    char link[128] = {}, path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    (void)!readlink(path, link, sizeof link - 1);
    text += std::string(link) + "\n";
  }
  if (reply.result == 0 &&
      (request.op == BrokerOp::startWorker || request.op == BrokerOp::startLoader || request.op == BrokerOp::startDelegator)) {
    char answer[8192];
    std::vector<int> none;
    send(descriptors[0], then, strlen(then) + 1, {});
    ssize_t size = receive(descriptors[0], answer, sizeof answer, none);
    if (size > 0) text.append(answer, size);
    if (!strcmp(then, "keep")) kept.insert(kept.end(), descriptors.begin(), descriptors.end()), descriptors.clear();
  }
  for (int descriptor : descriptors) close(descriptor);
  return text;
}

static std::string contentOf(int descriptor) {
  char text[64];
  ssize_t size = pread(descriptor, text, sizeof text, 0);
  return std::string(text, size < 0 ? 0 : size);
}

// A policy that begins with "wrong" is one. What was kept is said, for the test to see.
static void serveAsFrontend() {
  struct stat status;
  BrokerRequest ready{};
  ready.op = BrokerOp::ready;
  ready.policyTaken = !contentOf(fd::frontend::policy).starts_with("wrong");
  bool kept = fstat(fd::frontend::keptPolicy, &status) == 0 && S_ISREG(status.st_mode);
  if (!ready.policyTaken && !kept) _exit(WRONG_POLICY);
  std::string line =
      "policy " + contentOf(fd::frontend::policy) + ", kept " + (kept ? contentOf(fd::frontend::keptPolicy) : "nothing") + "\n";
  (void)!write(2, line.data(), line.size());
  send(fd::control, &ready, sizeof ready, {});
  BrokerReply reply;
  std::vector<int> passed;
  receive(fd::control, &reply, sizeof reply, passed);
  for (;;) {
    pollfd waiting{fd::frontend::listener, POLLIN, 0};
    poll(&waiting, 1, -1);
    int connection = accept4(fd::frontend::listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) continue;
    char command[1024] = {};
    if (receive(connection, command, sizeof command - 1, passed) <= 0) continue;
    if (!strcmp(command, "exit")) _exit(1);
    if (!strncmp(command, "say", 3)) {
      std::string line(command + 4);
      if (line == "long") line.assign(20000, 'x');
      line += "\n";
      (void)!write(2, line.data(), line.size());
    }
    std::string answer = !strcmp(command, "report") ? report() : !strncmp(command, "say", 3) ? "said" : ask(command, passed);
    send(connection, answer.data(), answer.size(), {});
    for (int descriptor : passed) close(descriptor);
    close(connection);
  }
}

int main(int, char* argv[]) {
  if (strstr(argv[0], "frontend")) serveAsFrontend();
  char then[64] = {};
  std::vector<int> none;
  for (ssize_t size; (size = receive(fd::control, then, sizeof then, none)) > 0;) {
    if (!strcmp(then, "die")) _exit(9);
    std::string text = report();
    send(fd::control, text.data(), text.size(), {});
  }
  return 0;
}
