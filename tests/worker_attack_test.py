"""A process that speaks to the worker's own sockets, as a taken-over frontend or loader would. What is malformed ends whom it was sent to:
the worker by one line, a load session alone."""

import json
import os
import re
import select
import struct
import tempfile
import unittest

import harness
import own_programs
from worker_peer import (
    ARRAY, ceiling, commit, EACCES, EBUSY, EEXIST, EINVAL, element, ENOENT, EPERM, grant, HASH, HOLDERS, instruction, map_, mask, memfd,
    message, NO_HANDLE, OP, pin, PROBE_WRITE_USER, PROG_ARRAY, program, RETURN, SCHED_CLS, setFilter, setXdp, SYS_BPF, SYSCALL,
    TRACE_FENTRY, TRACE_ITER, TRACING, wide, Worker, XDP, XDP_ATTACH)


class Attack(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp()
        harness.run("mount", "-t", "bpf", "none", self.root)
        self.addCleanup(lambda: (harness.run("umount", self.root), os.rmdir(self.root)))

    def worker(self, **more):
        return Worker(self.root, **more)

    def ends(self, worker, kind, name, packet, descriptors=()):
        """By one line, the worker itself."""
        self.assertTrue(worker.lives())
        worker.control.send(packet, descriptors)
        harness.attack(self, kind, name, worker.control.gone())
        code, said = worker.end()
        self.assertEqual((code, said.count("\n")), (70, 1), said)

    def sessionEnds(self, worker, kind, name, packet, wish=grant(), before=(), descriptors=()):
        """That session alone: both its sockets, not the worker."""
        control, loader = worker.session()
        self.assertEqual(control.call("grant", wish), 0)
        for op, body in before:
            self.assertGreaterEqual(loader.call(op, body), 0, (name, op))
        loader.send(packet, descriptors)
        harness.attack(self, kind, name, loader.gone() and control.gone())

    def nothingIsLeft(self):
        named = [each for each in harness.bpftool("prog", "list") if each.get("name") == "attack"]
        self.assertEqual(named, [])

    def test_what_is_malformed_ends_the_worker_by_one_line(self):
        pin = struct.pack("<IIII64s", 0, 1, 0, 0, b"p")
        for name, packet in {"a session's operation": message("grant", grant()), "a loader's operation": message("createMap", map_())}.items():
            self.ends(self.worker(), "unpermitted state", name, packet)
        attacks = {
            "unknown operation": message(len(OP) + 5),
            "the number behind the last": message("count"),
            "no header": b"\0" * 4,
            "a size that lies": message("inspect", pin, size=4096),
            "too short": message("inspect", pin[:-1]),
            "too long": message("inspect", pin + b"\0"),
            "above the cap": message("update", b"\0" * 70000),
            "a name with a dot": message("inspect", struct.pack("<IIII64s", 3, 1, 0, 0, b"..")),
            "a name with a slash": message("inspect", struct.pack("<IIII64s", 3, 1, 0, 0, b"a/b")),
            "a name without an end": message("inspect", struct.pack("<IIII64s", 3, 1, 0, 0, b"a" * 64)),
            "XDP in place of whatever is there": message("setXdp", setXdp(modes=16)),
            "XDP off, whatever is there": message("setXdp", setXdp(has=(0, 0))),
            "all filters of a priority": message("setFilter", setFilter(change=1, handle=0)),
            "all filters of a hook": message("setFilter", setFilter(change=1, priority=0)),
            "a filter elsewhere": message("setFilter", setFilter(egress=2)),
            "an unknown change of a filter": message("setFilter", setFilter(change=3)),
            "all filters of a priority replaced": message("setFilter", setFilter(change=2, handle=0)),
            "an unknown directory": message("inspect", struct.pack("<IIII64s", 99, 1, 0, 0, b"p")),
        }
        for name, packet in attacks.items():
            with self.subTest(name):
                self.ends(self.worker(), "malformed message", name, packet)

    def test_descriptors_that_nobody_wants_end_the_worker(self):
        for op, count in (("list", 1), ("startSession", 1), ("startSession", 3), ("query", 2), ("list", 20)):
            with self.subTest(f"{op} with {count}"):
                packet = message(op, bytes(88) if op == "list" else bytes(16) if op == "query" else b"")
                self.ends(self.worker(), "descriptor", f"{op} with {count}", packet, [0] * count)

    def test_a_hostile_session_ends_alone(self):
        worker = self.worker()
        goodControl, goodLoader = worker.session()
        self.assertEqual(goodControl.call("grant", grant()), 0)
        self.assertEqual(goodLoader.call("createMap", map_()), 0)
        loaders = {
            "outside the grant": {
                "another type": message("loadProgram", program(type_=5)),
                "another attach type": message("loadProgram", program(attach=0)),
                "another target": message("loadProgram", program(target=1)),
                "other flags": message("loadProgram", program(flags=32)),
                "a function of a module": message("loadProgram", program(module=1)),
                "a token": message("loadProgram", program(flags=1 << 16)),
                "a map type": message("createMap", map_(HASH)),
            },
            "raw number": {
                "for a map": message("loadProgram", program(wide(1, 3))),
                "for a map's value": message("loadProgram", program(wide(2, 3))),
                "an index into fd_array": message("loadProgram", program(wide(5, 0))),
                "an index for a value": message("loadProgram", program(wide(6, 0))),
                "an index of a module": message("loadProgram", program(wide(5, 1))),
                "an index behind all that a program may name": message("loadProgram", program(wide(5, 9 + 64))),
                "a map of nobody, by index": message("loadProgram", program()[:72] + struct.pack("<I", 7 + 1) + program()[76:]),
                "a module's BTF": message("loadProgram", program(wide(3, 1, 4))),
                "an unknown kind": message("loadProgram", program(wide(9, 1))),
                "a module's function": message("loadProgram", program(instruction(0x85, 0x20, 1, 5) + RETURN)),
                "for a program's BTF": message("loadProgram", program()[:20] + struct.pack("<I", 3) + program()[24:]),
                "for a map's BTF": message("createMap", map_(btf=3)),
                "for an inner map": message("createMap", map_(inner=3)),
                "for a value's BTF": message("createMap", map_(flags=1 << 15)),
                "for a map's token": message("createMap", map_(flags=1 << 16)),
                "for a map of a path": message("createMap", map_(flags=1 << 14)),
                "a handle of nobody": message("freezeMap", struct.pack("<I", 7)),
                "information about nobody": message("inspectHandle", struct.pack("<I", 7)),
                "another session's handle": message("freezeMap", struct.pack("<I", 0)),
                "a program and a map of nobody": message("bindMap", struct.pack("<II", 3, 4)),
            },
            "malformed message": {
                "half a pair": message("loadProgram", program(instruction(0x18, 0x11, 0, 3))),
                "more instructions than sent": message("loadProgram", program(count=100)),
                "a signature that was not sent": message("loadProgram", program(signature=8)),
                "a field that there is not, as attach_prog_fd": message("loadProgram", program() + struct.pack("<I", 3)),
                "a map's field that there is not": message("createMap", map_() + struct.pack("<I", 3)),
                "a name without an end": message("createMap", map_()[:-16] + b"a" * 16),
            },
            "outside the ceiling": {"a refused helper": message("loadProgram", program(instruction(0x85, 0, 0, PROBE_WRITE_USER) + RETURN))},
            "bpf in the kernel": {
                "the helper sys_bpf": message("loadProgram", program(instruction(0x85, 0, 0, SYS_BPF) + RETURN)),
                "a syscall program": message("loadProgram", program(type_=SYSCALL, attach=0, flags=16)),
            },
            "unpermitted state": {
                "the frontend's operation": message("commit", commit(1)),
                "the worker's operation": message("removeLoad", struct.pack("<II", 1, 0)),
                "another grant": message("grant", grant()),
            },
        }
        for kind, packets in loaders.items():
            for name, packet in packets.items():
                with self.subTest(kind, name=name):
                    self.sessionEnds(worker, kind, name, packet)
                    self.assertEqual(goodLoader.call("inspectHandle", struct.pack("<I", 0)), 0)     # others go on meanwhile
        for name, type_ in HOLDERS.items():
            inner = name in ("map of maps", "hash of maps")
            before = [("createMap", map_())] if inner else []
            before.append(("createMap", map_(type_, value=4, inner=0 if inner else NO_HANDLE)))
            for number in (3, 0, NO_HANDLE) if not inner else (3, NO_HANDLE):
                with self.subTest(name, number=number):
                    self.sessionEnds(worker, "raw number", f"{number} as a value of a {name}", message("initialise", element(len(before) - 1, number)),
                                     grant(map_types=mask([ARRAY, *HOLDERS.values()])), before)
        self.assertTrue(worker.lives())
        # The one that began before them all is as it was.
        self.assertEqual(goodLoader.call("loadProgram", program()), 1)
        self.assertEqual(goodControl.call("commit", commit(77, [1])), 0)
        self.assertTrue(os.path.exists(os.path.join(self.root, "loads", "77", "p0")))
        os.unlink(os.path.join(self.root, "loads", "77", "p0"))
        self.assertEqual(worker.end()[0], 0)
        self.nothingIsLeft()

    def test_a_message_cut_at_every_byte_ends_the_session(self):
        worker = self.worker()
        for op, body in (("loadProgram", program()), ("createMap", map_()), ("initialise", element(0, 0)), ("freezeMap", bytes(4)),
                         ("bindMap", bytes(8)), ("inspectHandle", bytes(4)), ("loadBtf", struct.pack("<II", 4, 0) + bytes(4))):
            whole = message(op, body)
            for length in range(1, len(whole)):
                self.sessionEnds(worker, "malformed message", f"{op}, {length} bytes of it", whole[:length])
        whole = message("grant", grant())
        for length in [*range(1, 64), *range(64, len(whole), 97), len(whole) - 1]:
            control, loader = worker.session()
            control.send(whole[:length])
            harness.attack(self, "malformed message", f"grant, {length} bytes of it", control.gone() and loader.gone())
        whole = message("inspect", pin(3, b"", 1))
        for length in range(1, len(whole)):
            self.ends(self.worker(), "malformed message", f"inspect, {length} bytes of it", whole[:length])
        self.assertTrue(worker.lives())
        self.assertEqual(worker.end()[0], 0)
        self.nothingIsLeft()

    def test_what_has_no_link_is_done_in_its_own_namespace_and_never_over_others(self):
        worker = Worker(self.root, isolated=True)
        control, loader = worker.session()
        control.call("grant", grant(((XDP, XDP_ATTACH, 0, 0), (XDP, XDP_ATTACH, 0, 0))))
        self.assertEqual([loader.call("loadProgram", program()) for _ in range(2)], [0, 1])
        self.assertEqual(control.call("commit", commit(5, [0, 1])), 0)

        def inside(*command):
            return harness.run("nsenter", f"--net=/proc/{worker.pid}/ns/net", *command).stdout
        first = setXdp(load=5)
        second = bytearray(first)
        second[8:12] = struct.pack("<I", 1)                           # p1; what is expected is p0 still
        self.assertEqual(worker.control.call("setXdp", first), 0)
        self.assertIn("xdpgeneric", inside("ip", "link", "show", "lo"))
        self.assertEqual(worker.control.call("setXdp", first), -EBUSY)
        second[160:168] = struct.pack("<II", 1, 1)
        self.assertEqual(worker.control.call("setXdp", bytes(second)), 0)
        self.assertEqual(worker.control.call("setXdp", bytes(second)), -EEXIST)   # p0 is not there any more
        descriptor = os.open("/dev/null", os.O_RDONLY)
        self.assertEqual(worker.control.call("setXdp", first, [descriptor]), -EINVAL)
        os.close(descriptor)
        self.assertIn("xdpgeneric", inside("ip", "link", "show", "lo"))
        self.assertEqual(worker.control.call("setFilter", setFilter(load=5)), -EPERM)   # above this ceiling
        self.assertTrue(worker.lives())
        self.assertEqual(worker.end()[0], 0)
        for each in ("p0", "p1"):
            os.unlink(os.path.join(self.root, "loads", "5", each))
        self.assertNotIn("xdp", harness.run("ip", "link", "show", "lo").stdout)

    def test_a_filter_is_made_once_and_only_its_own_handle_is_touched(self):
        worker = Worker(self.root, ceiling(types=(SCHED_CLS,)), isolated=True)
        control, loader = worker.session()
        control.call("grant", grant(((SCHED_CLS, 0, 0, 0),)))
        loader.call("loadProgram", program(type_=SCHED_CLS, attach=0))
        self.assertEqual(control.call("commit", commit(6, [0])), 0)

        def inside(*command):
            return harness.run("nsenter", f"--net=/proc/{worker.pid}/ns/net", *command).stdout

        def shown():
            found = [each.get("options", {}) for each in json.loads(inside("tc", "-j", "filter", "show", "dev", "lo", "ingress"))]
            return sorted((each["handle"], each["prog"]["id"]) for each in found if "prog" in each)
        one = json.loads(harness.run("bpftool", "-j", "prog", "show", "pinned", f"{self.root}/loads/6/p0").stdout)["id"]
        self.assertEqual(worker.control.call("setFilter", setFilter(change=1)), -EINVAL)  # nothing to remove, not even a qdisc
        self.assertLess(worker.control.call("setFilter", setFilter(load=6, change=2)), 0)  # nothing to replace
        self.assertEqual(harness.run("nsenter", f"--net=/proc/{worker.pid}/ns/net", "tc", "qdisc", "show", "dev", "lo").stdout.count("clsact"), 0)
        self.assertEqual(worker.control.call("setFilter", setFilter(load=6)), 0)
        self.assertEqual(worker.control.call("setFilter", setFilter(load=6, handle=2)), 0)
        self.assertEqual(worker.control.call("setFilter", setFilter(load=6, change=2)), 0)
        self.assertEqual(worker.control.call("setFilter", setFilter(load=6, change=2, handle=3)), -ENOENT)
        self.assertEqual(worker.control.call("setFilter", setFilter(load=6)), -EEXIST)
        self.assertEqual(shown(), [("0x1", one), ("0x2", one)])
        self.assertEqual(worker.control.call("setFilter", setFilter(change=1)), 0)
        self.assertEqual(shown(), [("0x2", one)])
        self.assertEqual(worker.control.call("setFilter", setFilter(change=1)), -ENOENT)
        self.assertEqual(worker.control.call("setXdp", setXdp(load=6)), -EINVAL)         # no XDP program
        self.assertEqual(worker.end()[0], 0)
        os.unlink(os.path.join(self.root, "loads", "6", "p0"))

    def test_blobs_must_be_sealed(self):
        worker = self.worker()
        body = program()[:408]
        zero = os.open("/dev/zero", os.O_RDONLY)
        for fd in (memfd(RETURN, sealed=False), memfd(RETURN[:8]), zero):
            control, loader = worker.session()
            self.assertEqual(control.call("grant", grant()), 0)
            loader.send(message("loadProgram", body[:32] + struct.pack("<I", 2) + body[36:]), [fd])
            harness.attack(self, "descriptor", "a blob that is no sealed memfd", loader.gone())
            os.close(fd)
        control, loader = worker.session()
        control.call("grant", grant())
        self.assertEqual(loader.call("loadProgram", body[:32] + struct.pack("<I", 2) + body[36:], [memfd(RETURN)]), 0)
        self.assertTrue(worker.lives())
        worker.end()

    def test_nothing_before_the_grant_and_no_second_one(self):
        worker = self.worker()
        control, loader = worker.session()
        loader.send(message("loadProgram", program()))                # waits: there is no grant
        self.assertEqual(select.select([loader.ours], [], [], 0.3)[0], [])
        self.assertEqual(control.call("grant", grant()), 0)
        self.assertEqual(loader.answer(), 0)
        harness.attack(self, "unpermitted state", "a second grant", control.call("grant", grant()) is None and loader.gone())

        for early in ("commit", "inspectHandle"):
            control, loader = worker.session()
            gone = control.call(early, commit(1) if early == "commit" else struct.pack("<I", 0)) is None
            harness.attack(self, "unpermitted state", early + " before the grant", gone)
        control, loader = worker.session()
        control.call("grant", grant())
        loader.call("loadProgram", program())
        self.assertEqual(control.call("commit", commit(78, [0])), 0)
        harness.attack(self, "unpermitted state", "a second commit", control.call("commit", commit(79, [0])) is None)
        os.unlink(os.path.join(self.root, "loads", "78", "p0"))
        self.assertTrue(worker.lives())
        worker.end()
        self.nothingIsLeft()

    def test_the_ceiling_and_the_grant_bound_what_is_asked_for(self):
        worker = self.worker()
        for name, wish in {"a type above the ceiling": grant(((5, 0, 0, 0),)), "an attach type above it": grant(((XDP, 46, 0, 0),)),
                           "too many maps": grant(maps=17), "too much memory": grant(bytes_=(1 << 20) + 1),
                           "too many programs": grant([(XDP, XDP_ATTACH, 0, 0)] * 5)}.items():
            with self.subTest(name):
                control, _ = worker.session()
                harness.attack(self, "outside the ceiling", name, control.call("grant", wish) == -EPERM)
        for flags in (0, 16):                                         # sleepable, as the kernel wants them
            control, _ = worker.session()
            refused = control.call("grant", grant(((SYSCALL, 0, 0, flags),))) == -EPERM
            harness.attack(self, "bpf in the kernel", "a grant of a syscall program", refused)
        control, loader = worker.session()
        self.assertEqual(control.call("grant", grant(maps=2)), 0)
        harness.attack(self, "outside the grant", "a map with more memory", loader.call("createMap", map_(entries=1 << 20)) == -EPERM)
        self.assertEqual([loader.call("createMap", map_()) for _ in range(2)], [0, 1])
        harness.attack(self, "outside the grant", "one map more", loader.call("createMap", map_()) == -EPERM)
        self.assertEqual(loader.call("loadProgram", program()), 2)
        harness.attack(self, "outside the grant", "a granted program twice", loader.call("loadProgram", program()) is None)
        self.assertTrue(worker.lives())
        worker.end()
        self.nothingIsLeft()

    def test_only_programs_within_the_ceiling_are_pinned_by_a_descriptor_and_only_as_members_and_loads(self):
        worker, load, member = self.worker(), pin(0, b"p", 81, 0), pin(7, b"", 1, 2)
        good, other, plain = own_programs.loaded(), own_programs.loaded(type=own_programs.TRACEPOINT, attach=0), os.open("/dev/zero", os.O_RDONLY)
        taken = {"a map": (own_programs.array(), -EPERM), "a program above the ceiling": (other, -EPERM), "a file": (plain, -EINVAL)}
        for name, (descriptor, error) in taken.items():
            for to in (load, member):
                refused = worker.control.call("publish", bytes(80) + to, [descriptor]) == error
                harness.attack(self, "foreign object", name + " to be pinned", refused)
            os.close(descriptor)
        self.assertFalse(os.path.exists(f"{self.root}/loads/81"))
        self.assertEqual(worker.control.call("publish", bytes(80) + load, [good]), 0)
        self.assertEqual(worker.control.call("publish", bytes(80) + load, [good]), -EEXIST)
        self.assertEqual(worker.end()[0], 0)
        for name, wish in {"as a map": pin(0, b"m", 81, 0) * 2, "as a map, from zeros": bytes(80) + pin(0, b"m", 81, 0),
                           "as a public name": bytes(80) + pin(1, b"", 1), "as a link": bytes(80) + pin(3, b"", 1)}.items():
            self.ends(self.worker(), "foreign object", "a program " + name, message("publish", wish), [good])
        os.close(good)
        self.assertEqual(os.listdir(f"{self.root}/loads/81"), ["p0"])
        os.unlink(f"{self.root}/loads/81/p0")

    def test_modules_are_those_that_the_frontend_gave_and_have_the_kernels_types(self):
        """The kernel's own types stand for a module's: what is refused is refused before the kernel sees it."""
        worker, kernel = self.worker(bounds=ceiling(attach=(XDP_ATTACH, TRACE_FENTRY))), own_programs.kernelBtf()
        others = {"a program": own_programs.loaded(), "a program's types": own_programs.btf(), "a file": os.open("/dev/zero", os.O_RDONLY)}
        control, loader = worker.session()
        for name, descriptor in others.items():
            error = -EINVAL if name == "a file" else -EPERM
            harness.attack(self, "foreign object", name + " as a module", control.call("addModule", descriptors=[descriptor]) == error)
        self.assertEqual(control.call("addModule", descriptors=[kernel]), 1)     # and those before it were none
        function = [(TRACING, TRACE_FENTRY, 7, 0, 1)]
        self.assertEqual(control.call("grant", grant(function)), 0)
        self.assertLess(loader.call("loadProgram", program(type_=TRACING, attach=TRACE_FENTRY, target=7, module=1)), 0)
        for name, packet in {
            "another module's function than the grant's": program(type_=TRACING, attach=TRACE_FENTRY, target=7, module=2),
            "the kernel's function instead of a module's": program(type_=TRACING, attach=TRACE_FENTRY, target=7),
        }.items():
            self.sessionEnds(worker, "outside the grant", name, message("loadProgram", packet), grant(function))
        attacks = {f"a function of module {number}": program(instruction(0x85, 0x20, number, 5) + RETURN) for number in (2, 8, 9, -1, 0x7fff)}
        attacks |= {f"a variable of module {number}": program(wide(3, 1, number)) for number in (2, 9, kernel, -1)}
        for name, packet in attacks.items():
            control, loader = worker.session()
            self.assertEqual(control.call("addModule", descriptors=[kernel]), 1)
            self.assertEqual(control.call("grant", grant()), 0)
            loader.send(message("loadProgram", packet))
            harness.attack(self, "raw number", name, loader.gone() and control.gone())
        control, loader = worker.session()
        self.assertEqual([control.call("addModule", descriptors=[kernel]) for _ in range(8)], list(range(1, 9)))
        harness.attack(self, "malformed message", "one module more", control.call("addModule", descriptors=[kernel]) is None)
        self.sessionEnds(worker, "unpermitted state", "a module from the loader", message("addModule"), descriptors=[kernel])
        self.assertTrue(worker.lives())
        self.assertEqual(worker.end()[0], 0)
        self.ends(self.worker(), "unpermitted state", "a module for the worker", message("addModule"), [kernel])
        for descriptor in [kernel, *others.values()]:
            os.close(descriptor)
        self.nothingIsLeft()

    def test_an_iterator_only_over_elements_that_the_kernel_iterates_and_of_its_sizes(self):
        dump = harness.run("bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux").stdout
        target = int(re.search(r"^\[(\d+)\] FUNC 'bpf_iter_bpf_map_elem'", dump, re.M)[1])

        def reader(offset):                                           # of 8 bytes of the value at that offset
            return program(instruction(0x79, 0x12, 24) + instruction(0x15, 0x02, 1) + instruction(0x79, 0x23, offset) +
                           instruction(0xb7) + instruction(0x95), TRACING, TRACE_ITER, target)
        worker = self.worker()
        control, loader = worker.session()
        wish = grant([(TRACING, TRACE_ITER, target, 0)] * 2)
        self.assertEqual(control.call("grant", wish), 0)
        made = [loader.call("loadProgram", reader(0)), loader.call("loadProgram", reader(8)), loader.call("createMap", map_()),
                loader.call("createMap", map_(PROG_ARRAY, value=4))]
        self.assertEqual(made, [0, 1, 2, 3])
        self.assertEqual(control.call("commit", commit(80, [0, 1], [2, 3])), 0)
        fits, tooFar, array, slots = pin(0, b"p", 80, 0), pin(0, b"p", 80, 1), pin(0, b"m", 80, 0), pin(0, b"m", 80, 1)
        links = harness.bpftool("link", "show")
        self.assertEqual(worker.control.call("openIterator", fits + array), 0)
        for name, body, error in (("a value shorter than the program reads", tooFar + array, -EACCES), ("a prog array", fits + slots, -EINVAL),
                                  ("no map", fits + pin(0, b"m", 80, 7), -2), ("no program", pin(0, b"p", 80, 7) + array, -2)):
            harness.attack(self, "foreign object", "an iterator over " + name, worker.control.call("openIterator", body) == error)
        zero = os.open("/dev/zero", os.O_RDONLY)
        refused = worker.control.call("openIterator", fits + bytes(80), [zero]) < 0
        harness.attack(self, "descriptor", "an iterator over a process that is a file", refused)
        os.close(zero)
        self.assertEqual(harness.bpftool("link", "show"), links)      # none stays
        self.assertEqual(worker.end()[0], 0)

        worker = self.worker(bounds=ceiling(attach=(XDP_ATTACH,)))
        refused = worker.control.call("openIterator", fits + array) == -EPERM
        harness.attack(self, "outside the ceiling", "an iterator where there are none", refused)
        worker.end()
        for name, body in (("a TCX link's pin", pin(10, b"", 1) + array), ("a map's pin", array + array), ("a program for a map", fits + fits),
                           ("a link for a map", fits + pin(3, b"", 1)), ("an iterator's name that leads out", pin(14, b"../a") + bytes(80))):
            self.ends(self.worker(), "foreign object", "an iterator over " + name, message("openIterator", body))
        self.ends(self.worker(), "descriptor", "a process for a pinned iterator", message("openIterator", pin(14, b"programs") + bytes(80)), [0])
        for name in ("p0", "p1", "m0", "m1"):
            os.unlink(os.path.join(self.root, "loads", "80", name))
        self.nothingIsLeft()


if __name__ == "__main__":
    harness.main()
