"""The worker's own sockets as a test speaks to them: its messages, byte by byte, and the real binary, with a bpffs of its own as its root
directory and its own filters."""

import array
import fcntl
import os
import re
import select
import socket
import struct
import tempfile

import harness

SCHED_CLS, XDP, XDP_ATTACH, ARRAY, PROG_ARRAY, HASH = 3, 6, 37, 2, 3, 1
TRACING, TRACE_FENTRY, TRACE_ITER, SYSCALL = 26, 24, 28, 31
HOLDERS = {"prog array": PROG_ARRAY, "perf event array": 4, "cgroup array": 8, "map of maps": 12, "hash of maps": 13, "devmap": 14, "sockmap": 15,
           "cpumap": 16, "xskmap": 17, "sockhash": 18, "devmap hash": 25}     # maps whose values are descriptors to the kernel
NO_HANDLE, EPERM, ENOENT, EACCES, EBUSY, EEXIST, EINVAL = 0xffffffff, 1, 2, 13, 16, 17, 22
PROBE_WRITE_USER, SYS_BPF = 36, 166
F_ADD_SEALS, ALL_SEALS = 1033, 15


def operations():
    """Their numbers, from the contract itself."""
    with open(os.path.join(harness.ROOT, "schema", "worker.h")) as file:
        text = re.search(r"enum class Op[^{]*\{(.*?)\};", file.read(), re.S).group(1)
    names = re.findall(r"\w+", re.sub(r"//.*", "", text))
    return {name: number for number, name in enumerate(names)}


OP = operations()


def instruction(code, registers=0, offset=0, immediate=0):
    return struct.pack("<BBhi", code, registers, offset, immediate)


RETURN = instruction(0xb7, 0, 0, 2) + instruction(0x95)              # r0 = XDP_PASS; exit


def wide(source, low, high=0):
    """ldimm64 r1, of a kind; then a program's end."""
    return instruction(0x18, 1 | source << 4, 0, low) + instruction(0, 0, 0, high) + RETURN


def memfd(content, sealed=True):
    fd = os.memfd_create("attack", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    if sealed:
        fcntl.fcntl(fd, F_ADD_SEALS, ALL_SEALS)
    return fd


def setXdp(interface=1, modes=2, has=(1, 0), load=1):
    pin = struct.pack("<IIII64s", 0, load, 0, 0, b"p")
    return pin + pin + struct.pack("<IIII", *has, interface, modes)


def setFilter(change=0, egress=0, interface=1, priority=50, handle=1, load=1):
    return struct.pack("<IIII64s", 0, load, 0, 0, b"p") + struct.pack("<7I", change, egress, interface, priority, handle, 0, 0)[:24]


def mask(numbers):
    return sum(1 << number for number in set(numbers))


def ceiling(attach=(0, XDP_ATTACH, TRACE_ITER), types=(XDP, TRACING)):
    helpers = [0] * 8
    for helper in (PROBE_WRITE_USER, SYS_BPF):
        helpers[helper // 64] |= 1 << helper % 64
    maps = mask([ARRAY, HASH, *HOLDERS.values()])
    return struct.pack("<QQQQ8QQIIII", mask(types), mask(attach), 0, maps, *helpers, 1 << 20, 16, 4, 8, 2)


def grant(programs=((XDP, XDP_ATTACH, 0, 0),), maps=4, map_types=1 << ARRAY | 1 << PROG_ARRAY, bytes_=1 << 16):
    rows = b"".join(struct.pack("<IIIIIII", *each[:4], 0, 0, *(each[4:] or (0,))) for each in programs)   # zeros: extends no program
    rows = rows.ljust(64 * 28, b"\0")
    return struct.pack("<QQIIII", map_types, bytes_, maps, len(programs), 0, 0) + rows + bytes(256 * 8)


def program(code=RETURN, type_=XDP, attach=XDP_ATTACH, target=0, flags=0, count=None, module=0, signature=0):
    count = len(code) // 8 if count is None else count
    return struct.pack("<18I256s16s64s", type_, attach, target, flags, 0, NO_HANDLE, 0, 0, count, 0, 0, 0, 0, 0, 0, module, signature, 0, b"", b"attack", b"GPL") + code


def map_(type_=ARRAY, entries=1, value=8, flags=0, btf=NO_HANDLE, inner=NO_HANDLE):
    return struct.pack("<8IQII16s", type_, 4, value, entries, flags, 0, 0, 0, 0, btf, inner, b"attack")


def element(map_handle, value, key=0):
    return struct.pack("<IIII", map_handle, 4, 4, 0) + struct.pack("<II", key, value)


def pin(directory, name, a=0, b=0):
    return struct.pack("<IIII64s", directory, a, b, 0, name)


def commit(load, programs=(), maps=()):
    return struct.pack("<IIII", load, len(programs), len(maps), 0) + struct.pack("<320I", *(list(programs) + list(maps) + [0] * 320)[:320])


def message(op, body=b"", size=None):
    number = OP[op] if isinstance(op, str) else op
    return struct.pack("<II", number, 8 + len(body) if size is None else size) + body


class Peer:
    """One end of a socket to the worker or a session."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.settimeout(10)

    def send(self, packet, descriptors=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        try:
            self.ours.sendmsg([packet], control)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def call(self, op, body=b"", descriptors=()):
        """The result, or None when the other side is gone."""
        self.send(message(op, body), descriptors)
        return self.answer()

    def answer(self):
        try:
            packet = self.ours.recv(1 << 17)
        except ConnectionResetError:
            return None
        return struct.unpack_from("<q", packet)[0] if packet else None

    def __del__(self):
        self.ours.close()
        self.theirs.close()

    def gone(self):
        """The other side has closed it, or will at once."""
        return bool(select.select([self.ours], [], [], 5)[0]) and self.answer() is None


class Worker:
    def __init__(self, root, bounds=ceiling(), isolated=False):
        self.control, self.errors = Peer(), tempfile.TemporaryFile()
        binary = os.open(os.path.join(harness.BIN, "bpfman-worker"), os.O_RDONLY)
        limits = memfd(bounds)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                if isolated:
                    harness.LIBC.unshare(0x40000000)                 # a network namespace of its own
                os.chroot(root)
                os.chdir("/")
                keep = [os.dup2(fd, 100 + i) for i, fd in enumerate((self.control.theirs.fileno(), limits, self.errors.fileno(), binary))]
                for to, source in ((3, keep[0]), (4, keep[1]), (2, keep[2]), (5, keep[3])):
                    os.dup2(source, to, inheritable=True)
                os.closerange(6, 256)
                os.set_inheritable(5, False)
                harness.LIBC.prctl(38, 1, 0, 0, 0)                   # no_new_privs
                os.execve(5, ["bpfman-worker"], {})
            finally:
                os._exit(99)
        self.control.theirs.close()
        os.close(binary)
        os.close(limits)

    def session(self):
        control, loader = Peer(), Peer()
        number = self.control.call("startSession", descriptors=(control.theirs.fileno(), loader.theirs.fileno()))
        control.theirs.close()
        loader.theirs.close()
        assert number and number > 0, number
        return control, loader

    def lives(self):
        return self.control.call("list", struct.pack("<5I", 0, 0, 0, 0, 0)[:16] + bytes(64) + bytes(8)) is not None

    def end(self):
        """Its exit status and what it said."""
        self.control.ours.close()
        _, status = os.waitpid(self.pid, 0)
        self.errors.seek(0)
        with self.errors:
            return os.waitstatus_to_exitcode(status), self.errors.read().decode()
