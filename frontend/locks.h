// Turns by name: whoever asks first goes first. For the change of one hook, or of one program; taken in the order program, then hook.
#pragma once

#include <deque>
#include <map>
#include <string>

#include <kj/async.h>

namespace bpfman {

inline std::string programLock(uint32_t id) { return "program:" + std::to_string(id); }

class Locks {
 public:
  class Turn {  // ends when it is destroyed
   public:
    Turn(Locks& locks, std::string name) : locks(&locks), name(std::move(name)) {}
    Turn(Turn&& other) : locks(other.locks), name(std::move(other.name)) { other.locks = nullptr; }
    ~Turn() noexcept(false) {
      if (locks) locks->next(name);
    }

   private:
    Locks* locks;
    std::string name;
  };

  Turn take(std::string name, kj::WaitScope& scope) {
    auto [it, first] = waiting.try_emplace(name);
    if (!first) {
      auto turn = kj::newPromiseAndFulfiller<void>();
      it->second.push_back(kj::mv(turn.fulfiller));
      turn.promise.wait(scope);
    }
    return Turn(*this, std::move(name));
  }

 private:
  std::map<std::string, std::deque<kj::Own<kj::PromiseFulfiller<void>>>> waiting;  // present: somebody has the turn

  void next(const std::string& name) {
    auto it = waiting.find(name);
    while (!it->second.empty()) {
      auto fulfiller = kj::mv(it->second.front());
      it->second.pop_front();
      if (fulfiller->isWaiting()) {  // else it was cancelled
        fulfiller->fulfill();
        return;
      }
    }
    waiting.erase(it);
  }
};

}  // namespace bpfman
