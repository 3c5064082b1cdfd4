// A client whose answers were lost asks again, with the same request id: nothing is made twice. With another one it is.
#pragma once

#include <kj/async-io.h>

#include <cstdio>
#include <map>
#include <string>

#include "client/client.h"

namespace bpfman {

// ask(connection, request id) promises the number of what was made. Prints it, or what went wrong, as "WHATfirst", "WHATagain" and
// "WHATother".
template <typename Ask>
uint32_t askThrice(kj::AsyncIoContext& io, kj::StringPtr runtimeDir, const char* what, Ask ask) {
  std::map<std::string, uint32_t> made;
  for (std::string which : {"first", "again", "other"}) {
    Connection connection(io, runtimeDir);
    kj::byte id[2] = {1, which == "other"};
    auto said = ask(connection, kj::arrayPtr(id, 2))
                    .then([&](uint32_t number) { return std::to_string(made[which] = number); },
                          [](kj::Exception&& e) { return std::string(whatWentWrong(e).cStr()); })
                    .wait(io.waitScope);
    printf("%s%s %s\n", what, which.c_str(), said.c_str());
  }
  return made["first"];
}

}  // namespace bpfman
