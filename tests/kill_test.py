"""kill -9 of each process at random moments of load, attach, detach and unload, while packets are counted."""

import os
import random
import signal
import subprocess
import threading
import time
import unittest

import harness
import network

KINDS = ("broker", "frontend", "worker", "session", "loader")
ROUNDS = int(os.environ.get("BPFMAN_KILLS", "100"))


class Kills(unittest.TestCase):
    def victim(self, daemon, kind):
        found = daemon.processes()[kind]
        return self.dice.choice(found) if found else None

    def strike(self, daemon, kind, delay):
        """One kill; a dead broker is started again as systemd would, after its children went."""
        time.sleep(delay)
        pid = self.victim(daemon, kind)
        if pid is None:
            return 0
        family = [each for pids in daemon.processes().values() for each in pids]
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return 0
        if kind == "broker":
            daemon.process.wait()
            gone = harness.eventually(lambda: not any(harness.alive(each) for each in family if each != pid), 1, 0.01)
            self.late += not gone
            daemon.start()
        return 1

    def again(self, daemon, *words):
        """The same command, until it succeeds: what a user does. It must within seconds."""
        last = None
        for _ in range(20):
            last = daemon.cli(*words)
            if last.code == 0:
                return last
            time.sleep(0.3)
        self.fail(f"{words}: {last}\n{daemon.log[-3000:]}")

    def testAKillAtAnyMomentLosesNothing(self):
        seed = int(os.environ.get("BPFMAN_SEED", random.randrange(1 << 32)))
        print("seed", seed)
        self.dice, self.late = random.Random(seed), 0
        wire = network.Wire("lan0")
        self.addCleanup(wire.remove)
        before = harness.mapIds()
        with harness.Daemon() as daemon:
            base = daemon.load("xdp_counter", "xdp")
            daemon.attach("xdp", base, "lan0", "-p", 0)
            counter, kills = daemon.mapId(base), 0
            with network.Flow(wire, 500) as flow:
                while kills < ROUNDS:
                    kills += self.round(daemon, base, KINDS[kills % len(KINDS)])
                flow.stop()
                print("kills", kills, "packets", flow.sent)
                self.assertEqual((flow.lost, flow.twice), ([], 0))
                self.assertEqual(harness.sums(counter)[0], flow.sent)
            self.assertEqual(self.late, 0, "children outlived the broker by a second")
            self.assertEqual(daemon.settled(), [])
        self.assertEqual(harness.orphanMaps(before), [])

    def round(self, daemon, base, kind):
        load = ("program", "load", "file", harness.example("xdp_mark"), "--programs", "xdp:xdp_second")
        step = self.dice.choice(("load", "attach", "detach", "unload"))
        program = link = None
        if step != "load":
            program = daemon.load("xdp_mark", "xdp", "xdp_second")
        if step == "detach":
            link = daemon.attach("xdp", program, "lan0", "-p", 10)["id"]
        words = {"load": load, "attach": ("link", "attach", "xdp", program, "lan0", "-p", 10),
                 "detach": ("link", "detach", link, "--ignore-missing"),
                 "unload": ("program", "unload", program, "--ignore-missing")}[step]
        command = daemon.popen(*words)
        done = self.strike(daemon, kind, self.dice.random() * 0.03)
        command.communicate(timeout=harness.TIMEOUT)
        if command.returncode != 0:
            self.again(daemon, *words)
        self.again(daemon, "program", "list")  # a read that meets the worker's death fails, and may be repeated
        # One that was carried out although its answer was lost is there twice; all go, and what stays must agree with the kernel.
        for each in [each for each in daemon.programs() if each != base]:
            self.again(daemon, "program", "unload", each, "--ignore-missing")
        self.assertEqual(daemon.settled(), [], f"after kill of {kind} in {step}\n{daemon.log[-3000:]}")
        return done


if __name__ == "__main__":
    harness.main()
