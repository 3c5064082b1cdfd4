"""What tests/crash_test.py kills at each step of: operations, each with what must be true after it, whoever died."""

import json
import os
import socket
import subprocess
import time

import harness


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


class Chain:
    """The chain of a hook, as bpfman lists it and as the kernel has it."""

    def __init__(self, daemon, engine, kind, interface, base=()):
        self.daemon, self.engine, self.kind, self.interface, self.base = daemon, engine, kind, interface, list(base)
        self.place = ["xdp", interface] if kind == "xdp" else ["tc", interface, "ingress"]
        self.index = socket.if_nametoindex(interface)

    def listed(self):
        """([program, link] as they run, the dispatcher's program); None: there is no dispatcher."""
        for each in self.daemon.dispatchers():
            if each["key"]["type"].startswith(self.kind) and each["key"]["ifindex"] == self.index:
                return [(member["program_id"], member["link_id"]) for member in each["members"]], each["runtime"]["program_id"]
        return [], None

    def running(self, dispatcher):
        """The programs of this dispatcher, as packets come to them."""
        attached, = harness.bpftool("net", "show", "dev", self.interface)
        ids = [each["id"] for each in attached[self.kind]]
        if ids != ([dispatcher] if dispatcher else []):
            raise AssertionError(f"{self.interface} runs {ids}, not dispatcher {dispatcher}")
        if not dispatcher:
            return []
        if self.engine == "libxdp":
            shown = harness.run("xdp-loader", "status", self.interface).stdout
            return [int(each[3]) for each in (line.split() for line in shown.splitlines()) if each[:1] == ["=>"]]
        maps = {}
        for id in harness.bpftool("prog", "show", "id", dispatcher)["map_ids"]:
            one = harness.bpftool("map", "show", "id", id)
            if one["name"] in ("active", "banks", "slots"):
                maps[one["name"]] = {each["formatted"]["key"]: each["formatted"]["value"] for each in harness.bpftool("map", "dump", "id", id)}
        bank = maps["active"][0]
        return [maps["slots"].get(bank * 30 + position) for position in range(maps["banks"][bank]["count"])]

    def now(self):
        """[program, link], both views agreeing."""
        members, dispatcher = self.listed()
        running = self.running(dispatcher)
        if running != [program for program, _ in members]:
            raise AssertionError(f"the kernel runs {running}, listed are {members}")
        return members


class Change(Operation):
    """Of a chain of three, whose first is the station's: `one` behind it and `two` behind that; `three` is loaded."""

    quiet = True
    done = None         # what the answer to a second try may say instead

    def __init__(self, station, chain):
        super().__init__(station)
        self.chain, self.object = chain, XDP if chain.kind == "xdp" else TC
        self.file = os.path.join(self.daemon.directory, f"steps-{chain.kind}")

    def begin(self):
        self.programs = {name: self.daemon.load(*self.object) for name in ("one", "two", "three")}
        self.links = {}

    def attach(self, name, priority):
        self.links[name] = self.daemon.attach(*self.chain.place[:1], self.programs[name], *self.chain.place[1:], "-p", priority)["id"]

    def settle(self):
        """As it was before any of them: whoever is not there is attached again."""
        for each in self.waiting():
            self.again(("revert", each), "revert")
        there = {each["id"]: each for each in self.daemon.links()}
        for name, link in self.links.items():
            if link in there:
                self.programs[name] = there[link]["program_id"]
        for link in there:
            if link not in self.station.links and link not in (self.links.get("one"), self.links.get("two")):
                self.again(("link", "detach", link), "detach")
        for name, priority in (("one", 10), ("two", 20)):
            mine = there.get(self.links.get(name))
            if not mine:
                self.attach(name, priority)
            elif mine["details"]["priority"] != priority or mine.get("paused"):
                self.again(("link", "update", self.links[name], "--priority", priority), "update")
                self.again(("link", "resume", self.links[name]), "resume")

    def prepare(self):
        self.settle()
        self.before = self.chain.now()

    def restore(self):
        pass

    def waiting(self):
        return [each["id"] for each in self.daemon.json("change", "list")["changes"]]

    def member(self, name):
        return (self.programs[name], self.links[name])

    def after(self):
        """The members then; None in place of an id that is new."""
        raise NotImplementedError

    waits = False       # whether the change waits to be confirmed then

    def happened(self, members):
        """Whether this is the chain after the command; it must be that or the one before, and who stays keeps his link."""
        wanted = self.chain.base + self.after()
        fits = len(members) == len(wanted) and all(w is None or w == m for pair in zip(wanted, members) for w, m in zip(*pair))
        if not fits and members != self.before:
            raise AssertionError(f"neither the chain of before {self.before} nor the new one {wanted}: {members}")
        return fits

    def examine(self, succeeded):
        """Right after the kill, before the command is given again: all of it or nothing."""
        members = self.chain.now()
        happened = self.happened(members)
        if succeeded and not happened:
            raise AssertionError("the command said that it succeeded, but it did not")
        if happened and members != self.before and bool(self.waiting()) != self.waits:
            raise AssertionError(f"waiting changes: {self.waiting()}")

    def retry(self, why):
        result = self.daemon.cli(*self.words())
        if result.code != 0 and not (self.done and self.done in result.err):
            raise AssertionError(f"{why}: {result}")

    def took(self):
        return self.happened(self.chain.now()) and bool(self.waiting()) == self.waits

    def finish(self):
        for each in self.waiting():
            self.again(("revert", each), "revert")
        super().restore()
        super().finish()


class Update(Change):
    def words(self):
        return ("link", "update", self.links["two"], "--priority", 5)

    def after(self):
        return [self.member("two"), self.member("one")]


class Pause(Change):
    def words(self):
        return ("link", "pause", self.links["one"])

    def after(self):
        return [self.member("two")]


class Resume(Change):
    def settle(self):
        super().settle()
        self.again(("link", "pause", self.links["one"]), "pause")

    def words(self):
        return ("link", "resume", self.links["one"])

    def after(self):
        return [self.member("one"), self.member("two")]


class Several(Change):
    """One leaves, another comes, a third changes its place: one change."""

    more, done = (), "does not exist"       # the link that left

    def apply(self, *more):
        kind, *where = self.chain.place
        with open(self.file, "w") as file:
            file.write(f"link detach {self.links['one']}\nlink update {self.links['two']} --priority 40\n"
                       f"link attach {kind} {self.programs['three']} {' '.join(where)} -p 30\n")
        return ("change", "apply", self.file, *more)

    def words(self):
        return self.apply(*self.more)

    def after(self):
        return [(self.programs["three"], None), self.member("two")]


class SeveralWithin(Several):
    more, done, waits = ("--confirm-within", "1h"), "waits to be confirmed", True


class Confirm(Several):
    done, verb = "no change", "confirm"

    def settle(self):
        super().settle()
        self.again(self.apply("--confirm-within", "1h"), "change")
        self.change, = self.waiting()

    def words(self):
        return (self.verb, self.change)

    def took(self):
        return super().took() and (self.links["one"] in {each["id"] for each in self.daemon.links()}) == (self.verb == "revert")


class Revert(Confirm):
    verb = "revert"

    def after(self):
        return [self.member("one"), self.member("two")]


class Replace(Change):
    """Other bytecode in a member's place."""

    done = "took its place"

    def prepare(self):
        super().prepare()
        self.old = self.programs["one"]

    def update(self, *more):
        return ("program", "update", self.programs["one"], "--file", harness.example(self.object[0]), *more)

    def words(self):
        return self.update()

    def after(self):
        return [(None, self.links["one"]), self.member("two")]

    def happened(self, members):
        return super().happened(members) and members[len(self.chain.base)][0] != self.old

    def took(self):
        return super().took() and len(self.daemon.programs()) == 3 + len(self.station.bases)


class ReplaceWithin(Replace):
    done, waits = "waits to be confirmed", True

    def words(self):
        return self.update("--confirm-within", "1h")

    def took(self):
        return self.happened(self.chain.now()) and len(self.daemon.programs()) == 4 + len(self.station.bases)


class RevertReplace(Replace):
    done, verb = "no change", "revert"

    def settle(self):
        super().settle()
        self.again(self.update("--confirm-within", "1h"), "update")
        self.change, = self.waiting()

    def words(self):
        return (self.verb, self.change)

    def after(self):
        return [self.member("one"), self.member("two")]

    def happened(self, members):
        return Change.happened(self, members)


class ConfirmReplace(RevertReplace):
    verb = "confirm"

    def after(self):
        return [(None, self.links["one"]), self.member("two")]


class FirstWithin(Change):
    """A chain that begins with a change that waits to be confirmed."""

    done, waits = "waits to be confirmed", True

    def begin(self):
        self.programs = {"one": self.daemon.load(*self.object)}
        self.links = {}

    def settle(self):
        for each in self.waiting():
            self.again(("revert", each), "revert")
        for each in self.daemon.links():
            if each["id"] not in self.station.links:
                self.again(("link", "detach", each["id"]), "detach")

    def words(self):
        return ("link", "attach", self.chain.place[0], self.programs["one"], *self.chain.place[1:], "-p", 10, "--confirm-within", "1h")

    def after(self):
        return [(self.programs["one"], None)]


class RevertFirst(FirstWithin):
    done, waits = "no change", False

    def settle(self):
        super().settle()
        self.again(super().words(), "attach")
        self.change, = self.waiting()

    def words(self):
        return ("revert", self.change)

    def after(self):
        return []

    def took(self):
        return super().took() and self.chain.listed()[1] is None


class ConfirmLast(RevertFirst):
    verb = "confirm"

    def settle(self):
        FirstWithin.settle(self)
        self.attach("one", 10)
        self.again(("link", "detach", self.links["one"], "--confirm-within", "1h"), "detach")
        self.change, = self.waiting()

    def words(self):
        return (self.verb, self.change)


class RevertLast(ConfirmLast):
    verb = "revert"

    def after(self):
        return [self.member("one")]

    def took(self):
        return Change.took(self)


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


XDP, TC, TCX = ("xdp_mark", "xdp", "xdp_second"), ("tc_counter", "tc"), ("tcx_counter", "tcx")
TRACEPOINT = ("tracepoint_counter", "tracepoint")
SYSCALL = ("tracepoint", "syscalls/sys_enter_kill")
CHANGES = {"update": Update, "pause": Pause, "resume": Resume, "several": Several, "several-within": SeveralWithin, "confirm": Confirm,
           "revert": Revert, "replace": Replace, "replace-within": ReplaceWithin, "replace-revert": RevertReplace,
           "replace-confirm": ConfirmReplace}
ENDS = {"first-within": FirstWithin, "first-revert": RevertFirst, "last-confirm": ConfirmLast, "last-revert": RevertLast}


def operations(station):
    lan, spare = station.wire.near, station.spare
    found = {}
    if station.engine == "tailcall":
        found |= {"load": Load(station), "unload": Unload(station),
                  "attach-tcx": Attach(station, TCX, ("tcx", lan, "ingress", "-p", 10)),
                  "detach-tcx": Detach(station, TCX, ("tcx", lan, "ingress", "-p", 10)),
                  "attach-tracepoint": Attach(station, TRACEPOINT, SYSCALL), "detach-tracepoint": Detach(station, TRACEPOINT, SYSCALL),
                  "adopt": Adopt(station, XDP, ("xdp", spare, "-p", 10, "--adopt")),
                  "give-back": GiveBack(station, XDP, ("xdp", spare, "-p", 10, "--adopt")),
                  "interface-goes": Go(station), "interface-comes": Come(station)}
    for kind in station.bases:
        object, where = (XDP, ()) if kind == "xdp" else (TC, ("ingress",))
        for name, interface in ((kind, spare), (f"chain-{kind}", lan)):
            for what, type in (("attach", Attach), ("detach", Detach)):
                found[f"{what}-{name}"] = type(station, object, (kind, interface, *where, "-p", 10))
        found |= {f"{name}-{kind}": type(station, station.chains[kind]) for name, type in CHANGES.items()}
        found |= {f"{name}-{kind}": type(station, Chain(station.daemon, station.engine, kind, spare)) for name, type in ENDS.items()}
    if station.engine == "tailcall":  # last: a chain that counted once takes more steps
        found |= {"count": Count(station), "chain-in-counted": CountedAttach(station, XDP, ("xdp", lan, "-p", 10))}
    return found
