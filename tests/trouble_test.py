"""The surroundings fail under the daemon: its disk is full or can't be written, its database is gone or damaged, its bpffs is unmounted,
the clock was set back. What is attached stays attached where that is possible, and what is said is true."""

import contextlib
import json
import os
import sqlite3
import time
import unittest

import harness
import network

FUTURE = 4_102_444_800  # 2100-01-01


class Trouble(unittest.TestCase):
    def setUp(self):
        self.daemon = harness.Daemon()
        self.addCleanup(self.daemon.end)
        os.makedirs(self.daemon.state)
        harness.run("mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "none", self.daemon.state)
        self.addCleanup(harness.run, "umount", "-l", self.daemon.state, check=False)
        self.wire = network.Wire("lan0")
        self.addCleanup(self.wire.remove)
        self.daemon.start()
        self.program = self.daemon.load("xdp_counter", "xdp")
        self.link = self.daemon.attach("xdp", self.program, "lan0", "-p", 1)["id"]
        self.counter = self.daemon.mapId(self.program)
        self.database = os.path.join(self.daemon.state, "bpfman.db")
        self.packets = 0

    def runs(self):
        """Packets still pass the program that is attached."""
        self.wire.send(20)
        self.packets += 20
        self.assertEqual(harness.sums(self.counter)[0], self.packets)

    def changes(self):
        return (("program", "load", "file", harness.example("xdp_mark"), "--programs", "xdp:xdp_second"),
                ("link", "attach", "xdp", self.program, "lan0", "-p", 10), ("link", "detach", self.link), ("program", "unload", self.program))

    def refusesChanges(self, words, because):
        before = self.daemon.programs(), self.daemon.links(), self.daemon.pins(), self.daemon.kernelPrograms().keys()
        for each in words:
            with self.subTest(change=each):
                result = self.daemon.cli(*each)
                self.assertEqual(result.code, 1, result)
                self.assertRegex(result.err, because)
                self.assertEqual((self.daemon.programs(), self.daemon.links(), self.daemon.pins(), self.daemon.kernelPrograms().keys()), before)
        self.runs()
        self.daemon.json("overview")
        self.assertEqual(self.daemon.settled(), [])

    def acceptsChanges(self):
        for each in self.changes():
            self.assertEqual(self.daemon.cli(*each).code, 0, each)
        self.assertEqual(self.daemon.settled(), [])

    def fill(self):
        """All that is left, also the log's own file of the database: until a change is refused."""
        filler = os.path.join(self.daemon.state, "filler")
        with open(filler, "ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        for _ in range(300):
            if self.daemon.cli("link", "attach", "xdp", self.program, "lan0", "-p", 5, "-m", "filling=" + "x" * 15000).code != 0:
                return filler
            self.daemon.cli("link", "detach", self.daemon.links()[-1]["id"])
        self.fail("the disk is not full")

    def test_a_full_disk_changes_nothing_and_afterwards_all_goes_on(self):
        filler = self.fill()
        self.refusesChanges(self.changes(), "(?i)full")
        os.unlink(filler)
        self.acceptsChanges()

    def test_a_full_disk_at_the_start_is_said(self):
        filler = self.fill()
        self.daemon.kill()
        self.runs()
        self.daemon.launch()
        harness.eventually(lambda: "full" in self.daemon.log[self.daemon.logStart:] or self.daemon.ready(), 10)
        self.runs()
        os.unlink(filler)
        self.assertTrue(harness.eventually(self.daemon.ready, 20), self.daemon.log)  # by itself: the broker tries again
        self.acceptsChanges()

    def test_a_disk_that_can_not_be_written_is_read(self):
        self.daemon.stop()
        harness.run("mount", "-o", "remount,ro", self.daemon.state)
        self.daemon.start()
        self.assertIn("only read", self.daemon.log)
        self.assertEqual(self.daemon.programs(), [self.program])
        self.refusesChanges(self.changes(), "can't be written")
        harness.run("mount", "-o", "remount,rw", self.daemon.state)
        self.daemon.stop()
        self.daemon.start()
        self.acceptsChanges()

    def damage(self):
        with open(self.database, "r+b") as file:
            file.seek(4096)
            file.write(os.urandom(os.path.getsize(self.database) - 4096))

    def test_a_lost_or_damaged_database_detaches_nothing(self):
        def lose():
            for name in os.listdir(self.daemon.state):
                if name.startswith("bpfman.db"):
                    os.unlink(os.path.join(self.daemon.state, name))
        for do in (self.damage, lose):
            with self.subTest(do.__name__):
                self.daemon.stop()
                do()
                self.daemon.start()
                self.assertIn("left alone", self.daemon.log[self.daemon.logStart:])
                self.assertEqual(self.daemon.programs(), [])
                self.runs()
                self.assertEqual(self.daemon.cli(*self.changes()[0]).code, 0)
                aside = [name for name in os.listdir(self.daemon.state) if name.startswith("bpfman.db.damaged")]
                self.assertEqual(len(aside), do == self.damage)

    def test_a_database_removed_under_the_daemon_costs_no_more_than_that(self):
        for name in os.listdir(self.daemon.state):
            if name.startswith("bpfman.db"):
                os.unlink(os.path.join(self.daemon.state, name))
        self.assertEqual(self.daemon.programs(), [self.program])
        self.runs()
        self.daemon.kill()
        self.daemon.start()
        self.runs()
        self.assertEqual(self.daemon.cli(*self.changes()[0]).code, 0)

    def test_a_bpffs_that_is_unmounted_serves_on_and_a_restart_begins_anew(self):
        fs = os.path.join(self.daemon.runtime, "fs")
        while harness.run("umount", "-l", fs, check=False).returncode == 0:
            pass
        self.runs()                                             # the worker's root is the file system itself
        self.assertEqual(self.daemon.cli(*self.changes()[0]).code, 0)
        self.assertEqual(len(self.daemon.programs()), 2)
        self.daemon.stop()                                      # its last user: what was pinned there is gone with it
        self.assertTrue(harness.eventually(lambda: not self.daemon.kernelPrograms(), 5), self.daemon.kernelPrograms())
        self.daemon.start()
        self.assertRegex(self.daemon.log[self.daemon.logStart:], "reconciled: .* gone forgotten")
        self.assertEqual((self.daemon.programs(), self.daemon.links()), ([], []))
        self.program = self.daemon.load("xdp_counter", "xdp")
        self.counter, self.packets = self.daemon.mapId(self.program), 0
        self.daemon.attach("xdp", self.program, "lan0", "-p", 1)
        self.runs()
        self.assertEqual(self.daemon.settled(), [])

    def test_a_clock_that_was_set_back_does_no_harm(self):
        """All that was written down comes from the future. What ends by time (tickets, back-off, a long load) goes by the monotonic clock."""
        self.daemon.stop()
        with contextlib.closing(sqlite3.connect(self.database)) as db, db:
            for table in ("load", "link"):
                db.execute(f"UPDATE {table} SET created_at = ?", [FUTURE * 10**9])
        audit = os.path.join(self.daemon.state, "audit.log")
        with open(audit) as file:
            lines = file.read()
        year = time.strftime('"time":"%Y')
        with open(audit, "w") as file:
            file.write(lines.replace(year, '"time":"2100'))
        owner = os.stat(self.daemon.state)
        for name in os.listdir(self.daemon.state):
            path = os.path.join(self.daemon.state, name)
            os.utime(path, (FUTURE, FUTURE))
            os.chown(path, owner.st_uid, owner.st_gid)
        self.daemon.start()
        self.assertEqual(self.daemon.programs(), [self.program])
        self.assertIn("2100", str(self.daemon.json("program", "get", self.program)))
        self.runs()
        self.acceptsChanges()
        numbers = [json.loads(line)["number"] for line in self.daemon.cli("audit", "-o", "json").out.splitlines()]
        self.assertEqual(numbers, [1, 2, 1, 2, 3, 4])           # of each run, in the order in which it happened: not of the times


if __name__ == "__main__":
    harness.main()
