"""kill -9 of each process at every step of load, attach, detach, unload and count. The worker of this test (stepping-worker.c++) names each bpf(2)
command and each operation on a pin, and stops at the one that it is told: there one process is killed, and the command is given again. The
steps are in crash_steps.txt; one that it does not have is new, was not killed at, and fails (BPFMAN_REWRITE=1 writes the file, and kills
nobody).

A frontend's own steps, what it writes into its catalogue, lie between those of the worker: it is killed before and after each of these.
Of a step that is repeated in a loop, the first two and the last are tried; with BPFMAN_SOAK=1 (tests/soak/crash) all, also with delays."""

import ctypes
import os
import re
import signal
import threading
import time
import unittest

import harness
import network

STEPS = os.path.join(harness.ROOT, "tests", "crash_steps.txt")
REWRITE = os.environ.get("BPFMAN_REWRITE") == "1"
ONLY = os.environ.get("BPFMAN_CRASH", "").split()     # names of operations; none: all
SOAK = os.environ.get("BPFMAN_SOAK") == "1"
DELAYS = (0, 0.003, 0.03) if SOAK else (0,)
RECORD = 1 << 30                                      # a point that is never reached


class SteppingDaemon(harness.Daemon):
    """Its worker stops where it is told to."""

    def __init__(self):
        super().__init__(config="[limits]\npool_size = 1\n")
        binaries = os.path.join(self.directory, "bin")
        os.mkdir(binaries)
        for name, target in (("bpfman-frontend",) * 2, ("bpfman-loader",) * 2, ("bpfman-worker", "stepping-worker")):
            os.symlink(os.path.join(harness.BIN, target), os.path.join(binaries, name))
        self.arguments = ["--libexec-dir", binaries]

    def tell(self, worker, value):
        harness.LIBC.sigqueue.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
        harness.LIBC.sigqueue(worker, signal.SIGUSR1, value)  # may be gone

    def arm(self, point):
        """The worker counts from here, and stops at the point. Returns who it is, and where its words begin in the log."""
        if not harness.eventually(lambda: self.processes()["worker"], 10, 0.005):
            raise AssertionError(f"not at rest: {self.processes()}")
        worker, since = self.pid("worker"), os.path.getsize(self.logFile)
        self.tell(worker, point)
        if not harness.eventually(lambda: "heard" in self.since(since), 10, 0.002):
            raise AssertionError("the worker heard nothing")
        return worker, since

    def since(self, position):
        with open(self.logFile) as file:
            file.seek(position)
            return file.read()

    def points(self, since):
        """What it said since: ["before mkdir staging/N", …]"""
        return [re.sub(r"\d+", "N", each).strip() for each in re.findall(r"point \d+: (.*)\n", self.since(since))]

    def quiet(self, since):
        """Waits until nothing is done any more: a chain's old bank is emptied after the answer. Returns all that was done."""
        last = None
        while last != (last := self.points(since)):
            time.sleep(0.15)
        return last


class Operation:
    """prepare() makes what the command needs; restore() brings back what was before."""

    kinds = ("worker", "frontend", "broker")
    quiet = False   # whether something goes on after the answer

    def __init__(self, station):
        self.station, self.daemon = station, station.daemon

    def begin(self):
        pass

    def prepare(self):
        pass

    def again(self, words, why):
        result = self.daemon.cli(*words)
        if result.code != 0:
            raise AssertionError(f"{why}: {result}")

    def retry(self, why):
        self.again(self.words(), why)

    def took(self):
        """What must be true after the command, by the list; what the kernel has is compared with it anyway."""
        return True

    def restore(self):
        """A command whose answer was lost, and that was given again, has acted twice: all of it goes."""
        for each in self.daemon.links():
            if each["id"] not in self.station.links:
                self.again(("link", "detach", each["id"]), "detach what was left")

    def finish(self):
        programs = [each for each in self.daemon.programs() if each != self.station.base]
        if programs:
            self.again(("program", "unload", *programs), "unload what was left")


class Load(Operation):
    kinds = ("worker", "session", "loader", "frontend", "broker")

    def words(self):
        return ("program", "load", "file", harness.example("xdp_mark"), "--programs", "xdp:xdp_second")

    def took(self):
        return len(self.daemon.programs()) >= 2

    def restore(self):
        self.finish()


class Unload(Load):
    kinds = Operation.kinds

    def prepare(self):
        self.program = self.daemon.load("xdp_mark", "xdp", "xdp_second")

    def words(self):
        return ("program", "unload", self.program, "--ignore-missing")

    def took(self):
        return len(self.daemon.programs()) == 1


class Attach(Operation):
    def __init__(self, station, program, place):
        super().__init__(station)
        self.object, self.place, self.quiet = program, place, place[0] == "xdp"

    def begin(self):
        self.program = self.daemon.load(*self.object)

    def words(self):
        return ("link", "attach", self.place[0], self.program, *self.place[1:])

    def retry(self, why):
        """The kernel takes a program on such a hook once: who lost his answer is told."""
        result = self.daemon.cli(*self.words())
        if result.code != 0 and not (self.place[0] in ("tcx", "tracepoint") and "is already attached" in result.err):
            raise AssertionError(f"{why}: {result}")

    def took(self):
        return len(self.daemon.links()) >= 2


class Detach(Attach):
    def prepare(self):
        self.link = self.daemon.attach(self.place[0], self.program, *self.place[1:])["id"]

    def words(self):
        return ("link", "detach", self.link, "--ignore-missing")

    def retry(self, why):
        self.again(self.words(), why)

    def took(self):
        return len(self.daemon.links()) == 1


class Adopt(Attach):
    """Into a chain with another tool's program, which is alone on the interface again afterwards, by whoever was killed."""

    def begin(self):
        super().begin()
        interface = self.place[1]
        harness.run("ip", "link", "set", "dev", interface, "xdpgeneric", "obj", harness.example("xdp_counter"), "sec", "xdp")
        self.theirs = self.running()

    def running(self):
        return [each["id"] for each in harness.bpftool("net", "show", "dev", self.place[1])[0]["xdp"]]

    def took(self):
        chain = self.daemon.json("dispatcher", "get", "xdp", self.place[1])
        return super().took() and self.running() == [chain["runtime"]["program_id"]] and \
            self.theirs[0] in [each["program_id"] for each in chain["members"]]

    def restore(self):
        super().restore()
        if self.running() != self.theirs:
            raise AssertionError(f"{self.running()} runs there, not {self.theirs}")

    def finish(self):
        super().finish()
        harness.run("ip", "link", "set", "dev", self.place[1], "xdpgeneric", "off")


class GiveBack(Adopt, Detach):
    def took(self):
        return Detach.took(self) and self.running() == self.theirs

    def words(self):
        return Detach.words(self)


class Count(Operation):
    """Switches the counters of a chain on."""

    def switch(self, to):
        return ("dispatcher", "count", "xdp", self.station.wire.near, to)

    def chain(self):
        return self.daemon.json("dispatcher", "get", "xdp", self.station.wire.near)

    def prepare(self):
        self.again(self.switch("off"), "switch off")

    def words(self):
        return self.switch("verdicts")

    def took(self):
        return self.chain()["counting"] == "verdicts"

    def finish(self):
        self.again(self.switch("off"), "switch off")


class CountedAttach(Attach):
    """Into a chain that counts: who was there goes on, who comes begins at nothing, and the counter that he gets was another's before."""

    def begin(self):
        super().begin()
        self.counting = Count(self.station)
        self.again(self.counting.switch("verdicts"), "switch on")

    def prepare(self):
        self.before = self.seen()[0]

    def seen(self):
        """By the members, as they run: the first is the station's."""
        return [each["counters"]["seen"] for each in self.counting.chain()["members"]]

    def took(self):
        first, *others = self.seen()
        return super().took() and first >= self.before and all(each <= first - self.before for each in others)

    def finish(self):
        self.counting.finish()
        super().finish()


XDP, TCX = ("xdp_mark", "xdp", "xdp_second"), ("tcx_counter", "tcx")
TRACEPOINT = ("tracepoint_counter", "tracepoint")
SYSCALL = ("tracepoint", "syscalls/sys_enter_kill")


def operations(station):
    lan, spare = station.wire.near, station.spare
    return {"load": Load(station), "unload": Unload(station),
            "attach-xdp": Attach(station, XDP, ("xdp", spare, "-p", 10)), "detach-xdp": Detach(station, XDP, ("xdp", spare, "-p", 10)),
            "chain-in": Attach(station, XDP, ("xdp", lan, "-p", 10)), "chain-out": Detach(station, XDP, ("xdp", lan, "-p", 10)),
            "attach-tcx": Attach(station, TCX, ("tcx", lan, "ingress", "-p", 10)),
            "detach-tcx": Detach(station, TCX, ("tcx", lan, "ingress", "-p", 10)),
            "attach-tracepoint": Attach(station, TRACEPOINT, SYSCALL), "detach-tracepoint": Detach(station, TRACEPOINT, SYSCALL),
            "adopt": Adopt(station, XDP, ("xdp", spare, "-p", 10, "--adopt")),
            "give-back": GiveBack(station, XDP, ("xdp", spare, "-p", 10, "--adopt")),
            # Last: a chain that counted once takes more steps.
            "count": Count(station), "chain-in-counted": CountedAttach(station, XDP, ("xdp", lan, "-p", 10))}


class Station:
    """A daemon of its own, an interface with a flow of packets through a first member of its chain, and one without."""

    def __init__(self, test, number):
        self.wire, self.spare = network.Wire(f"lan{number}"), f"spare{number}"
        test.addCleanup(self.wire.remove)
        harness.run("ip", "link", "add", self.spare, "type", "veth", "peer", "name", f"peer{number}")
        test.addCleanup(harness.run, "ip", "link", "del", self.spare, check=False)
        self.daemon = SteppingDaemon()
        test.addCleanup(self.daemon.end)
        self.daemon.start()
        self.base = self.daemon.load("xdp_counter", "xdp")
        self.counter = self.daemon.mapId(self.base)
        self.links = {self.daemon.attach("xdp", self.base, self.wire.near, "-p", 0)["id"]}
        self.failures, self.said, self.kills = [], {}, 0

    def work(self, names):
        try:
            with network.Flow(self.wire, 200) as flow:
                for name in names:
                    self.atEachPoint(name, operations(self)[name])
                flow.stop()
                if flow.lost or flow.twice or harness.sums(self.counter)[0] != flow.sent:
                    self.failures.append(f"packets: lost {flow.lost}, twice {flow.twice}, {harness.sums(self.counter)} of {flow.sent}")
        except BaseException as error:  # this is a thread: the test tells
            self.failures.append(f"{type(error).__name__}: {error}\n---- the log's end:\n{self.daemon.log[-3000:]}")

    def atEachPoint(self, name, operation):
        began, kills = time.monotonic(), 0
        operation.begin()
        self.prepare(operation)
        worker, since = self.daemon.arm(RECORD)
        operation.again(operation.words(), name)
        steps = self.said[name] = self.daemon.quiet(since)
        self.daemon.tell(worker, 0)
        operation.restore()
        if REWRITE:
            return operation.finish()
        last = {step: point for point, step in enumerate(steps, 1)}
        for point, step in enumerate(steps, 1):
            if not SOAK and steps[:point].count(step) > 2 and point != last[step]:
                continue                                        # a loop: its first rounds and its last
            for kind in operation.kinds:
                for delay in DELAYS:
                    why = f"{name}: {kind} killed at {point}: {step}"
                    kills += 1
                    try:
                        self.round(operation, why, kind, point, steps, delay)
                    except AssertionError as error:
                        self.failures.append(f"{why}: {error}")
                        if len(self.failures) > 5:
                            raise
        operation.finish()
        self.kills += kills
        print(f"{name}: {len(steps)} points, {kills} kills, {time.monotonic() - began:.0f} s")

    def prepare(self, operation):
        operation.prepare()
        if operation.quiet:
            self.daemon.quiet(self.daemon.arm(RECORD)[1])

    def reach(self, operation, point, steps):
        """Gives the command, and waits until the worker has stopped at the point."""
        for _ in range(4):
            self.prepare(operation)
            worker, since = self.daemon.arm(point)
            command = self.daemon.popen(*operation.words())
            harness.eventually(lambda: len(self.daemon.points(since)) >= point, 5, 0.002)
            reached = self.daemon.points(since)
            if reached == steps[:point]:
                return worker, command
            self.daemon.tell(worker, 0)                         # what is done after an answer can come before what follows
            command.communicate(timeout=harness.TIMEOUT)
            operation.restore()
        different = next((pair for pair in zip(reached, steps) if pair[0] != pair[1]), len(reached))
        raise AssertionError(f"other steps than when nothing is killed: {different}")

    def round(self, operation, why, kind, point, steps, delay):
        worker, command = self.reach(operation, point, steps)
        self.kill(kind, worker, delay)
        command.communicate(timeout=harness.TIMEOUT)
        if command.returncode != 0:
            operation.retry(why + ", and again")
        if not operation.took():
            raise AssertionError("the command said that it succeeded, but it did not")
        operation.restore()
        left = self.daemon.settled()
        if left:
            raise AssertionError(str(left))

    def kill(self, kind, worker, delay):
        """One of them; then the worker goes on, if it can. A broker is started again, as systemd would."""
        time.sleep(delay)
        for pid in self.daemon.processes()[kind][:1]:
            os.kill(pid, signal.SIGKILL)
        if kind != "broker":
            return self.daemon.tell(worker, 0)
        family = [each for pids in self.daemon.processes().values() for each in pids]
        self.daemon.process.wait()
        if not harness.eventually(lambda: not any(harness.alive(each) for each in family), 1, 0.005):
            raise AssertionError("children outlived the broker by a second")
        self.daemon.start()


class Crash(unittest.TestCase):
    def testAKillAtAnyStepLosesNothing(self):
        before = harness.mapIds()
        stations = [Station(self, number) for number in (1, 2)]
        names = [name for name in operations(stations[0]) if name in ONLY or not ONLY]
        shares = [names[0::2], names[1::2]]
        threads = [threading.Thread(target=station.work, args=[share]) for station, share in zip(stations, shares)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        print("kills", sum(each.kills for each in stations))
        failures = [failure for each in stations for failure in each.failures]
        self.assertFalse(failures, "\n\n".join(failures))
        for each in stations:
            self.assertEqual(each.daemon.settled(), [])
            each.daemon.end()
        self.assertEqual(harness.orphanMaps(before), [])
        self.compare({name: steps for each in stations for name, steps in each.said.items()})

    def compare(self, said):
        reviewed = readSteps()
        if REWRITE:
            writeSteps(reviewed | said)
            return
        for name, steps in said.items():
            new = [each for each in steps if each not in reviewed.get(name, [])]
            self.assertEqual(new, [], f"{name}: new step without a kill; see the top of {STEPS}")
            self.assertEqual(sorted(steps), sorted(reviewed[name]), f"{name}: other steps than {STEPS} has")   # in some order


def readSteps():
    reviewed, name = {}, None
    if os.path.exists(STEPS):
        with open(STEPS) as file:
            for line in file.read().splitlines():
                if line.startswith("  "):
                    reviewed[name].append(line.strip())
                elif line and not line.startswith("#"):
                    name = line
                    reviewed[name] = []
    return reviewed


def writeSteps(reviewed):
    with open(STEPS, "w") as file:
        file.write("# At which points of each operation tests/crash_test.py kills, in their order: before each step of the worker and its\n"
                   "# session, and after it if it changed something. BPFMAN_REWRITE=1 writes this file; review the change.\n")
        for name in sorted(reviewed):
            file.write("\n" + name + "\n" + "".join(f"  {each}\n" for each in reviewed[name]))


if __name__ == "__main__":
    harness.main()
