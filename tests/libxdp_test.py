"""The libxdp engine beside libxdp's own tool, xdp-loader: each shows, keeps and orders the other's programs. Needs a kernel that lets programs
replace functions of others (freplace); tests/vm has such kernels."""

import json
import os
import re
import signal
import unittest

import crash_test
import harness
import network

PASS, DROP = "verdict=02000000", "verdict=01000000"


class Beside(unittest.TestCase):
    """A daemon, and xdp-loader, on one interface."""

    policy = None

    def setUp(self):
        self.wire = network.Wire("lan0")
        self.addCleanup(self.wire.remove)
        self.daemon = self.enterContext(self.newDaemon())
        harness.requireLibxdp(self, self.daemon)
        self.addCleanup(self.loader, "unload", "lan0", "--all", check=False)

    def newDaemon(self):
        return harness.Daemon(self.policy)

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


class Libxdp(Beside):
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


class Versions(Beside):
    """Dispatchers of other versions of the protocol than ours, made by tests/other-dispatcher.c++."""

    OLD, NEWER = "tests/dispatcher-v1.bpf.o", "dispatchers/xdp-libxdp-v3.bpf.o"

    def made(self, version, *members, object=None):
        """Puts a dispatcher with (example, priority, mask of verdicts) onto lan0; the members' ids."""
        object = object or (self.OLD if version == 1 else self.NEWER)
        self.addCleanup(harness.run, "rm", "-rf", "/sys/fs/bpf/xdp")
        words = [word for name, priority, mask in members for word in (harness.example(name), priority, mask)]
        made = harness.run(os.path.join(harness.BIN, "other-dispatcher"), version, os.path.join(harness.BUILD, object), "lan0", *words)
        return [int(each) for each in made.stdout.split()]

    def configuration(self):
        """The bytes of the dispatcher that runs, as the kernel has them."""
        shown, = harness.run("ip", "-j", "-d", "link", "show", "lan0").stdout.splitlines()
        program = json.loads(shown)[0]["xdp"]["prog"]["id"]
        read, = harness.bpftool("map", "dump", "id", harness.bpftool("prog", "show", "id", program)["map_ids"][0])
        return bytes(int(each, 16) for each in read["value"])

    def members(self):
        chain, = self.daemon.dispatchers()
        return [(each["program_id"], each["program_name"], each["priority"], each.get("foreign", False)) for each in chain["members"]]

    def keepsAndComesBeside(self, version):
        """Ours come before, between and behind two that are there, and leave again, while packets flow."""
        first, second = self.made(version, ("xdp_mark", 20, 1 << 2), ("xdp_counter", 60, 1 << 2 | 1 << 1))
        size = len(self.configuration())
        theirs = harness.bpftool("prog", "show", "id", second)["map_ids"]
        counter = next(each for each in theirs if harness.bpftool("map", "show", "id", each)["name"] == "packets")
        self.wire.send(10)
        self.assertEqual([self.marks(first), harness.sums(counter)[0]], [10, 10])
        mine = [self.load(), self.load(), self.load()]
        plan = self.daemon.cli("dispatcher", "plan", "xdp", mine[0], "lan0", "-p", 10)
        self.assertEqual(plan.code, 0, plan)
        self.assertRegex(plan.out, rf"{first} +<foreign> +priority 20\n +1 +{second} +<foreign> +priority 60")
        with network.Flow(self.wire, 300) as flow:
            links = [self.attach(program, priority) for program, priority in zip(mine, (10, 40, 90))]
            self.assertEqual(self.members(), [(mine[0], "xdp_counter", 10, False), (first, "xdp_second", 20, True), (mine[1], "xdp_counter", 40, False),
                                              (second, "xdp_counter", 60, True), (mine[2], "xdp_counter", 90, False)])
            between = self.configuration()
            self.assertEqual(len(between), size)
            self.assertEqual(between[0], 5) if version == 1 else self.assertEqual(between[:3], bytes([236, version, 5]))
            shown = self.status() if version == 1 else None
            before = self.marks(first)
            self.wire.send(10, port=5001)
            self.assertGreaterEqual(self.marks(first), before + 10)
            for link in links:
                self.detach(link)
            flow.stop()
        self.assertEqual(flow.lost, [])
        self.assertEqual(self.marks(first), 20 + flow.sent)
        self.assertEqual(harness.sums(counter)[0], 20 + flow.sent)
        self.assertEqual(len(self.configuration()), size)
        self.wire.send(10)
        self.assertEqual([self.marks(first), harness.sums(counter)[0]], [30 + flow.sent] * 2)
        self.assertEqual(self.daemon.settled(), [])
        return first, second, mine, shown

    def testProgramsOfVersionOneAreKeptAndTheirToolSeesOursBesideThem(self):
        first, second, mine, shown = self.keepsAndComesBeside(1)
        self.assertEqual([(each["id"], each["priority"], each["name"]) for each in shown],
                         [(mine[0], 10, "xdp_counter"), (first, 20, "xdp_second"), (mine[1], 40, "xdp_counter"), (second, 60, "xdp_counter"),
                          (mine[2], 90, "xdp_counter")])
        self.assertIn("XDP_DROP", shown[3]["actions"])
        self.assertEqual([(each["id"], each["priority"]) for each in self.status()], [(first, 20), (second, 60)])

    def testProgramsOfVersionThreeAreKeptInADispatcherOfVersionThree(self):
        self.keepsAndComesBeside(3)

    def testXdpLoaderSeesOneOfVersionOneBeforeUsAndTakesAllAwayWithOurs(self):
        theirs, = self.made(1, ("xdp_mark", 20, 1 << 2))
        self.assertEqual([(each["id"], each["priority"], each["name"]) for each in self.status()], [(theirs, 20, "xdp_second")])
        self.attach(self.load(), 10)
        self.assertEqual(len(self.status()), 2)
        self.loader("unload", "lan0", "--all")
        self.assertEqual(self.daemon.links(), [])
        self.assertNotIn("xdp", harness.run("ip", "link", "show", "lan0").stdout)
        self.assertEqual(self.daemon.settled(), [])

    def testWhenTheirsHaveLeftTheNextDispatcherIsOfVersionTwo(self):
        self.made(1)
        ours = self.load()
        self.attach(ours, 10)
        self.assertEqual(self.configuration()[:3], bytes([236, 2, 1]))
        self.wire.send(10)
        self.assertEqual(self.count(ours), 10)

    def refused(self, reason):
        """Nobody is added, for this reason, and nothing is changed."""
        before = self.configuration(), sorted(os.listdir("/sys/fs/bpf/xdp"))
        answer = self.daemon.cli("link", "attach", "xdp", self.load(), "lan0", "-p", 1)
        self.assertEqual(answer.code, 1)
        self.assertIn(reason, answer.err)
        self.assertEqual((self.configuration(), sorted(os.listdir("/sys/fs/bpf/xdp"))), before)
        self.assertEqual(self.daemon.settled(), [])

    def testANewerVersionIsLeftAloneAndShown(self):
        theirs, = self.made(4, ("xdp_mark", 20, 1 << 2))
        self.refused("newer version of the libxdp protocol")
        self.wire.send(10)
        self.assertEqual(self.marks(theirs), 10)
        self.assertIn(theirs, [each["program_id"] for each in self.daemon.json("overview")["attachments"]])

    def testAProgramThatIsPinnedNowhereIsNotLost(self):
        theirs, _ = self.made(1, ("xdp_mark", 20, 1 << 2), ("xdp_counter", 30, 1 << 2))
        directory, = os.listdir("/sys/fs/bpf/xdp")
        os.unlink(f"/sys/fs/bpf/xdp/{directory}/prog1-prog")
        self.refused("not pinned where the libxdp protocol says")
        self.wire.send(10)
        self.assertEqual(self.marks(theirs), 10)


class Dying(Beside):
    """The frontend dies when the kernel has swapped the dispatchers and the catalogue does not know it yet."""

    def newDaemon(self):
        harness.requireFreplace(self)
        return crash_test.SteppingDaemon("libxdp")

    def dieAttaching(self, program, priority):
        words = ("link", "attach", "xdp", program, "lan0", "-p", priority)
        worker, since = self.daemon.arm(crash_test.RECORD)
        link = self.daemon.json(*words)["record"]["id"]
        point = self.daemon.quiet(since).index("after rtnetlink") + 1
        self.detach(link)
        worker, since = self.daemon.arm(point)
        command = self.daemon.popen(*words)
        self.assertTrue(harness.eventually(lambda: len(self.daemon.points(since)) >= point))
        os.kill(self.daemon.pid("frontend"), signal.SIGKILL)
        self.daemon.tell(worker, 0)
        command.communicate(timeout=harness.TIMEOUT)
        self.assertTrue(harness.eventually(lambda: self.daemon.cli("link", "list").code == 0))

    def testProgramsOfOthersThatWereThereFirstStay(self):
        theirs = self.theirs(50)
        ours = self.load()
        self.dieAttaching(ours, 60)
        self.assertEqual(self.order(), [theirs])
        self.assertEqual(len(os.listdir("/sys/fs/bpf/xdp")), 1)
        self.assertEqual(self.daemon.links(), [])
        self.wire.send(10)
        self.assertEqual(self.marks(theirs), 10)
        self.attach(ours, 60)
        self.assertEqual(self.order(), [theirs, ours])
        self.assertEqual(self.daemon.settled(), [])

    def testAChainThatAnotherToolChangedStays(self):
        ours, second = self.load(), self.load()
        link = self.attach(ours, 50)
        theirs = self.theirs(40)
        self.assertEqual([each["id"] for each in self.daemon.links()], [link])
        self.daemon.stop()
        self.daemon.start()
        self.dieAttaching(second, 60)
        self.assertEqual(self.order(), [theirs, ours])
        self.assertEqual([each["id"] for each in self.daemon.links()], [link])
        self.wire.send(10)
        self.assertEqual([self.marks(theirs), self.count(ours)], [10, 10])
        self.detach(link)
        self.assertEqual(self.order(), [theirs])
        self.assertEqual(self.daemon.settled(), [])


class Exclusive(Beside):
    policy = 'exclusive = ["lan*"]\n'

    def testNoOtherToolCanChangeItsChain(self):
        ours, second = self.load(), self.load()
        link = self.attach(ours, 50)
        with network.Flow(self.wire, 500) as flow:
            other = self.attach(second, 60)
            for words in (("xdp-loader", "load", "lan0", harness.example("xdp_mark")), ("xdp-loader", "unload", "lan0", "--all"),
                          ("ip", "link", "set", "lan0", "xdp", "off")):
                self.assertNotEqual(harness.run(*words, check=False).returncode, 0, words)
            self.detach(other)
            self.assertEqual(self.daemon.cli("link", "update", link, "-p", 10).code, 0)
        self.assertEqual(flow.lost, [])
        self.assertEqual(self.count(ours), flow.sent)
        made, = [each for each in harness.bpftool("link", "show") if each.get("devname") == "lan0"]
        chain, = self.daemon.dispatchers()
        self.assertEqual(made["prog_id"], chain["runtime"]["program_id"])
        self.assertEqual(made["id"], self.daemon.json("dispatcher", "get", "xdp", "lan0")["runtime"]["kernel_link_id"])
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual([each["id"] for each in self.daemon.links()], [link])
        self.detach(link)
        self.assertEqual(self.daemon.settled(), [])
        theirs = self.theirs(50)
        result = self.daemon.cli("link", "attach", "xdp", ours, "lan0", "-p", 50)
        self.assertNotEqual(result.code, 0)
        self.assertIn("another XDP program", result.err)
        self.assertEqual(self.order(), [theirs])
        self.assertEqual(self.daemon.settled(), [])

    def testALinkThatIsDetachedByForceIsNoDeadEnd(self):
        first, second = self.load(), self.load()
        link = self.attach(first, 50)
        self.attach(second, 60)
        made, = [each["id"] for each in harness.bpftool("link", "show") if each.get("devname") == "lan0"]
        harness.run("bpftool", "link", "detach", "id", made)
        self.assertEqual(self.daemon.cli("link", "detach", link, "--ignore-missing").code, 0)
        self.assertEqual(self.daemon.links(), [])
        self.assertEqual(os.listdir("/sys/fs/bpf/xdp"), [])
        link = self.attach(first, 50)
        self.wire.send(10)
        self.assertEqual(self.count(first), 10)
        self.detach(link)
        self.assertEqual(os.listdir("/sys/fs/bpf/xdp"), [])
        self.assertEqual(self.daemon.settled(), [])


if __name__ == "__main__":
    harness.main()
