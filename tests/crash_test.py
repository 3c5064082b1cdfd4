"""kill -9 of each process at every step of the commands in crash_operations.py and crash_changes.py. The worker of this test
(stepping-worker.c++) names each bpf(2) command and each operation on a pin, and stops at the one that it is told: there one process is killed,
what is there is looked at, and the command is given again. The steps are in crash_steps.txt (crash_steps_libxdp.txt, crash_steps_freplace.txt:
those of these engines, in tests/vm); one that it does not have is new, was not killed at, and fails (BPFMAN_REWRITE=1 writes the file, and kills nobody).

A frontend's own steps, what it writes into its catalogue, lie between those of the worker: it is killed before and after each of these.
All are tried with BPFMAN_SOAK=1 (tests/soak/crash), also with delays. Else, of a step that is repeated in a loop, the first two and the last are
candidates, of several looks at the kernel that follow each other the first and the last, and for the broker, which takes all along, each third
point; of the candidates BPFMAN_KILLS for each operation, by chance (0: all), the same in each run unless BPFMAN_SEED is another number, or `any`."""

import ctypes
import os
import random
import re
import signal
import threading
import time
import unittest

import harness
import network
from crash_changes import Chain, operations

REWRITE = os.environ.get("BPFMAN_REWRITE") == "1"
ONLY = os.environ.get("BPFMAN_CRASH", "").split()     # names of operations; none: all
SOAK = os.environ.get("BPFMAN_SOAK") == "1"
DELAYS = (0, 0.003, 0.03) if SOAK else (0,)
LOOK = re.compile("before (BPF_OBJ_GET|BPF_MAP_LOOKUP|BPF_MAP_GET_NEXT|BPF_PROG_QUERY|BPF_ITER|list)")
VM = "BPFMAN_VM" in os.environ
KILLS = int(os.environ.get("BPFMAN_KILLS", "0" if SOAK else "3" if VM else "20"))
STATIONS = int(os.environ.get("BPFMAN_STATIONS", "1" if VM else "3"))
SEED = os.environ.get("BPFMAN_SEED", "1")
SEED = random.randrange(1 << 32) if SEED == "any" else int(SEED)
RECORDED = "trixie"                                   # in which virtual machine
RECORD = 1 << 30                                      # a point that is never reached


class SteppingDaemon(harness.Daemon):
    """Its worker stops where it is told to."""

    def __init__(self, engine):
        hook = "tc" if engine == "freplace" else "xdp"
        super().__init__(config=f'[limits]\npool_size = 1\n[{hook}]\nengine = "{engine}"\n')
        binaries = os.path.join(self.directory, "bin")
        os.mkdir(binaries)
        for name, target in (("bpfman-frontend",) * 2, ("bpfman-loader",) * 2, ("bpfman-delegator",) * 2, ("bpfman-worker", "stepping-worker")):
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


class Station:
    """A daemon of its own, an interface with a flow of packets through the first member of each chain, and one without."""

    def __init__(self, test, number, engine, kinds):
        self.number, self.engine, self.wire, self.spare = number, engine, network.Wire(f"lan{number}"), f"spare{number}"
        test.addCleanup(self.wire.remove)
        harness.run("ip", "link", "add", self.spare, "type", "veth", "peer", "name", f"peer{number}")
        test.addCleanup(harness.run, "ip", "link", "del", self.spare, check=False)
        self.daemon = SteppingDaemon(engine)
        test.addCleanup(self.daemon.end)
        self.daemon.start()
        self.bases = {kind: self.daemon.load(f"{kind}_counter", kind) for kind in kinds}
        self.counters = {kind: self.daemon.mapId(program) for kind, program in self.bases.items()}
        self.links, self.chains = set(), {}
        for kind, program in self.bases.items():
            where = ("ingress",) if kind == "tc" else ()
            link = self.daemon.attach(kind, program, self.wire.near, *where, "-p", 0)["id"]
            self.links.add(link)
            self.chains[kind] = Chain(self.daemon, engine, kind, self.wire.near, [(program, link)])
        self.failures, self.said, self.kills = [], {}, 0

    def work(self, names):
        try:
            with network.Flow(self.wire, 200 / harness.SLOW) as flow:
                while names:
                    name = names.pop(0)
                    self.atEachPoint(name, operations(self)[name])
                flow.stop()
                counted = {kind: harness.sums(counter)[0] for kind, counter in self.counters.items()}
                if flow.lost or flow.twice or set(counted.values()) != {flow.sent}:
                    self.failures.append(f"packets: lost {flow.lost}, twice {flow.twice}, {counted} of {flow.sent}")
        except BaseException as error:  # this is a thread: the test tells
            self.failures.append(f"{type(error).__name__}: {error}\n---- the log's end:\n{self.daemon.log[-3000:]}")

    def atEachPoint(self, name, operation):
        began = time.monotonic()
        operation.begin()
        for _ in range(2):  # what a chain's change has to tidy up depends on the one before: it is the operation's own
            self.prepare(operation)
            worker, since = self.daemon.arm(RECORD)
            operation.act(name)
            steps = self.said[name] = self.daemon.quiet(since)
            self.daemon.tell(worker, 0)
            operation.restore()
        kills = [] if REWRITE else killsAt(name, steps, operation.kinds)
        for point, kind, delay in kills:
            why = f"{name}: {kind} killed at {point}: {steps[point - 1]}"
            try:
                self.round(operation, why, kind, point, steps, delay)
            except AssertionError as error:
                self.failures.append(f"{why}: {error}")
                print("FAILED", self.failures[-1], flush=True)
                if len(self.failures) > 5:
                    raise
        operation.finish()
        self.kills += len(kills)
        print(f"{name}: {len(steps)} points, {len(kills)} kills, {time.monotonic() - began:.0f} s")

    def prepare(self, operation):
        operation.prepare()
        if operation.quiet:
            self.daemon.quiet(self.daemon.arm(RECORD)[1])

    def reach(self, operation, point, steps):
        """Gives the command, and waits until the worker has stopped at the point."""
        for _ in range(4):
            self.prepare(operation)
            worker, since = self.daemon.arm(point)
            command = operation.popen()
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
        operation.examine(command.returncode == 0)
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


def killsAt(name, steps, kinds):
    """[(point, who, delay)]"""
    kills, last, points = [], {step: point for point, step in enumerate(steps, 1)}, 0
    looks = [False, *(bool(LOOK.match(step)) for step in steps), False]
    for point, step in enumerate(steps, 1):
        loop = steps[:point].count(step) > 2 and point != last[step]
        if not SOAK and (loop or all(looks[point - 1:point + 2])):
            continue
        points += 1
        kills += [(point, kind, delay) for kind in kinds for delay in DELAYS if SOAK or kind != "broker" or points % 3 == 1]
    return sorted(random.Random(f"{SEED} {name}").sample(kills, min(KILLS, len(kills)))) if KILLS else kills


class Crash(unittest.TestCase):
    engine, kinds = "tailcall", ("xdp", "tc")
    steps = os.path.join(harness.ROOT, "tests", "crash_steps.txt")

    def testAKillAtAnyStepLosesNothing(self):
        print("seed", SEED)
        before = harness.mapIds()
        stations = [Station(self, number, self.engine, self.kinds) for number in range(1, STATIONS + 1)]
        names = [name for name in operations(stations[0]) if name in ONLY or not ONLY]
        threads = [threading.Thread(target=station.work, args=[names]) for station in stations]
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
        reviewed = readSteps(self.steps)
        if REWRITE:
            known = reviewed if ONLY else {}
            return writeSteps(self.steps, known | said)
        for name, steps in said.items():
            new = [each for each in steps if each not in reviewed.get(name, [])]
            self.assertEqual(new, [], f"{name}: new step without a kill; see the top of {self.steps}")
            if os.environ.get("BPFMAN_VM", RECORDED) == RECORDED:       # older kernels need fewer
                self.assertEqual(sorted(steps), sorted(reviewed[name]), f"{name}: other steps than {self.steps} has")   # in some order


class Libxdp(Crash):
    engine, kinds = "libxdp", ("xdp",)
    steps = os.path.join(harness.ROOT, "tests", "crash_steps_libxdp.txt")

    def setUp(self):
        harness.requireFreplace(self)


class Freplace(Libxdp):
    engine, kinds = "freplace", ("tc",)
    steps = os.path.join(harness.ROOT, "tests", "crash_steps_freplace.txt")


def folded(steps):
    """Lines, with what is repeated three times or more written once."""
    lines = []
    while steps:
        size, times = 1, 1
        for length in range(1, 9):
            many = 1
            while steps[many * length:(many + 1) * length] == steps[:length]:
                many += 1
            if many > 2 and (many - 1) * length > (times - 1) * size:
                size, times = length, many
        lines += [f"  {each}" for each in steps[:1]] if times == 1 else [f"  {times} times", *(f"    {each}" for each in steps[:size])]
        steps = steps[size * times:]
    return lines


def readSteps(path):
    reviewed, name, block, times = {}, None, [], 1
    with open(path if os.path.exists(path) else os.devnull) as file:
        lines = file.read().splitlines()
    for line in lines:
        if not line.startswith("    "):
            if name:
                reviewed[name] += block * times
            block, times = [], 1
        if line.endswith(" times"):
            times = int(line.split()[0])
        elif line.startswith("  "):
            block.append(line.strip())
        elif line and not line.startswith("#"):
            name = line
            reviewed[name] = []
    if name:
        reviewed[name] += block * times
    return reviewed


def writeSteps(path, reviewed):
    text = ("# At which points of each operation tests/crash_test.py kills, in their order: before each step of the worker and its\n"
            "# session, and after it if it changed something. BPFMAN_REWRITE=1 writes this file; review the change.\n")
    for name in sorted(reviewed):
        text += "\n" + name + "\n" + "".join(line + "\n" for line in folded(reviewed[name]))
    if VM:      # the tree is read-only there
        return print("---- " + os.path.basename(path), text, "----", sep="\n")
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    harness.main()
