"""BPF tokens: a container in a user namespace of its own is given types of programs and maps, and the kernel holds it to them."""

import ctypes
import json
import os
import signal
import struct
import subprocess
import tempfile
import threading
import time

import fuse
import harness

POLICY = """
[roles.few]
base = "operator"
classes = ["network"]
tokens = true
[roles.none]
base = "operator"
[[grant]]
users = [4001]
roles = ["few"]
[[grant]]
users = [4002]
roles = ["none"]
"""
XDP, SCHED_CLS, KPROBE, XDP_ATTACH = 6, 3, 2, 37
HASH, ARRAY, RINGBUF = 1, 2, 27
TOKEN_FLAG = 1 << 16


# ---- what runs in the container ----

def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes.ljust(168, b"\0"))
    result = ctypes.CDLL(None, use_errno=True).syscall(321, command, buffer, len(attributes))
    return result if result >= 0 else -ctypes.get_errno()


def makeMap(token, type, entries):
    key = 0 if type == RINGBUF else 4
    return bpf(0, struct.pack("<IIIII", type, key, key, entries, TOKEN_FLAG).ljust(76, b"\0") + struct.pack("<i", token))


def loadProgram(token, type, attach):
    code = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xb7, 0, 0, 2, 0x95, 0, 0, 0))
    license = ctypes.create_string_buffer(b"GPL")
    head = struct.pack("<IIQQ", type, 2, ctypes.addressof(code), ctypes.addressof(license)).ljust(44, b"\0")
    return bpf(5, (head + struct.pack("<I", TOKEN_FLAG)).ljust(68, b"\0") + struct.pack("<I", attach).ljust(76, b"\0") + struct.pack("<i", token))


def inContainer(directory, cli, *words):
    created = harness.run(cli, "token", "create", directory, *words, "-o", "json", check=False)
    said = {"code": created.returncode, "err": created.stderr}
    if created.returncode == 0:
        said["record"] = json.loads(created.stdout)
        token = bpf(36, struct.pack("<II", 0, os.open(directory, os.O_RDONLY | os.O_DIRECTORY)))
        program = loadProgram(token, XDP, XDP_ATTACH)
        said |= {"token": token, "array": makeMap(token, ARRAY, 1), "ringbuf": makeMap(token, RINGBUF, 4096), "xdp": program,
                 "tc": loadProgram(token, SCHED_CLS, 0), "kprobe": loadProgram(token, KPROBE, 0),
                 "without": bpf(0, struct.pack("<IIII", HASH, 4, 4, 1).ljust(80, b"\0"))}
        if program >= 0:
            path = ctypes.create_string_buffer(os.path.join(directory, "mine").encode())
            said["pinned"] = bpf(6, struct.pack("<QI", ctypes.addressof(path), program))
            taken = harness.run(cli, "program", "take", "--pinned", os.path.join(directory, "mine"), "--type", "xdp", "--name", "mine", "-o", "json", check=False)
            said["taken"] = taken.stdout or taken.stderr
    return said


class Token(harness.unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(harness.Daemon(policy=POLICY))
        self.place = self.enterContext(tempfile.TemporaryDirectory(dir="/tmp"))
        os.chmod(self.place, 0o777)

    def container(self, uid, *words):
        """As that user, root of a user, mount and network namespace of its own."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            harness.LIBC.prctl(4, 1, 0, 0, 0)                # its own /proc files are its own again
            assert harness.LIBC.unshare(0x10000000 | 0x20000 | 0x40000000) == 0, os.strerror(ctypes.get_errno())
            for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {uid} 1")):
                with open(f"/proc/self/{name}", "w") as file:
                    file.write(text)
            os.environ["BPFMAN_RUNTIME_DIR"] = self.daemon.runtime
            os.write(write, json.dumps(inContainer(self.place, os.path.join(harness.BIN, "bpfman"), *words)).encode())
            os._exit(0)
        os.close(write)
        with open(read) as file:
            said = json.load(file)
        os.waitpid(child, 0)
        return said

    def requireTokens(self):
        if harness.kernel() >= (6, 9):
            return
        said = self.container(4001, "--programs", "xdp", "--attach", "xdp")
        self.assertIn("needs Linux 6.9", said["err"].replace("they need", "needs"))
        self.skipTest("this kernel has no BPF tokens: " + said["err"])

    def testTheKernelHoldsTheContainerToWhatWasDelegated(self):
        self.requireTokens()
        said = self.container(4001, "--programs", "xdp", "--attach", "xdp", "--maps", "array,hash")
        self.assertEqual(said["code"], 0, said)
        for there in ("token", "array", "xdp", "pinned"):
            self.assertGreaterEqual(said[there], 0, (there, said))
        for denied in ("ringbuf", "tc", "kprobe", "without"):
            harness.attack(self, "outside the grant", f"{denied}: {said[denied]}", said[denied] == -1)
        taken = json.loads(said["taken"])["record"]
        self.assertEqual((taken["load"]["program_type"], taken["load"]["program_name"]), ("xdp", "mine"))
        self.assertEqual(self.daemon.kernelPrograms()[taken["program_id"]]["type"], "xdp")
        self.assertEqual(self.daemon.cli("program", "unload", taken["program_id"]).code, 0)
        listed = self.daemon.json("token", "list")["tokens"]
        record = said["record"]
        self.assertEqual(listed, [record])
        self.assertEqual((record["uid"], record["program_types"], record["attach_types"], record["map_types"], record["commands"], record["withdrawn"]),
                         (4001, ["xdp"], ["xdp"], ["hash", "array"], ["mapcreate", "progload", "btfload"], False))
        self.assertNotIn(record["user_namespace"], (0, os.stat("/proc/self/ns/user").st_ino))
        self.daemon.stop(signal.SIGKILL)
        self.daemon.start()
        self.assertEqual(self.daemon.json("token", "list")["tokens"], listed)

    def testThePolicyAndTheCeilingBoundIt(self):
        self.requireTokens()
        for uid, words, why in ((4001, ("--programs", "xdp,kprobe", "--attach", "xdp"), "not class observe"),
                                (4001, ("--programs", "tracing", "--attach", "modify_return"), "not class control"),
                                (4002, ("--programs", "xdp", "--attach", "xdp"), "no tokens (tokens: false)"),
                                (4003, ("--programs", "xdp"), "permission denied"),
                                (4001, ("--programs", "xpd"), '"xpd" is not a program type'),
                                (4001, ("--programs", "ext"), "is not a program type"),
                                (4001, ("--programs", "sched_act"), "no class of the policy has them"),
                                (4001, ("--commands", "prog_get_fd_by_id"), "is not a command of tokens"),
                                (4001, ("--maps", "unknown"), '"unknown" is not a map type')):
            said = self.container(uid, *words)
            harness.attack(self, "authority", f"{words}: {said['err']}", said["code"] == 1 and why in said["err"])
        self.assertEqual(self.daemon.json("token", "list")["tokens"], [])
        self.assertIn("a user namespace and a mount namespace of its own",
                      self.daemon.cli("token", "create", self.place, "--programs", "xdp", "--attach", "xdp", **harness.user(4001)).err)
        self.daemon.end()
        self.daemon = self.enterContext(harness.Daemon(policy=POLICY, config='[ceiling]\nprogram_types = ["sched_cls", "tracing"]\n'))
        said = self.container(4001, "--programs", "xdp", "--attach", "xdp")
        harness.attack(self, "outside the ceiling", said["err"], "above the ceiling" in said["err"])
        self.assertEqual(self.daemon.json("token", "list")["tokens"], [])

    def testWithdrawingStopsNewOnesAndSaysWhatLives(self):
        self.requireTokens()
        words = ("--programs", "xdp", "--attach", "xdp")
        first, second = (self.container(4001, *words)["record"]["id"] for _ in range(2))
        self.assertIn("permission denied", self.daemon.cli("token", "withdraw", first, **harness.user(4002)).err)
        live = json.loads(self.daemon.cli("token", "withdraw", second, "-o", "json").out)["tokens"]
        self.assertEqual([(each["id"], each["withdrawn"]) for each in live], [(first, False), (second, True)])
        self.assertIn("was withdrawn", self.container(4001, *words)["err"])
        self.assertIn("permission denied", self.daemon.cli("token", "forget", second, **harness.user(4001)).err)
        self.assertEqual(self.daemon.cli("token", "forget", second).code, 0)
        self.assertIn("does not exist", self.daemon.cli("token", "forget", second).err)
        self.assertGreater(self.container(4001, *words)["record"]["id"], second)
        actions = [json.loads(line)["action"] for line in self.daemon.cli("audit", "-o", "json").out.splitlines()]
        self.assertEqual([each for each in actions if each in ("delegate", "withdraw", "forget")].count("delegate"), 4)

    # ---- contexts that are none, or that keep whoever touches them waiting ----

    def held(self):
        """Contexts and stand-ins of the frontend."""
        texts = list(harness.descriptors(self.daemon.pid("frontend")).values())
        return [texts.count(f"anon_inode:[{each}]") for each in ("fscontext", "eventfd")]

    def given(self, descriptor):
        """The command with that descriptor for what fsopen() gives."""
        shim = os.path.join(self.daemon.directory, "fsopen.so")
        if not os.path.exists(shim):
            source = "#include <stdlib.h>\n#include <unistd.h>\nint fsopen(const char* name, unsigned flags) { return dup(atoi(getenv(\"CONTEXT\"))); }"
            harness.run("cc", "-shared", "-fPIC", "-x", "c", "-", "-o", shim, input=source)
        environment = dict(os.environ, LD_PRELOAD=shim, CONTEXT=str(descriptor), BPFMAN_RUNTIME_DIR=self.daemon.runtime)
        return subprocess.Popen([os.path.join(harness.BIN, "bpfman"), "token", "create", self.place, "--programs", "xdp", "--attach", "xdp"],
                                pass_fds=[descriptor], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def refusedContext(self, descriptor, why):
        process = self.given(descriptor)
        _, err = process.communicate(timeout=60)
        harness.attack(self, "descriptor", f"a context: {err}", process.returncode == 1 and why in err)

    def testOtherContextsAreRefused(self):
        before = self.held()
        context = harness.LIBC.syscall(430, b"tmpfs", 1)
        self.refusedContext(context, "is not a bpffs's")
        self.assertLess(harness.LIBC.syscall(432, context, 1, 0), 0)         # fsmount: it was not created
        for other in (os.open("/dev/null", os.O_RDONLY), os.eventfd(7), os.pipe()[0]):
            self.refusedContext(other, "is not a file system's context")
            os.close(other)
        os.close(context)
        self.assertEqual(self.daemon.json("token", "list")["tokens"], [])
        self.assertTrue(harness.eventually(lambda: self.held() == before))

    def testAContextThatNeverAnswersDelaysNobody(self):
        """Somebody is in the middle of a call on it, which waits for a file system in user space."""
        try:
            silent = fuse.SilentFile(os.path.join(self.daemon.directory, "silent"))
        except OSError as error:
            harness.skip(self, f"no FUSE here: {error}")
        self.addCleanup(silent.abort)
        context = harness.LIBC.syscall(430, b"overlay", 1)
        if context < 0:
            harness.skip(self, "no overlay file system here")
        before = self.held()
        silent.hush()
        path = os.path.join(silent.path, "file").encode()
        stuck = threading.Thread(target=lambda: harness.LIBC.syscall(431, context, 1, b"lowerdir", path, 0), daemon=True)
        stuck.start()
        self.assertTrue(harness.eventually(lambda: silent.unanswered))
        processes = [self.given(context) for _ in range(2)]
        for _ in range(10):
            began = time.monotonic()
            self.assertEqual(self.daemon.cli("version").code, 0)
            self.assertLess(time.monotonic() - began, 2)
        for process in processes:
            _, err = process.communicate(timeout=60)
            harness.attack(self, "resource exhaustion", f"a context that does not answer: {err}", "does not answer" in err)
        os.close(context)
        self.assertTrue(stuck.is_alive())
        self.assertTrue(harness.eventually(lambda: "bpfman-delegator" not in map(self.daemon.name, harness.children(self.daemon.process.pid)), 20))
        silent.abort()
        stuck.join(20)
        self.assertTrue(harness.eventually(lambda: self.held() == before, 20))
        self.assertEqual(len(self.daemon.json("token", "list")["tokens"]), 2, "it may have been created: they are listed")

    def testOneUserHasSoMany(self):
        self.requireTokens()
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
                   'for i in $(seq 65); do "$0" token create "$1" --programs xdp --attach xdp || exit 7; done; exit 0', os.path.join(harness.BIN, "bpfman"), self.place]
        result = harness.run(*command, check=False, env=dict(os.environ, BPFMAN_RUNTIME_DIR=self.daemon.runtime), **harness.user(4001))
        self.assertEqual(result.returncode, 7, result)
        self.assertIn("has 64 tokens", result.stderr)
        self.assertEqual(len(self.daemon.json("token", "list")["tokens"]), 64)


if __name__ == "__main__":
    harness.main()
