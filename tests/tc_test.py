"""TC programs that share a direction of an interface: their order, their verdicts, no packet and no count lost while they change, and others'
filters and qdiscs left as they are. What is true of a clsact filter is true of a TCX link, and of both engines: the same tests run for all.
Engine freplace needs a kernel that lets programs replace functions (tests/vm)."""

import os
import random
import socket
import struct
import unittest

import harness
import network


def word(number):
    return struct.pack("<i", number).hex()


def hasTcx():
    return [int(each) for each in os.uname().release.split(".")[:2]] >= [6, 6]


OK, SHOT, PIPE = 0, 2, 3


class Tc(unittest.TestCase):
    attach_by, config, engine, capacity = "clsact", "", "tailcall", 30

    def setUp(self):
        self.wire = network.Wire("tc0")
        self.addCleanup(self.wire.remove)
        self.daemon = self.enterContext(harness.Daemon(config=self.config))

    def load(self, verdict=PIPE, number=0, *more):
        return self.daemon.load("tc_counter", "tc", None, "-g", f"verdict={word(verdict)}", "-g", f"number={word(number)}", *more)

    def attach(self, program, priority, *more, direction="ingress"):
        return self.daemon.attach("tc", program, "tc0", direction, "-p", priority, *more)["id"]

    def detach(self, link):
        self.assertEqual(self.daemon.cli("link", "detach", link).code, 0)

    def refused(self, *words):
        answer = self.daemon.cli("link", "attach", *words)
        self.assertEqual(answer.code, 1, answer)
        return answer.err

    def count(self, program):
        return harness.sums(self.daemon.mapId(program, "packets"))[0]

    def order(self, kind="tc-ingress"):
        chain, = [each for each in self.daemon.dispatchers() if each["key"]["type"] == kind]
        return [each["program_id"] for each in chain["members"]]

    def filters(self, direction="ingress", name="tc0"):
        text = harness.run("tc", "filter", "show", "dev", name, direction).stdout
        return [line for line in text.splitlines() if "handle" in line]

    def requireHooked(self, direction="ingress"):
        """The kernel's own view: one filter or one TCX link, with our dispatcher."""
        key = {"type": "tc-" + direction, "nsid": os.stat("/proc/self/ns/net").st_ino, "ifindex": socket.if_nametoindex("tc0")}
        chain, = [each for each in self.daemon.dispatchers() if each["key"] == key]
        self.assertEqual(chain["engine"], self.engine)
        net, = harness.bpftool("net", "show", "dev", "tc0")
        found = [each for each in net["tc"] if each.get("id", each.get("prog_id")) == chain["runtime"]["program_id"]]
        self.assertEqual(len(found), 1, net)
        if self.attach_by == "clsact":
            self.assertEqual(chain["runtime"]["filter_priority"], 50)
            line, = self.filters(direction)
            self.assertIn(f"pref 50 bpf chain 0 handle {chain['runtime']['filter_handle']:#x}", line)
            self.assertIn("direct-action", line)
        else:
            self.assertIn("tcx/" + direction, found[0]["kind"])
            self.assertEqual(self.filters(direction), [])

    def testRunsByPriorityInBothDirections(self):
        a, b, c = self.load(number=1), self.load(number=2), self.load(number=3)
        links = [self.attach(b, 20), self.attach(c, 30), self.attach(a, 10)]
        self.wire.send(20)
        self.assertEqual([self.count(each) for each in (a, b, c)], [20] * 3)
        self.assertEqual(harness.sums(self.daemon.mapId(c, "mark"))[0], 123)
        self.assertEqual(self.order(), [a, b, c])
        self.requireHooked()
        for link in links:
            self.detach(link)
        self.assertEqual((self.filters(), self.daemon.dispatchers()), ([], []))
        self.wire.send(5)
        self.assertEqual(self.count(a), 20)
        out = self.attach(a, 1, direction="egress")
        self.requireHooked("egress")
        with self.wire.receiver() as one:
            for _ in range(3):
                one.sendto(b"out", (self.wire.farAddress, 5000))
        self.assertGreaterEqual(self.count(a), 23)
        self.detach(out)
        self.assertEqual(self.daemon.settled(), [])

    def testProceedOnDecidesWhoRunsNextAndTheEndIsOk(self):
        first, second = self.load(OK), self.load(SHOT)
        link = self.attach(first, 10)
        self.attach(second, 20)
        with network.Flow(self.wire) as flow:
            harness.eventually(lambda: flow.sent > 100)
            flow.stop()
        self.assertEqual((flow.lost, self.count(second)), ([], 0))      # ok is not in the default: the chain ends there
        self.detach(link)
        self.attach(first, 10, "--proceed-on", "ok,dispatcher_return")
        before = self.count(first)
        with network.Flow(self.wire) as flow:
            harness.eventually(lambda: flow.sent > 100)
            flow.stop()
        self.assertEqual(len(flow.lost), flow.sent)                     # and now the second one drops them
        self.assertEqual(self.count(second), self.count(first) - before)
        details = self.daemon.json("link", "get", [each["id"] for each in self.daemon.links() if each["program_id"] == first][0])
        self.assertEqual(details["record"]["details"]["proceed_on"], [0, 30])

    def testUnspecIsAVerdictThatCanBeProceededOn(self):
        first, second = self.load(-1), self.load()
        self.attach(first, 1, "--proceed-on", "unspec")
        self.attach(second, 2)
        self.wire.send(10)
        self.assertEqual(self.count(second), 10)

    def testNoPacketIsLostOrSeenTwiceInAHundredChangesWhosePassSetsLackDispatcherReturn(self):
        seed = random.randrange(1 << 32)
        print("seed", seed)
        dice = random.Random(seed)
        head, tail = self.load(), self.load()
        for program, priority in ((head, 0), (tail, 1000)):
            self.attach(program, priority, "--proceed-on", "pipe")
        others, links = [self.load() for _ in range(5)], {}
        with network.Flow(self.wire) as flow:
            for _ in range(100):
                program = dice.choice(others)
                if program in links:
                    self.detach(links.pop(program))
                else:
                    links[program] = self.attach(program, dice.randrange(1, 999), "--proceed-on", "pipe")
            flow.stop()
            print("packets", flow.sent)
            self.assertEqual((flow.lost, flow.twice), ([], 0))
            self.assertEqual([self.count(head), self.count(tail)], [flow.sent] * 2)
        self.requireHooked()
        self.assertEqual(self.daemon.settled(), [])

    def testAsManyAsTheEngineTakesAllRunAndOneMoreIsRefused(self):
        programs = [self.load() for _ in range(self.capacity)]
        for number, program in enumerate(programs):
            self.attach(program, number)
        self.wire.send(50)
        self.assertEqual([self.count(each) for each in programs], [50] * self.capacity)
        error = self.refused("tc", self.load(), "tc0", "ingress", "-p", 5)
        self.assertIn(f"no free dispatcher slots (all {self.capacity} occupied): tc_counter", error)
        self.assertEqual(self.order(), programs)

    def testAnInterfaceDeletedWhileAttachedLeavesNothingStuck(self):
        program = self.load()
        link = self.attach(program, 1)
        self.wire.unplug()
        self.assertEqual(self.daemon.cli("link", "detach", link, "--ignore-missing").code, 0)  # it is forgotten at once
        self.wire.plug()
        self.attach(program, 1)
        self.wire.unplug()
        self.wire.plug()
        self.attach(program, 1)
        self.wire.send(20)
        self.assertEqual(self.count(program), 20)
        self.requireHooked()

    def testRestartAndKillLeaveTheChainRunning(self):
        a, b = self.load(number=1), self.load(number=2)
        links = [self.attach(a, 10), self.attach(b, 20)]
        for end in (self.daemon.stop, self.daemon.kill):
            with network.Flow(self.wire) as flow:
                end()
                self.daemon.start()
                flow.stop()
            self.assertEqual((flow.lost, flow.twice), ([], 0))
            self.assertEqual(self.order(), [a, b])
            self.assertEqual(self.daemon.settled(), [])
        self.assertEqual(self.count(a), self.count(b))
        c = self.load(number=3)
        self.attach(c, 15)
        self.wire.send(1)
        self.assertEqual(harness.sums(self.daemon.mapId(b, "mark"))[0], 132)
        for link in links:
            self.detach(link)
        self.requireHooked()

    def testWorksInAnotherNetworkNamespaceAndLeavesNothingThere(self):
        space = network.Namespace("green")
        self.addCleanup(space.remove)
        wire = network.Wire("green0", space)
        self.addCleanup(wire.remove)
        program = self.load()
        link = self.daemon.attach("tc", program, "green0", "ingress", "-p", 10, "-n", space.path)["id"]
        wire.send(40)
        self.assertEqual(self.count(program), 40)
        self.detach(link)
        self.assertEqual(space.run("tc", "filter", "show", "dev", "green0", "ingress").stdout, "")
        self.assertEqual(self.daemon.settled(), [])

    def testUnloadDetaches(self):
        a, b = self.load(), self.load()
        self.attach(a, 1)
        self.attach(b, 2)
        self.assertEqual(self.daemon.cli("program", "unload", a).code, 0)
        self.assertEqual(self.order(), [b])
        self.assertEqual(self.daemon.cli("program", "unload", b).code, 0)
        self.assertEqual((self.filters(), self.daemon.settled()), ([], []))


class Tcx(Tc):
    attach_by, config = "tcx", "[tc]\nattach = \"tcx\"\n"


class Foreign(Tc):
    """What others have there."""

    def testAForeignFilterKeepsRunningAndTheQdiscStays(self):
        harness.run("tc", "qdisc", "add", "dev", "tc0", "clsact")
        for priority in ("50", "60"):                                   # one at our priority, with the handle that we would take
            harness.run("tc", "filter", "add", "dev", "tc0", "ingress", "prio", priority, "handle", "1", "bpf", "da", "obj",
                        harness.example("tc_counter"), "sec", "tc")
        before = self.filters()
        program = self.load(-1)
        link = self.attach(program, 10, "--proceed-on", "pipe")
        self.assertEqual(len(self.filters()), 3)
        chain, = self.daemon.dispatchers()
        self.assertEqual(chain["runtime"]["filter_handle"], 2)
        self.wire.send(10)
        self.assertEqual(self.count(program), 10)
        self.detach(link)
        self.assertEqual(self.filters(), before)
        self.assertIn("clsact", harness.run("tc", "qdisc", "show", "dev", "tc0").stdout)
        self.assertEqual(self.daemon.settled(), [])

    def testAFilterOfAnotherProtocolAtOurPriorityIsAnErrorThatSaysSo(self):
        harness.run("tc", "qdisc", "add", "dev", "tc0", "clsact")
        harness.run("tc", "filter", "add", "dev", "tc0", "ingress", "protocol", "ip", "prio", "50", "bpf", "da", "obj",
                    harness.example("tc_counter"), "sec", "tc")
        before = self.filters()
        error = self.refused("tc", self.load(), "tc0", "ingress", "-p", 1)
        self.assertIn("one of another kind or protocol may have that priority", error)
        self.assertEqual((self.filters(), self.daemon.settled()), (before, []))

    def testAnIngressQdiscIsRefusedAndLeftAlone(self):
        harness.run("tc", "qdisc", "add", "dev", "tc0", "ingress")
        before = harness.run("tc", "qdisc", "show", "dev", "tc0").stdout
        for direction in ("ingress", "egress"):
            error = self.refused("tc", self.load(), "tc0", direction, "-p", 1)
            self.assertIn('a "ingress" qdisc already occupies the ingress qdisc slot; bpfman requires clsact', error)
        self.assertEqual(harness.run("tc", "qdisc", "show", "dev", "tc0").stdout, before)
        self.assertEqual(self.daemon.settled(), [])

    def testAFilterThatSomebodyElseRemovedIsNoObstacle(self):
        program = self.load()
        link = self.attach(program, 1)
        harness.run("tc", "filter", "del", "dev", "tc0", "ingress")
        self.detach(link)
        self.attach(program, 1)
        harness.run("tc", "filter", "del", "dev", "tc0", "ingress")
        self.attach(program, 1)                                         # the old chain is forgotten
        self.wire.send(3)
        self.assertEqual((self.count(program), len(self.order())), (3, 1))


    def testAFilterWhoseBpffsWasUnmountedIsRemovedByTheNextStart(self):
        self.attach(self.load(), 1, "--proceed-on", "pipe")
        self.daemon.stop()
        harness.run("umount", "-l", os.path.join(self.daemon.runtime, "fs"))
        self.daemon.start()
        self.assertEqual((self.filters(), self.daemon.dispatchers(), self.daemon.links()), ([], [], []))
        self.attach(self.load(), 1)
        self.requireHooked()


for each in [name for name in dir(Tc) if name.startswith("test")]:     # Foreign has only its own
    setattr(Foreign, each, None)


class ByFreplace:
    engine, capacity = "freplace", 10

    def setUp(self):
        harness.requireFreplace(self)
        super().setUp()

    def load(self, verdict=PIPE, number=0, *more):
        return super().load(verdict, number, "--engine", "freplace", *more)


class Freplace(ByFreplace, Tc):
    def members(self):
        """The programs that replace the running dispatcher's functions, by their position, as the kernel has them."""
        dispatcher, = [each["runtime"]["program_id"] for each in self.daemon.dispatchers()]
        links = [each for each in harness.bpftool("link", "show") if each.get("target_obj_id") == dispatcher]
        return [each["prog_id"] for each in sorted(links, key=lambda each: each["target_btf_id"])]

    def testAChangeReplacesTheFilterInPlaceAndNothingElse(self):
        harness.run("tc", "qdisc", "add", "dev", "tc0", "clsact")
        for priority, handle in (("40", "1"), ("50", "1"), ("50", "3"), ("60", "1")):
            harness.run("tc", "filter", "add", "dev", "tc0", "ingress", "prio", priority, "handle", handle, "bpf", "da", "obj",
                        harness.example("tc_counter"), "sec", "tc")
        foreign = set(self.filters())
        programs = [self.load(number=number + 1) for number in range(3)]
        links = [self.attach(programs[0], 10, "--proceed-on", "pipe")]
        qdiscs, runs = harness.run("tc", "qdisc", "show", "dev", "tc0").stdout, set()

        def look(order):
            (ours,) = set(self.filters()) - foreign
            self.assertLess(foreign, set(self.filters()))
            self.assertRegex(ours, r"pref 50 bpf chain 0 handle 0x2 bpfman direct-action .*id (\d+)")
            chain, = self.daemon.dispatchers()
            net, = harness.bpftool("net", "show", "dev", "tc0")
            self.assertEqual([each["id"] for each in net["tc"] if each["name"] == "bpfman"], [chain["runtime"]["program_id"]])
            runs.add(chain["runtime"]["program_id"])
            self.assertEqual(self.members(), order)
            self.assertEqual(harness.run("tc", "qdisc", "show", "dev", "tc0").stdout, qdiscs)

        look(programs[:1])
        links.append(self.attach(programs[1], 5, "--proceed-on", "pipe"))
        look([programs[1], programs[0]])
        links.append(self.attach(programs[2], 20))
        look([programs[1], programs[0], programs[2]])
        self.assertEqual(self.daemon.cli("link", "update", links[1], "--priority", "50").code, 0)
        look([programs[0], programs[2], programs[1]])
        self.assertEqual(self.daemon.cli("link", "pause", links[0]).code, 0)
        look([programs[2], programs[1]])
        self.assertEqual(len(runs), 5)          # another dispatcher each time, and the old ones are gone
        self.assertEqual([each for each in self.daemon.kernelPrograms() if each in runs], [max(runs)])
        for link in links:
            self.detach(link)
        self.assertEqual(set(self.filters()), foreign)
        self.assertEqual(harness.run("tc", "qdisc", "show", "dev", "tc0").stdout, qdiscs)
        self.assertEqual(self.daemon.settled(), [])

    def testWorksInAnotherNetworkNamespaceAndLeavesNothingThere(self):
        space = network.Namespace("green")
        self.addCleanup(space.remove)
        wire = network.Wire("green0", space)
        self.addCleanup(wire.remove)
        programs = [self.load(), self.load()]
        first = self.daemon.cli("link", "attach", "tc", programs[0], "green0", "ingress", "-p", 10, "-n", space.path)
        if first.code != 0:                     # a filter could not be replaced from outside
            self.assertIn("by TCX, which this kernel does not have", first.err)
            self.assertFalse(hasTcx())
            self.assertEqual((self.daemon.links(), self.daemon.dispatchers()), ([], []))
            return self.assertEqual(self.daemon.settled(), [])
        self.daemon.attach("tc", programs[1], "green0", "ingress", "-p", 20, "-n", space.path)
        wire.send(40)
        self.assertEqual([self.count(each) for each in programs], [40, 40])
        self.daemon.stop()                      # no worker knows that namespace any more
        self.daemon.start()
        links = [each["id"] for each in self.daemon.links()]
        self.detach(links[0])
        self.assertEqual(self.members(), programs[1:])
        wire.send(5)
        self.assertEqual([self.count(each) for each in programs], [40, 45])
        self.detach(links[1])
        wire.send(5)
        self.assertEqual([self.count(each) for each in programs], [40, 45])
        self.assertEqual(space.run("tc", "filter", "show", "dev", "green0", "ingress").stdout, "")
        self.assertEqual(self.daemon.settled(), [])

    def testAProgramIsForOneEngineAndThatIsSaid(self):
        extension, plain = self.load(), self.daemon.load("tc_counter", "tc")
        types = {each["id"]: each["type"] for each in harness.bpftool("prog", "show")}
        self.assertEqual([types[extension], types[plain]], ["ext", "sched_cls"])
        self.assertIn("TC engine:   tailcall (", self.daemon.cli("version").out)
        self.attach(extension, 10)
        error = self.refused("tc", plain, "tc0", "ingress", "-p", 5)
        self.assertIn(f"is kept by engine freplace, but program {plain} was loaded for engine tailcall; load it again with --engine freplace", error)
        self.attach(plain, 10, direction="egress")
        self.assertIn("--engine freplace", self.refused("tc", extension, "tc0", "egress", "-p", 5)
                      .replace("--engine tailcall", "--engine freplace"))
        counted = self.daemon.cli("dispatcher", "count", "tc-ingress", "tc0", "verdicts")
        self.assertEqual(counted.code, 1)
        self.assertIn("engine freplace has no counters", counted.err)
        for words, text in ((("xdp_counter", "xdp", "freplace"), "it is for tc programs only"), (("tc_counter", "tc", "libxdp"), "it is for xdp programs only"),
                            (("tracepoint_counter", "tracepoint", "freplace"), "only xdp and tc programs")):
            name, kind, engine = words
            result = self.daemon.cli("program", "load", "file", harness.example(name), "--programs", f"{kind}:{name}", "--engine", engine)
            self.assertEqual(result.code, 1, result)
            self.assertIn(text, result.err)
        self.assertEqual(self.daemon.settled(), [])

    def testAPersistentChainComesBackByItsEngine(self):
        programs = [self.load(PIPE, number, "--persistent") for number in (1, 2)]
        links = [self.attach(programs[0], 20), self.attach(programs[1], 10)]
        back = lambda: [each["id"] for each in self.daemon.links() if "waiting" not in each] == links

        def look():
            self.assertTrue(harness.eventually(back, 20), self.daemon.links())
            now = {each["id"]: each["program_id"] for each in self.daemon.links()}
            self.assertEqual(self.members(), [now[links[1]], now[links[0]]])
            self.requireHooked()
            self.wire.send(1)
            self.assertEqual(harness.sums(self.daemon.mapId(now[links[0]], "mark"))[0], 21)
            self.assertEqual(self.daemon.settled(), [])

        look()
        self.wire.unplug()
        self.assertTrue(harness.eventually(lambda: all("waiting" in each for each in self.daemon.links())), self.daemon.links())
        self.wire.plug()
        look()
        self.daemon.stop()
        harness.run("umount", "-l", os.path.join(self.daemon.runtime, "fs"))      # as after a reboot
        self.daemon.start(40)
        look()


class FreplaceTcx(Freplace):
    attach_by, config = "tcx", "[tc]\nattach = \"tcx\"\n"
    testAChangeReplacesTheFilterInPlaceAndNothingElse = None

    def setUp(self):
        if not hasTcx():
            self.skipTest("this kernel has no TCX")
        super().setUp()

    def testALinkThatIsDetachedByForceIsNoDeadEnd(self):
        first, second = self.load(), self.load()
        self.attach(first, 10)
        link = self.attach(second, 20)
        self.assertEqual(self.daemon.cli("link", "pause", link).code, 0)
        dispatcher, = [each["runtime"]["program_id"] for each in self.daemon.dispatchers()]
        made, = [each["id"] for each in harness.bpftool("link", "show") if each["prog_id"] == dispatcher and each["type"] == "tcx"]
        harness.run("bpftool", "link", "detach", "id", made)
        self.assertEqual(self.daemon.cli("link", "resume", link).code, 0)
        self.assertEqual([each["id"] for each in self.daemon.links()], [link])
        self.wire.send(10)
        self.assertEqual([self.count(first), self.count(second)], [0, 10])
        self.detach(link)
        self.assertEqual(self.daemon.settled(), [])


class FreplaceForeign(ByFreplace, Foreign):
    pass


class Configured(unittest.TestCase):
    """The engine by the configuration."""

    def testFreplaceIsForAllTcProgramsOrThereIsNoDaemon(self):
        harness.requireFreplace(self)
        with harness.Daemon(config='[tc]\nengine = "freplace"\n') as daemon:
            self.assertIn("TC engine:   freplace (the configuration says so; this kernel lets", daemon.cli("version").out)
            program, other = daemon.load("tc_counter", "tc"), daemon.load("tc_counter", "tc", None, "--engine", "tailcall")
            types = {each["id"]: each["type"] for each in harness.bpftool("prog", "show")}
            self.assertEqual([types[program], types[other]], ["ext", "sched_cls"])

    def testTailcallServesNothingElse(self):
        with harness.Daemon(config='[tc]\nengine = "tailcall"\n') as daemon:
            result = daemon.cli("program", "load", "file", harness.example("tc_counter"), "--programs", "tc:tc_counter", "--engine", "freplace")
            self.assertEqual(result.code, 1)
            self.assertIn("no program can be loaded for engine freplace here: the configuration says so", result.err)

    def testWhereTheKernelRefusesItThatIsSaid(self):
        with harness.Daemon() as daemon:
            if daemon.engine() == "libxdp":
                self.skipTest("this kernel has freplace")
            result = daemon.cli("program", "load", "file", harness.example("tc_counter"), "--programs", "tc:tc_counter", "--engine", "freplace")
            self.assertEqual(result.code, 1)
            self.assertIn("no program can be loaded for engine freplace here: no freplace here: this kernel refuses the tc dispatcher", result.err)
            self.assertEqual(daemon.settled(), [])


if __name__ == "__main__":
    harness.main()
