"""What survives the daemon: attachments, the list of them, and what a dead one leaves in the way of the next."""

import os
import subprocess
import time
import unittest

import harness
import network


class Restart(unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(harness.Daemon())

    def testARestartKeepsEverythingAttachedAndListed(self):
        wire = network.Wire("lan0")
        self.addCleanup(wire.remove)
        program = self.daemon.load("xdp_counter", "xdp")
        self.daemon.attach("xdp", program, "lan0", "-p", 1)
        tcx = self.daemon.load("tcx_counter", "tcx")
        self.daemon.attach("tcx", tcx, "lan0", "ingress", "-p", 1)
        counters = [self.daemon.mapId(each) for each in (program, tcx)]
        before = self.daemon.programs(), self.daemon.links()
        for stop in (self.daemon.stop, self.daemon.kill):
            stop()
            wire.send(50)
            self.daemon.start()
            self.assertEqual((self.daemon.programs(), self.daemon.links()), before)
        self.assertEqual([harness.sums(each)[0] for each in counters], [100, 100])
        self.assertEqual(self.daemon.settled(), [])

    def testASecondDaemonOnTheSameDirectoriesIsRefused(self):
        second = subprocess.run(self.daemon.command(), capture_output=True, text=True, timeout=20)
        self.assertNotEqual(second.returncode, 0)
        self.assertNotEqual(second.stderr, "")
        self.assertEqual(self.daemon.cli("program", "list").code, 0)

    def testTwoDaemonsSideBySideDoNotSeeEachOthersPrograms(self):
        with harness.Daemon() as other:
            program = other.load("xdp_counter", "xdp")
            self.assertEqual((self.daemon.programs(), other.programs()), ([], [program]))

    def testAtRestNoProcessHoldsAKernelObject(self):
        self.daemon.load("xdp_counter", "xdp")
        self.daemon.json("overview")

        def held():
            return [(kind, pid, text) for kind, pids in self.daemon.processes().items() for pid in pids
                    for text in harness.descriptors(pid).values() if text.startswith("anon_inode:bpf")]
        harness.eventually(lambda: not held(), 5)
        self.assertEqual(held(), [])

    def testRemovingALinksPinByHandFreesTheLink(self):
        wire = network.Wire("lan0")
        self.addCleanup(wire.remove)
        link = self.daemon.attach("tcx", self.daemon.load("tcx_counter", "tcx"), "lan0", "egress", "-p", 1)
        self.assertIn(link["kernel_link_id"], self.daemon.kernelLinks())
        os.unlink(link["pin_path"])
        self.assertTrue(harness.eventually(lambda: link["kernel_link_id"] not in self.daemon.kernelLinks(), 3))

    def testALongVerifierRunDelaysNobodyAndEndsWithItsClient(self):
        names = ",".join("xdp:large_verifier" + each for each in ("", "_2", "_3", "_4"))
        long = self.daemon.popen("program", "load", "file", harness.example("large_verifier"), "--programs", names)
        time.sleep(0.3)
        began = time.monotonic()
        self.daemon.programs()
        short = self.daemon.load("xdp_counter", "xdp")
        took = time.monotonic() - began
        self.assertIsNone(long.poll(), "the long load was over too early to tell")
        self.assertLess(took, 2)
        long.kill()
        long.communicate()
        self.assertEqual(self.daemon.settled(), [])
        self.assertEqual(self.daemon.programs(), [short])


if __name__ == "__main__":
    harness.main()
