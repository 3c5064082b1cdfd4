"""A scheduler (sched_ext): a struct_ops by which the kernel schedules all processes. It stays whoever dies, and its end gives back the kernel's own."""

import json
import os
import signal
import unittest

import harness

STATE = "/sys/kernel/sched_ext"


def said(name):
    with open(os.path.join(STATE, name)) as file:
        return file.read().strip()


class SchedExt(unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(harness.Daemon())

    def load(self):
        return self.daemon.cli("program", "load", "file", harness.example("scheduler"), "--all-programs", "-o", "json")

    def attach(self, program):
        return self.daemon.attach("struct_ops", program)["id"]

    def schedules(self):
        """It puts processes that have work to do into its queue, and takes them from there; and they do their work."""
        before = harness.sums(self.runs)
        self.assertEqual(harness.run("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true & done; wait; echo done").stdout, "done\n")
        after = harness.sums(self.runs)
        return all(after[each] - before[each] >= 10 for each in (0, 1))

    def testWithoutOneTheErrorSaysWhatIsNeeded(self):
        kinds, = (each["kinds"] for each in self.daemon.json("host")["hooks"] if each["type"] == "struct_ops")
        self.assertEqual("sched_ext_ops" in kinds, os.path.exists(STATE))
        if os.path.exists(STATE):
            return
        answer = self.load()
        self.assertEqual(answer.code, 1)
        self.assertIn("it needs Linux 6.12 with CONFIG_SCHED_CLASS_EXT", answer.err)
        self.assertEqual((self.daemon.programs(), self.daemon.settled()), ([], []))

    @unittest.skipUnless(os.path.exists(STATE), "this kernel has no sched_ext (Linux 6.12 with CONFIG_SCHED_CLASS_EXT, which Debian 13 leaves out): "
                                                "tests/vm/run sid sched_ext_test.py")
    def testSchedulesUntilItIsDetachedWhoeverDies(self):
        answer = self.load()
        records = {each["record"]["load"]["program_name"]: each["record"] for each in json.loads(answer.out)["programs"]}
        self.assertEqual({name: each["load"]["attach_func"] for name, each in records.items()},
                         {"enqueue": "sched_ext_ops.enqueue", "dispatch": "sched_ext_ops.dispatch", "init_queue": "sched_ext_ops.init"})
        program = records["enqueue"]["program_id"]
        self.runs = self.daemon.mapId(program, "runs")
        self.assertEqual(said("state"), "disabled")
        for death in (None, "frontend", "worker", "broker"):
            with self.subTest(death):
                link = self.attach(program)
                self.assertEqual((said("state"), said("root/ops")), ("enabled", "bpfman_fifo"))
                self.assertTrue(self.schedules())
                if death == "broker":
                    self.daemon.kill()
                elif death:
                    os.kill(self.daemon.pid(death), signal.SIGKILL)
                self.assertEqual(said("state"), "enabled")
                self.assertTrue(self.schedules())
                if death == "broker":
                    self.daemon.start()
                harness.eventually(lambda: self.daemon.cli("link", "list").code == 0)
                self.assertEqual([each["id"] for each in self.daemon.links()], [link])
                self.assertTrue(self.schedules())
                self.assertEqual(self.daemon.cli("link", "detach", link).code, 0)
                self.assertTrue(harness.eventually(lambda: said("state") == "disabled"))
                self.assertFalse(self.schedules())
                self.assertEqual(self.daemon.settled(), [])
        link, other = self.attach(program), json.loads(self.load().out)["programs"][0]["record"]["program_id"]
        refused = self.daemon.cli("link", "attach", "struct_ops", other)
        self.assertIn("another program has this place, and the kernel allows one", refused.err)
        self.assertEqual((said("state"), [each["id"] for each in self.daemon.links()]), ("enabled", [link]))
        self.assertTrue(self.schedules())
        self.assertEqual(self.daemon.cli("program", "unload", *self.daemon.programs()).code, 0)   # with the link
        self.assertTrue(harness.eventually(lambda: said("state") == "disabled"))
        self.assertEqual((self.daemon.programs(), self.daemon.links(), self.daemon.settled()), ([], [], []))


if __name__ == "__main__":
    harness.main()
