// Load sessions: a process each, forked by the worker, with nothing but its own two sockets and its own objects. What a session may
// do is its grant, within the ceiling; its death ends nothing else.
#include "worker/operations.h"
#include "worker/pins.h"

#include "seccomp/confine.h"

#include <cerrno>
#include <csignal>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bpfman {

using wire::Kind;

Object& LoadSession::object(uint32_t handle, Kind kind) {
  if (handle >= objects.size() || objects[handle].kind != kind) die("handle %u is not one of this session's", handle);
  return objects[handle];
}

Answer LoadSession::own(Object object) {
  if (!object.fd) return object.fd.error();
  objects.push_back(std::move(object));
  return objects.size() - 1;
}

void serveSession(Context& context, Fd control, Fd loader) {
  Channel frontend(std::move(control)), libbpf(std::move(loader));
  LoadSession& load = context.load;
  for (;;) {
    pollfd ready[2] = {{frontend.descriptor(), POLLIN, 0}, {load.granted ? libbpf.descriptor() : -1, POLLIN, 0}};  // -1: closed, too
    if (poll(ready, 2, -1) < 0 && errno != EINTR) die("poll: %s", strerror(errno));

    Request request;
    if (ready[0].revents) {
      if (!frontend.receive(request)) _exit(0);
      frontend.send(perform(context, request, load.granted ? Granted : Waiting));
      if (load.committed) _exit(0);  // one job: nothing is allowed any more
    } else if (ready[1].revents) {
      if (libbpf.receive(request))
        libbpf.send(perform(context, request, Loading));
      else
        libbpf.close();  // done, or dead: the frontend knows which
    }
  }
}

void reapSessions(Context& context) {
  for (pid_t ended; (ended = waitpid(-1, nullptr, WNOHANG)) > 0;)
    std::erase_if(context.sessions, [&](const auto& session) { return session.second == ended; });
}

Answer answerStartSession(Context& context, Request& request) {
  if (context.sessions.size() >= context.ceiling.maxSessions) return -EAGAIN;

  pid_t parent = getpid(), child = fork();
  if (child < 0) return -errno;
  if (child == 0) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) die("session: the worker is gone");
    context.channel->close();
    context.sessions.clear();
    enterPolicy(seccomp::SESSION_POLICY);
    serveSession(context, std::move(request.descriptors[0]), std::move(request.descriptors[1]));
  }
  context.sessions[++context.lastSession] = child;
  return context.lastSession;
}

// Kills also in the middle of a verifier run. Until it is reaped here the process id can't belong to another.
Answer answerEndSession(Context& context, Request& request) {
  auto session = context.sessions.find(request.as<wire::Session>().session);
  if (session == context.sessions.end()) return 0;
  kill(session->second, SIGKILL);
  waitpid(session->second, nullptr, 0);
  context.sessions.erase(session);
  return 1;
}

Answer answerGrant(Context& context, Request& request) {
  LoadSession& load = context.load;
  const wire::Ceiling& ceiling = context.ceiling;
  wire::Grant grant = request.as<wire::Grant>();
  if (grant.programCount > wire::MAX_PROGRAMS || grant.reuseCount > wire::MAX_MAPS) die("malformed grant");
  if (grant.programCount > ceiling.maxPrograms || grant.maxMaps > ceiling.maxMaps || grant.maxMapBytes > ceiling.maxMapBytes) return -EPERM;
  grant.mapTypes &= ceiling.mapTypes;
  for (uint32_t i = 0; i < grant.programCount; ++i) {
    const wire::GrantedProgram& program = grant.programs[i];
    bool attaches = program.type == BPF_PROG_TYPE_STRUCT_OPS || covers(ceiling.attachTypes, 2, program.expectedAttachType);  // or a member
    if (!attaches || !covers(&ceiling.programTypes, 1, program.type)) return -EPERM;
  }
  std::vector<Object> reused;  // a grant that fails half way gives nothing: the next one's handles begin at 0 again
  for (uint32_t i = 0; i < grant.reuseCount; ++i) {
    wire::Pin pin{wire::Dir::loads, grant.reuse[i].load, grant.reuse[i].index, 0, "m"};
    Fd map = context.bpf.open(pathOf(pin).text);
    if (!map) return map.error();
    bpf_map_info info{};
    if (int error = context.bpf.info(map, &info, sizeof info); error) return error;
    reused.push_back({std::move(map), Kind::map, info.type, info.key_size, info.value_size, true});
  }
  load.objects = std::move(reused);
  load.grant = grant;
  load.granted = true;
  return 0;
}

// The types of a module, as the broker opened them. Nothing else: in their place the kernel would also take a program, to be watched.
Answer answerAddModule(Context& context, Request& request) {
  LoadSession& load = context.load;
  bpf_btf_info info{};
  if (load.moduleCount == wire::MAX_MODULES) die("more than %u modules", wire::MAX_MODULES);
  if (int error = context.bpf.info(request.descriptors[0], &info, sizeof info); error) return error;
  if (!info.kernel_btf) return -EPERM;
  load.modules[++load.moduleCount] = std::move(request.descriptors[0]);
  return load.moduleCount;
}

Answer answerInspectHandle(Context& context, Request& request) {
  uint32_t handle = request.as<wire::Handle>().handle;
  if (handle >= context.load.objects.size()) die("handle %u is not one of this session's", handle);
  const Object& object = context.load.objects[handle];
  return describe(context.bpf, object.fd, object.kind);
}

// Everything is pinned aside, then one rename makes it exist. Whoever dies before leaves only what start-up wipes.
Answer answerCommit(Context& context, Request& request) {
  wire::Commit commit = request.as<wire::Commit>();
  if (commit.programCount > wire::MAX_PROGRAMS || commit.mapCount > wire::MAX_MAPS) die("malformed commit");
  LoadSession& load = context.load;
  load.committed = true;

  Path staging = loadPath("staging", commit.load);
  if (int error = context.bpf.makeDirectory(staging.text); error) return error;
  auto pinAll = [&]() -> int {
    for (uint32_t i = 0; i < commit.programCount + commit.mapCount; ++i) {
      bool program = i < commit.programCount;
      const Object& object = load.object(commit.handles[i], program ? Kind::program : Kind::map);
      std::string path = staging.text + (program ? "/p" + std::to_string(i) : "/m" + std::to_string(i - commit.programCount));
      if (int error = context.bpf.pin(object.fd, path.c_str()); error) return error;
    }
    return context.bpf.renameNew(staging.text, loadPath("loads", commit.load).text);
  };
  int error = pinAll();
  if (error) removeTree(context.bpf, staging.text);
  return error;
}

}  // namespace bpfman
