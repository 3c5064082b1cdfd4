#!/usr/bin/env python3
"""Redeems a ticket with nothing but Python's standard library. Of a map's descriptor it prints the first element's value; of an iterator over
its elements (a ticket with access `elements`, which needs the map right `read` only) each key and value.

    redeem.py FD_SOCK TICKET_IN_HEX KEY_SIZE VALUE_BYTES

FD_SOCK is RUNTIME_DIR/fd.sock. The ticket comes from whoever holds the map (Map.ticket in schema/bpfman.capnp), is good for 30 seconds, once,
and for the same user. VALUE_BYTES: of a per-CPU map the value's size, rounded up to 8, times the possible CPUs.
"""

import ctypes
import os
import platform
import socket
import struct
import sys

STATUS = {1: "there is no such ticket, or it was used, or it is late", 2: "it is another user's ticket", 3: "the map or the right to it is gone"}
BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
BPF_MAP_LOOKUP_ELEM = 1


def redeem(path, ticket):
    """The map's descriptor: the caller closes it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as window:
        window.connect(path)
        window.sendall(ticket)
        status, descriptors, _, _ = socket.recv_fds(window, 1, 1)
    if status != b"\0":
        raise SystemExit("refused: " + STATUS.get(status[0] if status else 1, "unknown status"))
    return descriptors[0]


def lookup(descriptor, key, size):
    value, key = ctypes.create_string_buffer(size), ctypes.create_string_buffer(key, len(key))
    attr = struct.pack("<IIQQQ", descriptor, 0, ctypes.addressof(key), ctypes.addressof(value), 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(BPF, BPF_MAP_LOOKUP_ELEM, attr, len(attr)) != 0:
        raise SystemExit("BPF_MAP_LOOKUP_ELEM: " + os.strerror(ctypes.get_errno()))
    return value.raw


def elements(iterator, key_size, value_size):
    """(key, value) of each element."""
    with open(iterator, "rb") as file:
        content = file.read()
    size = key_size + value_size
    return [(content[at:at + key_size], content[at + key_size:at + size]) for at in range(0, len(content), size)]


if __name__ == "__main__":
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    fd = redeem(sys.argv[1], bytes.fromhex(sys.argv[2]))
    kind, sizes = os.readlink(f"/proc/self/fd/{fd}"), (int(sys.argv[3]), int(sys.argv[4]))
    if "iter" in kind:
        for key, value in elements(fd, *sizes):
            print(kind, key.hex(), value.hex())
    else:
        print(kind, lookup(fd, bytes(sizes[0]), sizes[1]).hex())
