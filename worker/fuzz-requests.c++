// libFuzzer: raw messages to the worker itself (the state Control), framed or not, with odd descriptors. Each is answered once or ends the
// worker; what reaches the kernel has paths of our layout, and only descriptors that this request opened or brought.
#include "worker/fuzz-oracle.h"
#include "worker/fuzz-script.h"
#include "worker/fuzz-seams.h"

#include "schema/kernel-numbers.h"

#include <set>
#include <sys/socket.h>

namespace bpfman {
namespace {

using wire::Op;

// The struct of each operation, and how many descriptors: said once more, as tests of the table would be of no use if they read it.
struct Shape {
  size_t size;
  bool tail;
  size_t least, most;
};
constexpr Shape SHAPES[] = {{0, false, 2, 2},
                            {sizeof(wire::Session), false, 0, 0},
                            {0, false, 0, 0},
                            {sizeof(wire::Publish), false, 0, 1},
                            {sizeof(wire::Pin), false, 0, 0},
                            {sizeof(wire::RemoveLoad), false, 0, 0},
                            {sizeof(wire::List), false, 0, 0},
                            {sizeof(wire::Pin), false, 0, 0},
                            {sizeof(wire::OpenObject), false, 0, 0},
                            {sizeof(wire::OpenIterator), false, 0, 1},
                            {sizeof(wire::ReadMap), true, 0, 0},
                            {sizeof(wire::Element), true, 0, 0},
                            {sizeof(wire::Element), true, 0, 0},
                            {sizeof(wire::SetSlot), false, 0, 0},
                            {sizeof(wire::CreateLink), true, 0, 1},
                            {sizeof(wire::UpdateLink), false, 0, 0},
                            {sizeof(wire::Query), false, 0, 1},
                            {sizeof(wire::SetXdp), false, 0, 1},
                            {sizeof(wire::SetFilter), false, 0, 0}};
static_assert(std::size(SHAPES) == size_t(Op::setFilter) + 1);

class ControlOracle final : public Bpf {
 public:
  explicit ControlOracle(const wire::Ceiling& ceiling) : ceiling(ceiling) {}
  RecordingBpf kernel;
  Op op{};
  std::set<int> usable;   // descriptors of the request that is under way
  std::set<int> brought;  // those of them that came with it
  std::set<int> checked;  // those of them of which the kernel said that they are programs within the ceiling
  int left = 0;           // elements that a map still has; instructions of a program that were verified

  long call(int command, bpf_attr& attr, uint32_t size) override {
    auto own = [&](int descriptor) { FUZZ_REQUIRE(usable.contains(descriptor), "descriptor %d in command %d", descriptor, command); };
    const bpf_map_info& map = kernel.mapInfo;
    uint64_t valueSize = kernelValueSize(map.type, map.value_size, ceiling.possibleCpus);
    bool links = op == Op::createLink;
    auto takesDescriptor = [](uint32_t type) {
      return type <= BPF_CGROUP_SETSOCKOPT || type == BPF_PERF_EVENT || type == BPF_SK_LOOKUP || type == BPF_SK_SKB_VERDICT;
    };
    switch (command) {
      case BPF_OBJ_GET:
        requirePath(reinterpret_cast<const char*>(attr.pathname));
        FUZZ_REQUIRE(attr.file_flags == 0 || op == Op::openObject || (op == Op::openIterator && attr.file_flags == BPF_F_RDONLY));
        break;
      case BPF_OBJ_PIN:
        FUZZ_REQUIRE(links || op == Op::publish);
        requirePath(reinterpret_cast<const char*>(attr.pathname));
        own(attr.bpf_fd);
        if (brought.contains(attr.bpf_fd)) requireTaken(attr);
        break;
      case BPF_OBJ_GET_INFO_BY_FD:
        own(attr.info.bpf_fd);
        requireMemory(attr.info.info, attr.info.info_len);
        kernel.verified = left;
        if (left > 0 && map.type < 64 && (ceiling.programTypes >> map.type & 1)) checked.insert(attr.info.bpf_fd);
        break;
      case BPF_LINK_CREATE:
        FUZZ_REQUIRE((links || op == Op::openIterator) && attr.link_create.attach_type < 128);
        own(attr.link_create.prog_fd);
        FUZZ_REQUIRE(op != Op::openIterator || attr.link_create.iter_info_len > 0);
        if (attr.link_create.attach_type == BPF_TRACE_ITER && attr.link_create.iter_info_len > 0) {
          requireMemory(attr.link_create.iter_info, attr.link_create.iter_info_len);
          auto& over = *reinterpret_cast<const bpf_iter_link_info*>(attr.link_create.iter_info);
          own(over.map.map_fd != 0 ? over.map.map_fd : over.task.pid_fd);
          FUZZ_REQUIRE(attr.link_create.attach_type == BPF_TRACE_ITER && attr.link_create.iter_info_len == sizeof(bpf_iter_link_info));
        }
        if (takesDescriptor(attr.link_create.attach_type)) own(attr.link_create.target_fd);
        if (attr.link_create.attach_type == BPF_TRACE_UPROBE_MULTI || attr.link_create.attach_type == UPROBE_SESSION) {
          auto& spots = attr.link_create.uprobe_multi;
          FUZZ_REQUIRE(std::string(reinterpret_cast<const char*>(spots.path)).starts_with("fds/"));
          for (uint64_t list : {spots.offsets, spots.ref_ctr_offsets, spots.cookies}) requireMemory(list, spots.cnt * uint64_t{8});
        }
        if (attr.link_create.attach_type == BPF_TRACE_KPROBE_MULTI || attr.link_create.attach_type == BPF_TRACE_KPROBE_SESSION)
          requireMemory(attr.link_create.kprobe_multi.syms, attr.link_create.kprobe_multi.cnt * uint64_t{8});
        break;
      case BPF_LINK_UPDATE:
        FUZZ_REQUIRE(op == Op::updateLink && attr.link_update.flags == 0);
        own(attr.link_update.link_fd);
        own(attr.link_update.new_prog_fd);
        return 0;
      case BPF_RAW_TRACEPOINT_OPEN:
        FUZZ_REQUIRE(links);
        own(attr.raw_tracepoint.prog_fd);
        FUZZ_REQUIRE(strnlen(reinterpret_cast<const char*>(attr.raw_tracepoint.name), 129) < 128);
        break;
      case BPF_PROG_QUERY:
        FUZZ_REQUIRE(op == Op::query);
        if (!attr.query.link_ids) own(attr.query.target_fd);
        requireMemory(attr.query.prog_ids, attr.query.prog_cnt * uint64_t{4});
        break;
      case BPF_ITER_CREATE:
        FUZZ_REQUIRE(op == Op::openIterator);
        own(attr.iter_create.link_fd);
        break;
      case BPF_MAP_UPDATE_ELEM:
        FUZZ_REQUIRE(op == Op::setSlot ? map.type == BPF_MAP_TYPE_PROG_ARRAY : op == Op::update && isPlainData(map.type), "type %u",
                     map.type);
        if (op == Op::setSlot) own(*reinterpret_cast<const int*>(attr.value));
        [[fallthrough]];
      case BPF_MAP_LOOKUP_ELEM:
        if (op != Op::setSlot) requireMemory(attr.value, valueSize);
        [[fallthrough]];
      case BPF_MAP_DELETE_ELEM:
        own(attr.map_fd);
        if (op != Op::setSlot) requireMemory(attr.key, map.key_size);
        if (kernel.answers.contains(command)) return kernel.answers[command];
        return 0;
      case BPF_MAP_GET_NEXT_KEY:
        own(attr.map_fd);
        if (attr.key) requireMemory(attr.key, map.key_size);
        requireMemory(attr.next_key, map.key_size);
        return --left < 0 ? -ENOENT : 0;
      default: FUZZ_REQUIRE(false, "command %d", command);
    }
    FUZZ_REQUIRE(size == sizeof attr, "command %d of %u bytes", command, size);
    long result = kernel.call(command, attr, size);
    kernel.calls.clear();
    if (result > 2) usable.insert(result);
    return result;
  }
  // XDP: never blindly, and no descriptor but the request's. A filter: the kernel's own checks are enough, but its handle names one.
  int route(const void* message, uint32_t size) override {
    FUZZ_REQUIRE(op == Op::setXdp || op == Op::setFilter);
    requireMemory(toKernel(message), size);
    uint32_t words[64] = {};
    FUZZ_REQUIRE(size % 4 == 0 && size <= sizeof words);
    memcpy(words, message, size);
    FUZZ_REQUIRE(words[0] == size);
    auto own = [&](uint32_t descriptor) { FUZZ_REQUIRE(descriptor == ~0u || usable.contains(descriptor), "descriptor %u", descriptor); };
    if (op == Op::setXdp) {
      own(words[10]), own(words[14]);
      bool replaces = words[12] & 16;
      FUZZ_REQUIRE(replaces ? words[14] != ~0u : words[12] & 1 && words[10] != ~0u);
    } else if ((words[1] & 0xffff) == 36) {  // RTM_NEWQDISC: clsact, only if there is none
      FUZZ_REQUIRE((words[1] >> 16 & 0x200) && size == 48);
    } else {
      own(words[14]);
      FUZZ_REQUIRE(words[6] != 0 && words[8] >> 16 != 0, "a filter without handle or priority");
      bool fresh = (words[1] >> 16 & 0x700) == 0x600;  // only where there is none; else only one that is there is changed
      FUZZ_REQUIRE(fresh || (words[1] >> 16 & 0x700) == 0, "a filter by flags %#x", words[1] >> 16);
      FUZZ_REQUIRE((words[1] & 0xffff) == 44 ? words[14] != ~0u : (words[1] & 0xffff) == 45 && !fresh, "message %#x", words[1] & 0xffff);
    }
    return kernel.route(message, size);
  }
  int makeDirectory(const char* path) override { return requirePath(path), kernel.makeDirectory(path); }
  int removeDirectory(const char* path) override { return requirePath(path), kernel.removeDirectory(path); }
  int unlink(const char* path) override { return requirePath(path), kernel.unlink(path); }
  int renameNew(const char* from, const char* to) override {
    FUZZ_REQUIRE(op == Op::removeLoad);
    return requirePath(from), requirePath(to), kernel.renameNew(from, to);
  }
  int list(const char* path, std::vector<std::string>& names) override { return requirePath(path), kernel.list(path, names); }

 private:
  const wire::Ceiling& ceiling;

  // Another tool's program: a member of an XDP chain, or the program of a load.
  void requireTaken(const bpf_attr& attr) {
    std::string path = reinterpret_cast<const char*>(attr.pathname);
    bool program = path.starts_with("loads/") && path.find("/p") != std::string::npos;
    FUZZ_REQUIRE(op == Op::publish && (program || path.starts_with("xdp/dispatcher_")), "%s", path.c_str());
    FUZZ_REQUIRE(checked.contains(attr.bpf_fd), "what nobody asked the kernel about is pinned");
  }

  // Beneath our root, no way up, only characters that bpffs and we allow; at most three steps.
  static void requirePath(const std::string& path) {
    FUZZ_REQUIRE(!path.empty() && path[0] != '/' && path.back() != '/' && path.size() < 192, "%s", path.c_str());
    FUZZ_REQUIRE(path.find("..") == std::string::npos && path.find("//") == std::string::npos, "%s", path.c_str());
    std::string rest = path.starts_with("./") ? path.substr(2) : path;
    FUZZ_REQUIRE(std::ranges::count(rest, '/') <= 2, "%s", path.c_str());
    for (char c : rest) FUZZ_REQUIRE(isalnum(static_cast<unsigned char>(c)) || strchr("_-/", c) || rest == ".", "%s", path.c_str());
  }
};

FuzzMessage nextMessage(FuzzInput& input) {
  FuzzMessage message;
  uint8_t op = input.byte();
  message.header.op = Op(op % (unsigned(Op::setFilter) + 1));
  const Shape& shape = SHAPES[size_t(message.header.op)];
  message.body.resize(shape.size);
  // A pin is mostly one of those that exist; whatever else is in the struct comes as it is.
  input.fill(message.body.data(), std::min<size_t>(shape.size, input.byte()));
  if (op & 128 && shape.size >= sizeof(wire::Pin)) {
    constexpr const char* NAMES[] = {"p", "m", "", "link", "name_1"};
    auto pin = pinOf(wire::Dir(input.byte() % 10), NAMES[input.below(5)], input.byte(), input.byte(), input.byte());
    memcpy(message.body.data(), &pin, sizeof pin);
    if (shape.size >= 2 * sizeof pin && input.byte() % 8 != 7) {
      pin = pinOf(wire::Dir(input.byte() % 10), NAMES[input.below(5)], input.byte(), input.byte(), input.byte());
      memcpy(message.body.data() + sizeof pin, &pin, sizeof pin);
    }
  }
  if (shape.tail && shape.size >= sizeof(wire::Element)) {
    wire::Element element;  // ReadMap has its sizes at the same place
    memcpy(&element, message.body.data(), sizeof element);
    if (input.byte() % 4 != 3) element.keySize = input.byte() % 16, element.valueSize = input.byte(), element.flags &= 1;
    memcpy(message.body.data(), &element, sizeof element);
    auto tail = input.bytes(input.byte());
    if (input.byte() % 4 != 3)
      tail.resize(message.header.op == Op::update                      ? (element.keySize + uint64_t{element.valueSize}) % 60000
                  : message.header.op == Op::readMap && !element.flags ? 0
                                                                       : element.keySize % 60000);
    message.body.insert(message.body.end(), tail.begin(), tail.end());
  }
  for (size_t count = shape.least + input.below(shape.most - shape.least + 1); count > 0; --count)
    message.descriptors.push_back(Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
  message.header.size = sizeof message.header + message.body.size();
  if (input.rarely()) spoil(input, message);
  return message;
}

bool wellFormed(const FuzzMessage& message) {
  if (!message.wellFramed() || message.header.op > Op::setFilter) return false;
  const Shape& shape = SHAPES[size_t(message.header.op)];
  size_t count = message.descriptors.size();
  return (shape.tail ? message.body.size() >= shape.size : message.body.size() == shape.size) && count >= shape.least &&
         count <= shape.most;
}

bool run(FuzzInput& input) {  // whether the worker died
  wire::Ceiling ceiling = fuzzedCeiling(input);
  ControlOracle oracle(ceiling);
  setMood(input, oracle.kernel);
  int pair[2];
  FUZZ_REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  Fd frontend(pair[0]);
  Channel channel{Fd(pair[1])};
  Context context{oracle, ceiling};
  context.channel = &channel;
  static uint8_t answer[wire::MAX_MESSAGE + 1];
  for (int count = 0; !input.empty() && count < 32; ++count) {
    FuzzMessage message = nextMessage(input);
    if (!message.send(frontend.get())) continue;
    oracle.op = message.header.op;
    oracle.left = input.byte();
    try {  // as serveControl does
      Request request;
      FUZZ_REQUIRE(channel.receive(request));
      oracle.usable.clear(), oracle.checked.clear();
      for (size_t i = 0; i < request.descriptorCount; ++i) oracle.usable.insert(request.descriptors[i].get());
      oracle.brought = oracle.usable;
      reapSessions(context);
      channel.send(perform(context, request, Control));
      FUZZ_REQUIRE(wellFormed(message), "operation %u was performed", unsigned(message.header.op));
      FUZZ_REQUIRE(context.sessions.size() <= ceiling.maxSessions);
      receiveReply(frontend.get(), answer, sizeof answer);
    } catch (const Died&) { return true; }
  }
  return false;
}

}  // namespace
}  // namespace bpfman

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  bpfman::OpenDescriptors descriptors;
  bpfman::FuzzInput input(data, size);
  descriptors.tidy(bpfman::run(input));
  return 0;
}
