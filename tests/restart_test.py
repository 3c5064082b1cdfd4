"""What survives the daemon: attachments, the list of them, and what a dead one leaves in the way of the next."""

import contextlib
import os
import signal
import socket
import sqlite3
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

    def testAHangupReadsThePolicyAgainAndKeepsWhatRuns(self):
        wire = network.Wire("lan0")
        self.addCleanup(wire.remove)
        program = self.daemon.load("xdp_counter", "xdp")
        self.daemon.attach("xdp", program, "lan0", "-p", 1)
        counter, frontend = self.daemon.mapId(program), self.daemon.pid("frontend")
        self.daemon.write(self.daemon.policyFile, '[[grant]]\nusers = [4321]\nroles = ["viewer"]\n')
        self.hangUp()
        self.assertNotEqual(self.daemon.pid("frontend"), frontend)
        wire.send(20)
        self.assertEqual(self.daemon.cli("program", "list", user=4321, group=4321, extra_groups=[]).code, 0)
        self.assertEqual(harness.sums(counter)[0], 20)

    def again(self, do):
        """Does what ends the frontend, and waits until the next one serves."""
        before = self.daemon.log.count("bpfmand: ready")
        do()
        self.assertTrue(harness.eventually(lambda: self.daemon.log.count("bpfmand: ready") > before), self.daemon.log)

    def hangUp(self):
        self.again(lambda: os.kill(self.daemon.process.pid, signal.SIGHUP))

    def looks(self, uid):
        return self.daemon.cli("program", "list", user=uid, group=uid, extra_groups=[]).code == 0

    def testAWrongPolicyIsRefusedAsAWholeAndTheOldOneStaysInForce(self):
        grant = '[[grant]]\nusers = [%d]\nroles = ["viewer"]\n'
        wrong = grant % 4322 + '[[grant]]\nusers = [4323]\nroles = ["king"]\n'
        # Before there is a policy at all, none is what stays in force: the socket remains the administrators'.
        self.daemon.write(self.daemon.policyFile, wrong)
        self.hangUp()
        self.assertIn("policy.toml:6:10: unknown role \"king\"", self.daemon.log)
        self.assertFalse(self.looks(4322))
        self.assertEqual(os.stat(os.path.join(self.daemon.runtime, "bpfman.sock")).st_mode & 0o777, 0o660)
        self.assertEqual(self.daemon.cli("program", "list").code, 0)

        self.daemon.write(self.daemon.policyFile, grant % 4321)
        self.hangUp()
        self.assertTrue(self.looks(4321))
        # Written in place and renamed into place; at a hang-up, and when the frontend dies meanwhile.
        self.daemon.write(self.daemon.policyFile, wrong)
        for number, do in enumerate((self.hangUp, self.hangUp, lambda: self.again(lambda: os.kill(self.daemon.pid("frontend"), signal.SIGKILL)))):
            with self.subTest(number):
                said = self.daemon.log.count("policy.toml:6:10: unknown role")
                do()
                self.assertEqual(self.daemon.log.count("policy.toml:6:10: unknown role"), said + 1)
                self.assertIn("the policy of before stays in force", self.daemon.log)
                self.assertEqual([self.looks(uid) for uid in (4321, 4322, 4323)], [True, False, False])
                self.daemon.write(self.daemon.policyFile + ".new", wrong)
                os.rename(self.daemon.policyFile + ".new", self.daemon.policyFile)

        self.daemon.write(self.daemon.policyFile, grant % 4322)
        self.hangUp()
        self.assertEqual([self.looks(uid) for uid in (4321, 4322)], [False, True])
        os.unlink(self.daemon.policyFile)  # no file is a right policy
        self.hangUp()
        self.assertFalse(self.looks(4322))

    def testAConnectionThatIsOpenEndsWithItsRights(self):
        self.daemon.write(self.daemon.policyFile, '[[grant]]\nusers = [4321]\nroles = ["viewer"]\n')
        self.hangUp()
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        sockets = lambda: sum(text.startswith("socket:") for text in harness.descriptors(self.daemon.pid("frontend")).values())
        before = sockets()
        client.connect(os.path.join(self.daemon.runtime, "bpfman.sock"))
        self.assertTrue(harness.eventually(lambda: sockets() > before))  # accepted: what still waits is served by the next frontend
        self.hangUp()
        client.settimeout(5)
        self.assertEqual(client.recv(1), b"")

    def testPublicPinsOpenWithOtherTools(self):
        program = self.daemon.load("xdp_counter", "xdp")
        pin = os.path.join(self.daemon.runtime, "fs", f"prog_{program}")
        self.assertEqual(harness.bpftool("prog", "show", "pinned", pin)["id"], program)
        packets = os.path.join(self.daemon.runtime, "fs", "maps", str(program), "packets")
        self.assertEqual(harness.bpftool("map", "show", "pinned", packets)["id"], self.daemon.mapId(program, "packets"))

    def refusedToStart(self, word):
        """It ends, or its frontend does again and again, saying why; nothing is served."""
        self.daemon.launch()
        self.assertTrue(harness.eventually(lambda: word in self.daemon.log, 10), self.daemon.log)
        self.assertNotIn("ready", self.daemon.log.split(word)[-1])
        self.daemon.kill()

    def testWhatANewerOneWroteIsNotTouched(self):
        program = self.daemon.load("xdp_counter", "xdp")
        self.daemon.stop()
        database = os.path.join(self.daemon.state, "bpfman.db")
        with contextlib.closing(sqlite3.connect(database)) as db:
            mine = db.execute("PRAGMA user_version").fetchone()[0]
            db.execute("PRAGMA user_version = 99")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        owner = os.stat(self.daemon.state)
        for name in os.listdir(self.daemon.state):
            os.chown(os.path.join(self.daemon.state, name), owner.st_uid, owner.st_gid)
        with open(database, "rb") as file:
            before = file.read()
        self.refusedToStart("99")
        with open(database, "rb") as file:
            self.assertEqual(file.read(), before)
        with contextlib.closing(sqlite3.connect(database)) as db:
            db.execute(f"PRAGMA user_version = {mine}")
        for name in os.listdir(self.daemon.state):
            os.chown(os.path.join(self.daemon.state, name), owner.st_uid, owner.st_gid)
        newer = os.path.join(self.daemon.runtime, "fs", "version_99")
        os.mkdir(newer)
        self.refusedToStart("newer bpfman")
        os.rmdir(newer)
        self.daemon.start()
        self.assertEqual(self.daemon.programs(), [program])

    def testALostCatalogueLeavesWhatRunsAlone(self):
        wire = network.Wire("lan0")
        self.addCleanup(wire.remove)
        program = self.daemon.load("xdp_counter", "xdp")
        self.daemon.attach("xdp", program, "lan0", "-p", 1)
        counter = self.daemon.mapId(program)
        self.daemon.stop()
        with open(os.path.join(self.daemon.state, "bpfman.db"), "r+b") as file:
            file.write(b"no database " * 100)
        self.daemon.start()
        self.assertIn("left alone", self.daemon.log)
        wire.send(20)
        self.assertEqual(harness.sums(counter)[0], 20)
        self.daemon.load("xdp_counter", "xdp")                      # and it serves

    def testWrongMountsAreNamed(self):
        self.daemon.stop()
        fs = os.path.join(self.daemon.runtime, "fs")
        harness.run("mount", "-t", "tmpfs", "none", fs)
        self.refusedToStart(fs)
        harness.run("umount", fs)
        harness.run("umount", fs)
        os.unlink(os.path.join(self.daemon.runtime, "bpfman.sock"))
        self.daemon.start()                                         # an unmounted bpffs: nothing is left of what was, and it says so
        self.assertEqual(self.daemon.programs(), [])


if __name__ == "__main__":
    harness.main()
