// The pins of our bpffs: published, listed, described, opened for hand-over, removed.
#include "worker/operations.h"
#include "worker/pins.h"

#include <algorithm>
#include <cerrno>

namespace bpfman {

using wire::Dir;
using wire::Kind;

Answer describe(Bpf& bpf, const Fd& object, Kind kind) {
  union {
    bpf_prog_info program;  // the largest
    bpf_map_info map;
    bpf_link_info link;
    bpf_btf_info btf;
  } info{};
  constexpr uint32_t SIZES[] = {sizeof info.program, sizeof info.map, sizeof info.link, sizeof info.btf};  // by Kind
  uint32_t maps[wire::MAX_MAPS], count = 0, size = SIZES[static_cast<size_t>(kind)];
  if (kind == Kind::program) info.program.nr_map_ids = wire::MAX_MAPS, info.program.map_ids = toKernel(maps);
  if (int error = bpf.info(object, &info, size); error) return error;
  if (kind == Kind::program) count = std::min<uint32_t>(info.program.nr_map_ids, wire::MAX_MAPS), info.program.map_ids = 0;
  Answer answer(0);
  wire::ObjectInfo head{kind, size, count, 0};
  answer.add(&head, sizeof head).add(&info, size).add(maps, count * sizeof *maps);
  return answer;
}

Answer answerWipeStaging(Context& context, Request&) {
  std::vector<std::string> names;
  context.bpf.list("staging", names);
  for (const std::string& name : names) removeTree(context.bpf, ("staging/" + name).c_str());
  return 0;
}

// Opened and pinned, not linked: it may be on another bpffs. Another tool's program comes as a descriptor, and becomes a member or a load
// of its own. It is one if it was verified: of what is no program the kernel says so little that this stays zero.
Answer answerPublish(Context& context, Request& request) {
  auto wish = request.as<wire::Publish>();
  bool given = request.descriptorCount == 1, ours = wish.from.dir == Dir::loads || wish.from.dir == Dir::xdpPrograms;
  bool known = given ? wish.to.dir == Dir::members || (wish.to.dir == Dir::loads && kindOf(wish.to) == Kind::program) : ours;
  if (!known || kindOf(wish.from) != kindOf(wish.to) || kindOf(wish.to) == Kind::link) die("publish of what no load has");
  bpf_prog_info info{};
  if (int error = given ? context.bpf.info(request.descriptors[0], &info, sizeof info) : 0; error) return error;
  if (given && (!info.verified_insns || !covers(&context.ceiling.programTypes, 1, info.type))) return -EPERM;
  if (int error = context.bpf.makeDirectory(directoryOf(wish.to).text); error && error != -EEXIST) return error;
  Fd object = given ? std::move(request.descriptors[0]) : context.bpf.open(pathOf(wish.from).text);
  return object ? context.bpf.pin(object, pathOf(wish.to).text) : object.error();
}

// A link is opened first, so that its last reference is a descriptor: only then it is gone when the call returns.
Answer answerRemove(Context& context, Request& request) {
  wire::Pin pin = request.as<wire::Pin>();
  Path path = pathOf(pin), directory = directoryOf(pin);
  Fd link = kindOf(pin) == Kind::link ? context.bpf.open(path.text) : Fd();
  int error = context.bpf.unlink(path.text);
  bool shared = pin.dir == Dir::maps || pin.dir >= Dir::xdpPrograms || (pin.dir >= Dir::members && pin.dir <= Dir::tcEgressMembers);
  if (shared) context.bpf.removeDirectory(directory.text);  // if it was the last one
  return error == -ENOENT ? 0 : error ? error : 1;
}

Answer answerRemoveLoad(Context& context, Request& request) {
  uint32_t load = request.as<wire::RemoveLoad>().load;
  Path committed = loadPath("loads", load), staging = loadPath("staging", load);
  int error = context.bpf.renameNew(committed.text, staging.text);
  if (error && error != -ENOENT) return error;
  error = removeTree(context.bpf, staging.text);  // also of a session that died before it committed, or a worker in here
  return error == -ENOENT ? 0 : error;
}

Answer answerList(Context& context, Request& request) {
  auto wish = request.as<wire::List>();
  Path directory = directoryOf(wish.directory);
  if (wish.directory.a == 0 && wish.directory.dir == Dir::loads) directory = {"loads"};
  if (wish.directory.a == 0 && wish.directory.dir == Dir::maps) directory = {"maps"};
  std::vector<std::string> names;
  if (int error = context.bpf.list(directory.text, names); error) return error;
  Answer answer(names.size());
  for (size_t i = wish.skip; i < names.size() && answer.tail.size() < wire::MAX_MESSAGE / 2; ++i)
    answer.add(names[i].c_str(), names[i].size() + 1);
  return answer;
}

Answer answerInspect(Context& context, Request& request) {
  wire::Pin pin = request.as<wire::Pin>();
  Fd object = context.bpf.open(pathOf(pin).text);
  return object ? describe(context.bpf, object, kindOf(pin)) : Answer(object.error());
}

// To a socket, or to a process that runs it and can do nothing else.
static constexpr uint64_t HANDED_OVER = anyOf(BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_SK_REUSEPORT, BPF_PROG_TYPE_SYSCALL);

Answer answerOpenObject(Context& context, Request& request) {
  auto wish = request.as<wire::OpenObject>();
  bool program = kindOf(wish.pin) == Kind::program;
  if ((!program && kindOf(wish.pin) != Kind::map) || (wish.flags & ~(program ? 0 : BPF_F_RDONLY | BPF_F_WRONLY))) die("not to be opened");
  Fd object = context.bpf.open(pathOf(wish.pin).text, wish.flags);
  bpf_prog_info info{};
  if (int error = object && program ? context.bpf.info(object, &info, sizeof info) : 0; error) return error;
  if (program && object && !covers(&HANDED_OVER, 1, info.type)) die("not to be handed over");
  Answer answer(object ? 0 : object.error());
  answer.descriptor = std::move(object);
  return answer;
}

Answer answerOpenIterator(Context& context, Request& request) {
  auto wish = request.as<wire::OpenIterator>();
  bool process = request.descriptorCount == 1, program = kindOf(wish.pin) == Kind::program;
  bool pinned = wish.pin.dir == Dir::iterators || wish.pin.dir == Dir::links;
  if (program ? !process && kindOf(wish.map) != Kind::map : process || !pinned) die("not an iterator");
  bpf_attr attr{};
  Fd link = context.bpf.open(pathOf(wish.pin).text);
  if (link && program) {  // which was opened: the link is made for this once
    if (!covers(context.ceiling.attachTypes, 2, BPF_TRACE_ITER)) return -EPERM;
    Fd map = process ? Fd() : context.bpf.open(pathOf(wish.map).text, BPF_F_RDONLY);
    if (!process && !map) return map.error();
    bpf_iter_link_info over{};
    if (process)
      over.task.pid_fd = request.descriptors[0].get();
    else
      over.map.map_fd = map.get();
    attr.link_create.prog_fd = link.get(), attr.link_create.attach_type = BPF_TRACE_ITER;
    attr.link_create.iter_info = toKernel(&over), attr.link_create.iter_info_len = sizeof over;
    link = Fd(context.bpf.call(BPF_LINK_CREATE, attr));  // the iterator keeps what it needs of it
    attr = {};
  }
  if (!link) return link.error();
  attr.iter_create.link_fd = link.get();
  Fd iterator(context.bpf.call(BPF_ITER_CREATE, attr));
  Answer answer(iterator ? 0 : iterator.error());
  answer.descriptor = std::move(iterator);
  return answer;
}

}  // namespace bpfman
