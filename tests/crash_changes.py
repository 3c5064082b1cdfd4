"""Changes of a chain that tests/crash_test.py kills at each step of: all of it or nothing, in bpfman's list and in the kernel."""

import os
import socket

import harness
from crash_operations import (SYSCALL, TC, TCX, TRACEPOINT, XDP, Adopt, Attach, Come, Count, CountedAttach, Detach, GiveBack, Go, Load,
                              LoadShared, Operation, Take, Unload, UnloadShared)


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
        if self.engine == "freplace":
            links = [each for each in harness.bpftool("link", "show") if each.get("target_obj_id") == dispatcher]
            return [each["prog_id"] for each in sorted(links, key=lambda each: each["target_btf_id"])]
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
        """The members then, without the base; None in place of an id that is new. Those of before, unless a change says another."""
        return [self.member("one"), self.member("two")]

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


CHANGES = {"update": Update, "pause": Pause, "resume": Resume, "several": Several, "several-within": SeveralWithin, "confirm": Confirm,
           "revert": Revert, "replace": Replace, "replace-within": ReplaceWithin, "replace-revert": RevertReplace,
           "replace-confirm": ConfirmReplace}
ENDS = {"first-within": FirstWithin, "first-revert": RevertFirst, "last-confirm": ConfirmLast, "last-revert": RevertLast}


def operations(station):
    lan, spare = station.wire.near, station.spare
    found = {}
    if station.engine == "tailcall":
        found |= {"load": Load(station), "unload": Unload(station), "load-shared": LoadShared(station), "unload-shared": UnloadShared(station),
                  "take": Take(station),
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
