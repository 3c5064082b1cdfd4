"""A client hands over descriptors of a FUSE file whose server has stopped answering: whoever reads, asks about or closes one waits for
ever, and can't even be killed. The daemon only ever closes them, in threads of its own."""

import os
import subprocess
import unittest
import warnings

import fuse
import harness


class SilentFile(unittest.TestCase):
    def setUp(self):
        warnings.simplefilter("ignore", ResourceWarning)
        self.daemon = harness.Daemon(policy='[[grant]]\nusers = [4001]\nroles = ["administrator"]\n')
        self.addCleanup(self.daemon.end)
        self.daemon.start()
        self.program = self.daemon.load("xdp_counter", "xdp")
        try:
            self.file = fuse.SilentFile(os.path.join(self.daemon.directory, "silent"))
        except OSError as error:
            harness.skip(self, f"no FUSE here: {error}")
        self.addCleanup(self.file.abort)

    def held(self):
        """Threads, and descriptors by what they are, of the frontend."""
        pid = self.daemon.pid("frontend")
        texts = list(harness.descriptors(pid).values())
        return int(harness.status(pid)["Threads"]), len(texts), texts.count(os.path.join(self.file.path, "file"))

    def attack(self):
        words = [os.path.join(harness.BIN, "hostile-client"), "never-answers", self.daemon.runtime, os.path.join(self.file.path, "file"),
                 str(self.program)]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   user=4001, group=4001, extra_groups=[])
        said = {}

        def hear(last):
            while last not in said:
                line = process.stdout.readline()
                if not line:
                    self.file.abort()
                    self.fail(f"{said} {process.stderr.read()}")
                key, text = line.rstrip("\n").split(" ", 1)
                said[key] = text
        hear("opened")
        self.file.hush()
        process.stdin.write("x")
        process.stdin.flush()
        hear("sent")
        return process, said

    def test_descriptors_that_never_answer_delay_nobody_and_are_few(self):
        before = self.held()
        process, said = self.attack()
        self.assertIn("not a memfd", said["bytecode"])
        self.assertIn("not a network namespace", said["namespace"])
        def waiting():
            threads, _, files = self.held()
            return threads - before[0], files

        # limits.CLOSERS; one above ends the connection, and another does not begin
        self.assertTrue(harness.eventually(lambda: waiting() == (32, 1)), waiting())
        self.assertEqual(int(said["more"]), 30)                 # and two before
        for key in ("then", "again"):
            self.assertRegex(said[key], "don't answer|was lost")  # whichever it hears first
        self.assertEqual(set(self.file.unanswered), {fuse.FLUSH})   # nobody read it or asked what it is
        # Others are served, with all that there is.
        other = self.daemon.load("xdp_counter", "xdp")
        self.daemon.attach("xdp", other, "lo", "-p", 10)
        self.assertEqual(self.daemon.cli("program", "unload", other).code, 0)
        self.assertEqual(self.daemon.settled(), [])
        # The end of the file system frees all.
        self.file.abort()
        process.communicate(timeout=harness.TIMEOUT)
        self.assertTrue(harness.eventually(lambda: self.held() == before), (self.held(), before))
        self.assertEqual(self.daemon.cli("program", "list", user=4001, group=4001, extra_groups=[]).code, 0)


if __name__ == "__main__":
    harness.main()
