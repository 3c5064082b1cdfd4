"""Who a caller is: settled when he connects, from what the kernel says of the process that did, never from a number or from what he says."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import warnings

import harness

GROUP = 7998


def namespace(kind, pid="self"):
    return str(os.stat(f"/proc/{pid}/ns/{kind}").st_ino)


class Identity(unittest.TestCase):
    def setUp(self):
        warnings.simplefilter("ignore", ResourceWarning)
        groups = tempfile.NamedTemporaryFile("w", suffix=".group")     # the test's own /etc/group, with a group bpfman
        self.addCleanup(groups.close)
        with open("/etc/group") as file:
            groups.write(file.read() + f"bpfman:x:{GROUP}:\n")
        groups.flush()
        os.chmod(groups.name, 0o644)
        harness.run("mount", "--bind", groups.name, "/etc/group")
        self.addCleanup(harness.run, "umount", "/etc/group")
        self.daemon = harness.Daemon(policy='[[grant]]\nusers = ["root", 7401]\nroles = ["viewer"]\n', config="[clients]\nshop = 7401\n")
        self.addCleanup(self.daemon.end)
        self.daemon.start()

    def who(self, *before, runtime=None, **more):
        words = [*before, os.path.join(harness.BIN, "hostile-client"), "who", runtime or self.daemon.runtime, "-", "0"]
        process = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=harness.TIMEOUT, **more)
        self.assertEqual(process.returncode, 0, process.stderr)
        return dict(line.split(" ", 1) for line in process.stdout.splitlines())

    def whoIn(self, uids, *before):
        """The same in a user namespace of its own, with these lines as its maps, which only root can write."""
        words = ["unshare", "--user", "bash", "-c", 'read -r && exec "$@"', "-", *before, os.path.join(harness.BIN, "hostile-client"), "who",
                 self.daemon.runtime, "-", "0"]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertTrue(harness.eventually(lambda: namespace("user", process.pid) != namespace("user")))
        for each in ("uid_map", "gid_map"):
            with open(f"/proc/{process.pid}/{each}", "w") as file:
                file.write(uids)
        out, err = process.communicate("\n", timeout=harness.TIMEOUT)
        self.assertEqual(process.returncode, 0, err)
        return dict(line.split(" ", 1) for line in out.splitlines())

    def test_where_a_caller_is_as_the_kernel_says(self):
        for more in ({}, {"user": 7401}):
            if more:
                os.chmod(os.path.join(self.daemon.runtime, "bpfman.sock"), 0o666)
            said = self.who(**more)
            self.assertEqual((said["user_namespace"], said["network_namespace"]), (namespace("user"), namespace("net")), said)
            self.assertGreater(int(said["cgroup"]), 0)
            self.assertEqual(said["unknown"], "")
        inside = self.who("unshare", "--net", user=0)
        self.assertNotEqual(inside["network_namespace"], namespace("net"))
        self.assertEqual((inside["user_namespace"], inside["list"]), (namespace("user"), "ok"))
        self.assertNotEqual(self.daemon.cli("program", "unload", 4000000000).code, 0)
        self.daemon.load("xdp_counter", "xdp")
        line = json.loads(self.daemon.cli("audit", "-o", "json", "--action", "load").out.splitlines()[-1])
        self.assertEqual((line["user_namespace"], line["network_namespace"]), (int(namespace("user")), int(namespace("net"))))
        self.assertGreater(line["cgroup"], 0)

    def test_root_of_another_user_namespace_is_nobody_though_he_is_root_here_too(self):
        self.assertEqual(self.who()["list"], "ok")
        every = "0 0 4294967295"
        for name, uids in (("uid 0 mapped", "0 0 1"), ("all uids mapped", every)):
            said = self.whoIn(uids)
            self.assertEqual(said["uid"], "0")
            self.assertNotEqual(said["user_namespace"], namespace("user"))
            harness.attack(self, "identity", f"root of a foreign user namespace, {name}", said["roles"] == "[ ]" and "no role" in said["list"])
        said = self.whoIn(every, "setpriv", "--reuid", "7402", "--regid", str(GROUP), "--clear-groups")
        self.assertEqual(said["uid"], "7402")
        harness.attack(self, "identity", "group bpfman in a foreign user namespace", said["roles"] == "[ ]")
        here = self.who("setpriv", "--reuid", "7402", "--regid", str(GROUP), "--clear-groups")
        self.assertEqual(here["list"], "ok")
        said = self.whoIn(every, "setpriv", "--reuid", "7401", "--regid", str(GROUP), "--clear-groups")
        self.assertEqual(said["roles"], "[ viewer ]")                       # what a grant gives his uid he has everywhere
        line = json.loads(self.daemon.cli("audit", "-o", "json", "--action", "denied").out.splitlines()[-1])
        self.assertNotEqual(line["user_namespace"], int(namespace("user")))

    def connectedByOneWhoDied(self, uid):
        """(socket, his pid): he connected as that user, gave us the socket, and is gone, before the daemon could look."""
        ours, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            os.setresgid(GROUP, GROUP, GROUP)
            os.setresuid(uid, uid, uid)
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connected.connect(os.path.join(self.daemon.runtime, "bpfman.sock"))
            socket.send_fds(theirs, [b"-"], [connected.fileno()])
            os._exit(0)
        _, passed, _, _ = socket.recv_fds(ours, 1, 1)
        os.waitpid(child, 0)
        return passed[0], child

    def successor(self, pid):
        """A process of root's with that number, which waits. (The pid namespace is this test's.)"""
        for _ in range(50):
            with open("/proc/sys/kernel/ns_last_pid", "w") as file:
                file.write(str(pid - 1))
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
            self.addCleanup(lambda child=child: (os.kill(child, signal.SIGKILL), os.waitpid(child, 0)))
            if child == pid:
                return
        self.fail(f"pid {pid} could not be had again")

    def test_a_pid_that_is_gone_and_reused_is_not_its_successor(self):
        frontend = self.daemon.pid("frontend")
        for uid in (0, 7402):
            os.kill(frontend, signal.SIGSTOP)
            try:
                connected, pid = self.connectedByOneWhoDied(uid)
                self.successor(pid)
            finally:
                os.kill(frontend, signal.SIGCONT)
            said = self.who(runtime=f"fd:{connected}", pass_fds=[connected])
            self.assertEqual(said["uid"], str(uid))                         # who connected
            self.assertEqual((said["user_namespace"], said["unknown"]), ("0", "the process that connected has ended"))
            harness.attack(self, "identity", f"a pid of user {uid} that is root's meanwhile", said["roles"] == "[ ]")
            os.close(connected)

    def test_a_socket_handed_on_stays_whose_it_was(self):
        ours, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            os.setresgid(7401, 7401, 7401)
            os.setresuid(7401, 7401, 7401)
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connected.connect(os.path.join(self.daemon.runtime, "clients", "shop.sock"))
            socket.send_fds(theirs, [b"-"], [connected.fileno()])
            theirs.recv(1)
            os._exit(0)
        _, passed, _, _ = socket.recv_fds(ours, 1, 1)
        said = self.who(runtime=f"fd:{passed[0]}", pass_fds=passed)
        ours.send(b"-")
        os.waitpid(child, 0)
        harness.attack(self, "identity", "another user's socket used by root", (said["uid"], said["roles"]) == ("7401", "[ viewer ]"))


if __name__ == "__main__":
    harness.main()
