// libFuzzer, structure-aware: the input becomes a ceiling, a kernel's mood, and a sequence of messages of a frontend and a loader, most of
// them well-formed. A whole load session (serveSession, with its two sockets) runs on them; whenever it waits in poll() it is our turn.
// What reaches the kernel is judged by fuzz-oracle.h.
#include "worker/fuzz-oracle.h"
#include "worker/fuzz-script.h"
#include "worker/fuzz-seams.h"

#include <deque>
#include <poll.h>
#include <sys/socket.h>

extern "C" int __real_poll(pollfd* waiting, nfds_t count, int timeout);

namespace bpfman {
namespace {

constexpr int MOST_MESSAGES = 64;

class Run {
 public:
  Run(FuzzInput& input) : input(input), ceiling(fuzzedCeiling(input)), oracle(ceiling), script(input, ceiling) {
    setMood(input, oracle.kernel);
    oracle.failing = input.byte() % 32;
    for (auto& side : sides) {
      int pair[2];
      FUZZ_REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
      side.ours = Fd(pair[0]), side.theirs = Fd(pair[1]);
    }
  }

  bool go() {  // whether it died
    Context context{oracle, ceiling};
    try {
      serveSession(context, std::move(sides[0].theirs), std::move(sides[1].theirs));
    } catch (const Died&) {
      FUZZ_REQUIRE(!answerWaits(), "it answered, and died of the same message");
      return true;
    } catch (const Left&) {
      if (current >= 0) takeAnswer();  // a commit's
    }
    return false;
  }

  int turn(pollfd* waiting, nfds_t count) {
    if (current >= 0) takeAnswer();
    for (;;) {
      int ready = __real_poll(waiting, count, 0);
      FUZZ_REQUIRE(count == 2);
      if (ready > 0) return begin(waiting[0].revents ? 0 : 1), ready;
      if (input.empty() || ++messages > MOST_MESSAGES)
        sides[0].ours = Fd();
      else
        send();
    }
  }

 private:
  struct Side {
    Fd ours, theirs;
    std::deque<FuzzMessage> queue;
  };

  FuzzInput& input;
  wire::Ceiling ceiling;
  SessionOracle oracle;
  SessionScript script;
  Side sides[2];     // the frontend's, the loader's
  int current = -1;  // whose message the session has
  int messages = 0;

  void send() {
    FuzzMessage message = script.next(oracle.handleCount());
    Side& side = sides[message.byLoader];
    if (!side.ours) return;
    if (message.hangUp) {
      side.ours = Fd();
      return;
    }
    if (message.send(side.ours.get())) side.queue.push_back(std::move(message));
  }

  void begin(int side) {
    current = -1;
    if (sides[side].queue.empty()) return;  // it hung up
    current = side;
    FuzzMessage& message = sides[side].queue.front();
    oracle.asked(message.header.op, side == 1, message.body, message.blob());
  }

  bool answerWaits() {
    char byte;
    return current >= 0 && sides[current].ours && recv(sides[current].ours.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
  }

  void takeAnswer() {
    Side& side = sides[current];
    const FuzzMessage& message = side.queue.front();
    FUZZ_REQUIRE(message.wellFramed(), "it took a message whose frame is wrong");
    if (side.ours) {
      static uint8_t bytes[wire::MAX_MESSAGE + 1];
      wire::Reply reply = receiveReply(side.ours.get(), bytes, sizeof bytes);
      oracle.answered(reply);
    } else {
      oracle.unheard();
    }
    side.queue.pop_front();
    current = -1;
  }
};

Run* running = nullptr;

}  // namespace
}  // namespace bpfman

extern "C" int __wrap_poll(pollfd* waiting, nfds_t count, int) { return bpfman::running->turn(waiting, count); }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  bpfman::OpenDescriptors descriptors;
  bool died;
  {
    bpfman::FuzzInput input(data, size);
    bpfman::Run run(input);
    bpfman::running = &run;
    died = run.go();
  }
  descriptors.tidy(died);
  return 0;
}
