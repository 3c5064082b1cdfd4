"""The libxdp engine beside libxdp's own tool, xdp-loader: each shows, keeps and orders the other's programs. Needs a kernel that lets programs
replace functions of others (freplace); tests/vm has such kernels."""

import os
import re
import unittest

import harness
import network

PASS, DROP = "verdict=02000000", "verdict=01000000"


class Libxdp(unittest.TestCase):
    def setUp(self):
        self.wire = network.Wire("lan0")
        self.addCleanup(self.wire.remove)
        self.daemon = self.enterContext(harness.Daemon())
        harness.requireLibxdp(self, self.daemon)
        self.addCleanup(self.loader, "unload", "lan0", "--all", check=False)

    def load(self, verdict=PASS):
        return self.daemon.load("xdp_counter", "xdp", None, "-g", verdict)

    def attach(self, program, priority, *more):
        return self.daemon.attach("xdp", program, "lan0", "-p", priority, *more)["id"]

    def detach(self, link):
        result = self.daemon.cli("link", "detach", link)
        self.assertEqual(result.code, 0, result)

    def count(self, program):
        return harness.sums(self.daemon.mapId(program))[0]

    def loader(self, *words, check=True):
        return harness.run("xdp-loader", *words, check=check).stdout

    def theirs(self, priority, name="xdp_mark"):
        """Loads one by xdp-loader; its program's id."""
        before = {each["id"] for each in self.status()}
        self.loader("load", "-P", priority, "lan0", harness.example(name))
        return next(each["id"] for each in self.status() if each["id"] not in before)

    def status(self):
        """Members as xdp-loader shows them: [{priority, name, id, actions}]."""
        found = []
        for line in self.loader("status", "lan0").splitlines():
            match = re.match(r" *=> +(\d+) +(\S+) +(\d+) +\S+ +(.*)", line)
            if match:
                found.append({"priority": int(match[1]), "name": match[2], "id": int(match[3]), "actions": match[4].strip()})
        return found

    def order(self):
        return [each["id"] for each in self.status()]

    def marks(self, program):
        maps = harness.bpftool("prog", "show", "id", program)["map_ids"]
        values = [harness.bpftool("map", "show", "id", each) for each in maps]
        one = next(each["id"] for each in values if each["name"] == "marks")
        return sum(each["packets"] for each in harness.sums(one).values())

    def testXdpLoaderShowsOurProgramsWithNamePriorityAndActions(self):
        first, second = self.load(), self.daemon.load("xdp_mark", "xdp", "xdp_second")
        self.attach(second, 20, "--proceed-on", "pass,drop")
        self.attach(first, 10)
        shown = self.status()
        self.assertEqual([each["id"] for each in shown], [first, second])
        self.assertEqual([(each["priority"], each["name"]) for each in shown], [(10, "xdp_counter"), (20, "xdp_second")])
        self.assertIn("XDP_PASS", shown[0]["actions"])
        self.assertIn("XDP_DROP", shown[1]["actions"])
        self.wire.send(30)
        self.assertEqual([self.count(first), self.marks(second)], [30, 30])

    def testASingleProgramRunsAndLeavesNothingBehind(self):
        only = self.load()
        link = self.attach(only, 50)
        self.wire.send(20)
        self.assertEqual(self.count(only), 20)
        self.assertEqual(self.order(), [only])
        self.detach(link)
        self.assertNotIn("xdp", harness.run("ip", "link", "show", "lan0").stdout)
        self.assertEqual(os.listdir("/sys/fs/bpf/xdp"), [])
        self.assertEqual(self.daemon.settled(), [])

    def testASingleProgramThatGoesOnAfterADropLetsPacketsPass(self):
        dropper = self.load(DROP)
        self.attach(dropper, 50, "--proceed-on", "drop")
        with network.Flow(self.wire, 500) as flow:
            pass
        self.assertEqual(flow.lost, [])
        self.assertEqual(self.count(dropper), flow.sent)

    def testProgramsThatXdpLoaderAttachedAreKeptAndOursComeBeforeAndAfterThem(self):
        theirs = self.theirs(50)
        before, after = self.load(), self.load()
        links = [self.attach(before, 10), self.attach(after, 90)]
        self.assertEqual(self.order(), [before, theirs, after])
        chain, = self.daemon.dispatchers()
        self.assertEqual([(each["program_id"], each.get("foreign", False)) for each in chain["members"]],
                         [(before, False), (theirs, True), (after, False)])
        self.wire.send(40)
        self.assertEqual([self.count(before), self.marks(theirs), self.count(after)], [40, 40, 40])
        for link in links:
            self.detach(link)
        self.assertEqual(self.order(), [theirs])
        self.wire.send(5)
        self.assertEqual(self.marks(theirs), 45)
        self.assertEqual(self.daemon.settled(), [])

    def testXdpLoaderAddsAndRemovesItsOwnWhileOursRun(self):
        ours = self.load()
        link = self.attach(ours, 50)
        theirs = self.theirs(10)
        self.assertEqual(self.order(), [theirs, ours])
        self.wire.send(10)
        self.assertEqual([self.marks(theirs), self.count(ours)], [10, 10])
        another = self.load()
        self.attach(another, 5)
        self.assertEqual(self.order(), [another, theirs, ours])
        self.loader("unload", "-i", theirs, "lan0")
        self.assertEqual(self.order(), [another, ours])
        self.wire.send(10)
        self.assertEqual([self.count(another), self.count(ours)], [10, 20])
        self.detach(link)
        self.assertEqual(self.order(), [another])
        self.assertEqual(self.daemon.settled(), [])

    def testOneOfOursThatXdpLoaderUnloadsIsForgottenByTheCatalogue(self):
        stays, goes = self.load(), self.load()
        self.attach(stays, 10)
        link = self.attach(goes, 20)
        self.loader("unload", "-i", goes, "lan0")
        self.assertNotIn(link, [each["id"] for each in self.daemon.links()])
        self.wire.send(10)
        self.assertEqual([self.count(stays), self.count(goes)], [10, 0])
        self.assertEqual(self.daemon.cli("program", "unload", goes).code, 0)
        self.loader("unload", "lan0", "--all")
        self.assertEqual(self.daemon.links(), [])
        self.assertEqual(self.daemon.settled(), [])

    def testAProgramWithoutADispatcherIsReportedAndNeverReplaced(self):
        harness.run("bpftool", "prog", "load", harness.example("xdp_counter"), "/sys/fs/bpf/alone")
        harness.run("bpftool", "net", "attach", "xdpgeneric", "pinned", "/sys/fs/bpf/alone", "dev", "lan0")
        self.addCleanup(harness.run, "bpftool", "net", "detach", "xdpgeneric", "dev", "lan0", check=False)
        refused = self.daemon.cli("link", "attach", "xdp", self.load(), "lan0", "-p", 1)
        self.assertEqual(refused.code, 1)
        self.assertIn("no dispatcher", refused.err)
        alone = harness.bpftool("prog", "show", "pinned", "/sys/fs/bpf/alone")["id"]
        self.assertIn(str(alone), harness.run("ip", "-d", "link", "show", "lan0").stdout)
        self.assertEqual(self.daemon.settled(), [])

    def testTheObjectsOwnPriorityAndActionsCountWhereTheCallerSaysNothing(self):
        configured = self.daemon.load("xdp_configured", "xdp")
        link = self.daemon.json("link", "attach", "xdp", configured, "lan0")["record"]
        self.assertEqual(link["details"]["priority"], 7)
        shown, = self.status()
        self.assertEqual(shown["priority"], 7)
        self.assertIn("XDP_DROP", shown["actions"])


if __name__ == "__main__":
    harness.main()
