#include "client/error.h"

#include <cstring>

namespace bpfman {

void fail(kj::String text, kj::Exception::Type type) {
  kj::throwFatalException(kj::Exception(type, __FILE__, __LINE__, kj::mv(text)));
  __builtin_unreachable();
}

kj::String whatWentWrong(const kj::Exception& exception) {
  constexpr char MARK[] = "remote exception: ";  // one for each connection that it crossed
  const char* text = exception.getDescription().cStr();
  bool remote = false;
  while (strncmp(text, MARK, sizeof MARK - 1) == 0) {
    text += sizeof MARK - 1;
    remote = true;
  }
  bool lost = exception.getType() == kj::Exception::Type::DISCONNECTED && !remote && strstr(text, "bpfmand") == nullptr;
  if (!lost) return kj::heapString(text);
  return kj::str("the connection to bpfmand was lost (", text, "): it may have restarted; look what was done before asking again");
}

bool saysAbsent(const kj::Exception& exception) {
  auto text = exception.getDescription();
  return text.endsWith("record not found") || text.endsWith("does not exist") || text == "not found" || text.endsWith(": not found");
}

}  // namespace bpfman
