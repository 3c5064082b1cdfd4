"""Maps of every type that this kernel has, from objects: shown as bpftool shows them, handed over as a descriptor that can do what was
asked for and no more, and used through it."""

import ctypes
import mmap
import os
import struct
import subprocess
import unittest
import warnings

import harness
import network

LOOKUP, UPDATE, POP = 1, 2, 21
MODES = {"read": os.O_RDONLY, "write": os.O_WRONLY, "both": os.O_RDWR}
MAP_FIXED_NOREPLACE = 0x100000

# name: (type as bpfman says it and as bpftool does, key size, value size, elements, flags)
TYPES = {
    "array": ("array", "array", 4, 8, 3, 0),
    "array_mmap": ("array", "array", 4, 8, 512, 0x400),
    "hash": ("hash", "hash", 8, 8, 5, 1),
    "percpu_array": ("percpuarray", "percpu_array", 4, 8, 3, 0),
    "percpu_hash": ("percpuhash", "percpu_hash", 8, 8, 5, 0),
    "lru_hash": ("lruhash", "lru_hash", 8, 8, 5, 0),
    "lru_percpu_hash": ("lrucpuhash", "lru_percpu_hash", 8, 8, None, 2),        # rounded up to the number of processors
    "lpm_trie": ("lpmtrie", "lpm_trie", 8, 4, 7, 1),
    "bloom_filter": ("bloomfilter", "bloom_filter", 0, 8, 100, 0),
    "queue": ("queue", "queue", 0, 8, 4, 0),
    "stack": ("stack", "stack", 0, 8, 4, 0),
    "prog_array": ("programarray", "prog_array", 4, 4, 2, 0),
    "perf_event_array": ("perfeventarray", "perf_event_array", 4, 4, None, 0),     # one for each processor
    "cgroup_array": ("cgrouparray", "cgroup_array", 4, 4, 2, 0),
    "stack_trace": ("stacktrace", "stack_trace", 4, 127 * 8, 16, 0),
    "devmap": ("devmap", "devmap", 4, 8, 4, 0x80),                                 # the kernel itself: programs may only read
    "devmap_hash": ("devmaphash", "devmap_hash", 4, 4, 4, 0x80),
    "cpumap": ("cpumap", "cpumap", 4, 8, 2, 0),
    "xskmap": ("xskmap", "xskmap", 4, 4, 4, 0),
    "sockmap": ("sockmap", "sockmap", 4, 8, 4, 0),
    "sockhash": ("sockhash", "sockhash", 8, 8, 4, 0),
    "reuseport_array": ("reuseportsockarray", "reuseport_sockarray", 4, 8, 4, 0),
    "ringbuf": ("ringbuf", "ringbuf", 0, 0, 4096, 0),
    "user_ringbuf": ("userringbuf", "user_ringbuf", 0, 0, 8192, 0),
    "sk_storage": ("skstorage", "sk_storage", 4, 8, 0, 1),
    "inode_storage": ("inodestorage", "inode_storage", 4, 8, 0, 1),
    "task_storage": ("taskstorage", "task_storage", 4, 8, 0, 1),
    "cgroup_storage": ("cgroupstorage", "cgroup_storage", 16, 8, 0, 0),
    "percpu_cgroup": ("percpucgroupstorage", "percpu_cgroup_storage", 16, 8, 0, 0),
    "inner": ("array", "array", 4, 8, 1, 0),
    "array_of_maps": ("arrayofmaps", "array_of_maps", 4, 4, 2, 0),
    "hash_of_maps": ("hashofmaps", "hash_of_maps", 4, 4, 2, 0),
}
LATER = {
    "cgrp_storage": ("cgrpstorage", "cgrp_storage", 4, 8, 0, 1),
    "arena": ("arena", "arena", 0, 0, 4, 0x400),
}


def bpf(command, fd, key=None, value=None, flags=0):
    """0, or the error."""
    address = lambda buffer: ctypes.addressof(buffer) if buffer is not None else 0
    attributes = struct.pack("=IxxxxQQQ", fd, address(key), address(value), flags)
    return 0 if harness.LIBC.syscall(321, command, attributes, len(attributes)) == 0 else ctypes.get_errno()


def number(value, size=8):
    return ctypes.create_string_buffer(value.to_bytes(size, "little"), size)


class MapTypes(unittest.TestCase):
    def setUp(self):
        warnings.simplefilter("ignore", ResourceWarning)
        self.daemon = self.enterContext(harness.Daemon())

    def loaded(self, name, types, *programs):
        answer = self.daemon.json("program", "load", "file", harness.example(name), "--programs", ",".join(programs))
        loaded = [each["record"]["program_id"] for each in answer["programs"]]
        self.shown = {each["id"]: each for each in harness.bpftool("-f", "map", "show")}
        self.said = {each["name"]: each for one in loaded for each in self.daemon.json("program", "get", one)["status"]["maps"]}
        self.assertEqual({name[:15] for name in types}, set(self.said))
        return loaded[0]

    def assertIsShown(self, name, ours, theirs, key, value, elements, flags):
        said = self.said[name[:15]]
        shown = self.shown[said["id"]]
        elements = shown["max_entries"] if elements is None else elements
        self.assertEqual((said["map_type"], said["key_size"], said["value_size"], said["max_entries"], said["flags"]),
                         (ours, key, value, elements, flags))
        self.assertEqual((shown["type"], shown["bytes_key"], shown["bytes_value"], shown["max_entries"], shown["flags"]),
                         (theirs, key, value, elements, flags))
        self.assertIn(said["pin_path"], shown["pinned"])

    def handedOver(self, program):
        """{map's full name: {access: descriptor}}, got by tickets."""
        words = [os.path.join(harness.BIN, "hostile-client"), "map-tickets", self.daemon.runtime, harness.example("map_types"), str(program)]
        found = {}
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as asker:
            for line in asker.stdout:
                name, access, ticket = line.rstrip("\n").split(" ", 2)
                self.assertRegex(ticket, "^[0-9a-f]{64}$", name)
                status, passed = harness.redeem(self.daemon, bytes.fromhex(ticket))
                self.assertEqual((status, len(passed)), (0, 1), name)
                self.addCleanup(os.close, passed[0])
                found.setdefault(name, {})[access] = passed[0]
                if access == "both":
                    asker.stdin.write("\n")
        return found

    def assertMode(self, name, access, descriptor):
        """As the kernel has it of the open file."""
        with open(f"/proc/self/fdinfo/{descriptor}") as file:
            info = dict(line.split(":\t", 1) for line in file if ":\t" in line)
        self.assertEqual(int(info["map_id"]), self.said[name[:15]]["id"], name)
        self.assertEqual(int(info["flags"], 8) & os.O_ACCMODE, MODES[access], (name, access))

    def assertHandedOver(self, program, types):
        maps = self.handedOver(program)
        self.assertEqual(set(maps), set(types))
        for name, descriptors in maps.items():
            with self.subTest(name):
                self.assertEqual(set(descriptors), {"read", "write", "both"})
                for access, descriptor in descriptors.items():
                    self.assertMode(name, access, descriptor)
        return maps

    def testThoseOfLinux6_1(self):
        program = self.loaded("map_types", TYPES, "xdp:map_types", "cgroup_skb:map_types_cgroup")
        for name, row in TYPES.items():
            with self.subTest(name):
                self.assertIsShown(name, *row)
        maps = self.assertHandedOver(program, TYPES)
        self.elements(maps)
        self.mappedArray(maps["array_mmap"])
        self.fromAProgram(program, maps)
        for each in self.daemon.programs():
            self.assertEqual(self.daemon.cli("program", "unload", each).code, 0)
        self.assertEqual(self.daemon.settled(), [])

    def testThoseThatCameLater(self):
        if harness.kernel() < (6, 9):
            result = self.daemon.cli("program", "load", "file", harness.example("map_types_new"), "--programs", "xdp:map_types_new")
            self.assertRegex(result.err, 'cannot create map "(cgrp_storage|arena)"')
            return
        program = self.loaded("map_types_new", LATER, "xdp:map_types_new")
        for name, row in LATER.items():
            with self.subTest(name):
                self.assertIsShown(name, *row)
        arena = self.assertHandedOver(program, LATER)["arena"]["both"]
        address, size = self.said["arena"]["map_extra"], 4 * mmap.PAGESIZE      # where its programs see it too
        harness.LIBC.mmap.restype, harness.LIBC.mmap.argtypes = ctypes.c_uint64, [ctypes.c_uint64, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        harness.LIBC.munmap.argtypes = [ctypes.c_uint64, ctypes.c_size_t]
        got = harness.LIBC.mmap(address, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | MAP_FIXED_NOREPLACE, arena, 0)
        self.assertEqual(got, address)
        ctypes.memmove(address + mmap.PAGESIZE, b"hello", 5)
        self.assertEqual(ctypes.string_at(address + mmap.PAGESIZE, 5), b"hello")
        harness.LIBC.munmap(address, size)

    # ---- used ----

    def elements(self, maps):
        """Set and read; the other way round it is refused."""
        for name, key in (("array", number(1, 4)), ("hash", number(77)), ("lru_hash", number(77)), ("queue", None), ("stack", None)):
            with self.subTest(name):
                by = maps[name]
                self.assertEqual(bpf(UPDATE, by["read"], key, number(5)), 1)                   # EPERM
                self.assertEqual(bpf(UPDATE, by["write"], key, number(5)), 0)
                self.assertEqual(bpf(LOOKUP, by["write"], key, number(0)), 1)
                self.assertEqual(bpf(UPDATE, by["both"], key, number(6)), 0)
                value = number(0)
                self.assertEqual(bpf(LOOKUP, by["read"], key, value), 0)
                self.assertEqual(int.from_bytes(value.raw, "little"), 5 if name == "queue" else 6)
        for name, order in (("queue", (5, 6)), ("stack", (6, 5))):
            value = number(0)
            for expected in order:
                self.assertEqual(bpf(POP, maps[name]["both"], None, value), 0)
                self.assertEqual(int.from_bytes(value.raw, "little"), expected)
            self.assertEqual(bpf(POP, maps[name]["both"], None, value), 2)                     # ENOENT
        self.assertEqual(bpf(UPDATE, maps["bloom_filter"]["both"], None, number(3)), 0)
        self.assertEqual(bpf(LOOKUP, maps["bloom_filter"]["both"], None, number(3)), 0)
        trie = maps["lpm_trie"]["both"]
        self.assertEqual(bpf(UPDATE, trie, ctypes.create_string_buffer(struct.pack("=I4B", 8, 10, 0, 0, 0)), number(9, 4)), 0)
        value = number(0, 4)
        self.assertEqual(bpf(LOOKUP, trie, ctypes.create_string_buffer(struct.pack("=I4B", 32, 10, 1, 2, 3)), value), 0)
        self.assertEqual(value.raw, number(9, 4).raw)

    def mappedArray(self, by):
        with mmap.mmap(by["both"], mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as page:
            page[8:16] = number(42).raw
        value = number(0)
        self.assertEqual(bpf(LOOKUP, by["read"], number(1, 4), value), 0)
        self.assertEqual(value.raw, number(42).raw)
        self.assertCannotBeMapped(by)

    def assertCannotBeMapped(self, by):
        """The kernel maps only what is open for both, also for reading alone."""
        for access in ("read", "write"):
            for protection in (mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE):
                with self.assertRaises(OSError):
                    mmap.mmap(by[access], mmap.PAGESIZE, mmap.MAP_SHARED, protection)

    def fromAProgram(self, program, maps):
        """It pushes each packet's length into the queue, the stack and the ring buffer, whose consumer we are."""
        ring = maps["ringbuf"]
        self.assertCannotBeMapped(ring)
        wire = network.Wire("lan0")
        self.addCleanup(wire.remove)
        self.daemon.attach("xdp", program, "lan0", "-p", 10)
        wire.send(2)
        value, lengths = number(0), set()
        for name in ("queue", "stack"):
            for _ in range(2):
                self.assertEqual(bpf(POP, maps[name]["both"], None, value), 0)
                lengths.add(int.from_bytes(value.raw, "little"))
        self.assertEqual(len(lengths), 1)
        # The consumer's position is a page that it writes; the producer's and the data, which is there twice, are read only.
        page = mmap.PAGESIZE
        with mmap.mmap(ring["both"], page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as consumer, \
             mmap.mmap(ring["both"], page + 2 * 4096, mmap.MAP_SHARED, mmap.PROT_READ, offset=page) as data:
            self.assertEqual(struct.unpack_from("=Q", consumer)[0], 0)
            produced, at, found = struct.unpack_from("=Q", data)[0], 0, []
            while at < produced:
                size = struct.unpack_from("=I", data, page + at % 4096)[0]
                found.append(struct.unpack_from("=Q", data, page + at % 4096 + 8)[0])
                at += (8 + size + 7) // 8 * 8
            struct.pack_into("=Q", consumer, 0, at)
            self.assertEqual(found, 2 * list(lengths))


if __name__ == "__main__":
    harness.main()
