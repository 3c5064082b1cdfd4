"""Bad input and hostile clients: each gets exit code 1 and a text that says what was wrong, and nothing is lost or leaked."""

import array
import errno
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import unittest

import harness


class Counted(unittest.TestCase):
    """One daemon; what each test leaves is compared with what was there before: descriptors, kernel objects, pins, the list."""

    def setUp(self):
        self.daemon = harness.Daemon()
        self.addCleanup(self.daemon.end)
        self.daemon.start()
        self.scratch = tempfile.mkdtemp(dir=self.daemon.directory)
        self.kept = self.daemon.load("xdp_counter", "xdp")
        # The pool is full again, and its last member has settled.
        harness.eventually(lambda: [len(self.daemon.processes()[kind]) for kind in ("loader", "session")] == [2, 2])
        harness.eventually(lambda: [len(harness.descriptors(pid)) for pid in self.daemon.processes()["loader"]] == [6, 6])
        harness.eventually(lambda: [len(harness.descriptors(pid)) for pid in self.daemon.processes()["session"]] == [5, 5])
        self.maps = harness.mapIds()
        self.before = self.count()

    def tearDown(self):
        last = harness.eventually(lambda: self.count() == self.before, 10) or self.count()
        if last is not True:
            self.assertEqual(last, self.before)
        self.assertEqual(self.daemon.settled(), [])
        self.assertEqual(harness.orphanMaps(self.maps), [])
        self.assertEqual(self.daemon.cli("program", "get", self.kept).code, 0)

    def count(self):
        processes = self.daemon.processes()
        return {"processes": {kind: len(pids) for kind, pids in processes.items()},
                "descriptors": {kind: sorted(len(harness.descriptors(pid)) for pid in pids) for kind, pids in processes.items()},
                "programs": len(self.daemon.kernelPrograms()), "pins": self.daemon.pins()}

    def memory(self):
        return int(harness.status(self.daemon.pid("frontend"))["VmRSS"].split()[0])

    def file(self, content, name="bad.bpf.o"):
        path = os.path.join(self.scratch, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def refused(self, text, *words):
        result = self.daemon.cli(*words)
        refused = result.code == 1 and result.err.startswith("bpfman: error: ") and text in result.err
        harness.attack(self, "bad object or place", f"{words[:3]}: {str(result)[:300]}", refused)
        return result

    def refusedLoad(self, text, path, programs="xdp:xdp_counter", *more):
        return self.refused(text, "program", "load", "file", path, "--programs", programs, *more)


class Objects(Counted):
    def setUp(self):
        super().setUp()
        with open(harness.example("xdp_counter"), "rb") as file:
            self.good = file.read()

    def test_not_an_elf(self):
        self.refusedLoad("not an ELF object", self.file(b"hello, world\n" * 100))
        self.refusedLoad("", self.file(b""))
        self.refusedLoad("", os.path.join(self.scratch, "does-not-exist"))
        self.refusedLoad("", self.scratch)

    def test_truncated_anywhere(self):
        for size in sorted({4, 16, 63, 64, len(self.good) // 2, len(self.good) - 1, *range(100, len(self.good), len(self.good) // 20)}):
            with self.subTest(size=size):
                self.refusedLoad("", self.file(self.good[:size]))

    def test_a_byte_changed_anywhere_kills_nobody(self):
        for at in range(0, len(self.good), max(1, len(self.good) // 60)):
            changed = bytearray(self.good)
            changed[at] ^= 0xff
            result = self.daemon.cli("program", "load", "file", self.file(changed), "--programs", "xdp:xdp_counter")
            if result.code == 0:
                self.daemon.cli("program", "unload", *set(map(str, self.daemon.programs())) - {str(self.kept)})
        self.assertNotIn("killed by signal", self.daemon.log)

    def test_for_another_machine(self):
        for machine in (62, 183, 0):                            # x86-64, aarch64, none
            self.refusedLoad("", self.file(self.good[:18] + struct.pack("<H", machine) + self.good[20:]))
        self.refusedLoad("", "/proc/self/exe", "xdp:main")

    def test_a_gigabyte(self):
        path = self.file(self.good)
        os.truncate(path, 1 << 30)
        before = self.memory()
        self.refusedLoad("16 MiB", path)
        self.assertLess(self.memory() - before, 4096)

    def test_verifiers_refusal_comes_with_its_log(self):
        self.assertIn("R0 invalid mem access", self.refusedLoad("the kernel refused program", harness.example("bad_verifier"), "xdp:bad_verifier").err)

    def test_programs_that_call_bpf_in_the_kernel(self):
        path = harness.example("calls_bpf")
        for programs in ("xdp:calls_bpf", "tracepoint:calls_bpf", "syscall:calls_bpf_as_syscall", "xdp:calls_bpf_as_syscall"):
            result = self.daemon.cli("program", "load", "file", path, "--programs", programs)
            harness.attack(self, "bpf in the kernel", f"{programs}: {result.err[:200]}", result.code != 0)
        self.assertEqual([each for each in self.daemon.kernelPrograms().values() if each["type"] == "syscall"], [])

    def test_no_licence(self):
        self.refusedLoad("GPL", harness.example("no_license"), "raw_tracepoint:no_license")

    def test_names_and_types(self):
        self.refusedLoad("available programs: [xdp_counter]", harness.example("xdp_counter"), "xdp:nobody")
        self.refusedLoad("type mismatch", harness.example("xdp_counter"), "tracepoint:xdp_counter")
        self.refusedLoad("", harness.example("xdp_counter"), "nonsense:xdp_counter")
        self.refusedLoad("", harness.example("two_programs"), "xdp:nobody,xdp:xdp_counter")

    def test_globals(self):
        path = harness.example("globals")
        self.refusedLoad('global variable "nobody" not found', path, "xdp:globals", "-g", "nobody=01")
        self.refusedLoad("has 4 bytes, the value has 1", path, "xdp:globals", "-g", "medium=01")
        self.refusedLoad("", path, "xdp:globals", "-g", "medium=xyz")
        self.refusedLoad("", path, "xdp:globals", "-g", "medium")

    def test_places(self):
        self.refused("nowhere0", "link", "attach", "xdp", self.kept, "nowhere0", "-p", 10)
        self.refused("", "link", "attach", "xdp", self.kept, "x" * 300, "-p", 10)
        self.refused("", "link", "attach", "xdp", self.kept, "lo", "-p", -1)
        self.refused("", "link", "attach", "xdp", self.kept, "lo", "-p", 10, "-n", "/run/netns/nobody")
        self.refused("", "link", "attach", "xdp", self.kept, "lo", "-p", 10, "-n", "/etc/passwd")
        self.refused("", "link", "attach", "xdp", 4294967295, "lo", "-p", 10)
        self.refused("record not found", "program", "get", 4294967295)


class Clients(Counted):
    """Clients that do not speak the protocol, or not all of it."""

    def connect(self):
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        one.settimeout(5)
        one.connect(os.path.join(self.daemon.runtime, "bpfman.sock"))
        self.addCleanup(one.close)
        return one

    def served(self, kind="resource exhaustion", what="a client that does not speak the protocol"):
        """Others are, and nobody died of it."""
        lives = self.daemon.cli("program", "list").code == 0 and "killed by signal" not in self.daemon.log
        harness.attack(self, kind, what, lives)

    def bootstrap(self):
        """A Cap'n Proto frame: Message.bootstrap with question 0."""
        words = [struct.pack("<IHH", 0, 1, 1), struct.pack("<HHI", 8, 0, 0), struct.pack("<IHH", 0, 1, 1), struct.pack("<Q", 0), bytes(8)]
        return struct.pack("<II", 0, len(words)) + b"".join(words)

    def test_garbage(self):
        for bytes_ in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 4096, b"\xff" * 4096, os.urandom(100000), struct.pack("<II", 0, 0x7fffffff),
                       struct.pack("<II", 511, 1), struct.pack("<II", 0xffffffff, 0xffffffff)):
            one = self.connect()
            try:
                one.sendall(bytes_)
            except OSError:
                pass
            self.served("malformed message", "garbage " + repr(bytes_[:16]))
            one.close()

    def test_deep_and_crossing_pointers(self):
        """Of a kind that is unknown, so that all of it would be sent back: deeper than allowed, and one list many times over."""
        def frame(words):
            return struct.pack("<II", 0, len(words)) + b"".join(words)
        root, unknown = struct.pack("<IHH", 0, 1, 1), struct.pack("<Q", 0xffff)
        deep = [root, unknown] + [struct.pack("<IHH", 0, 0, 1)] * 1000 + [bytes(8)]
        many = 500                                              # pointers to one list of 100,000 words that is not sent 500 times
        crossing = [root, unknown, struct.pack("<Ii", 1, many << 3 | 6)]
        crossing += [struct.pack("<iI", (many - 1 - i) << 2 | 1, 100000 << 3 | 5) for i in range(many)] + [bytes(8)] * 100000
        before = self.memory()
        for words in (deep, crossing):
            one = self.connect()
            try:
                one.sendall(frame(words))
                while one.recv(65536):
                    pass
            except OSError:
                pass
            self.served("malformed message", f"pointers in {len(words)} words")
        harness.eventually(lambda: self.memory() - before < 16384)
        self.assertLess(self.memory() - before, 16384)

    def test_half_a_message(self):
        message = self.bootstrap()
        for size in range(1, len(message)):
            one = self.connect()
            try:
                one.sendall(message[:size])
            except BrokenPipeError:
                pass                                            # faster than the daemon: too many connections of this user at once
            one.close()
        self.assertTrue(harness.eventually(lambda: self.daemon.cli("program", "list").code == 0, 10))
        waiting = [self.connect() for _ in range(8)]
        for one in waiting:
            one.sendall(message[: len(message) // 2])
        self.served()
        for one in waiting:
            one.close()
        self.served()

    def test_ten_thousand_calls(self):
        before = self.memory()
        one = self.connect()
        one.setblocking(False)
        data, sent = self.bootstrap() * 10000, 0
        try:
            while sent < len(data):
                sent += one.send(data[sent:])
        except OSError:
            pass                                                # it takes no more from one who does not read
        self.served()
        one.close()
        self.served()
        harness.eventually(lambda: self.memory() - before < 16384)
        self.assertLess(self.memory() - before, 16384)

    def test_ten_thousand_connections(self):
        for _ in range(10000):
            one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            one.connect(os.path.join(self.daemon.runtime, "bpfman.sock"))
            one.close()
        harness.eventually(lambda: self.daemon.cli("program", "list").code == 0)
        self.served()

    def test_connections_that_stay_are_limited(self):
        def live(one):
            try:
                one.sendall(self.bootstrap())
                return one.recv(1) != b""
            except OSError:
                return False
        sockets = [self.connect() for _ in range(40)]
        self.assertEqual(sum(map(live, sockets)), 32)           # limits.max_connections
        for one in sockets:
            one.close()
        harness.eventually(lambda: self.daemon.cli("program", "list").code == 0)
        self.served()

    def test_too_many_descriptors(self):
        null = os.open("/dev/null", os.O_RDONLY)
        self.addCleanup(os.close, null)
        for count in (1, 4, 5, 64, 253):
            one = self.connect()
            one.sendmsg([self.bootstrap()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * count))])
            self.served("descriptor", f"{count} descriptors with a message")
            one.close()

    def test_a_worker_that_dies_is_replaced(self):
        old = self.daemon.pid("worker")
        os.kill(old, signal.SIGSEGV)
        self.assertTrue(harness.eventually(lambda: self.daemon.cli("program", "list").code == 0))
        self.assertTrue(harness.eventually(lambda: self.daemon.processes()["worker"] not in ([], [old])))
        self.daemon.cli("program", "unload", self.daemon.load("xdp_mark", "xdp", "xdp_second"))


class Surroundings(unittest.TestCase):
    def refusesToStart(self, daemon, text):
        daemon.launch()
        self.addCleanup(daemon.end)
        code = daemon.process.wait(15)
        self.assertNotEqual(code, 0, daemon.log)
        self.assertIn(text, daemon.log)

    def test_started_without_root(self):
        result = subprocess.run([os.path.join(harness.BIN, "bpfmand"), "--runtime-dir", "/tmp/nowhere"], user=4001, group=4001, extra_groups=[],
                                capture_output=True, text=True, timeout=15)
        self.assertEqual(result.returncode, 1, result)
        self.assertIn("root", result.stderr)

    def test_socket_path_in_use(self):
        daemon = harness.Daemon()
        other = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(other.close)
        path = os.path.join(daemon.directory, "taken.sock")
        other.bind(path)
        other.listen()
        daemon.arguments = ["--socket-path", path]
        self.refusesToStart(daemon, path)

    def test_wrong_configuration_is_named_with_its_line(self):
        self.refusesToStart(harness.Daemon(config="\n[limits]\npool_size = 99\n"), "pool_size is a number from 1 to 8")
        self.refusesToStart(harness.Daemon(config="\n[limits]\nnonsense = 1\n"), "unknown key limits.nonsense")

    def test_full_state_disk(self):
        daemon = harness.Daemon()
        self.addCleanup(daemon.end)
        os.makedirs(daemon.state)
        harness.run("mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "none", daemon.state)
        self.addCleanup(harness.run, "umount", "-l", daemon.state, check=False)
        daemon.start()
        kept = daemon.load("xdp_counter", "xdp")
        filler = os.path.join(daemon.state, "filler")
        with open(filler, "wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        result = None
        for _ in range(200):
            result = daemon.cli("program", "load", "file", harness.example("xdp_counter"), "--programs", "xdp:xdp_counter", "-m",
                                "filling=" + "x" * 15000)
            if result.code:
                break
        self.assertEqual(result.code, 1)
        self.assertRegex(result.err, "(?i)full|no space")
        self.assertEqual(daemon.cli("program", "get", kept).code, 0)
        os.unlink(filler)
        self.assertTrue(harness.eventually(lambda: daemon.cli("program", "load", "file", harness.example("xdp_counter"), "--programs",
                                                              "xdp:xdp_counter").code == 0))
        self.assertEqual(daemon.settled(), [])

    def test_bpffs_unmounted_under_it(self):
        with harness.Daemon() as daemon:
            kept = daemon.load("xdp_counter", "xdp")
            fs = os.path.join(daemon.runtime, "fs")
            while harness.run("umount", "-l", fs, check=False).returncode == 0:
                pass
            self.assertEqual(daemon.cli("program", "get", kept).code, 0)   # the worker's root is the file system itself
            self.assertEqual(daemon.cli("program", "unload", kept).code, 0)


class CallsBpf(unittest.TestCase):
    def test_what_it_gets_where_root_allows_the_helper(self):
        """The process that runs it is nobody, and so is the program."""
        with open("/proc/sys/kernel/unprivileged_bpf_disabled") as file:
            if file.read().strip() == "0":
                harness.skip(self, "anyone may load programs here (kernel.unprivileged_bpf_disabled is 0)")
        daemon = self.enterContext(harness.Daemon(config="[ceiling]\nrefused_helpers = []\n"))
        program = daemon.load("calls_bpf", "syscall", "calls_bpf_as_syscall")
        other = daemon.mapId(daemon.load("xdp_counter", "xdp"))
        maps = harness.mapIds()
        answer = daemon.cli("program", "run", program, "--context", struct.pack("<Iiiii", other, 0, 0, 0, 0).hex(), "-o", "json")
        self.assertEqual(answer.code, 0, answer)
        got = struct.unpack("<Iiiii", bytes.fromhex(json.loads(answer.out)["context"]))[1:]
        for what, error in zip(("make a map", "open another's map by its id", "load a program", "load BTF"), got):
            harness.attack(self, "bpf in the kernel", f"{what}: {error}", error == -errno.EPERM)
        self.assertEqual(harness.mapIds(), maps)


if __name__ == "__main__":
    harness.main()
