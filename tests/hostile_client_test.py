"""Clients that speak the protocol and mean no good: others are served meanwhile, and nothing of it is left."""

import os
import subprocess
import unittest
import warnings

import harness


class HostileClient(unittest.TestCase):
    def setUp(self):
        warnings.simplefilter("ignore", ResourceWarning)
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
        for key, text in (("unsealed", "add F_SEAL_WRITE"), ("half_sealed", "add F_SEAL_WRITE"), ("pipe", "not a memfd"),
                          ("file", "not a memfd"), ("none", "no descriptor came with the call")):
            harness.attack(self, "descriptor", f"bytecode: {key}", text in said[key])

    def test_places_that_there_are_not(self):
        self.program = self.daemon.load("every_hook", "perf_event", "event")
        frontend = self.daemon.pid("frontend")
        said = self.result(self.attack("bad-places"))
        for key, text in (("cpu", "there is no CPU -2"), ("least_cpu", "there is no CPU"), ("order", "no order among perf_event programs")):
            harness.attack(self, "bad object or place", f"place: {key}", text in said[key])
        self.assertEqual(self.daemon.links(), [])
        self.assertEqual(self.daemon.pid("frontend"), frontend)

    def test_programs_that_are_none(self):
        frontend, worker = self.daemon.pid("frontend"), self.daemon.pid("worker")
        said = self.result(self.attack("bad-programs"))
        for key in ("map", "file", "path", "socket", "memfd"):
            harness.attack(self, "descriptor", f"a program: {key}", "is not a program" in said[key])
        harness.attack(self, "descriptor", "a program: none", "no descriptor came with the call" in said["none"])
        self.assertEqual(self.daemon.programs(), [self.program])
        self.assertEqual((self.daemon.pid("frontend"), self.daemon.pid("worker")), (frontend, worker))

    def test_calls_above_the_limit_are_refused_and_the_others_answered(self):
        said = {text: int(count) for count, text in self.result(self.attack("calls")).items()}
        self.assertEqual(sum(said.values()), 100)
        answered = said.pop("ok")
        self.assertGreaterEqual(answered, 64)                   # limits.max_calls, of all his connections together
        self.assertLess(answered, 90)                           # some were answered while others came
        harness.attack(self, "resource exhaustion", "100 calls at once", "too many calls in flight" in " ".join(said))

    def test_capabilities_pile_up_to_the_limit(self):
        said = self.result(self.attack("capabilities"))
        self.assertEqual(int(said["held"]) + 2, 1024)           # Daemon, Programs and the held ones
        harness.attack(self, "resource exhaustion", "capabilities without end", "1024 capabilities" in said["then"])
        self.assertEqual(said["after"], "ok")

    def test_descriptors_pile_up_to_the_limit(self):
        said = self.result(self.attack("descriptors"))
        self.assertEqual(said["held"], "64")
        harness.attack(self, "resource exhaustion", "descriptors without end", "64 descriptors" in said["then"])
        self.assertEqual(said["after"], "ok")
        def held():
            return list(harness.descriptors(self.daemon.pid("frontend")).values()).count("anon_inode:bpf-map")

        self.assertTrue(harness.eventually(lambda: held() == 0), held())    # they are closed by a thread

    def test_what_is_handed_on_is_narrow_and_can_be_taken_back(self):
        harness.run("ip", "link", "add", "other0", "type", "veth", "peer", "name", "other1")
        self.addCleanup(harness.run, "ip", "link", "del", "other0")
        said = self.result(self.attack("hands-on"))
        for key in ("lo", "read_only_get", "descriptor", "own"):
            self.assertEqual(said[key], "ok", key)
        self.assertIn("for other interfaces", said["other_interface"])
        self.assertEqual(said["read_only_iterate"], "ok")
        for key in ("read_only_attach", "read_only_unload", "below_read_only", "read_only_descriptor", "read_only_ticket"):
            harness.attack(self, "authority", key, "for reading only" in said[key])
        for key in ("no_descriptor", "no_iterator"):
            harness.attack(self, "authority", key, "without the power to take descriptors" in said[key])
        self.assertEqual(said["given_out"], "1")
        self.assertEqual(int(said["given_map"]), self.daemon.mapId(self.program))
        for key in ("after_get", "after_map", "after_descriptor", "after_iterate", "below_revoked"):
            harness.attack(self, "authority", key + " of what was revoked", "revoked" in said[key])
        self.assertEqual([each["target"] if "target" in each else each["kind"] for each in self.daemon.links()], ["xdp"])

    def test_a_program_for_sockets_is_narrow_too(self):
        self.program = self.daemon.load("every_hook", "socket_filter", "socket_filter")
        said = self.result(self.attack("program-descriptor"))
        for key, text in (("interfaces", "for other interfaces"), ("read_only", "for reading only"), ("no_descriptors", "without the power to take descriptors")):
            harness.attack(self, "authority", f"a program's descriptor: {key}", text in said[key])
        self.assertEqual((said["any"], said["given_program"]), ("ok", str(self.program)))

    def stays(self, name):
        """Starts an attack that stays, lets the test go on when it has sent what it could."""
        process = self.attack(name, stdin=subprocess.PIPE)
        self.addCleanup(process.kill)
        self.assertRegex(process.stdout.readline(), "^sent [0-9]+")
        return process

    def memory(self):
        return int(harness.status(self.daemon.pid("frontend"))["VmRSS"].split()[0])

    def test_one_who_never_reads_is_no_longer_heard(self):
        for _ in range(20):
            self.daemon.load("two_programs", "xdp", "two_first")    # so that answers are not tiny
        before = self.memory()
        attacks = [self.stays("never-reads") for _ in range(4)]
        harness.attack(self, "resource exhaustion", "answers that nobody reads", self.memory() - before < 64 << 10)
        self.assertEqual(self.daemon.cli("program", "list").code, 0)
        for each in attacks:
            each.communicate()
        self.assertEqual(self.daemon.cli("program", "list").code, 0)

    def test_descriptors_that_nobody_receives_run_out_for_their_asker_alone(self):
        def maps():
            return list(harness.descriptors(self.daemon.pid("frontend")).values()).count("anon_inode:bpf-map")
        attack = self.stays("never-receives")                   # 40 calls at once, of 64 that its user has
        harness.attack(self, "resource exhaustion", "descriptors that nobody receives", maps() == 8)
        said = self.result(self.attack("descriptors"))           # another one gets his
        self.assertEqual(said["held"], "64")
        attack.communicate()
        self.assertTrue(harness.eventually(lambda: maps() == 0))


if __name__ == "__main__":
    harness.main()
