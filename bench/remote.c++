#include "bench/remote.h"

#include <kj/debug.h>

#include <filesystem>
#include <fstream>

namespace bpfman::bench {

Object readObject(const std::string& directory, const char* name, schema::ProgramType type) {
  auto path = directory + "/" + name + ".bpf.o";
  auto size = std::filesystem::file_size(path);
  auto bytes = kj::heapArray<kj::byte>(size);
  std::ifstream(path, std::ios::binary).read(reinterpret_cast<char*>(bytes.begin()), size);
  return {path, name, type, kj::mv(bytes)};
}

kj::Promise<Remote::Loaded> Remote::load(const Object& object) {
  auto request = programs.loadRequest();
  auto bytecode = request.initBytecode();
  bytecode.setMemfd(carry(sealedMemfd(object.bytes)));
  bytecode.setSourcePath(object.path.c_str());
  auto wanted = request.initOptions().initPrograms(1);
  wanted[0].setType(object.type);
  wanted[0].setName(object.name.c_str());
  return request.send().then([](capnp::Response<schema::LoadAnswer> answer) -> Loaded {
    KJ_REQUIRE(answer.isLoaded(), "refused", answer.getRefused().getReason());
    auto loaded = answer.getLoaded()[0];
    return {loaded.getProgram(), loaded.getDetails().getRecord().getId()};
  });
}

schema::Link::Client Remote::attachTcx(Loaded& loaded, kj::StringPtr interface) {
  auto request = loaded.program.attachRequest();
  auto place = request.initPlace().initTcx();
  place.setInterface(interface);
  place.setPriority(50);
  return request.send().wait(io.waitScope).getLink();
}

schema::Link::Client Remote::attachXdp(Loaded& loaded, kj::StringPtr interface, int32_t priority) {
  auto request = loaded.program.attachRequest();
  auto place = request.initPlace().initXdp();
  place.setInterface(interface);
  place.setPriority(priority);
  return request.send().wait(io.waitScope).getLink();
}

void Remote::detach(uint32_t link) {
  auto request = connection.links().changeRequest();
  request.initSteps(1)[0].setDetach(link);
  request.send().wait(io.waitScope);
}

void Remote::modify(const std::vector<std::pair<uint32_t, uint32_t>>& priorities) {
  auto request = connection.links().changeRequest();
  auto steps = request.initSteps(priorities.size());
  for (size_t i = 0; i < priorities.size(); ++i) {
    auto modify = steps[i].initModify();
    modify.setLink(priorities[i].first);
    modify.setPriority(priorities[i].second);
  }
  request.send().wait(io.waitScope);
}

uint32_t Remote::newestLink() {
  uint32_t newest = 0;
  auto answer = connection.links().listRequest().send().wait(io.waitScope);
  for (auto link : answer.getLinks()) newest = kj::max(newest, link.getId());
  return newest;
}

std::pair<std::string, std::string> Remote::engine() {
  auto answer = connection.daemon().versionRequest().send().wait(io.waitScope);
  return {answer.getEngine().cStr(), answer.getEngineReason().cStr()};
}

size_t Remote::list() {
  auto request = programs.listRequest();
  auto answer = request.send().wait(io.waitScope);
  size_t seen = 0;
  for (auto entry : answer.getPrograms()) seen += entry.getKernel().getMapIds().size() > 0;  // touched, as a client would
  return seen;
}

size_t Remote::overview() { return connection.overview().programsRequest().send().wait(io.waitScope).getPrograms().size(); }

void Remote::get(uint32_t id) {
  auto request = programs.getRequest();
  request.setId(id);
  request.send().wait(io.waitScope);
}

template <typename Use>
auto Remote::withDispatcher(kj::StringPtr interface, Use&& use) {
  auto answer = connection.links().dispatchersRequest().send().wait(io.waitScope);
  for (auto dispatcher : answer.getDispatchers())
    for (auto member : dispatcher.getMembers())
      if (member.getInterface() == interface) return use(dispatcher);
  KJ_FAIL_REQUIRE("no dispatcher", interface);
}

uint32_t Remote::dispatcherOn(kj::StringPtr interface) {
  return withDispatcher(interface, [](schema::Dispatcher::Reader dispatcher) { return dispatcher.getProgramId(); });
}

void Remote::count(kj::StringPtr interface, schema::Counting counting) {
  withDispatcher(interface, [&](schema::Dispatcher::Reader dispatcher) {
    auto request = connection.links().countRequest();
    request.setType(dispatcher.getType());
    request.setNsid(dispatcher.getNsid());
    request.setIfindex(dispatcher.getIfindex());
    request.setCounting(counting);
    request.send().wait(io.waitScope);
  });
}

}  // namespace bpfman::bench
