"""Commands that tests/crash_test.py kills at each step of, each with what must be true after it, whoever died. Changes of several members,
and those that wait to be confirmed, are in crash_changes.py."""

import json
import os
import subprocess
import time

import harness

XDP, TC, TCX = ("xdp_mark", "xdp", "xdp_second"), ("tc_counter", "tc"), ("tcx_counter", "tcx")
TRACEPOINT = ("tracepoint_counter", "tracepoint")
SYSCALL = ("tracepoint", "syscalls/sys_enter_kill")


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

    def popen(self):
        return self.daemon.popen(*self.words())

    def act(self, why):
        self.again(self.words(), why)

    def again(self, words, why):
        result = self.daemon.cli(*words)
        if result.code != 0:
            raise AssertionError(f"{why}: {result}")

    def retry(self, why):
        self.again(self.words(), why)

    def took(self):
        """What must be true after the command, by the list; what the kernel has is compared with it anyway."""
        return True

    def examine(self, succeeded):
        """Right after the kill, before the command is given again."""

    def restore(self):
        """A command whose answer was lost, and that was given again, has acted twice: all of it goes."""
        for each in self.daemon.links():
            if each["id"] not in self.station.links:
                self.again(("link", "detach", each["id"]), "detach what was left")

    def finish(self):
        programs = [each for each in self.daemon.programs() if each not in self.station.bases.values()]
        if programs:
            self.again(("program", "unload", *programs), "unload what was left")


class Load(Operation):
    kinds = ("worker", "session", "loader", "frontend", "broker")

    def words(self):
        return ("program", "load", "file", harness.example("xdp_mark"), "--programs", "xdp:xdp_second")

    def took(self):
        return len(self.daemon.programs()) > len(self.station.bases)

    def restore(self):
        self.finish()


class Unload(Load):
    kinds = Operation.kinds

    def prepare(self):
        self.program = self.daemon.load("xdp_mark", "xdp", "xdp_second")

    def words(self):
        return ("program", "unload", self.program, "--ignore-missing")

    def took(self):
        return len(self.daemon.programs()) == len(self.station.bases)


class LoadShared(Load):
    """It shares a map by its name with the program that is there: whoever dies, there is one map."""

    def prepare(self):
        self.first = self.daemon.load("shared_map", "xdp", "shared_xdp", "-a", "web")

    def words(self):
        return ("program", "load", "file", harness.example("shared_map"), "--programs", "xdp:shared_xdp", "-a", "web")

    def sharing(self):
        """The programs; they have one map, or an error says which."""
        programs = [each for each in self.daemon.programs() if each not in self.station.bases.values()]
        maps = {program: self.daemon.mapId(program, "shared") for program in programs}
        if len(set(maps.values())) > 1 or not set(maps.values()) <= harness.mapIds():
            raise AssertionError(f"not one map: {maps}")
        return programs

    def examine(self, succeeded):
        if self.first not in self.sharing():
            raise AssertionError("the program that was there is gone")

    def took(self):
        return len(self.sharing()) > 1


class UnloadShared(LoadShared):
    """Of the program that made the map; the other one keeps it."""

    kinds = Operation.kinds

    def prepare(self):
        super().prepare()
        self.second = self.daemon.load("shared_map", "xdp", "shared_xdp", "-a", "web")

    def words(self):
        return ("program", "unload", self.first, "--ignore-missing")

    def examine(self, succeeded):
        pass

    def took(self):
        return self.sharing() == [self.second]


class Take(Operation):
    """A program that was loaded by other means: it becomes bpfman's, or stays nobody's but the pin's."""

    def begin(self):
        self.pin = f"/sys/fs/bpf/own{self.station.number}"
        harness.run("bpftool", "prog", "load", harness.example("xdp_mark"), self.pin)

    def words(self):
        return ("program", "take", "--pinned", self.pin)

    def retry(self, why):
        result = self.daemon.cli(*self.words())
        if result.code != 0 and "is bpfman's already" not in result.err:
            raise AssertionError(f"{why}: {result}")

    def took(self):
        return len(self.daemon.programs()) == len(self.station.bases) + 1

    def restore(self):
        Operation.finish(self)

    def finish(self):
        super().finish()
        os.unlink(self.pin)


class Attach(Operation):
    def __init__(self, station, program, place):
        super().__init__(station)
        self.object, self.place, self.quiet = program, place, place[0] in ("xdp", "tc")

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
        return len(self.daemon.links()) > len(self.station.links)


class Detach(Attach):
    def prepare(self):
        self.link = self.daemon.attach(self.place[0], self.program, *self.place[1:])["id"]

    def words(self):
        return ("link", "detach", self.link, "--ignore-missing")

    def retry(self, why):
        self.again(self.words(), why)

    def took(self):
        return len(self.daemon.links()) == len(self.station.links)


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


class Go(Operation):
    """An interface with a persistent program goes; and, in Come, it comes back. Nobody gives a command."""

    quiet = True

    def begin(self):
        self.name = f"come{self.station.number}"
        self.make()
        self.program = self.daemon.load("xdp_mark", "xdp", "xdp_second", "--persistent")
        self.link = self.daemon.attach("xdp", self.program, self.name, "-p", 1)["id"]

    def words(self, delete=True):
        return ("ip", "link", "del", self.name) if delete else ("ip", "link", "add", self.name, "type", "veth", "peer", "name", self.name + "p")

    def make(self):
        harness.run(*Go.words(self, False))

    def popen(self):
        return subprocess.Popen(self.words())

    def act(self, why):
        harness.run(*self.words())
        time.sleep(0.5)   # no command asks meanwhile: its steps would be among those that are recorded

    def retry(self, why):
        raise AssertionError("ip failed: " + why)

    def waiting(self, wanted):
        def seen():
            answer = self.daemon.cli("link", "list", "-o", "json")
            return answer.code == 0 and {each["id"]: "waiting" in each for each in json.loads(answer.out)["links"]}.get(self.link) == wanted
        return harness.eventually(seen, 10)

    def took(self):
        return self.waiting(True)

    def restore(self):
        self.make()
        if not self.waiting(False):
            raise AssertionError("it does not come back")

    def finish(self):
        harness.run("ip", "link", "del", self.name, check=False)
        super().finish()


class Come(Go):
    def begin(self):
        super().begin()
        self.restore()

    def words(self):
        return super().words(False)

    def took(self):
        return self.waiting(False)

    def restore(self):
        harness.run(*super().words())
        if not self.waiting(True):
            raise AssertionError("it does not go")
