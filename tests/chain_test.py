"""XDP programs that share an interface: their order, their verdicts, and that no packet and no count is lost while they change. The same
tests for each engine; libxdp needs a kernel with freplace (tests/vm)."""

import os
import random
import unittest

import harness
import network

PASS, DROP = "verdict=02000000", "verdict=01000000"


CHANGES = int(os.environ.get("BPFMAN_CHANGES", "1000"))     # 50 in an emulated machine, 1,000 there too in tests/soak


class Tailcall(unittest.TestCase):
    engine, capacity = "tailcall", 30

    def setUp(self):
        self.wire = network.Wire("lan0")
        self.addCleanup(self.wire.remove)
        self.daemon = self.enterContext(harness.Daemon(config='[xdp]\nengine = "tailcall"\n'))

    def load(self, verdict=PASS):
        return self.daemon.load("xdp_counter", "xdp", None, "-g", verdict)

    def attach(self, program, priority, *more):
        return self.daemon.attach("xdp", program, "lan0", "-p", priority, *more)["id"]

    def detach(self, link):
        self.assertEqual(self.daemon.cli("link", "detach", link).code, 0)

    def count(self, program):
        return harness.sums(self.daemon.mapId(program))[0]

    def order(self):
        chain, = self.daemon.dispatchers()
        self.assertEqual(chain["engine"], self.engine)
        return [each["program_id"] for each in chain["members"]]

    def testTwoProgramsRunByPriorityAndTheFirstsVerdictEndsTheRun(self):
        dropper, later = self.load(DROP), self.load()
        self.attach(later, 20)
        self.wire.send(10)
        link = self.attach(dropper, 10)
        self.assertEqual(self.order(), [dropper, later])
        self.wire.send(30)
        self.assertEqual([self.count(dropper), self.count(later)], [30, 10])
        self.detach(link)
        self.attach(dropper, 10, "--proceed-on", "drop")
        self.wire.send(5)
        self.assertEqual([self.count(dropper), self.count(later)], [35, 15])

    def testAsManyAsTheEngineTakesAllRunAndOneMoreIsRefused(self):
        programs = [self.load() for _ in range(self.capacity)]
        priorities = random.Random(1).sample(range(100), self.capacity)
        links = [self.attach(*each) for each in zip(programs, priorities)]
        self.assertEqual(self.order(), [each for _, each in sorted(zip(priorities, programs))])
        refused = self.daemon.cli("link", "attach", "xdp", self.load(), "lan0", "-p", 5)
        self.assertEqual(refused.code, 1)
        self.assertIn(f"no free dispatcher slots (all {self.capacity} occupied)", refused.err)
        self.wire.send(100)
        self.assertEqual([self.count(each) for each in programs], [100] * self.capacity)
        for link in random.Random(2).sample(links, self.capacity):
            self.detach(link)
        self.assertEqual(self.daemon.settled(), [])
        self.assertNotIn("xdp", harness.run("ip", "link", "show", "lan0").stdout)

    def testEqualPrioritiesRunByName(self):
        second, first = self.daemon.load("xdp_mark", "xdp", "xdp_second"), self.load()
        self.attach(second, 10)
        self.attach(first, 10)
        self.assertEqual(self.order(), [first, second])

    def testNoPacketAndNoCountIsLostInManyChanges(self):
        seed = random.randrange(1 << 32)
        print("seed", seed)
        dice = random.Random(seed)
        head, tail = self.load(), self.load()
        self.attach(head, 0)
        self.attach(tail, 1000)
        others = [self.load() for _ in range(8)]
        links = {}
        with network.Flow(self.wire) as flow:
            for _ in range(CHANGES):
                program = dice.choice(others)
                if program in links:
                    self.detach(links.pop(program))
                else:
                    links[program] = self.attach(program, dice.randrange(1, 999))
            flow.stop()
            print(f"{self.engine}: {CHANGES} changes, {flow.sent} packets")
            self.assertEqual((flow.lost, flow.twice), ([], 0))
            self.assertEqual([self.count(head), self.count(tail)], [flow.sent] * 2)
        self.assertEqual(self.daemon.settled(), [])

    def testWorksInAnotherNetworkNamespace(self):
        space = network.Namespace("blue")
        self.addCleanup(space.remove)
        wire = network.Wire("blue0", space)
        self.addCleanup(wire.remove)
        program, second = self.load(), self.load()
        links = [self.daemon.attach("xdp", each, "blue0", "-p", 10, "-n", space.path)["id"] for each in (program, second)]
        wire.send(40)
        self.assertEqual([self.count(program), self.count(second)], [40, 40])
        for link in links:
            self.detach(link)
        self.assertEqual(self.daemon.settled(), [])

    def testForeignXdpIsLeftInPlaceAndNamed(self):
        program = self.load()
        harness.run("ip", "link", "set", "lan0", "xdp", "obj", harness.example("two_programs"), "sec", "xdp")
        before = harness.bpftool("net", "show", "dev", "lan0")
        refused = self.daemon.cli("link", "attach", "xdp", program, "lan0", "-p", 1)
        self.assertEqual(refused.code, 1)
        self.assertIn("lan0", refused.err)
        self.assertEqual(harness.bpftool("net", "show", "dev", "lan0"), before)
        self.assertEqual(self.daemon.settled(), [])
        harness.run("ip", "link", "set", "lan0", "xdp", "off")
        self.attach(program, 1)

    def testXdpLoadersProgramIsLeftInPlaceAndNamed(self):
        program = self.load()
        harness.run("xdp-loader", "load", "-m", "skb", "lan0", harness.example("xdp_mark"), "--prog-name", "xdp_second")
        before = harness.bpftool("net", "show", "dev", "lan0")
        refused = self.daemon.cli("link", "attach", "xdp", program, "lan0", "-p", 1)
        self.assertEqual(refused.code, 1)
        self.assertIn("xdp-loader unload", refused.err)
        self.assertEqual(harness.bpftool("net", "show", "dev", "lan0"), before)
        self.assertEqual(self.daemon.settled(), [])

    def testAnInterfaceDeletedWhileAttachedLeavesNothingStuck(self):
        program = self.load()
        link = self.attach(program, 1)
        self.wire.unplug()
        self.assertEqual(self.daemon.cli("link", "detach", link, "--ignore-missing").code, 0)  # it is forgotten at once
        self.wire.plug()
        self.attach(program, 1)
        self.wire.send(20)
        self.assertEqual(self.count(program), 20)
        self.assertEqual(self.daemon.settled(), [])


class Libxdp(Tailcall):
    engine, capacity = "libxdp", 10

    def setUp(self):
        self.wire = network.Wire("lan0")
        self.addCleanup(self.wire.remove)
        self.daemon = self.enterContext(harness.Daemon())
        harness.requireLibxdp(self, self.daemon)

    testXdpLoadersProgramIsLeftInPlaceAndNamed = None       # it is kept as a member: libxdp_test.py


if __name__ == "__main__":
    harness.main()
