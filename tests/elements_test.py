"""Iterators over a map's elements: who may read has one, who may not has none, and nobody writes through it."""

import ctypes
import os
import struct
import subprocess
import unittest
import warnings

import harness

POLICY = """
[roles.reader]
base = "viewer"
map_rights = ["read"]

[roles.looker]
base = "viewer"
map_rights = []

[[grant]]
users = [7301]
roles = ["reader"]

[[grant]]
users = [7302]
roles = ["looker"]
"""
READER, LOOKER = 7301, 7302
BPF, UPDATE, DELETE, PIN, INFO = 321, 2, 3, 6, 15


def bpf(command, attr):
    return harness.LIBC.syscall(BPF, command, attr, len(attr)), ctypes.get_errno()


class Elements(unittest.TestCase):
    def setUp(self):
        warnings.simplefilter("ignore", ResourceWarning)
        self.daemon = harness.Daemon(policy=POLICY)
        self.addCleanup(self.daemon.end)
        self.daemon.start()
        self.program = self.daemon.load("xdp_counter", "xdp")
        harness.run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
        self.addCleanup(harness.run, "ip", "link", "del", "lan0")

    def attack(self, name, user, program=None):
        words = [os.path.join(harness.BIN, "hostile-client"), name, self.daemon.runtime, harness.example("xdp_counter"),
                 str(program or self.program)]
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, user=user)

    def said(self, name, user, program=None):
        out, err = self.attack(name, user, program).communicate(timeout=harness.TIMEOUT)
        return dict(line.split(" ", 1) for line in out.splitlines()), err

    def iterator(self, user=READER):
        asker = self.attack("elements-ticket", user)
        self.addCleanup(asker.communicate)
        status, passed = harness.redeem(self.daemon, bytes.fromhex(asker.stdout.readline().split()[1]), user)
        self.assertEqual((status, len(passed)), (0, 1), self.daemon.log[-2000:])
        self.addCleanup(os.close, passed[0])
        return passed[0]

    def raw(self, program=None):
        """The first map's content as an iterator gives it, by bpftool."""
        entries = harness.bpftool("map", "dump", "id", self.daemon.mapId(program or self.program))
        number = lambda bytes_: b"".join(int(each, 16).to_bytes(1, "little") for each in bytes_)
        content = b""
        for each in entries:
            content += number(each["key"])
            for value in each.get("values", [each]):
                one = number(value["value"])
                content += one + bytes(-len(one) % 8 if "values" in each else 0)
        return content

    def test_gives_raw_keys_and_values_to_an_unprivileged_reader(self):
        self.daemon.attach("xdp", self.program, "lan0", "-p", 10)
        for side in ("lan0", "lan1"):
            harness.run("ip", "link", "set", side, "up")
        empty = bytes(len(self.raw()))
        self.assertTrue(harness.eventually(lambda: self.raw()[4:].strip(b"\0")))          # the kernel's own packets
        self.daemon.cli("link", "detach", self.daemon.links()[0]["id"])
        said, err = self.said("elements", READER)
        self.assertEqual(said.get("packets"), self.raw().hex(), err)
        self.assertNotEqual(self.raw(), empty)
        self.assertEqual(os.read(self.iterator(), 1 << 16), self.raw())
        denied = self.daemon.cli("audit", "--action", "hand over", "-o", "json").out
        self.assertIn("its elements to read", denied)

    def test_cannot_be_written_through(self):
        iterator, before = self.iterator(), self.raw()
        self.assertRegex(os.readlink(f"/proc/self/fd/{iterator}"), "anon_inode:.*bpf.iter")
        key, value = ctypes.create_string_buffer(4), ctypes.create_string_buffer(b"x" * 4096)
        element = struct.pack("<IIQQQ", iterator, 0, ctypes.addressof(key), ctypes.addressof(value), 0)
        for name, command in (("update", UPDATE), ("delete", DELETE)):                    # as root, which this test is
            result, error = bpf(command, element)
            harness.attack(self, "descriptor", f"{name} through an iterator: {os.strerror(error)}", result == -1)
        harness.run("mount", "-t", "bpf", "bpf", self.daemon.state)
        self.addCleanup(harness.run, "umount", self.daemon.state)
        path = ctypes.create_string_buffer(os.path.join(self.daemon.state, "mine").encode())
        result, _ = bpf(PIN, struct.pack("<QIII", ctypes.addressof(path), iterator, 0, 0))
        harness.attack(self, "descriptor", "pinning an iterator", result == -1 and not os.path.exists(path.value))
        for name, act in (("write", lambda: os.write(iterator, b"x")), ("mmap", lambda: __import__("mmap").mmap(iterator, 4096))):
            with self.assertRaises((OSError, ValueError)) as caught:
                act()
            harness.attack(self, "descriptor", f"{name} on an iterator", caught.exception is not None)
        self.assertEqual(self.raw(), before)

    def test_only_for_those_with_the_right_to_read(self):
        said, err = self.said("elements", LOOKER)
        harness.attack(self, "authority", "an iterator without `read`", "permission denied" in said["packets"])
        asker = self.attack("elements-ticket", LOOKER)
        out, _ = asker.communicate()
        harness.attack(self, "authority", "a ticket for an iterator without `read`", "permission denied" in out)
        out, _ = self.attack("ticket", READER).communicate()
        harness.attack(self, "authority", "a map's descriptor with `read` only", "permission denied" in out)

    def test_says_which_maps_it_is_not_for(self):
        both = "xdp:many_maps,xdp:many_tail"
        answer = self.daemon.json("program", "load", "file", harness.example("many_maps"), "--programs", both)
        program = answer["programs"][0]["record"]["program_id"]
        said, err = self.said("elements", READER, program)
        cpus = os.sysconf("SC_NPROCESSORS_CONF")
        for name, bytes_ in (("array_map", 16 * (4 + 8)), ("percpu_array_map", 16 * (4 + 8 * cpus)), ("hash_map", 0), ("lru_map", 0),
                             ("percpu_hash_map", 0), ("lru_percpu_map", 0), ("inner_map", 4 + 8)):
            self.assertRegex(said.pop(name), "^[0-9a-f]{%d}$" % (2 * bytes_), name)
        self.assertIn("ring_map", said)
        for name, text in said.items():
            harness.attack(self, "foreign object", f"an iterator over {name}: {text}", "the kernel has no iterator" in text)

    def test_leaves_nothing_behind(self):
        self.said("elements", READER)                                     # its program is loaded, and kept
        def count():
            processes = self.daemon.processes()
            return (sorted(self.daemon.kernelPrograms()), sorted(self.daemon.kernelLinks()), self.daemon.pins(),
                    [len(harness.descriptors(pid)) for kind in ("frontend", "worker") for pid in processes[kind]])
        before = harness.eventually(lambda: (now := count()) == count() and now)
        for _ in range(20):
            self.assertEqual(self.said("elements", READER)[0]["packets"], self.raw().hex())
        self.assertTrue(harness.eventually(lambda: count() == before), (count(), before))
        self.assertEqual(self.daemon.settled(), [])
        programs = [each for each in self.daemon.kernelPrograms().values() if each["name"] == "dump_elements"]
        self.assertEqual(len(programs), 2)                                # packets and .rodata: two pairs of sizes

    def test_the_programs_that_are_kept_for_it_are_limited(self):
        """limits.h: 32 pairs of sizes. The object has 40; each is iterated over nevertheless, and then again."""
        named = lambda: [each for each in self.daemon.kernelPrograms().values() if each["name"] == "dump_elements"]
        program = self.daemon.load("many_sizes", "xdp")
        for _ in range(2):
            said, err = self.said("elements", READER, program)
            sizes = {name: len(text) // 2 for name, text in said.items() if name.startswith("size_")}
            self.assertEqual(sizes, {f"size_{size}": 4 + size for size in range(1, 41)}, err)
        harness.attack(self, "resource exhaustion", "iterators for more sizes than are kept", len(named()) == 32)
        self.assertEqual(self.daemon.settled(), [])

    def test_its_programs_are_kept_over_a_restart(self):
        self.said("elements", READER)
        named = lambda: sorted(id for id, each in self.daemon.kernelPrograms().items() if each["name"] in ("dump_elements", "dump_caller"))
        before = named()
        self.daemon.stop()
        self.daemon.start()
        self.assertEqual(self.said("elements", READER)[0]["packets"], self.raw().hex())
        self.assertEqual(named(), before)


if __name__ == "__main__":
    harness.main()
