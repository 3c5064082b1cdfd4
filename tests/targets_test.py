"""Hooks whose target a client passes as a descriptor: cgroups and binaries. Real packets and calls are counted; whoever may not have a
target is refused it, also when he passes its descriptor; nothing is left behind."""

import os
import shutil
import subprocess
import tempfile
import unittest

import harness

POLICY = """
[roles.cgroups]
base = "operator"
classes = ["network", "cgroup"]

[roles.probes]
base = "operator"
classes = ["observe"]

[roles.slice]
base = "operator"
classes = ["cgroup"]
cgroups = ["/bpfman-test-*/slice/*"]

[[grant]]
users = [4001]
roles = ["cgroups"]

[[grant]]
users = [4002]
roles = ["probes"]

[[grant]]
users = [4003]
roles = ["operator"]

[[grant]]
users = [4004]
roles = ["slice"]
"""

PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
__attribute__((noinline)) int probed(int x) { __asm__ volatile("" : "+r"(x)); return x + 1; }
int main(void) { int n; while (scanf("%d", &n) == 1) { for (int i = 0; i < n; i++) probed(i); puts("done"); fflush(stdout); } }
"""


class Targets(unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(harness.Daemon(policy=POLICY))
        self.directory = tempfile.mkdtemp(prefix="bpfman-probed-")
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory)

    def loaded(self, name, type, function=None, **who):
        answer = self.daemon.json("program", "load", "file", harness.example(name), "--programs", f"{type}:{function or name}", **who)
        return answer["programs"][0]["record"]["program_id"]

    def denied(self, text, *words, **who):
        result = self.daemon.cli("link", "attach", *words, **who)
        self.assertEqual(result.code, 1, result)
        self.assertIn("permission denied: user", result.err)
        self.assertIn(text, result.err)

    # ---- cgroups ----

    def cgroup(self, name, owner=0):
        root = harness.cgroup2()
        if root is None:
            harness.skip(self, "no cgroup2 is mounted")
        path = os.path.join(root, f"bpfman-test-{os.getpid()}-{id(self)}", name).rstrip("/")
        os.makedirs(path, exist_ok=True)
        os.chown(path, owner, owner)
        self.addCleanup(self.remove, path, root)
        return path

    def remove(self, path, root):
        while path != root:
            try:
                os.rmdir(path)
            except OSError:
                return
            path = os.path.dirname(path)

    def sendFrom(self, cgroup, count):
        """Packets over lo from a process in that cgroup."""
        def enter():
            with open(os.path.join(cgroup, "cgroup.procs"), "w") as file:
                file.write("0")
        code = f"import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nfor i in range({count}): s.sendto(b'x', ('127.0.0.1', 9))"
        subprocess.run(["python3", "-c", code], preexec_fn=enter, check=True)

    def testACgroupsPacketsAreCountedAndNoOthers(self):
        inside, outside = self.cgroup("inside"), self.cgroup("outside")
        program = self.loaded("cgroup_counter", "cgroup_skb")
        link = self.daemon.attach("cgroup", program, inside, "egress")
        shown = {each["id"]: each for each in harness.bpftool("link", "show")}[link["kernel_link_id"]]
        self.assertEqual((shown["type"], shown["cgroup_id"], shown["attach_type"]), ("cgroup", os.stat(inside).st_ino, "cgroup_inet_egress"))
        self.sendFrom(inside, 25)
        self.sendFrom(outside, 10)
        self.assertEqual(harness.sums(self.daemon.mapId(program))[0], 25)
        self.assertIn(os.path.relpath(inside, harness.cgroup2()), link["details"]["name"])
        self.assertEqual(self.daemon.cli("link", "detach", link["id"]).code, 0)
        self.sendFrom(inside, 10)
        self.assertEqual(harness.sums(self.daemon.mapId(program))[0], 25)
        self.assertEqual(self.daemon.settled(), [])

    def testOnlyACgroupOfHisOwnAndNothingOfAClassThatHeWasNotGiven(self):
        own, others, hosts = self.cgroup("own", 4001), self.cgroup("others", 4009), self.cgroup("hosts")
        program = self.loaded("cgroup_counter", "cgroup_skb", **harness.user(4001))
        self.daemon.json("link", "attach", "cgroup", program, own, "egress", **harness.user(4001))
        for path in (others, hosts, harness.cgroup2()):
            self.denied("not someone else's cgroup", "cgroup", program, path, "egress", **harness.user(4001))
        result = self.daemon.cli("program", "load", "file", harness.example("cgroup_counter"), "--programs", "cgroup_skb:cgroup_counter",
                                 **harness.user(4003))
        self.assertIn("not class cgroup", result.err)
        self.assertEqual(len(self.daemon.links()), 1)
        self.assertEqual(self.daemon.settled(), [])

    def testASubtreeOfThePolicyIsThatOneAlsoByAnotherMount(self):
        beneath, beside = self.cgroup("slice/one"), self.cgroup("other")
        program = self.loaded("cgroup_counter", "cgroup_skb", **harness.user(4004))
        self.daemon.json("link", "attach", "cgroup", program, beneath, "ingress", **harness.user(4004))
        self.denied("not someone else's cgroup", "cgroup", program, beside, "ingress", **harness.user(4004))
        # With a mount namespace of his own he can make any path look right: it leads to another directory.
        command = f"mount --bind {beside} {beneath}; exec setpriv --reuid 4004 --regid 4004 --clear-groups " \
                  f"{harness.BIN}/bpfman link attach cgroup {program} {beneath} egress"
        result = harness.run("unshare", "--mount", "sh", "-c", command, check=False, env=dict(os.environ, BPFMAN_RUNTIME_DIR=self.daemon.runtime))
        self.assertIn("not someone else's cgroup", result.stderr)

    # ---- uprobes ----

    def binary(self, owner=0):
        source, path = os.path.join(self.directory, "probed.c"), os.path.join(self.directory, f"probed{owner}")
        with open(source, "w") as file:
            file.write(PROGRAM)
        harness.run("cc", "-O1", "-o", path, source)
        os.chown(path, owner, owner)
        os.chmod(path, 0o755)
        return path

    def running(self, path, **who):
        process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **who)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        return process

    def call(self, process, count):
        process.stdin.write(f"{count}\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), "done\n")

    def testCallsAndReturnsOfABinaryAreCounted(self):
        path = self.binary()
        calls, returns = self.loaded("uprobe_counter", "uprobe"), self.loaded("uprobe_counter", "uretprobe", "uretprobe_counter")
        link = self.daemon.attach("uprobe", calls, path, "--fn-name", "probed")
        self.daemon.attach("uprobe", returns, path, "-f", "probed")
        shown = {each["id"]: each for each in harness.bpftool("link", "show")}[link["kernel_link_id"]]
        self.assertEqual((shown["type"], shown["prog_id"]), ("perf_event", calls))
        process = self.running(path)
        self.call(process, 25)
        self.assertEqual(harness.sums(self.daemon.mapId(calls))[0], 25)
        self.assertEqual(harness.sums(self.daemon.mapId(returns))[1], 25)
        self.assertEqual(self.daemon.cli("link", "detach", link["id"]).code, 0)
        self.call(process, 10)
        self.assertEqual(harness.sums(self.daemon.mapId(calls))[0], 25)
        self.assertEqual(harness.sums(self.daemon.mapId(returns))[1], 35)
        self.daemon.kill()
        self.daemon.start()
        self.call(process, 5)
        self.assertEqual(harness.sums(self.daemon.mapId(returns))[1], 40)
        self.assertEqual(self.daemon.settled(), [])

    def testOneProcessAlone(self):
        path = self.binary()
        one, other = self.running(path), self.running(path)
        calls = self.loaded("uprobe_counter", "uprobe")
        self.daemon.attach("uprobe", calls, path, "--fn-name", "probed", "--pid", one.pid)
        self.call(one, 25)
        self.call(other, 10)
        self.assertEqual(harness.sums(self.daemon.mapId(calls))[0], 25)

    def testOnlyHisOwnBinaryInHisOwnProcess(self):
        his, roots = self.binary(4002), self.binary()
        own, others = self.running(his, user=4002), self.running(his)
        calls = self.loaded("uprobe_counter", "uprobe", **harness.user(4002))
        for binary, pid in ((his, ()), (his, ("--pid", others.pid))):
            self.denied("only in one process, of his own", "uprobe", calls, binary, "-f", "probed", *pid, **harness.user(4002))
        self.denied("not someone else's binary", "uprobe", calls, roots, "-f", "probed", "--pid", own.pid, **harness.user(4002))
        self.denied("not someone else's binary", "uprobe", calls, "libc", "-f", "malloc", **harness.user(4002))
        self.assertEqual(self.daemon.links(), [])
        self.daemon.json("link", "attach", "uprobe", calls, his, "-f", "probed", "--pid", own.pid, **harness.user(4002))
        self.call(own, 25)
        self.call(others, 10)
        self.assertEqual(harness.sums(self.daemon.mapId(calls))[0], 25)
        self.assertEqual(self.daemon.settled(), [])

    def testWrongTargetsAreRefusedAndLeaveNothing(self):
        path, calls = self.binary(), self.loaded("uprobe_counter", "uprobe")
        skb = self.loaded("cgroup_counter", "cgroup_skb")
        multi, event, lookup = (self.daemon.load("every_hook", *each) for each in (("uprobe.multi", "uprobe_multi"), ("perf_event", "event"),
                                                                                  ("sk_lookup", "lookup")))
        xdp, tc = self.loaded("xdp_counter", "xdp"), self.loaded("tc_counter", "tc")
        ended = subprocess.Popen(["true"])
        ended.wait()
        for words, reason in ((("uprobe", calls, path, "-f", "no_such"), "has no function"),
                              (("uprobe", calls, path, "-f", "getppid"), "has no function \"getppid\""),    # which another binary, libc, has
                              (("uprobe", calls, path, "-f", "probed", "--offset", 1 << 20), "outside of"),
                              (("uprobe", calls, path), "say where"),
                              (("uprobe", calls, "/etc/passwd", "-f", "x"), "no ELF binary"),
                              (("uprobe", calls, self.directory, "--offset", 64), "not a binary"),
                              (("uprobe", calls, path, "--offset", 1 << 40), "open the probe"),
                              (("uprobe", calls, path, "-f", "probed", "--pid", ended.pid), "there is none"),
                              (("uprobe", calls, "libnothing", "-f", "x"), "there is no library"),
                              (("cgroup", skb, self.directory, "egress"), "not a cgroup"),
                              (("cgroup", skb, path, "egress"), "not a cgroup"),
                              (("cgroup", skb, "/proc/self/ns/cgroup", "egress"), "not a cgroup"),
                              (("uprobe.multi", multi, path, "probed", "--pid", ended.pid), "there is none"),
                              (("perf_event", event, "cpu-clock", "--pid", ended.pid), "there is none"),
                              *(((*where, "-n", wrong), "is not a network namespace") for wrong in (path, self.directory, "/proc/self/ns/mnt", "/dev/null")
                                for where in (("xdp", xdp, "lo", "-p", 5), ("tc", tc, "lo", "ingress", "-p", 5), ("sk_lookup", lookup))),
                              (("cgroup", calls, self.directory, "egress"), f"program {calls} is a uprobe program"),
                              (("uprobe", skb, path, "-f", "probed"), "the uprobe or uretprobe attach accepts uprobe or uretprobe")):
            result = self.daemon.cli("link", "attach", *words)
            self.assertEqual(result.code, 1, words)
            self.assertIn(reason, result.err, words)
        self.assertEqual((self.daemon.links(), self.daemon.dispatchers()), ([], []))
        self.assertEqual(self.daemon.settled(), [])
        self.assertIsNone(next((each for each in harness.bpftool("net", "show")[0]["xdp"]), None))
        # Nor a probe: it counts nothing, and no event is open.
        self.call(self.running(path), 10)
        self.assertEqual(harness.sums(self.daemon.mapId(calls))[0], 0)
        for kind in ("broker", "frontend", "worker"):
            self.assertEqual([each for each in harness.descriptors(self.daemon.pid(kind)).values() if "perf_event" in each], [], kind)


if __name__ == "__main__":
    harness.main()
