"""TCX and tracing hooks on real packets and events, beside attachments that are not ours."""

import os
import time
import unittest

import harness
import network


class Hooks(unittest.TestCase):
    def setUp(self):
        self.wire = network.Wire("lan0")
        self.addCleanup(self.wire.remove)
        self.daemon = self.enterContext(harness.Daemon())

    def first(self, program):
        return harness.sums(self.daemon.mapId(program))

    def testTcxProgramsRunByPriorityInBothDirections(self):
        for direction in ("ingress", "egress"):
            programs = [self.daemon.load("tcx_counter", "tcx") for _ in range(3)]
            for program, priority in zip(programs, (30, 10, 20)):
                self.daemon.attach("tcx", program, "lan0", direction, "-p", priority)
            shown = [each["prog_id"] for each in harness.bpftool("net", "show", "dev", "lan0")[0]["tc"] if each["kind"] == "tcx/" + direction]
            self.assertEqual(shown, [programs[1], programs[2], programs[0]])
            again = self.daemon.cli("link", "attach", "tcx", programs[0], "lan0", direction, "-p", 5)
            self.assertEqual(again.code, 1)
            self.assertIn("already attached", again.err)
            if direction == "ingress":
                self.wire.send(30)
                self.assertEqual([self.first(each)[0] for each in programs], [30] * 3)
        self.assertEqual(self.daemon.settled(), [])

    def order(self, direction="ingress"):
        return [each["prog_id"] for each in harness.bpftool("net", "show", "dev", "lan0")[0]["tc"] if each["kind"] == "tcx/" + direction]

    def testForeignTcxLinksKeepTheirOrderAndAreShown(self):
        with harness.Daemon() as foreign:
            theirs = [foreign.load("tcx_counter", "tcx") for _ in range(3)]
            mine = [self.daemon.load("tcx_counter", "tcx") for _ in range(3)]
            for step, priority in enumerate((50, 10, 90)):
                foreign.attach("tcx", theirs[step], "lan0", "ingress", "-p", priority)
                self.daemon.attach("tcx", mine[step], "lan0", "ingress", "-p", priority)
            order = self.order()
            for programs in (theirs, mine):
                self.assertEqual([each for each in order if each in programs], [programs[1], programs[0], programs[2]])
            self.wire.send(30)
            self.assertEqual([self.first(each)[0] for each in mine], [30] * 3)
            shown = [each for each in self.daemon.json("overview")["attachments"] if each["hook"] == "tcx ingress" and each["target"] == "lan0"]
            self.assertEqual([(each["program_id"], each["managed"]) for each in sorted(shown, key=lambda each: each["position"])],
                             [(each, each in mine) for each in order])
            self.assertTrue(set(theirs) <= {each["program_id"] for each in self.daemon.json("program", "list", "--all")["programs"]})

    def testTcxInAnotherNamespaceAndTheTextOfADuplicate(self):
        with_ = network.Namespace("inner")
        self.addCleanup(with_.remove)
        wire = network.Wire("lan1", with_)
        self.addCleanup(wire.remove)
        program = self.daemon.load("tcx_counter", "tcx")
        self.daemon.attach("tcx", program, "lan1", "ingress", "-p", 5, "-n", with_.path)
        wire.send(25)
        self.assertEqual(self.first(program)[0], 25)
        link = self.daemon.attach("tcx", program, "lan0", "ingress", "-p", 5)
        again = self.daemon.cli("link", "attach", "tcx", program, "lan0", "ingress", "-p", 5)
        self.assertIn(f"program {program} is already attached to lan0 ingress as link {link['id']}; detach it first", again.err)

    def testAClassicFilterIsShownOnceAndLeftAlone(self):
        harness.run("tc", "qdisc", "add", "dev", "lan0", "clsact")
        harness.run("tc", "filter", "add", "dev", "lan0", "ingress", "bpf", "da", "obj", harness.example("tcx_counter"), "sec", "tcx/ingress")
        found = [each for each in self.daemon.json("overview")["attachments"] if each["how"] == "filter"]
        self.assertEqual([(each["hook"], each["target"], each["managed"]) for each in found], [("tc ingress", "lan0", False)])

    def testRunStatisticsAreKnownOrSaidToBeUnknown(self):
        program = self.daemon.load("tcx_counter", "tcx")
        self.daemon.attach("tcx", program, "lan0", "ingress", "-p", 5)
        switch = "/proc/sys/kernel/bpf_stats_enabled"
        with open(switch) as file:
            before = file.read()
        try:
            with open(switch, "w") as file:
                file.write("0")
            self.assertIn("bpf_stats_enabled", self.daemon.json("program", "get", program)["status"]["stats_unknown"])
            with open(switch, "w") as file:
                file.write("1")
            self.wire.send(30)
            self.assertEqual(self.daemon.json("program", "get", program)["status"]["stats"]["run_count"], 30)
        finally:
            with open(switch, "w") as file:
                file.write(before)

    def testTracingProgramsCountRealEvents(self):
        hits = self.daemon.load("tracepoint_counter", "tracepoint")
        self.daemon.attach("tracepoint", hits, "syscalls/sys_enter_kill")
        before = self.first(hits).get(0, 0)
        for _ in range(25):
            os.kill(os.getpid(), 0)
        self.assertGreaterEqual(self.first(hits)[0], before + 25)
        for name, type, hook in (("raw_tp_counter", "raw_tracepoint", "raw_tp"), ("tp_btf_counter", "tp_btf", "tp_btf")):
            program = self.daemon.load(name, type)
            self.daemon.attach(hook, program)
            time.sleep(0.2)
            self.assertGreater(sum(self.first(program).values()), 0)
        self.assertEqual(self.daemon.settled(), [])

    def testWrongTargetsAreRefusedAndLeaveNothing(self):
        tcx, hits = self.daemon.load("tcx_counter", "tcx"), self.daemon.load("tracepoint_counter", "tracepoint")
        for words, word in ((("tcx", tcx, "nowhere0", "ingress", "-p", 1), "nowhere0"), (("tracepoint", hits, "no/such"), "no"),
                            (("xdp", tcx, "lan0", "-p", 1), "xdp")):
            result = self.daemon.cli("link", "attach", *words)
            self.assertEqual(result.code, 1, words)
            self.assertIn(word, result.err)
        self.assertEqual(self.daemon.links(), [])
        self.assertEqual(self.daemon.settled(), [])

    def testForeignXdpByNetlinkIsShown(self):
        harness.run("ip", "link", "set", "lan0", "xdp", "obj", harness.example("two_programs"), "sec", "xdp")
        found = [each for each in self.daemon.json("overview")["attachments"] if each["hook"] == "xdp" and each["target"] == "lan0"]
        self.assertEqual([(each["managed"], each["how"]) for each in found], [(False, "netlink")])


if __name__ == "__main__":
    harness.main()
