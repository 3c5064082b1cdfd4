#include "worker/operations.h"

#include "schema/descriptors.h"

#include <algorithm>

namespace bpfman {

using wire::Op;

// A request is performed only in the states of its row, with exactly its struct (and a tail only where one may follow), and with a
// number of descriptors between the two. Anything else ends the process that received it.
// clang-format off
static constexpr Operation OPERATIONS[] = {
    //                  allowed in          struct                     tail   descriptors
    {Op::startSession,  Control,            0,                         false, 2, 2, answerStartSession},
    {Op::endSession,    Control,            sizeof(wire::Session),     false, 0, 0, answerEndSession},
    {Op::wipeStaging,   Control,            0,                         false, 0, 0, answerWipeStaging},
    {Op::publish,       Control,            sizeof(wire::Publish),     false, 0, 1, answerPublish},
    {Op::remove,        Control,            sizeof(wire::Pin),         false, 0, 0, answerRemove},
    {Op::removeLoad,    Control,            sizeof(wire::RemoveLoad),  false, 0, 0, answerRemoveLoad},
    {Op::list,          Control,            sizeof(wire::List),        false, 0, 0, answerList},
    {Op::inspect,       Control,            sizeof(wire::Pin),         false, 0, 0, answerInspect},
    {Op::openObject,    Control,            sizeof(wire::OpenObject),  false, 0, 0, answerOpenObject},
    {Op::openIterator,  Control,            sizeof(wire::OpenIterator), false, 0, 1, answerOpenIterator},
    {Op::lookup,        Control,            sizeof(wire::Element),     true,  0, 0, answerLookup},
    {Op::readMap,       Control,            sizeof(wire::ReadMap),     true,  0, 0, answerReadMap},
    {Op::update,        Control,            sizeof(wire::Element),     true,  0, 0, answerUpdate},
    {Op::setSlot,       Control,            sizeof(wire::SetSlot),     false, 0, 0, answerSetSlot},
    {Op::createLink,    Control,            sizeof(wire::CreateLink),  true,  0, 1, answerCreateLink},
    {Op::updateLink,    Control,            sizeof(wire::UpdateLink),  false, 0, 0, answerUpdateLink},
    {Op::query,         Control,            sizeof(wire::Query),       false, 0, 1, answerQuery},
    {Op::setXdp,        Control,            sizeof(wire::SetXdp),      false, 0, 1, answerSetXdp},
    {Op::setFilter,     Control,            sizeof(wire::SetFilter),   false, 0, 0, answerSetFilter},
    {Op::grant,         Waiting,            sizeof(wire::Grant),       false, 0, 0, answerGrant},
    {Op::inspectHandle, Granted | Loading,  sizeof(wire::Handle),      false, 0, 0, answerInspectHandle},
    {Op::commit,        Granted,            sizeof(wire::Commit),      false, 0, 0, answerCommit},
    {Op::addModule,     Waiting | Granted,  0,                         false, 1, 1, answerAddModule},
    {Op::createMap,     Loading,            sizeof(wire::CreateMap),   false, 0, 0, answerCreateMap},
    {Op::loadBtf,       Loading,            sizeof(wire::LoadBtf),     true,  0, 1, answerLoadBtf},
    {Op::loadProgram,   Loading,            sizeof(wire::LoadProgram), true,  0, 1, answerLoadProgram},
    {Op::initialise,    Loading,            sizeof(wire::Initialise),  true,  0, 1, answerInitialise},
    {Op::freezeMap,     Loading,            sizeof(wire::Handle),      false, 0, 0, answerFreezeMap},
    {Op::bindMap,       Loading,            sizeof(wire::BindMap),     false, 0, 0, answerBindMap},
};
// clang-format on
static_assert(std::size(OPERATIONS) == static_cast<size_t>(Op::count));

std::span<const Operation> operations() { return OPERATIONS; }

Answer perform(Context& context, Request& request, State state) {
  if (request.op >= Op::count) die("unknown operation %u", static_cast<unsigned>(request.op));
  const Operation& operation = OPERATIONS[static_cast<size_t>(request.op)];
  unsigned number = static_cast<unsigned>(operation.op);
  if (!(operation.states & state)) die("operation %u is not permitted in state %u", number, state);
  if (request.body.size() < operation.fixedSize || (!operation.tail && request.body.size() != operation.fixedSize))
    die("operation %u with %zu bytes", number, request.body.size());
  if (request.descriptorCount < operation.minDescriptors || request.descriptorCount > operation.maxDescriptors)
    die("operation %u with %zu descriptors", number, request.descriptorCount);
  request.fixedSize = operation.fixedSize;
  Answer answer = operation.answer(context, request);
  for (Fd& descriptor : request.descriptors) descriptor = Fd();
  return answer;
}

void serveControl(Context& context) {
  Channel frontend{Fd(wire::fd::control)};
  context.channel = &frontend;
  for (Request request; frontend.receive(request); request = Request()) {
    reapSessions(context);
    frontend.send(perform(context, request, Control));
  }
}

bool covers(const uint64_t* bits, size_t words, uint32_t bit) { return bit / 64 < words && (bits[bit / 64] >> (bit % 64) & 1); }

// clang-format off
constexpr uint32_t HOLD_DESCRIPTORS[] = {  // the storages: their keys are descriptors
    BPF_MAP_TYPE_PROG_ARRAY, BPF_MAP_TYPE_PERF_EVENT_ARRAY, BPF_MAP_TYPE_CGROUP_ARRAY, BPF_MAP_TYPE_ARRAY_OF_MAPS,
    BPF_MAP_TYPE_HASH_OF_MAPS, BPF_MAP_TYPE_DEVMAP, BPF_MAP_TYPE_DEVMAP_HASH, BPF_MAP_TYPE_CPUMAP, BPF_MAP_TYPE_XSKMAP,
    BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_SOCKHASH, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, BPF_MAP_TYPE_STRUCT_OPS, BPF_MAP_TYPE_SK_STORAGE,
    BPF_MAP_TYPE_INODE_STORAGE, BPF_MAP_TYPE_TASK_STORAGE, BPF_MAP_TYPE_CGRP_STORAGE};
// clang-format on

bool holdsDescriptors(uint32_t type) {  // also one that is newer than what we know
  return type >= __MAX_BPF_MAP_TYPE || std::ranges::find(HOLD_DESCRIPTORS, type) != std::end(HOLD_DESCRIPTORS);
}

bool isPerCpu(uint32_t type) {
  return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH ||
         type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE_DEPRECATED;
}

}  // namespace bpfman
