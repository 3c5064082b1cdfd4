// What a client of bpfman does, each step as one blocking call over the RPC.
#pragma once

#include <string>
#include <vector>

#include "client/client.h"

namespace bpfman::bench {

struct Object {  // one ELF object with one program
  std::string path, name;
  schema::ProgramType type;
  kj::Array<const kj::byte> bytes;
};
Object readObject(const std::string& directory, const char* name, schema::ProgramType type);

class Remote {
 public:
  struct Loaded {
    schema::Program::Client program;
    uint32_t id;
  };

  Remote(kj::AsyncIoContext& io, const std::string& runtimeDir)
      : io(io), connection(io, runtimeDir.c_str()), programs(connection.programs()) {}

  kj::Promise<Loaded> load(const Object& object);
  Loaded loadNow(const Object& object) { return load(object).wait(io.waitScope); }
  void unload(Loaded& loaded) { loaded.program.unloadRequest().send().wait(io.waitScope); }
  schema::Link::Client attachTcx(Loaded& loaded, kj::StringPtr interface);
  schema::Link::Client attachXdp(Loaded& loaded, kj::StringPtr interface, int32_t priority = 50);
  void detach(schema::Link::Client& link) { link.detachRequest().send().wait(io.waitScope); }
  void detach(uint32_t link);
  void modify(const std::vector<std::pair<uint32_t, uint32_t>>& priorities);  // of links: one change
  uint32_t newestLink();
  std::pair<std::string, std::string> engine();  // and why
  size_t list();                                 // how many; with map ids and links
  size_t overview();                             // of every program on the machine
  void get(uint32_t id);
  uint32_t dispatcherOn(kj::StringPtr interface);                  // kernel id of the dispatcher program
  void count(kj::StringPtr interface, schema::Counting counting);  // of the XDP dispatcher there

  kj::AsyncIoContext& io;

 private:
  Connection connection;
  schema::Programs::Client programs;

  template <typename Use>
  auto withDispatcher(kj::StringPtr interface, Use&& use);
};

}  // namespace bpfman::bench
