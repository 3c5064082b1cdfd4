"""Programs that a test loads itself, by bpf(2) or bpftool: what bpfman did not load."""

import ctypes
import itertools
import os
import struct

import harness

MAP_CREATE, OBJ_PIN, PROG_LOAD, BTF_LOAD, BTF_GET_FD_BY_ID = 0, 6, 5, 18, 19
SCHED_CLS, TRACEPOINT, XDP = 3, 5, 6
BPF_XDP, TCX_INGRESS, HAS_FRAGS = 37, 46, 1 << 5
DROP, PASS = 1, 2
names = itertools.count()


def bpf(command, attributes):
    data = ctypes.create_string_buffer(attributes + bytes(160 - len(attributes)), 160)
    result = harness.LIBC.syscall(321 if os.uname().machine == "x86_64" else 280, command, data, len(data))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf command {command}")
    return result


def loaded(verdict=PASS, flags=0, type=XDP, attach=BPF_XDP, name=b"bare"):
    """A descriptor of a program of two instructions."""
    code = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xb7, 0, 0, verdict, 0x95, 0, 0, 0), 16)
    license = ctypes.create_string_buffer(b"GPL")
    return bpf(PROG_LOAD, struct.pack("=IIQQIIQII16sII", type, 2, ctypes.addressof(code), ctypes.addressof(license), 0, 0, 0, 0, flags, name,
                                      0, attach))


def kernelBtf():
    """A descriptor of the kernel's own types, which are the first."""
    id = struct.pack("=I", 1)
    return bpf(BTF_GET_FD_BY_ID, id)


def btf():
    """A descriptor of types of a program: one pointer."""
    types = struct.pack("=HBBIIIIIIIIB", 0xeb9f, 1, 0, 24, 0, 12, 12, 1, 0, 2 << 24, 0, 0)
    bytes_ = ctypes.create_string_buffer(types, len(types))
    return bpf(BTF_LOAD, struct.pack("=QQI", ctypes.addressof(bytes_), 0, len(types)))


def array():
    """A descriptor of a map of one element."""
    return bpf(MAP_CREATE, struct.pack("=IIII", 2, 4, 4, 1))


def pinned(test, descriptor):
    """Outside of bpfman; its path. Nothing but the pin holds it then."""
    path = f"/sys/fs/bpf/bare{next(names)}"
    where = ctypes.create_string_buffer(path.encode())
    bpf(OBJ_PIN, struct.pack("=QI", ctypes.addressof(where), descriptor))
    os.close(descriptor)
    test.addCleanup(lambda: os.path.exists(path) and os.unlink(path))
    return path


def example(test, name, function=None):
    """One of bpfman's examples, loaded by bpftool; (path of its pin, id). Of several programs one, the others go."""
    path = f"/sys/fs/bpf/{name}{next(names)}"
    if function is None:
        harness.run("bpftool", "prog", "load", harness.example(name), path)
    else:
        harness.run("bpftool", "prog", "loadall", harness.example(name), path + "all")
        os.rename(os.path.join(path + "all", function), path)
        for each in os.listdir(path + "all"):
            os.unlink(os.path.join(path + "all", each))
        os.rmdir(path + "all")
    test.addCleanup(lambda: os.path.exists(path) and os.unlink(path))
    return path, harness.bpftool("prog", "show", "pinned", path)["id"]


def mapOf(program, name):
    maps = [harness.bpftool("map", "show", "id", each) for each in harness.bpftool("prog", "show", "id", program)["map_ids"]]
    return next(each["id"] for each in maps if each["name"] == name)
