"""Clients that speak the protocol and mean no good: others are served meanwhile, and nothing of it is left."""

import os
import subprocess
import unittest

import harness


class HostileClient(unittest.TestCase):
    def setUp(self):
        self.daemon = harness.Daemon()
        self.addCleanup(self.daemon.end)
        self.daemon.start()
        self.program = self.daemon.load("xdp_counter", "xdp")

    def attack(self, name, **more):
        words = [os.path.join(harness.BIN, "hostile-client"), name, self.daemon.runtime, harness.example("xdp_counter"), str(self.program)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)

    def result(self, process):
        out, err = process.communicate(timeout=harness.TIMEOUT)
        self.assertEqual(process.returncode, 0, err)
        return dict(line.split(" ", 1) for line in out.splitlines())

    def test_bytecode_that_is_no_sealed_memfd(self):
        said = self.result(self.attack("bad-bytecode"))
        self.assertIn("add F_SEAL_WRITE", said["unsealed"])
        self.assertIn("add F_SEAL_WRITE", said["half_sealed"])
        self.assertIn("not a memfd", said["pipe"])
        self.assertIn("not a memfd", said["file"])
        self.assertIn("no descriptor came with the call", said["none"])

    def test_calls_above_the_limit_are_refused_and_the_others_answered(self):
        said = {text: int(count) for count, text in self.result(self.attack("calls")).items()}
        self.assertEqual(sum(said.values()), 100)
        self.assertEqual(said.pop("ok"), 64)                    # limits.max_calls
        self.assertIn("too many calls in flight", " ".join(said))


if __name__ == "__main__":
    harness.main()
