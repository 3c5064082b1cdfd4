"""What the integration tests stand on. Each test file runs in mount, pid and network namespaces of its own (main() sees to it), so that
daemons, mounts and interfaces end with it, however it ends, and several files can run side by side. The daemon's "host" network
namespace is then the test's. Programs of one daemon are told from all others on the machine by its range of uids.

    with harness.Daemon() as daemon:
        program = daemon.load("xdp_counter", "xdp")
        daemon.json("link", "attach", "xdp", program, "lan0", "-p", 10)
"""

import ctypes
import functools
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("BPFMAN_BUILD", os.path.join(ROOT, "build"))
ISOLATED = "BPFMAN_TEST_ISOLATED"
SHOWN = "/mnt"  # where the build is for the test alone: users that it plays must reach it, also when the checkout is root's own
REACHED = SHOWN if ISOLATED in os.environ else BUILD
BIN = os.path.join(REACHED, "bin")
EXAMPLES = os.path.join(REACHED, "examples", "bpf")
MUST_RUN = os.environ.get("BPFMAN_MUST_RUN") == "1"
TRACEFS = "/sys/kernel/tracing"
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
SLOW = 5 if "BPFMAN_VM" in os.environ else 1  # how many times slower an emulated machine is
TIMEOUT = 60 * SLOW  # seconds that one command may take on a busy machine


def main():
    """Instead of unittest.main(): isolates, then runs the file's tests."""
    if os.geteuid() != 0:
        print("SKIP: needs root, to start the daemon", file=sys.stderr)
        sys.exit(1 if MUST_RUN else 0)
    if ISOLATED not in os.environ:
        os.environ[ISOLATED] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child",
                              sys.executable, "-u", *sys.argv])
    os.makedirs(ATTACKS, exist_ok=True)
    open(os.path.join(ATTACKS, os.path.basename(sys.argv[0])), "w").close()
    run("mount", "--bind", BUILD, SHOWN)
    run("ip", "link", "set", "lo", "up")
    # ip netns bind-mounts below /run/netns, which it keeps shared: make it ours first.
    os.makedirs("/run/netns", exist_ok=True)
    run("mount", "-t", "tmpfs", "none", "/run/netns")
    run("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")  # what libxdp pins there is the test's alone
    if not os.path.exists(os.path.join(TRACEFS, "events")):
        run("mount", "-t", "tracefs", "tracefs", TRACEFS)
    unittest.main(verbosity=2)


def skip(test, reason):
    """Says why a test can't run here; fails instead where it must run."""
    if MUST_RUN:
        test.fail("can't run here: " + reason)
    test.skipTest(reason)


def requireLibxdp(test, daemon):
    """Skips a test of the libxdp engine where the kernel refuses freplace: no BPFMAN_MUST_RUN can change that, the VM kernels allow it."""
    if daemon.engine() == "libxdp":
        return
    if "BPFMAN_VM" in os.environ:
        test.fail(daemon.cli("version").out)
    test.skipTest("this kernel refuses freplace; tests/vm runs it")


@functools.cache
def _xdpEngine():
    with Daemon() as daemon:
        return daemon.engine(), daemon.cli("version").out


def requireFreplace(test):
    """Likewise before there is a daemon, for the TC engine: one that must have it does not start without it."""
    engine, version = _xdpEngine()
    if engine == "libxdp":
        return
    if "BPFMAN_VM" in os.environ:
        test.fail(version)
    test.skipTest("this kernel refuses freplace; tests/vm runs it")


def run(*words, check=True, **more):
    result = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT, **more)
    if check and result.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: exit {result.returncode}: {result.stderr or result.stdout}")
    return result


def bpftool(*words):
    """Again when it fails: its list ends at a link that is being made at that moment."""
    for left in range(4, -1, -1):
        result = run("bpftool", "-j", *words, check=left == 0)
        if result.returncode == 0:
            return json.loads(result.stdout or "[]")


def eventually(condition, seconds=10, every=0.05):
    """The first true value of condition(), or its last."""
    end = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(every)


def example(name):
    return os.path.join(EXAMPLES, name + ".bpf.o")


def sums(map_id):
    """A map's numbers, summed over CPUs, by key: {0: 42}. A struct's members by name."""
    answer = {}
    for entry in bpftool("map", "dump", "id", map_id):
        entry = entry.get("formatted", entry)
        values = [each["value"] for each in entry["values"]] if "values" in entry else [entry["value"]]
        if isinstance(values[0], dict):
            answer[entry["key"]] = {key: sum(value[key] for value in values) for key in values[0]}
        else:
            answer[entry["key"]] = sum(values)
    return answer


# ---- attacks ----

ATTACKS = os.path.join("/tmp" if "BPFMAN_VM" in os.environ else BUILD, "attacks")    # what each test tried, for attack_count.py


def attack(test, kind, what, refused):
    """One attempt of a class (docs/threat-model.md, 'Attacks that are tried'): noted down for the count, and it must have been refused."""
    with open(os.path.join(ATTACKS, os.path.basename(sys.argv[0])), "a") as file:
        file.write(f"{kind}\t{bool(refused)}\t{what!r}\n")
    test.assertTrue(refused, f"{kind}: {what}")


def redeem(daemon, ticket, uid=0):
    """(status, descriptors) as that user; a child sends it, so that the kernel says who it was."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        os.setresuid(uid, uid, uid)
        window = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        window.connect(os.path.join(daemon.runtime, "fd.sock"))
        window.sendall(ticket)
        data, passed, _, _ = socket.recv_fds(window, 16, 8)
        socket.send_fds(theirs, [data or b"-"], passed) if passed else theirs.send(data or b"-")
        os._exit(0)
    theirs.close()
    data, passed, _, _ = socket.recv_fds(ours, 16, 8)
    os.waitpid(child, 0)
    return (data[0] if data != b"-" else None), passed


# ---- processes ----


def status(pid):
    """/proc/PID/status as a dictionary, or None when there is no such process (any more)."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except (FileNotFoundError, ProcessLookupError):
        return None


def alive(pid):
    """There, and no zombie: in the test's own process namespace nobody buries the orphans."""
    one = status(pid)
    return bool(one) and not one["State"].startswith("Z")


def children(pid):
    """Living children, ascending; no zombies."""
    found = []
    for each in filter(str.isdigit, os.listdir("/proc")):
        one = status(each)
        if one and one["PPid"] == str(pid) and not one["State"].startswith("Z"):
            found.append(int(each))
    return sorted(found)


def descriptors(pid):
    """{number: link text} of a process; {} when it is gone."""
    found = {}
    try:
        for each in os.listdir(f"/proc/{pid}/fd"):
            try:
                found[int(each)] = os.readlink(f"/proc/{pid}/fd/{each}")
            except FileNotFoundError:
                pass
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


# ---- the daemon ----


class Result:
    def __init__(self, process):
        self.code, self.out, self.err = process.returncode, process.stdout, process.stderr

    def __repr__(self):
        return f"exit {self.code}, stdout {self.out!r}, stderr {self.err!r}"


class Daemon:
    """One bpfmand in temporary directories. As a context: started, and at the end stopped, with everything that it pinned gone."""

    numbers = itertools.count()

    def __init__(self, policy=None, config="", directory=None, arguments=()):
        self.directory = directory or tempfile.mkdtemp(prefix="bpfman-test-")
        self.runtime, self.state = os.path.join(self.directory, "run"), os.path.join(self.directory, "state")
        self.policyFile, self.configFile = os.path.join(self.directory, "policy.toml"), os.path.join(self.directory, "bpfman.toml")
        self.logFile = os.path.join(self.directory, "log")
        os.chmod(self.directory, 0o755)
        # The pid namespace hides the real pid, so the directory's random name keeps ranges of test files apart.
        self.baseUid = 1_000_000_000 + (hash(self.directory) % 10_000_000) * 100 + next(Daemon.numbers) % 10 * 10
        if "[users]" not in config:
            config = f"[users]\nbase_uid = {self.baseUid}\n" + config
        if SLOW > 1 and "[limits]" not in config:   # several virtual machines may share a processor
            config += "\n[limits]\nverifier_seconds = 300\n"
        if policy is not None:
            self.write(self.policyFile, policy)
        self.write(self.configFile, config)
        self.arguments = list(arguments)
        self.process = None

    def write(self, path, text):
        with open(path, "w") as file:
            file.write(text)

    def command(self):
        return [os.path.join(BIN, "bpfmand"), "--runtime-dir", self.runtime, "--state-dir", self.state,
                "--policy", self.policyFile, "--config", self.configFile, *self.arguments]

    @property
    def log(self):
        with open(self.logFile) as file:
            return file.read()

    def launch(self):
        """Starts it without waiting."""
        with open(self.logFile, "a") as log:
            self.logStart = log.tell()
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def ready(self):
        return "bpfmand: ready" in self.log[self.logStart:]

    def start(self, seconds=20):
        self.launch()
        eventually(lambda: self.ready() or self.process.poll() is not None, seconds, 0.01)
        if not self.ready():
            raise AssertionError(f"bpfmand did not start (exit {self.process.poll()}):\n{self.log}")
        return self

    def stop(self, number=signal.SIGTERM, seconds=15):
        """Ends it and waits; the exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(seconds * SLOW)

    def kill(self):
        """kill -9 of the broker alone."""
        return self.stop(signal.SIGKILL)

    def end(self):
        """Stops it and removes all that it left: for the end of a test."""
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.kill()
        while run("umount", "-l", os.path.join(self.runtime, "fs"), check=False).returncode == 0:
            pass
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.end()
            raise

    def __exit__(self, *_):
        if sys.exc_info()[0] and os.path.exists(self.logFile):
            print("---- daemon's log:", self.log[-6000:], "----", sep="\n", file=sys.stderr)
        self.end()

    # -- what runs --

    def processes(self):
        """{"broker": [pid], "frontend": …, "worker": … (control), "session": … (waiting or loading), "loader": …}."""
        found = {"broker": [self.process.pid], "frontend": [], "worker": [], "loader": [], "session": []}
        for child in children(self.process.pid):
            kind = {"bpfman-frontend": "frontend", "bpfman-worker": "worker", "bpfman-loader": "loader"}.get(self.name(child))
            if kind:
                found[kind].append(child)
            if kind == "worker":
                found["session"] += children(child)
        return found

    def name(self, pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                return os.path.basename(file.read().split(b"\0")[0].decode())
        except OSError:
            return ""

    def pid(self, kind):
        return self.processes()[kind][0]

    # -- the command --

    def popen(self, *words, **more):
        environment = dict(os.environ, BPFMAN_RUNTIME_DIR=self.runtime)
        more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "stdin": subprocess.DEVNULL, **more}
        return subprocess.Popen([os.path.join(BIN, "bpfman"), *map(str, words)], env=environment, **more)

    def cli(self, *words, timeout=TIMEOUT, **more):
        """Runs the command; .code, .out, .err. more: user=, group=, extra_groups=, … of subprocess."""
        process = self.popen(*words, **more)
        try:
            process.stdout, process.stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise AssertionError(f"bpfman {' '.join(map(str, words))}: no answer within {timeout} s")
        return Result(process)

    def json(self, *words, **more):
        """Runs the command with -o json; it must succeed."""
        result = self.cli(*words, "-o", "json", **more)
        if result.code != 0:
            raise AssertionError(f"bpfman {' '.join(map(str, words))}: {result}")
        return json.loads(result.out) if result.out else None

    def load(self, name, type, function=None, *more):
        """Loads one program of an example; its id."""
        answer = self.json("program", "load", "file", example(name), "--programs", f"{type}:{function or name}", *more)
        return answer["programs"][0]["record"]["program_id"]

    def attach(self, *words):
        """bpfman link attach …; the link's record."""
        return self.json("link", "attach", *words)["record"]

    def programs(self):
        return [each["program_id"] for each in self.json("program", "list")["programs"]]

    def links(self):
        return self.json("link", "list")["links"]

    def dispatchers(self):
        return self.json("dispatcher", "list")["dispatchers"]

    def engine(self):
        """How XDP programs share an interface here."""
        return re.search(r"XDP engine: +(\w+)", self.cli("version").out)[1]

    def mapId(self, program, name=None):
        """The id of a program's map (by default its first that is not .rodata, .bss or .data)."""
        maps = self.json("program", "get", program)["status"]["maps"]
        return next(each["id"] for each in maps if (each["name"] == name if name else "." not in each["name"]))

    # -- what is in the kernel and in the bpffs --

    def kernelPrograms(self):
        """{id: bpftool's entry} of programs that this daemon's worker loaded, or that were handed over to it."""
        taken = {int(pin[5:]) for pin in self.pins() if pin.startswith("prog_")}
        return {each["id"]: each for each in bpftool("prog", "show")
                if self.baseUid <= each.get("uid", 0) < self.baseUid + 10 or each["id"] in taken}

    def kernelLinks(self):
        mine = self.kernelPrograms()
        return {each["id"]: each for each in bpftool("link", "show") if each.get("prog_id") in mine}

    def pins(self):
        """All paths below fs/, without those that the file system itself makes."""
        top = os.path.join(self.runtime, "fs")
        found = {os.path.relpath(os.path.join(path, name), top) for path, _, files in os.walk(top) for name in files}
        return found - {"maps.debug", "progs.debug"}

    def discrepancies(self):
        """What kernel and bpffs have more or less than the catalogue: a list of sentences, empty when all agree."""
        # What waits to be loaded or attached again is in the catalogue only.
        programs = {each for each in self.programs() if each < 1 << 31}
        links, chains = [each for each in self.links() if "waiting" not in each], self.dispatchers()
        found = []
        kernel, kernelLinks = self.kernelPrograms(), self.kernelLinks()
        iterators = {id for id, each in kernel.items() if each["name"] in ("dump_programs", "dump_maps", "dump_links", "dump_dispatchers")}
        running = {each["runtime"]["program_id"] for each in chains}
        # What members of the libxdp and freplace engines are verified against; the kernel keeps an older one as long as one of them was
        # attached nowhere. A dispatcher of the tailcall engine has more maps.
        targets = {id for id, each in kernel.items() if each["name"] == "xdp_dispatcher" and not each.get("pinned")} - running
        if self.engine() == "libxdp":
            running |= targets
        running |= {id for id, each in kernel.items() if each["name"] == "tc_dispatcher" and len(each.get("map_ids", [])) < 3}
        passing = {id for id, each in kernel.items() if each["name"] in ("dump_caller", "dump_elements")}   # without a link at rest
        expected = programs | iterators | passing | (running & set(kernel))  # another tool's dispatcher is not ours
        if len(iterators) != 4:
            found.append(f"{len(iterators)} iterator programs")
        if set(kernel) != expected:
            found.append(f"programs only in the kernel: {[kernel[i] for i in set(kernel) - expected]}, only listed: {expected - set(kernel)}")
        expected = {each["kernel_link_id"] for each in links if each["kernel_link_id"]} | {id for id, each in kernelLinks.items() if each["prog_id"] in iterators}
        expected |= {each["runtime"].get("kernel_link_id") for each in chains} - {None}
        if set(kernelLinks) != expected:
            found.append(f"links only in the kernel: {[kernelLinks[i] for i in set(kernelLinks) - expected]}, "
                         f"only listed: {expected - set(kernelLinks)}")
        pins, fs = self.pins(), os.path.join(self.runtime, "fs")
        for each in links:
            if os.path.relpath(each["pin_path"], fs) not in pins:
                found.append(f"link {each['id']} has no pin {each['pin_path']}")
        public = {int(pin[5:]) for pin in pins if pin.startswith("prog_")}
        if public != programs:
            found.append(f"public pins of programs {public}, listed {programs}")
        stray = {pin for pin in pins if pin.startswith("staging/")}
        stray |= {pin for pin in pins if re.match(r"(links|tcx-ingress|tcx-egress)/|(xdp|tc-ingress|tc-egress)/dispatcher_\d+_\d+/link_", pin)} - \
                 {os.path.relpath(each["pin_path"], fs) for each in links} - \
                 {f"xdp/dispatcher_{each['key']['nsid'] % 2**32}_{each['key']['ifindex']}/link_0" for each in chains
                  if each["engine"] == "tailcall" and any(member.get("foreign") for member in each["members"])}
        members = {pin: re.match(r"tc-(?:in|e)gress/dispatcher_\d+_\d+_(\d+)_prog\d$", pin) for pin in pins}   # of engine freplace
        stray |= {pin for pin, match in members.items() if match and int(match[1]) not in {each["runtime"]["program_id"] for each in chains}}
        stray |= {pin for pin in pins if pin.startswith("maps/") and int(pin.split("/")[1]) not in programs}
        if stray:
            found.append(f"stray pins {stray}")
        return found

    def settled(self, seconds=10):
        """discrepancies() once what was under way has ended."""
        last = []

        def agree():
            nonlocal last
            last = self.discrepancies()
            return not last
        eventually(agree, seconds, 0.2)
        return last


def orphanMaps(before):
    """Maps that came since `before` (ids) and that no program uses; asked until nothing changes, as other tests make maps too.
    Without prog arrays: the kernel itself (6.18 at least) loses one for good when somebody opens it by its id, as bpftool does to show it,
    while its last descriptor is closed: prog_array_map_clear() counts a reference for work that is queued already."""
    orphans = None
    for _ in range(15):
        used = {id for each in bpftool("prog", "show") for id in each.get("map_ids", [])}
        now = {each["id"]: each for each in bpftool("map", "show") if each["id"] not in before | used and each["type"] != "prog_array"}
        orphans = now if orphans is None else {id: orphans[id] for id in orphans if id in now}
        if not orphans:
            break
        time.sleep(0.3)
    return list(orphans.values())


def cgroup2():
    """Where the cgroup2 hierarchy is mounted; None: nowhere."""
    with open("/proc/mounts") as file:
        return next((line.split()[1] for line in file if line.split()[2] == "cgroup2"), None)


def user(uid):
    """For Daemon.cli and its like: as that user."""
    return {"user": uid, "group": uid, "extra_groups": []}


def kernel():
    """(major, minor)."""
    return tuple(int(each) for each in os.uname().release.split("-")[0].split(".")[:2])


def mapIds():
    return {each["id"] for each in bpftool("map", "show")}
