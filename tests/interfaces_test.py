"""Interfaces and network namespaces that come and go while programs are attached to them: what was on them leaves without a trace, and what is
persistent comes back with them. Judged by the kernel's own lists and by packets."""

import os
import signal
import subprocess
import time
import unittest

import harness
import network


class Interfaces(unittest.TestCase):
    config = ""

    def setUp(self):
        self.wire = network.Wire("lan0")
        self.addCleanup(self.wire.remove)
        self.daemon = self.enterContext(harness.Daemon(config=self.config))
        self.maps, self.others = harness.mapIds(), self.libxdpPins()  # what a test before left when its daemon ended

    def load(self, persistent=True, name="xdp_counter", type="xdp", *more):
        return self.daemon.load(name, type, None, *(["--persistent"] if persistent else []), *more)

    def attach(self, program, priority, *more):
        return self.daemon.attach("xdp", program, "lan0", "-p", priority, *more)["id"]

    def links(self):
        return {each["id"]: each for each in self.daemon.links()}

    def chain(self):
        return [each["link_id"] for chain in self.daemon.dispatchers() for each in chain["members"]]

    def libxdpPins(self):
        return {each for each in os.listdir("/sys/fs/bpf/xdp") if each.startswith("dispatch-")}

    def count(self, link):
        return harness.sums(self.daemon.mapId(self.links()[link]["program_id"]))[0]

    def become(self, attached, waiting=(), seconds=10):
        """Waits until these links are all that are attached, in this order, and these wait."""
        def seen():
            return self.chain(), [id for id, each in self.links().items() if "waiting" in each]
        wanted = (list(attached), list(waiting))
        self.assertEqual(harness.eventually(lambda: seen() == wanted, seconds) and wanted or seen(), wanted, self.daemon.log[-3000:])

    def traceless(self, programs):
        """The catalogue agrees with kernel and bpffs, and there are these programs and no map of anybody else."""
        self.assertEqual(self.daemon.settled(), [])
        self.assertEqual(sorted(self.daemon.programs()), sorted(programs))
        if not self.chain():
            self.assertEqual(self.libxdpPins() - self.others, set())
        self.assertEqual(harness.orphanMaps(self.maps), [])


class Xdp(Interfaces):
    def testADeletedInterfaceLeavesNoTrace(self):
        programs = [self.load(False), self.load(False, "tc_counter", "tc"), self.load(False, "tcx_counter", "tcx")]
        self.attach(programs[0], 1)
        self.daemon.attach("tc", programs[1], "lan0", "ingress", "-p", 1)
        self.daemon.attach("tc", programs[1], "lan0", "egress", "-p", 1)
        tcx = self.daemon.cli("link", "attach", "tcx", programs[2], "lan0", "ingress", "-p", 1).code == 0
        began = time.monotonic()
        self.wire.unplug()
        self.assertTrue(harness.eventually(lambda: not self.daemon.links(), 5, 0.01), self.daemon.log)
        print(f"forgotten after {time.monotonic() - began:.3f} s")
        self.assertEqual(self.daemon.dispatchers(), [])
        self.traceless(programs)
        lost = [each for each in self.daemon.cli("audit", "--action", "lose", "-o", "json").out.splitlines()]
        self.assertEqual(len(lost), 4 if tcx else 3, lost)
        self.assertIn("interface lan0 is not there; it is forgotten", lost[0])

    def testComesBackTwentyTimesWithItsPersistentPrograms(self):
        programs = [self.load(), self.load(False), self.load()]
        links = [self.attach(*each) for each in zip(programs, (30, 20, 10))]
        wished = self.attach(self.load(), 1, "--after", f"link:{links[0]}")
        order = [links[2], links[0], wished]
        for number in range(20):
            self.wire.unplug()
            if number % 4 == 0:
                self.become([], sorted([links[0], links[2], wished]))
                away = self.links()[links[0]]
                self.assertEqual(away["waiting"], "interface lan0 is not there")
                self.assertEqual(away["details"]["interface"], "lan0")
            self.wire.plug()
            self.become(order)
        self.wire.send(10)
        self.assertEqual([self.count(each) for each in order], [10] * 3)
        self.assertNotIn(links[1], self.links())
        self.assertEqual(self.daemon.cli("link", "detach", wished).code, 0)
        self.traceless(self.daemon.programs())

    def testTcAndTcxComeBack(self):
        links = [self.daemon.attach("tc", self.load(True, "tc_counter", "tc", "-g", "verdict=03000000"), "lan0", "ingress", "-p", each)["id"]
                 for each in (9, 3)]
        tcx = self.daemon.cli("link", "attach", "tcx", self.load(True, "tcx_counter", "tcx"), "lan0", "ingress", "-p", 1)
        for _ in range(5):
            self.wire.unplug()
            self.wire.plug()
            self.become(links[::-1])
        self.wire.send(10)
        for link in self.links().values():
            self.assertEqual(harness.sums(self.daemon.mapId(link["program_id"], "packets"))[0], 10, link)
        self.assertEqual(len(self.links()), 2 + (tcx.code == 0))
        self.traceless(self.daemon.programs())

    def testDetachAndUnloadWhileItIsAway(self):
        links = [self.attach(self.load(), each) for each in (1, 2, 3)]
        programs = [self.links()[each]["program_id"] for each in links]
        self.wire.unplug()
        self.become([], links)
        self.assertEqual(self.daemon.cli("link", "get", links[0]).code, 0)
        self.assertIn("interface lan0 is not there", self.daemon.cli("link", "get", links[0]).out)
        self.assertIn("waiting: interface lan0 is not there", self.daemon.cli("link", "list").out)
        self.assertEqual(self.daemon.cli("link", "detach", links[0]).code, 0)
        self.assertEqual(self.daemon.cli("link", "detach", links[0]).code, 1)
        self.assertEqual(self.daemon.cli("program", "unload", programs[1]).code, 0)
        self.wire.plug()
        self.become([links[2]])
        self.traceless([programs[0], programs[2]])

    def testUpAndDownChangesNothing(self):
        link = self.attach(self.load(), 1)
        before, audit = self.links(), self.daemon.log.count("audit:")
        for _ in range(30):
            harness.run("ip", "link", "set", "lan0", "down")
            harness.run("ip", "link", "set", "lan0", "up")
        harness.run("ip", "link", "set", "lan0", "mtu", "1400")
        time.sleep(0.5)
        self.assertEqual((self.links(), self.daemon.log.count("audit:")), (before, audit))
        harness.run("ip", "neigh", "replace", self.wire.farAddress, "lladdr", f"02:00:00:00:{self.wire.number:02x}:02", "dev", "lan0", "nud", "permanent")
        self.wire.send(5)
        self.assertGreaterEqual(self.count(link), 5)

    def testAnotherNameIsFollowed(self):
        link, waiting = self.attach(self.load(), 1), None
        kernelLink = self.links()[link]["kernel_link_id"]
        harness.run("ip", "link", "set", "lan0", "down")
        harness.run("ip", "link", "set", "lan0", "name", "wan0")
        self.assertTrue(harness.eventually(lambda: self.links()[link]["details"]["interface"] == "wan0", 5), self.daemon.log)
        self.assertEqual(self.links()[link]["kernel_link_id"], kernelLink)
        self.assertEqual(self.daemon.attach("xdp", self.load(), "wan0", "-p", 5)["details"]["position"], 1)
        # It is wanted on what is called wan0 now.
        harness.run("ip", "link", "del", "wan0")
        self.assertTrue(harness.eventually(lambda: self.links()[link].get("waiting") == "interface wan0 is not there", 5), self.links())
        self.wire.plug()
        time.sleep(0.3)
        self.assertIn("waiting", self.links()[link])
        harness.run("ip", "link", "set", "lan0", "down")
        harness.run("ip", "link", "set", "lan0", "name", "wan0")
        self.assertTrue(harness.eventually(lambda: not any("waiting" in each for each in self.daemon.links()), 5), self.daemon.log)
        self.assertEqual(self.daemon.settled(), [])

    def testRecreatedWhileTheDaemonIsDown(self):
        links = [self.attach(self.load(number != 1), number) for number in range(3)]
        for stop in (self.daemon.stop, self.daemon.kill):
            stop()
            self.wire.unplug()
            self.wire.plug()
            self.daemon.start()
            self.become([links[0], links[2]])
            self.wire.send(5)
            self.assertEqual(self.count(links[2]), 5 if stop == self.daemon.stop else 10)
            self.traceless(self.daemon.programs())
        self.daemon.stop()
        self.wire.unplug()
        self.daemon.start()
        self.become([], [links[0], links[2]])
        self.traceless(self.daemon.programs())

    def testKillsBetweenItsGoingAndItsReturn(self):
        links = [self.attach(self.load(number != 1), number) for number in range(3)]
        for number in range(18):
            who = ("frontend", "worker", "broker")[number % 3]
            self.wire.unplug()
            time.sleep(0.01 * (number // 3))
            for pid in self.daemon.processes()[who]:
                os.kill(pid, signal.SIGKILL)
            if who == "broker":
                self.daemon.kill()
            if number % 2:
                time.sleep(0.2)
            self.wire.plug()
            if who == "broker":
                self.daemon.start(40)
            self.assertTrue(harness.eventually(lambda: self.daemon.cli("program", "list").code == 0, 15), self.daemon.log[-3000:])
            self.become([links[0], links[2]], seconds=20)
        self.wire.send(10)
        self.assertEqual([self.count(each) for each in (links[0], links[2])], [10, 10])
        self.traceless(self.daemon.programs())

    def testAnAttachAndItsInterfacesEndAtOnce(self):
        """Whoever is faster: afterwards the link is there, or nothing of it."""
        for number in range(10):
            program = self.load(number % 2)
            attaching = self.daemon.popen("link", "attach", "xdp", program, "lan0", "-p", 1)
            time.sleep(0.002 * number)
            self.wire.unplug()
            attaching.communicate(timeout=30)
            self.wire.plug()
            wanted = [program] if attaching.returncode == 0 and number % 2 else []
            ok = harness.eventually(lambda: [each["program_id"] for each in self.daemon.links() if "waiting" not in each] == wanted, 5)
            self.assertTrue(ok, (number, attaching.returncode, self.daemon.links(), self.daemon.log[-3000:]))
            self.assertEqual(self.daemon.cli("program", "unload", program).code, 0)
        self.traceless([])

    def testMovedIntoAnotherNamespaceItIsGone(self):
        link, other = self.attach(self.load(), 1), network.Namespace("elsewhere")
        self.addCleanup(other.remove)
        self.attach(self.load(False), 2)
        harness.run("ip", "link", "set", "lan0", "netns", "elsewhere")
        self.become([], [link])
        self.traceless(self.daemon.programs())
        if self.daemon.engine() == "tailcall":
            self.assertNotIn("xdp", other.run("ip", "link", "show", "lan0").stdout)
        other.run("ip", "link", "set", "lan0", "netns", str(os.getpid()))
        self.become([link])

    def testADeletedNamespaceLeavesNoTrace(self):
        inner = network.Namespace("inner")
        self.addCleanup(inner.remove)
        wire = network.Wire("in0", inner)
        self.addCleanup(wire.remove)
        programs = [self.load(), self.load(False)]
        for program in programs:
            self.daemon.attach("xdp", program, "in0", "-p", 1, "-n", inner.path)
        tc = self.load(False, "tc_counter", "tc")
        for direction in ("ingress", "egress"):
            self.daemon.attach("tc", tc, "in0", direction, "-p", 1, "-n", inner.path)
        tcx = self.daemon.cli("link", "attach", "tcx", self.load(False, "tcx_counter", "tcx"), "in0", "ingress", "-p", 1, "-n", inner.path)
        kept = self.attach(self.load(), 1)
        wire.send(5)
        self.assertEqual([harness.sums(self.daemon.mapId(each))[0] for each in programs], [5, 5])
        time.sleep(16)  # a look changes nothing
        self.assertEqual(len(self.links()), 5 + (tcx.code == 0))
        wire.far.remove()
        inner.remove()
        # The worker that attached there lives for half a minute, and the namespace with it.
        self.become([kept], seconds=60)
        self.assertEqual(list(self.links()), [kept])
        self.traceless(self.daemon.programs())


class Tailcall(Xdp):
    """tests/vm: where the kernel has freplace the default is libxdp, so this is the other engine there."""
    config = '[xdp]\nengine = "tailcall"\n'

    def setUp(self):
        if "BPFMAN_VM" not in os.environ:
            self.skipTest("it is the same as Xdp here")
        super().setUp()


if __name__ == "__main__":
    harness.main()
