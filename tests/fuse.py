"""A FUSE file system by hand, with one file: it answers until the file is open, and then nothing any more. What a client that means no good
can hand over as a descriptor."""

import ctypes
import os
import struct
import threading

from harness import LIBC

LOOKUP, FORGET, GETATTR, OPEN, RELEASE, FLUSH, INIT, OPENDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 1, 2, 3, 14, 18, 25, 26, 27, 29, 36, 42
SILENT = {FORGET, BATCH_FORGET, INTERRUPT}  # have no answer
FILE = 2


class SilentFile:
    """Mounted at path; open() gives descriptors of path/file. Of what is asked after hush() nothing is answered: `unanswered` has the
    opcodes. abort() ends the connection, as its end would: everyone who waits gets an error."""

    def __init__(self, path):
        self.path, self.hushed, self.unanswered = path, False, []
        os.makedirs(path, exist_ok=True)
        self.device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if LIBC.mount(b"silent", path.encode(), b"fuse.silent", 0, options) != 0:
            error = ctypes.get_errno()
            os.close(self.device)
            raise OSError(error, "mount fuse: " + os.strerror(error))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def attributes(self, node):
        mode = 0o100666 if node == FILE else 0o040777
        return struct.pack("<6Q10I", node, 4096, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def answer(self, opcode, node, body):
        if opcode == INIT:
            return struct.pack("<4I2H2I2H8I", 7, 31, 0, 0, 0, 0, 4096, 1, *[0] * 10)
        if opcode == LOOKUP:
            return struct.pack("<4Q2I", FILE, 0, 0, 0, 0, 0) + self.attributes(FILE)  # not kept: each question is asked again
        if opcode == GETATTR:
            return struct.pack("<Q2I", 0, 0, 0) + self.attributes(node)
        if opcode in (OPEN, OPENDIR):
            return struct.pack("<Q2I", 1, 1, 0)                                        # direct I/O: reads come to us
        if opcode in (RELEASE, RELEASEDIR):
            return b""
        return None

    def serve(self):
        device = self.device
        try:
            while True:
                request = os.read(device, 1 << 17)
                _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
                if opcode in SILENT:
                    continue
                if self.hushed:
                    self.unanswered.append(opcode)
                    continue
                body = self.answer(opcode, node, request[40:])
                if body is None:
                    os.write(device, struct.pack("<IiQ", 16, -38, unique))
                else:
                    os.write(device, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)
        except OSError:
            pass  # the connection was ended

    def open(self, flags=os.O_RDWR):
        return os.open(os.path.join(self.path, "file"), flags | os.O_CLOEXEC)

    def hush(self):
        self.hushed = True

    def abort(self):
        """Also a second time."""
        if self.device is not None:
            LIBC.umount2(self.path.encode(), 1 | 2)  # MNT_FORCE aborts the connection; MNT_DETACH
            os.close(self.device)
            self.device = None
