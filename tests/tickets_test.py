"""One-time tickets on fd.sock, and the sockets of containers: each is what its configuration says, whoever connects."""

import ctypes
import json
import os
import socket
import struct
import subprocess
import unittest
import warnings

import harness

POLICY = """
[roles.shop]
base = "operator"
interfaces = ["lo"]
namespaces = ["host"]
map_rights = ["read", "descriptor"]

[[grant]]
users = [7100]
roles = ["shop"]
"""
CONFIG = """
[clients]
shop = 7100
"""
BPF, LOOKUP, UPDATE, PIN, GET = 321, 1, 2, 6, 7
OK, UNKNOWN, OTHERS, GONE = 0, 1, 2, 3


def bpf(command, attr):
    return harness.LIBC.syscall(BPF, command, attr, len(attr))


class Tickets(unittest.TestCase):
    def setUp(self):
        warnings.simplefilter("ignore", ResourceWarning)
        self.daemon = harness.Daemon(policy=POLICY, config=CONFIG)
        self.addCleanup(self.daemon.end)
        self.daemon.start()
        self.program = self.daemon.load("xdp_counter", "xdp")

    def ticket(self, name="ticket"):
        words = [os.path.join(harness.BIN, "hostile-client"), name, self.daemon.runtime, harness.example("xdp_counter"), str(self.program)]
        self.asker = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.asker.communicate)
        return bytes.fromhex(self.asker.stdout.readline().split()[1])

    def redeem(self, ticket, uid=0):
        return harness.redeem(self.daemon, ticket, uid)

    def test_is_good_once_for_its_user(self):
        ticket = self.ticket()
        harness.attack(self, "identity", "a ticket of nobody", self.redeem(bytes(32)) == (UNKNOWN, []))
        harness.attack(self, "identity", "another user's ticket", self.redeem(ticket, uid=7100) == (OTHERS, []))
        status, passed = self.redeem(ticket)
        self.assertEqual((status, len(passed)), (OK, 1))
        self.assertEqual(os.readlink(f"/proc/self/fd/{passed[0]}"), "anon_inode:bpf-map")
        harness.attack(self, "identity", "a ticket twice", self.redeem(ticket) == (UNKNOWN, []))
        actions = [json.loads(line) for line in self.daemon.cli("audit", "-o", "json", "--action", "hand over").out.splitlines()]
        self.assertEqual(len(actions), 1)
        self.assertIn("for a ticket", actions[0]["what"])
        os.close(passed[0])

    def test_a_client_with_pythons_standard_library_alone(self):
        script = os.path.join(harness.ROOT, "examples", "sidecar", "redeem.py")
        with open(script) as file:
            source = file.read()                                # the checkout may be root's own
        ticket = self.ticket().hex()
        possible = os.sysconf("SC_NPROCESSORS_CONF")
        words = ["python3", "-c", source, os.path.join(self.daemon.runtime, "fd.sock"), ticket, "4", str(8 * 2 * possible)]
        self.assertRegex(harness.run(*words).stdout, "^anon_inode:bpf-map [0-9a-f]+$")
        self.assertIn("no such ticket", harness.run(*words, check=False).stderr)

    def test_outlives_its_connection_but_not_revocation_nor_the_program(self):
        ticket = self.ticket()
        self.asker.communicate()
        status, passed = self.redeem(ticket)
        self.assertEqual(status, OK)
        os.close(passed[0])
        self.assertEqual(self.redeem(self.ticket("revoked-ticket")), (GONE, []))
        ticket = self.ticket()
        self.daemon.cli("program", "unload", self.program)
        self.assertEqual(self.redeem(ticket), (GONE, []))

    def test_a_read_only_descriptor_is_no_defence(self):
        """As docs/policy.md says: its holder can pin the map and open it again for writing. So `descriptor` is a right of its own."""
        _, passed = self.redeem(self.ticket())
        key, value = ctypes.create_string_buffer(struct.pack("<I", 0)), ctypes.create_string_buffer(8 * 256)
        element = lambda fd: struct.pack("<IIQQQ", fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0)
        self.assertEqual(bpf(LOOKUP, element(passed[0])), 0)
        self.assertEqual(bpf(UPDATE, element(passed[0])), -1)
        harness.run("mount", "-t", "bpf", "bpf", self.daemon.state)
        self.addCleanup(harness.run, "umount", self.daemon.state)
        path = ctypes.create_string_buffer(os.path.join(self.daemon.state, "mine").encode())
        self.assertEqual(bpf(PIN, struct.pack("<QIII", ctypes.addressof(path), passed[0], 0, 0)), 0)
        again = bpf(GET, struct.pack("<QIII", ctypes.addressof(path), 0, 0, 0))
        self.assertGreaterEqual(again, 0)
        self.assertEqual(bpf(UPDATE, element(again)), 0)
        for each in (again, passed[0]):
            os.close(each)


class Containers(unittest.TestCase):
    """A container is given clients/shop.sock in place of the host's socket."""

    setUp = Tickets.setUp

    def cli(self, *words, **more):
        inside = os.path.join(self.daemon.directory, "inside")
        os.makedirs(inside, exist_ok=True)
        link = os.path.join(inside, "bpfman.sock")
        if not os.path.exists(link):
            os.symlink(os.path.join(self.daemon.runtime, "clients", "shop.sock"), link)
        return self.daemon.cli("--runtime-dir", inside, *words, **more)

    def test_who_connects_there_is_the_configured_user_even_root(self):
        for user in (0, 7100, 12345):
            self.assertEqual(self.cli("program", "list", user=user).code, 0)
            for words in (("program", "unload", self.program), ("audit",),           # root's own
                          ("program", "load", "file", harness.example("tracepoint_counter"), "--programs", "tracepoint:tracepoint_counter")):
                said = self.cli(*words, user=user).err
                harness.attack(self, "identity", f"{words[:2]} as {user} in a container", "permission denied: user 7100" in said)
        self.assertNotEqual(self.daemon.cli("program", "list", user=12345).code, 0)   # on the host's socket he is nobody

    def test_its_programs_belong_to_it(self):
        loaded = self.cli("program", "load", "file", harness.example("xdp_mark"), "--programs", "xdp:xdp_second", "-o", "json", user=12345)
        self.assertEqual(loaded.code, 0, loaded)
        program = json.loads(loaded.out)["programs"][0]["record"]["program_id"]
        self.assertEqual(self.cli("link", "attach", "xdp", program, "lo", "-p", 10, user=0).code, 0)
        lines = [json.loads(line) for line in self.daemon.cli("audit", "-o", "json", "--user", 7100).out.splitlines()]
        self.assertEqual({each["socket"] for each in lines}, {"shop"})
        self.assertEqual(self.cli("program", "unload", program, user=54321).code, 0)


if __name__ == "__main__":
    harness.main()
