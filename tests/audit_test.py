"""The audit: a line for each change, hand-over and denial, who did it and how it ended; and that a repeated request acts once."""

import json
import os
import subprocess
import unittest

import harness

POLICY = """
[[grant]]
users = [7001]
roles = ["viewer"]
"""


class AuditTest(unittest.TestCase):
    def setUp(self):
        self.daemon = harness.Daemon(policy=POLICY)
        self.addCleanup(self.daemon.end)
        self.daemon.start()

    def lines(self, *words):
        result = self.daemon.cli("audit", "-o", "json", *words)
        self.assertEqual(result.code, 0, result)
        return [json.loads(line) for line in result.out.splitlines()]

    def test_each_change_has_its_line(self):
        program = self.daemon.load("xdp_counter", "xdp")
        link = self.daemon.attach("xdp", program, "lo", "-p", 10)["id"]
        self.assertNotEqual(self.daemon.cli("link", "attach", "xdp", program, "nowhere0", "-p", 10).code, 0)
        bad = self.daemon.cli("program", "load", "file", harness.example("bad_verifier"), "--programs", "xdp:bad_verifier")
        self.assertNotEqual(bad.code, 0)
        self.daemon.cli("link", "detach", link)
        self.daemon.cli("program", "unload", program)
        lines = self.lines()
        self.assertEqual([each["action"] for each in lines], ["load", "attach", "attach", "load", "detach", "unload"])
        self.assertEqual([each["number"] for each in lines], [1, 2, 3, 4, 5, 6])
        self.assertEqual({each["uid"] for each in lines}, {0})
        self.assertEqual(lines[0]["programs"], [program])
        self.assertTrue(lines[0]["what"].endswith("xdp_counter.bpf.o"))
        self.assertEqual((lines[1]["links"], lines[1]["what"], lines[1]["result"]), ([link], "lo", "ok"))
        self.assertIn("nowhere0 does not exist", lines[2]["result"])
        self.assertIn("refused", lines[3]["what"])
        self.assertEqual(lines[4]["links"], [link])
        self.assertEqual(lines[5]["programs"], [program])
        self.assertEqual([each["number"] for each in self.lines("--program-id", program)], [1, 2, 3, 5, 6])
        self.assertEqual([each["number"] for each in self.lines("--failed")], [3])
        for line in lines:                                      # the same in the log, for the journal
            self.assertIn(f'"number":{line["number"]},', self.daemon.log)

    def test_denials_and_who_may_read_them(self):
        program = self.daemon.load("xdp_counter", "xdp")
        self.assertNotEqual(self.daemon.cli("program", "list", user=7002).code, 0)
        self.assertNotEqual(self.daemon.cli("program", "unload", program, user=7001).code, 0)
        for user in (7001, 7002):
            self.assertIn("permission denied", self.daemon.cli("audit", user=user).err)
        lines = self.lines("--action", "denied")
        self.assertEqual([each["uid"] for each in lines], [7002, 7001, 7001, 7002])
        self.assertIn("view this host's", lines[0]["what"])
        self.assertIn("change programs of user 0", lines[1]["what"])
        self.assertIn("read the audit", lines[2]["what"])
        self.assertEqual([each["what"] for each in self.lines("--user", 7001)], [each["what"] for each in lines[1:3]])

    def test_denials_of_one_do_not_push_out_what_others_did(self):
        self.daemon.load("xdp_counter", "xdp")
        words = ["sh", "-c", "for i in $(seq 130); do $0 program list 2>/dev/null; done; true", os.path.join(harness.BIN, "bpfman")]
        subprocess.run(words, user=7002, env=dict(os.environ, BPFMAN_RUNTIME_DIR=self.daemon.runtime), check=True)
        count = len(self.lines("--user", 7002, "--limit", 1000))
        self.assertGreaterEqual(count, 100)
        self.assertLess(count, 130)                             # unless a minute's end fell between: then two hundred would be allowed

    def test_a_lost_answer_is_no_second_load(self):
        words = [os.path.join(harness.BIN, "hostile-client"), "asks-again", self.daemon.runtime, harness.example("xdp_counter"), "0"]
        said = dict(line.split() for line in harness.run(*words).stdout.splitlines())
        self.assertEqual(said["first"], said["again"])
        self.assertNotEqual(said["first"], said["other"])
        self.assertEqual(said["link_first"], said["link_again"])
        self.assertNotEqual(said["link_first"], said["link_other"])
        self.assertEqual(len(self.daemon.programs()), 2)
        self.assertEqual(len(self.daemon.links()), 2)
        self.daemon.kill()                                      # and after a restart
        self.daemon.start()
        again = dict(line.split() for line in harness.run(*words).stdout.splitlines())
        self.assertEqual(said, again)
        self.assertEqual(self.daemon.settled(), [])


if __name__ == "__main__":
    harness.main()
