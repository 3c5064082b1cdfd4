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
