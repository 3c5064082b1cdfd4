"""Each number of docs/limits.md has a test, at the limit and one above: the table says which. A row without one fails."""

import json
import os
import re
import socket
import struct
import time
import unittest

import harness
import network
import own_programs

# The first words of a row of docs/limits.md: FILE TEST of each test that tries it. Tests of this file are named alone.
TESTED = {
    "object file": "test_what_a_client_hands_over_has_its_limits",
    "programs": "test_the_ceiling_of_programs_and_maps, test_what_a_client_hands_over_has_its_limits",
    "maps": "test_the_ceiling_of_programs_and_maps",
    "memory of its maps": "test_the_ceiling_of_memory",
    "alternatives": "hook_targets_test.py testTheFirstOfSeveralThatTheKernelTakes",
    "global variables": "test_what_a_client_hands_over_has_its_limits",
    "values of the variables": "loader/globals-test.c++ ByTypeAreLimitedInTheirSize",
    "variables that": "loader/globals-test.c++ ListsSoManyVariablesAndValues",
    "sizes of maps": "test_what_a_client_hands_over_has_its_limits",
    "modules of the kernel": "worker/modules-test.c++ MoreThanTheLimitEndTheSession",
    "BTF of another": "test_what_a_client_hands_over_has_its_limits",
    "signature of a program": "test_what_a_client_hands_over_has_its_limits",
    "instructions that": "loader/object-test.c++ SaysWhatIsToBeSignedUpToItsLimit",
    "metadata of one program or link": "test_what_a_client_hands_over_has_its_limits",
    "name of a function": "test_what_a_client_hands_over_has_its_limits",
    "path that is kept": "test_what_a_client_hands_over_has_its_limits",
    "context of a program": "other_hooks_test.py testSyscall",
    "description of where": "hook_targets_test.py testNamesOfFunctionsAreNotKeptAtAnyLength",
    "time in the verifier": "test_the_time_in_the_verifier, test_the_time_of_a_run",
    "verifier's log that the kernel": "loader/object-test.c++ CutsAVeryLongVerifiersLog, worker/load-test.c++ MalformedProgramsEndTheSession",
    "verifier's log in the answer": "loader/object-test.c++ CutsAVeryLongVerifiersLog, loader/explain-test.c++ CutsALongLogInItsMiddleAndSaysHowMuch",
    "objects of one user's persistent": "test_what_is_kept_for_one_user",
    "programs of one operator": "test_the_programs_of_one_operator",
    "kernel memory of all programs and maps": "test_the_memory_of_one_operator",
    "load sessions at once": "test_the_sessions_at_once",
    "loader and session pairs": "test_the_pool",
    "one message": "test_one_message",
    "descriptors in a message": "bad_input_test.py test_too_many_descriptors",
    "connections": "bad_input_test.py test_connections_that_stay_are_limited, test_connections_and_calls_are_configured",
    "calls in flight": "hostile_client_test.py test_calls_above_the_limit_are_refused_and_the_others_answered",
    "capabilities": "hostile_client_test.py test_capabilities_pile_up_to_the_limit",
    "descriptors of maps": "hostile_client_test.py test_descriptors_pile_up_to_the_limit",
    "descriptors sent": "hostile_client_test.py test_descriptors_that_nobody_receives_run_out_for_their_asker_alone",
    "answers that a user has not read": "hostile_client_test.py test_one_who_never_reads_is_no_longer_heard",
    "tickets": "test_what_a_client_hands_over_has_its_limits",
    "file systems with BPF tokens": "token_test.py testOneUserHasSoMany",
    "bpffs that are being delegated to": "broker/broker-test.c++ DelegatorHasOneCapabilityAndThereAreFew",
    "interfaces in one narrowing": "test_what_a_client_hands_over_has_its_limits",
    "uploads": "test_what_a_client_hands_over_has_its_limits",
    "pairs of key": "elements_test.py test_the_programs_that_are_kept_for_it_are_limited",
    "key and value": "elements_test.py test_says_which_maps_it_is_not_for",
    "elements": "test_what_a_client_hands_over_has_its_limits",
    "clients' descriptors": "silent_file_test.py test_descriptors_that_never_answer_delay_nobody_and_are_few",
    "`audit.log`": "frontend/audit-test.c++ RotatesAndReadsOverItsFiles",
    "lines of denials": "audit_test.py test_denials_of_one_do_not_push_out_what_others_did",
    "lines in one answer": "test_what_a_client_hands_over_has_its_limits",
    "request id": "test_what_a_client_hands_over_has_its_limits",
    "steps of one change": "test_changes",
    "time that a change": "test_changes",
    "XDP programs": "chain_test.py testAsManyAsTheEngineTakesAllRunAndOneMoreIsRefused",
    "TC programs": "tc_test.py testAsManyAsTheEngineTakesAllRunAndOneMoreIsRefused",
    "tail calls": "frontend/chain-test.c++ Has33TailCallsInOneRunAndNo34th",
    "a kprobe's offset": "hook_targets_test.py testWrongTargetsAreRefusedAndLeaveNothing",
    "functions that a kprobe.multi": "hook_targets_test.py testFunctionsAreNamedWithinTheirLimits",
    "patterns among them": "hook_targets_test.py testFunctionsAreNamedWithinTheirLimits",
    "places in a binary": "hook_targets_test.py testPlacesOfABinaryAreManyButLimited",
    "functions that match": "hook_targets_test.py testFunctionsAreNamedWithinTheirLimits",
    "priority": "test_what_a_client_hands_over_has_its_limits",
    "network namespaces": "test_the_network_namespaces_in_use",
    "policy file": "frontend/policy-test.c++ RefusesZeroBytesAndFilesThatAreTooLarge",
    "bpfman's own ids": "frontend/catalog-test.c++ EndAtTheLastOneWithAnError",
    "user ids": "broker/broker-test.c++ Options",
}


class Document(unittest.TestCase):
    def test_each_row_has_a_test(self):
        with open(os.path.join(harness.ROOT, "docs", "limits.md")) as file:
            rows = [line.split("|")[1].strip() for line in file if line.startswith("|")]
        rows = [row for row in rows if row != "limit" and not row.startswith("---")]
        named = {row: max((key for key in TESTED if row.startswith(key)), key=len, default=None) for row in rows}
        self.assertEqual([row for row, key in named.items() if key is None], [], "limits without a test")
        self.assertEqual(set(TESTED) - set(named.values()), set(), "tests of limits that docs/limits.md does not have")
        for each in ",".join(TESTED.values()).split(","):
            *path, name = each.split()
            path = path[0] if path else "limits_test.py"
            path = os.path.join(harness.ROOT, path if "/" in path else "tests/" + path)
            with open(path) as file:
                self.assertRegex(file.read(), rf"(def |TEST(_F|_P)?\(\w+, |TEST\(){name}", each)


class Limits(unittest.TestCase):
    def start(self, config="", policy=None):
        daemon = harness.Daemon(policy=policy, config=config)
        self.addCleanup(daemon.end)
        return daemon.start()

    def load(self, daemon, name, programs, more=(), **who):
        return daemon.cli("program", "load", "file", harness.example(name), "--programs", programs, *more, **who)

    def refused(self, text, result):
        self.assertEqual(result.code, 1, result)
        self.assertIn(text, result.err)

    def test_what_a_client_hands_over_has_its_limits(self):
        """NAME: what is said at the limit (ok, or that it is no object: all else was right), and one above."""
        expected = {"object": ("ELF", "16777216"), "map_sizes": ("ELF", "at most 256 sizes"), "kernel_types": ("ELF", "16777216"), "signature": ("ELF", "1 to 8192"),
                    "programs": ("ELF", "at most 64 programs"), "globals": ("ELF", "at most 256 global"),
                    "global": ("ELF", "more than 65536 bytes"), "metadata_pairs": ("ELF", "at most 64 pairs"),
                    "metadata_bytes": ("ELF", "16384 bytes together"), "name": ("ELF", "longer than 255 bytes"),
                    "request_id": ("ELF", "at most 64 bytes"), "path": ("ok", "longer than 4096 bytes"),
                    "narrowed": ("ok", "at most 64 interfaces"), "elements": ("ok", "give 1 to 4096"), "audit_lines": ("ok", "give 1 to 1000"),
                    "priority": ("ok", "priority"), "uploads": ("ok", "at most 4 uploads"), "tickets": ("ok", "at most 16 tickets")}
        daemon = self.start()
        program = daemon.load("xdp_counter", "xdp")
        said = {}
        for line in harness.run(os.path.join(harness.BIN, "limits-client"), daemon.runtime, program).stdout.splitlines():
            name, where, text = line.split(" ", 2)
            said[name, where] = text
        self.assertEqual({name for name, _ in said}, set(expected))
        for name, texts in expected.items():
            for where, text in zip(("at", "above"), texts):
                with self.subTest(limit=name, where=where):
                    self.assertIn(text, said[name, where])
        self.assertEqual(daemon.settled(), [])

    def test_changes(self):
        daemon = self.start()
        wire = network.Wire("lan0")
        self.addCleanup(wire.remove)
        link = daemon.attach("xdp", daemon.load("xdp_counter", "xdp"), "lan0", "-p", 1)["id"]
        for steps in (64, 65):
            path = os.path.join(daemon.directory, "steps")
            with open(path, "w") as file:
                file.write(f"link update {link} -p 5\n" * steps)
            result = daemon.cli("change", "apply", path)
            self.refused("1 to 64 steps", result) if steps > 64 else self.assertEqual(result.code, 0, result)
        self.refused("1s to 24h", daemon.cli("link", "update", link, "-p", 6, "--confirm-within", "86401s"))
        self.assertEqual(daemon.cli("link", "update", link, "-p", 6, "--confirm-within", "24h").code, 0)
        self.assertEqual(daemon.cli("revert").code, 0)

    def test_what_is_kept_for_one_user(self):
        policy = '[[grant]]\nusers = [4321, 4322]\nroles = ["operator"]\n'
        daemon = self.start(policy=policy)
        with open(harness.example("xdp_mark"), "rb") as file:
            content = file.read()
        padded = os.path.join(daemon.directory, "padded.o")
        with open(padded, "wb") as file:
            file.write(content.ljust(16 << 20, b"\0"))

        def load(path, *more, user=4321):
            return daemon.cli("program", "load", "file", path, "--programs", "xdp:xdp_second", "-o", "json", *more, user=user, group=user,
                              extra_groups=[])
        answers = [load(padded, "--persistent") for _ in range(16)]
        self.assertEqual([each.code for each in answers], [0] * 16, answers[-1])
        small = harness.example("xdp_mark")
        self.refused("are kept for one user", load(small, "--persistent"))
        self.assertEqual((load(small).code, load(small, "--persistent", user=4322).code), (0, 0))
        first = json.loads(answers[0].out)["programs"][0]["record"]["program_id"]
        self.assertEqual(daemon.cli("program", "unload", first).code, 0)
        self.assertEqual(load(small, "--persistent").code, 0)
        self.assertEqual(daemon.settled(), [])

    def test_the_ceiling_of_programs_and_maps(self):
        daemon = self.start("[ceiling]\nmax_programs = 4\nmax_maps = 8\n")   # the least that it may be: bpfman's own objects have as many
        self.assertEqual(self.load(daemon, "two_programs", "xdp:two_first,xdp:two_second").code, 0)
        five = ",".join("xdp:large_verifier" + each for each in ("", "_2", "_3", "_4", "_5"))
        self.refused("at most 4 programs", self.load(daemon, "large_verifier", five))
        self.assertEqual(daemon.settled(), [])
        daemon.end()
        # As many maps as the object has, and those that libbpf makes to try what the kernel can; one fewer is refused.
        for maps in range(10, 20):
            daemon = self.start(f"[ceiling]\nmax_maps = {maps}\n")
            result = self.load(daemon, "many_maps", "xdp:many_maps,xdp:many_tail")
            self.assertEqual(daemon.settled(), [])
            committed = len([pin for pin in daemon.pins() if re.match("loads/[0-9]+/m", pin)]) - 1   # without the iterators' own
            daemon.end()
            if result.code == 0:
                break
            self.assertIn("more maps or map memory than the policy allows", result.err)
        self.assertGreater(maps, 10)
        self.assertIn(maps - committed, range(4))

    def test_the_ceiling_of_memory(self):
        """A per-CPU value and one of .rodata, as docs/limits.md counts them; an operator's role bounds it like the ceiling does."""
        needed = (8 * os.sysconf("SC_NPROCESSORS_CONF") + 8) + (8 + 8)
        for most, allowed in ((needed, True), (needed - 1, False)):
            with self.subTest(most=most):
                daemon = self.start(policy=f'[roles.few]\nbase = "operator"\nclasses = ["network"]\nmax_map_bytes = {most}\n'
                                           '[[grant]]\nusers = [4001]\nroles = ["few"]\n')
                result = self.load(daemon, "xdp_counter", "xdp:xdp_counter", user=4001, group=4001, extra_groups=[])
                self.assertEqual(result.code == 0, allowed, result)
                self.assertEqual(daemon.settled(), [])

    def test_the_time_in_the_verifier(self):
        four = ",".join("xdp:large_verifier" + each for each in ("", "_2", "_3", "_4"))
        daemon = self.start("[limits]\nverifier_seconds = 1\n")
        self.assertEqual(self.load(daemon, "xdp_counter", "xdp:xdp_counter").code, 0)
        self.refused("cancelled: the kernel's verifier needed more than 1 s", self.load(daemon, "large_verifier", four))
        self.assertEqual(daemon.settled(), [])
        daemon.end()
        daemon = self.start("[limits]\nverifier_seconds = 600\n")
        result = self.load(daemon, "large_verifier", "xdp:large_verifier", timeout=300)
        self.assertIn("too large", result.err)                  # the verifier came to its own end

    def test_the_time_of_a_run(self):
        """The kernel ends no program: what it still does is its process's, which nobody waits for."""
        daemon = self.start("[limits]\nverifier_seconds = 1\n")
        program = daemon.load("every_hook", "syscall", "syscall_slow")
        run = lambda times: daemon.cli("program", "run", program, "--context", struct.pack("<QQQ", times, 0, 0).hex())
        self.assertEqual(run(2).out.splitlines()[0], "Returned 2")
        began = time.monotonic()
        self.refused("cancelled: the program needed more than 1 s", run(200))
        print("answered after", time.monotonic() - began)
        self.assertEqual(self.load(daemon, "xdp_counter", "xdp:xdp_counter").code, 0)
        self.assertTrue(harness.eventually(lambda: len(daemon.processes()["loader"]) == 2, 60))
        self.assertEqual(daemon.settled(), [])

    def test_the_sessions_at_once(self):
        """One for the load under way, none for another; when it has ended there is one again."""
        four = ",".join("xdp:large_verifier" + each for each in ("", "_2", "_3", "_4"))
        daemon = self.start("[limits]\npool_size = 1\n[ceiling]\nmax_sessions = 1\n")
        long = daemon.popen("program", "load", "file", harness.example("large_verifier"), "--programs", four)
        self.addCleanup(long.kill)
        time.sleep(0.5)
        result = self.load(daemon, "xdp_counter", "xdp:xdp_counter")
        print(result)
        self.assertEqual(len(daemon.processes()["session"]), 1)
        long.kill()
        long.communicate()
        self.assertTrue(harness.eventually(lambda: self.load(daemon, "xdp_counter", "xdp:xdp_counter").code == 0))

    def test_the_network_namespaces_in_use(self):
        daemon = self.start()
        program = daemon.load("xdp_counter", "xdp")
        spaces = [network.Namespace(f"space{number}") for number in range(33)]
        for number, space in enumerate(spaces, 1):
            self.addCleanup(space.remove)
            daemon.attach("xdp", program, "lo", "-p", 1, "-n", space.path)
            workers = lambda: len(daemon.processes()["worker"])  # the host's among them
            self.assertTrue(harness.eventually(lambda: workers() == min(number + 1, 32)), (number, workers()))
        self.assertEqual(len(daemon.links()), 33)
        daemon.attach("xdp", program, "lo", "-p", 2, "-n", spaces[0].path)   # whose worker had left

    def test_the_memory_of_one_operator(self):
        one = (8 * os.sysconf("SC_NPROCESSORS_CONF") + 8) + (8 + 8)       # maps, as docs/limits.md counts them; then the program's page
        policy = ('[roles.few]\nbase = "operator"\nclasses = ["network"]\nmap_rights = ["read", "write"]\nmax_memory = %d\n[[grant]]\nusers = [4001, 4002]\nroles = ["few"]\n'
                  % (2 * (one + 4096) + 4095))
        daemon = self.start(policy=policy)
        who, other = harness.user(4001), harness.user(4002)
        self.assertEqual(daemon.json("memory"), {"users": []})
        for count in (1, 2):
            self.assertEqual(self.load(daemon, "xdp_counter", "xdp:xdp_counter", **who).code, 0)
            self.assertEqual(daemon.json("memory"), {"users": [{"uid": 4001, "programs": count, "maps": 2 * count, "bytes": count * (one + 4096)}]})
        before = daemon.programs()
        self.refused("(max_memory)", self.load(daemon, "xdp_counter", "xdp:xdp_counter", **who))
        self.assertEqual((daemon.programs(), daemon.settled()), (before, []))
        before = daemon.json("program", "update", before[0], "--file", harness.example("xdp_counter"), **who)["record"]["program_id"], before[1]
        path = own_programs.pinned(self, own_programs.loaded())                                     # what is handed over counts too
        os.chmod(path, 0o666)
        self.refused("(max_memory)", daemon.cli("program", "take", "--pinned", path, **who))
        self.assertEqual(daemon.settled(), [])
        self.assertEqual(self.load(daemon, "xdp_counter", "xdp:xdp_counter", **other).code, 0)      # his own are counted
        self.assertEqual(daemon.cli("program", "unload", before[0], **who).code, 0)
        self.assertEqual(self.load(daemon, "xdp_counter", "xdp:xdp_counter", **who).code, 0)

    def test_the_programs_of_one_operator(self):
        policy = '[roles.few]\nbase = "operator"\nclasses = ["network"]\nmax_programs = 2\n[[grant]]\nusers = [4001]\nroles = ["few"]\n'
        daemon = self.start(policy=policy)
        who = harness.user(4001)
        for _ in range(2):
            either = ("--or", "xdp:first,xdp:second,xdp:third")   # of which as many are counted as the longer has
            self.refused("max_programs: 2", self.load(daemon, "xdp_counter", "xdp:xdp_counter", more=either, **who))
            self.assertEqual(self.load(daemon, "xdp_counter", "xdp:xdp_counter", **who).code, 0)
        self.refused("max_programs: 2", self.load(daemon, "xdp_counter", "xdp:xdp_counter", **who))
        self.assertEqual(len(daemon.programs()), 2)

    def test_the_pool(self):
        for size in (1, 4):
            daemon = self.start(f"[limits]\npool_size = {size}\n")
            pairs = lambda: [len(daemon.processes()[kind]) for kind in ("loader", "session")]
            self.assertTrue(harness.eventually(lambda: pairs() == [size, size]), pairs())
            daemon.load("xdp_counter", "xdp")
            self.assertTrue(harness.eventually(lambda: pairs() == [size, size]), pairs())
            daemon.end()

    def test_connections_and_calls_are_configured(self):
        daemon = self.start("[limits]\nmax_connections = 3\n")

        def live():
            one = socket.socket(socket.AF_UNIX)
            self.addCleanup(one.close)
            one.settimeout(5)
            one.connect(os.path.join(daemon.runtime, "bpfman.sock"))
            return answers(one)
        self.assertEqual([live() for _ in range(4)], [True, True, True, False])

    def test_one_message(self):
        """
        1 MiB is read, one word more ends the connection, before that word is there. Cap'n Proto 1.x counts the segment
        table's word among them, 0.9 does not: 131072 words themselves are either's. 32 levels: bad_input_test.py.
        """
        daemon = self.start()
        for words, allowed in ((131071, True), (131073, False)):
            with self.subTest(words=words):
                one = socket.socket(socket.AF_UNIX)
                self.addCleanup(one.close)
                one.settimeout(10)
                one.connect(os.path.join(daemon.runtime, "bpfman.sock"))
                try:
                    self.assertEqual(answers(one, words), allowed)
                except OSError:
                    self.assertFalse(allowed)


def answers(one, size=0):
    """Whether a bootstrap message is answered, which is filled up to `size` words."""
    words = [struct.pack("<IHH", 0, 1, 1), struct.pack("<HHI", 8, 0, 0), struct.pack("<IHH", 0, 1, 1), struct.pack("<Q", 0), bytes(8)]
    words += [bytes(8)] * (size - len(words))
    try:
        one.sendall(struct.pack("<II", 0, len(words)) + b"".join(words))
        return one.recv(1) != b""
    except OSError:
        return False


if __name__ == "__main__":
    harness.main()
