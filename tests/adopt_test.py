"""A program of another tool on an interface, attached by netlink without a dispatcher: reported, never replaced by accident, and on request
adopted into a chain, from which it comes out alone again."""

import os
import re
import signal
import time
import unittest

import harness
import network
import own_programs
from own_programs import DROP, HAS_FRAGS, PASS


def bareProgram(test, verdict, flags=0):
    """An XDP program of two instructions, pinned outside of bpfman; its path."""
    return own_programs.pinned(test, own_programs.loaded(verdict, flags))


class Adoption(unittest.TestCase):
    policy = None

    def setUp(self):
        self.wire = network.Wire("lan0")
        self.addCleanup(self.wire.remove)
        self.daemon = self.enterContext(harness.Daemon(policy=self.policy))

    def foreign(self, mode="xdpgeneric"):
        """A counting program whose loader is gone at once: nothing but the interface holds it. Its id."""
        harness.run("ip", "link", "set", "dev", "lan0", mode, "obj", harness.example("xdp_counter"), "sec", "xdp")
        return self.running()[0]

    def bare(self, verdict, flags=0):
        harness.run("bpftool", "net", "attach", "xdpgeneric", "pinned", bareProgram(self, verdict, flags), "dev", "lan0")
        return self.running()[0]

    def running(self, interface="lan0"):
        """[id, mode] of what runs there, as the kernel says; [None, None]."""
        found = harness.bpftool("net", "show", "dev", interface)[0]["xdp"]
        return [found[0]["id"], found[0]["mode"]] if found else [None, None]

    def load(self, *more):
        engine = () if "--engine" in more else ("--engine", "tailcall")
        return self.daemon.load("xdp_mark", "xdp", "xdp_second", *engine, *more)

    def attach(self, program, priority=10, *more):
        return self.daemon.attach("xdp", program, "lan0", "-p", priority, "--adopt", *more)["id"]

    def detach(self, link):
        result = self.daemon.cli("link", "detach", link)
        self.assertEqual(result.code, 0, result)

    def refused(self, program, *expected, interface=("lan0",), **more):
        result = self.daemon.cli("link", "attach", "xdp", program, *interface, "-p", 10, **more)
        self.assertEqual(result.code, 1, result)
        for each in expected:
            self.assertIn(each, result.err)

    def counted(self, program):
        maps = [harness.bpftool("map", "show", "id", each) for each in harness.bpftool("prog", "show", "id", program)["map_ids"]]
        return harness.sums(next(each["id"] for each in maps if each["name"] == "packets"))[0]

    def marked(self, program):
        return harness.sums(self.daemon.mapId(program, "marks"))[0]["packets"]

    def order(self):
        chain, = self.daemon.dispatchers()
        return [each["program_id"] for each in chain["members"]]

    def nothingIsLeft(self):
        self.assertEqual(self.daemon.settled(), [])
        self.assertEqual([pin for pin in self.daemon.pins() if pin.startswith("xdp/")], [])


class Adopted(Adoption):
    def testIsInOurChainAndOutOfItAgainWithoutLosingAPacketOrItsCounters(self):
        for mode in ("xdpgeneric", "xdpdrv"):
            with self.subTest(mode):
                theirs = self.foreign(mode)
                how = self.running()
                first, second = self.load(), self.load()
                with network.Flow(self.wire) as flow:
                    time.sleep(0.2)
                    one = self.attach(first, 10)
                    self.assertEqual(self.running()[1], how[1])
                    self.assertNotEqual(self.running()[0], theirs)
                    other = self.attach(second, 90)
                    self.assertEqual(self.order(), [first, theirs, second])
                    time.sleep(0.2)
                    self.detach(one)
                    self.detach(other)
                    self.assertEqual(self.running(), how)
                    time.sleep(0.2)
                self.assertEqual((flow.lost, flow.twice), ([], 0))
                self.assertEqual(self.counted(theirs), flow.sent)
                self.assertTrue(0 < self.marked(first) < flow.sent and 0 < self.marked(second) < flow.sent)
                self.nothingIsLeft()
                harness.run("ip", "link", "set", "dev", "lan0", mode, "off")

    def testHasItsPlaceByTheOneRuleAndItsVerdictCounts(self):
        theirs = self.bare(DROP)
        before, behind, first = self.load(), self.load(), self.load()
        self.attach(before, 10, "--adopted-priority", 20)
        self.attach(behind, 30)
        self.assertEqual(self.order(), [before, theirs, behind])
        member = self.daemon.dispatchers()[0]["members"][1]
        self.assertEqual((member["foreign"], member["program_name"], member["priority"]), (True, "bare", 20))
        self.assertEqual(self.daemon.cli("dispatcher", "count", "xdp", "lan0", "verdicts").code, 0)
        self.wire.send(30)
        self.assertEqual((self.marked(before), self.marked(behind)), (30, 0))
        seen = [each["counters"]["seen"] for each in self.daemon.dispatchers()[0]["members"]]
        self.assertEqual(seen, [30, 30, 0])
        self.daemon.attach("xdp", first, "lan0", "-p", 90, "--before", theirs)
        self.attach(self.load(), 95)                            # and the wish is kept
        self.assertLess(self.order().index(first), self.order().index(theirs))
        self.wire.send(5)
        self.assertEqual(self.marked(first), 5)

    def testWhoLeavesFromItsPlaceIsFreedWhileItStays(self):
        theirs = self.foreign()
        first, last = self.load(), self.load()
        self.attach(first, 10)                      # before the adopted one: that one moves to the first place when it leaves
        self.attach(last, 90)
        self.assertEqual(self.daemon.cli("program", "unload", first).code, 0)
        self.assertEqual(self.order(), [theirs, last])
        self.assertTrue(harness.eventually(lambda: first not in self.daemon.kernelPrograms()))
        self.assertEqual(self.daemon.settled(), [])

    def testKeepsItsPinnedMaps(self):
        harness.run("bpftool", "prog", "loadall", harness.example("xdp_counter"), "/sys/fs/bpf/theirs", "pinmaps", "/sys/fs/bpf/theirs")
        self.addCleanup(harness.run, "rm", "-r", "/sys/fs/bpf/theirs")
        harness.run("bpftool", "net", "attach", "xdpgeneric", "pinned", "/sys/fs/bpf/theirs/xdp_counter", "dev", "lan0")
        link = self.attach(self.load())
        self.wire.send(20)
        self.detach(link)
        map = harness.bpftool("map", "show", "pinned", "/sys/fs/bpf/theirs/packets")["id"]
        self.assertEqual(harness.sums(map)[0], 20)

    def testStaysInTheChainOverRestartsAndDeaths(self):
        theirs, ours = self.foreign(), self.load()
        link = self.attach(ours)
        with network.Flow(self.wire) as flow:
            self.daemon.stop()
            self.daemon.start()
            self.daemon.kill()
            self.daemon.start()
            os.kill(self.daemon.pid("frontend"), signal.SIGKILL)
            self.assertEqual(self.order(), [ours, theirs])
            os.kill(self.daemon.pid("worker"), signal.SIGKILL)
            self.detach(link)
        self.assertEqual((flow.lost, self.counted(theirs)), ([], flow.sent))
        self.assertEqual(self.running()[0], theirs)
        self.nothingIsLeft()

    def testPausedOrParkedOursLeaveItInTheDispatcher(self):
        theirs, ours = self.foreign(), self.load()
        link = self.attach(ours)
        dispatcher = self.running()
        self.assertEqual(self.daemon.cli("link", "pause", link).code, 0)
        self.assertEqual((self.order(), self.running()), ([theirs], dispatcher))
        self.assertEqual(self.daemon.cli("dispatcher", "park", "xdp", "lan0").code, 0)
        self.detach(link)
        self.assertEqual((self.order(), self.running()), ([theirs], dispatcher))
        self.wire.send(10)
        self.assertEqual((self.counted(theirs), self.marked(ours)), (10, 0))
        self.assertEqual(self.daemon.cli("dispatcher", "unpark", "xdp", "lan0").code, 0)
        self.assertEqual(self.running()[0], theirs)
        self.nothingIsLeft()

    def testIsAloneAgainWhenTheChangeIsNotConfirmedAlsoWhenNobodyLives(self):
        theirs, ours = self.foreign(), self.load()
        result = self.daemon.cli("link", "attach", "xdp", ours, "lan0", "-p", 10, "--adopt", "--confirm-within", "3s")
        self.assertEqual(result.code, 0, result)
        self.wire.send(10)
        self.assertEqual((self.marked(ours), self.counted(theirs)), (10, 10))
        map = self.daemon.mapId(ours, "marks")
        self.daemon.kill()
        time.sleep(3.5)
        self.wire.send(10)
        self.assertEqual((harness.sums(map)[0]["packets"], self.counted(theirs)), (10, 20))
        self.daemon.start()
        self.assertTrue(harness.eventually(lambda: self.running()[0] == theirs, 10))
        self.assertEqual(self.daemon.links(), [])
        self.nothingIsLeft()

    def testOfAConfirmedChangeStays(self):
        theirs, ours = self.foreign(), self.load()
        self.assertEqual(self.daemon.cli("link", "attach", "xdp", ours, "lan0", "-p", 90, "--adopt", "--confirm-within", "60s").code, 0)
        id = self.daemon.json("change", "list")["changes"][0]["id"]
        self.assertEqual(self.daemon.cli("confirm", id).code, 0)
        self.assertEqual(self.order(), [theirs, ours])
        self.wire.send(10)
        self.assertEqual((self.marked(ours), self.counted(theirs)), (10, 10))


class TakenAway(Adoption):
    """By whoever owns the interface: what he wanted counts."""

    def setUp(self):
        super().setUp()
        self.theirs, self.ours = self.foreign(), self.load()
        self.link = self.attach(self.ours)

    def testADispatcherThatIsTakenOffIsNotPutBack(self):
        harness.run("ip", "link", "set", "dev", "lan0", "xdpgeneric", "off")
        self.assertEqual(self.daemon.links(), [])
        self.assertEqual(self.running(), [None, None])
        self.nothingIsLeft()
        self.assertTrue(harness.eventually(lambda: self.theirs not in [each["id"] for each in harness.bpftool("prog", "show")]))
        self.attach(self.ours)
        self.assertEqual(self.order(), [self.ours])

    def testTheNextAttachAfterItWorks(self):
        harness.run("ip", "link", "set", "dev", "lan0", "xdpgeneric", "off")
        self.attach(self.load())
        self.assertEqual(len(self.order()), 1)
        self.assertEqual(self.daemon.settled(), [])

    def testWhatReplacesItStays(self):
        harness.run("ip", "link", "set", "dev", "lan0", "xdpgeneric", "off")
        other = self.bare(PASS)
        self.assertEqual(self.daemon.cli("link", "detach", self.link, "--ignore-missing").code, 0)
        self.assertEqual(self.running()[0], other)
        self.nothingIsLeft()

    def testAfterItOursCanBeUnloaded(self):
        harness.run("ip", "link", "set", "dev", "lan0", "xdpgeneric", "off")
        self.assertEqual(self.daemon.cli("program", "unload", self.ours).code, 0)
        self.nothingIsLeft()

    def testWhileTheDaemonWasAway(self):
        self.daemon.kill()
        harness.run("ip", "link", "set", "dev", "lan0", "xdpgeneric", "off")
        other = self.bare(PASS)
        self.daemon.start()
        self.assertEqual(self.daemon.links(), [])
        self.assertEqual(self.running()[0], other)
        self.nothingIsLeft()

    def testAnInterfaceThatGoesTakesAllAlong(self):
        self.wire.unplug()
        self.assertEqual(self.daemon.links(), [])
        self.nothingIsLeft()
        self.wire.plug()
        self.attach(self.ours)
        self.assertEqual(self.order(), [self.ours])

    def testABpffsThatIsUnmountedMeanwhileLeavesNoEmptyDispatcher(self):
        self.daemon.stop()
        harness.run("umount", os.path.join(self.daemon.runtime, "fs"))
        self.daemon.start()
        self.assertEqual(self.running(), [None, None])
        self.assertEqual(self.daemon.settled(), [])


class Refused(Adoption):
    policy = """
[roles.lan]
base = "operator"
interfaces = ["lan*"]
namespaces = ["host"]

[[grant]]
users = [4001]
roles = ["lan"]
"""

    def testWithoutTheFlagNothingChangesAndTheWayIsNamed(self):
        theirs = self.foreign()
        self.refused(self.load(), "already has an XDP program", "--adopt")
        self.assertEqual(self.running()[0], theirs)
        self.nothingIsLeft()

    def testWhereThereIsNothingToAdoptItIsAnAttachLikeAnyOther(self):
        ours = self.load()
        self.attach(ours)
        self.attach(ours)
        self.assertEqual(self.order(), [ours, ours])

    def testAProgramThatTheKernelTakesIntoNoArrayIsLeftAloneAndTheRefusalSaysWhy(self):
        theirs = self.bare(PASS, HAS_FRAGS)
        for more in (), ("--confirm-within", "60s"):
            self.refused(self.load(), f"program {theirs} on lan0", "xdp.frags", "nothing was changed", interface=("lan0", "--adopt", *more))
            self.assertEqual(self.running()[0], theirs)
            self.nothingIsLeft()

    def testAProgramThatALinkAttachesIsItsOwners(self):
        with harness.Daemon() as other:
            program = other.load("xdp_counter", "xdp", None, "--engine", "tailcall")
            other.attach("xdp", program, "lan0", "-p", 1)
            theirs = self.running()
            self.refused(self.load(), "attached by a link", interface=("lan0", "--adopt"))
            self.assertEqual(self.running(), theirs)
        self.nothingIsLeft()

    def testAnotherNamespaceIsRefusedAsItCouldNotBeGivenBackThere(self):
        place = network.Namespace("blue")
        self.addCleanup(place.remove)
        place.run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan0peer")
        self.refused(self.load(), "only on the host's interfaces", interface=("lan0", "--netns", place.path, "--adopt"))

    def testItIsForAdministrators(self):
        theirs = self.foreign()
        user = harness.user(4001)
        result = self.daemon.cli("program", "load", "file", harness.example("xdp_mark"), "--programs", "xdp:xdp_second", "--engine", "tailcall",
                                 "-o", "json", **user)
        self.assertEqual(result.code, 0, result)
        program = int(re.search(r'"program_id": *(\d+)', result.out)[1])
        self.refused(program, "permission denied", "adopt another tool's program", interface=("lan0", "--adopt"), **user)
        self.assertEqual(self.running()[0], theirs)


class Engine(Adoption):
    """program load --engine."""

    def testAProgramOfTheLibxdpEngineCanNotAdoptAndTheRefusalSaysWhatCan(self):
        harness.requireLibxdp(self, self.daemon)
        theirs = self.foreign()
        program = self.load("--engine", "libxdp")
        self.refused(program, f"program {theirs}", "can't become an extension", "--engine tailcall", interface=("lan0", "--adopt"))
        self.refused(program, "no dispatcher", "--adopt")
        ours = self.load("--engine", "tailcall")
        link = self.attach(ours)
        self.refused(program, "kept by engine tailcall", "--engine tailcall")
        self.wire.send(10)
        self.assertEqual((self.marked(ours), self.counted(theirs)), (10, 10))
        self.detach(link)
        self.assertEqual(self.running()[0], theirs)
        self.nothingIsLeft()

    def testALibxdpDispatcherOfAnotherToolIsSharedNotAdopted(self):
        harness.requireLibxdp(self, self.daemon)
        harness.run("xdp-loader", "load", "lan0", harness.example("xdp_counter"))
        self.addCleanup(harness.run, "xdp-loader", "unload", "lan0", "--all", check=False)
        self.refused(self.load(), "dispatcher of the libxdp protocol", "--engine libxdp", interface=("lan0", "--adopt"))

    def testLibxdpIsRefusedWithTheReasonWhereItCanNotBeUsed(self):
        if self.daemon.engine() == "libxdp":
            self.assertGreater(self.load("--engine", "libxdp"), 0)
            return
        result = self.daemon.cli("program", "load", "file", harness.example("xdp_mark"), "--programs", "xdp:xdp_second", "--engine", "libxdp")
        self.assertEqual(result.code, 1)
        self.assertIn("no program can be loaded for engine libxdp here: no freplace here", result.err)

    def testItIsForXdpAndTcProgramsOnly(self):
        result = self.daemon.cli("program", "load", "file", harness.example("tracepoint_counter"), "--programs", "tracepoint:tracepoint_counter",
                                 "--engine", "tailcall")
        self.assertEqual(result.code, 1)
        self.assertIn("only xdp and tc programs", result.err)


if __name__ == "__main__":
    harness.main()
