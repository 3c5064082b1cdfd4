"""Signed programs: what is to be signed is what the kernel gets, and where it verifies signatures (Linux 6.18 with the configuration for it)
only what was signed is loaded. This machine's kernel knows the request and refuses it; Debian's newest is asked by tests/vm/run sid."""

import ctypes
import json
import os
import struct
import tempfile
import unittest

import harness
from reboot_test import BOOT_ID, reboot

KEYRING = "bpfman-signature-test"
ADD_KEY = {"x86_64": 248, "aarch64": 217}[os.uname().machine]
USER_KEYRING = -4
MAP_INDEX, MAP_VALUE_INDEX = 5, 6           # BPF_PSEUDO_MAP_IDX, BPF_PSEUDO_MAP_IDX_VALUE


def addKey(kind, name, payload, ring):
    libc = ctypes.CDLL(None, use_errno=True)
    serial = libc.syscall(ADD_KEY, kind.encode(), name.encode(), payload, len(payload or b""), ring)
    if serial < 0:
        raise OSError(ctypes.get_errno(), f"add_key {kind}: {os.strerror(ctypes.get_errno())}")
    return serial


class Signer:
    """A key of a test's own, and a keyring of root's that trusts it."""

    def __init__(self, directory, name):
        self.key, self.certificate = (os.path.join(directory, f"{name}.{end}") for end in ("key", "pem"))
        der = os.path.join(directory, f"{name}.der")
        harness.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", "2",
                    "-keyout", self.key, "-out", self.certificate)
        harness.run("openssl", "x509", "-in", self.certificate, "-outform", "DER", "-out", der)
        self.keyring = addKey("keyring", f"{KEYRING}-{name}", None, USER_KEYRING)
        with open(der, "rb") as file:
            addKey("asymmetric", name, file.read(), self.keyring)

    def sign(self, path):
        harness.run("openssl", "smime", "-sign", "-binary", "-noattr", "-nocerts", "-md", "sha256", "-signer", self.certificate,
                    "-inkey", self.key, "-in", path, "-outform", "DER", "-out", f"{path}.p7s")
        return f"{path}.p7s"


class Signed(unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(harness.Daemon())
        self.directory = self.enterContext(tempfile.TemporaryDirectory())

    def load(self, *more, programs="tracepoint:counted"):
        return self.daemon.cli("program", "load", "file", harness.example("signed_program"), "--programs", programs, *more, "-o", "json")

    def loaded(self, *more, **options):
        answer = self.load(*more, **options)
        self.assertEqual(answer.code, 0, answer.err)
        return self.idIn(answer)

    def idIn(self, answer):
        return json.loads(answer.out)["programs"][0]["record"]["program_id"]

    def toSign(self, name="counted"):
        self.daemon.cli("program", "unload", self.loaded("--to-sign", self.directory, programs=f"tracepoint:{name}"))
        return os.path.join(self.directory, f"{name}.insns")

    def runs(self, program):
        before = harness.sums(self.daemon.mapId(program, "runs"))[0]
        os.getpgid(0)
        return harness.sums(self.daemon.mapId(program, "runs"))[0] > before

    def refused(self, reason, *more, **options):
        answer = self.load(*more, **options)
        self.assertNotEqual(answer.code, 0)
        self.assertIn(reason, answer.err)
        self.assertEqual(self.daemon.settled(), [])


class Everywhere(Signed):
    def testWhatIsToBeSignedIsWhatRunsWithItsMapsNamedByIndex(self):
        program = self.loaded("--to-sign", self.directory)
        path = os.path.join(self.directory, "counted.insns")
        with open(path, "rb") as file:
            instructions = file.read()
        named = {each[1] >> 4 for each in struct.iter_unpack("<BBhi", instructions) if each[0] == 0x18}
        self.assertEqual(named, {MAP_INDEX, MAP_VALUE_INDEX})
        self.daemon.attach("tracepoint", program, "syscalls/sys_enter_getpgid")
        self.assertTrue(self.runs(program))

        for more in (("--set", "step=7"), ("--map-owner-id", program), ("--map-size", "runs=2")):     # other values, maps and sizes
            os.unlink(path)
            self.loaded("--to-sign", self.directory, *more)
            with open(path, "rb") as file:
                self.assertEqual(file.read(), instructions, more)

    def testOfSeveralProgramsEachHasItsOwn(self):
        self.loaded("--to-sign", self.directory, programs="tracepoint:counted,tracepoint:other")
        self.assertEqual(sorted(os.listdir(self.directory)), ["counted.insns", "other.insns"])
        self.assertEqual(os.path.getsize(os.path.join(self.directory, "other.insns")), 2 * 8)

    def testWhatCannotBeASignatureIsRefused(self):
        empty, text = (os.path.join(self.directory, name) for name in ("empty", "text"))
        self.daemon.write(empty, "")
        self.daemon.write(text, "no signature")
        self.refused("is empty", "--signature", f"counted={empty}")
        self.refused("can't be read", "--signature", "counted=/nowhere")
        self.refused("expected builtin, secondary, platform", "--signature", f"counted={text}", "--keyring", "mine")
        self.refused("expected KEY=VALUE", "--signature", text)
        self.refused('program "absent", which is not among those that are loaded', "--signature", f"absent={text}")
        self.refused("counted has two signatures", "--signature", f"counted={text}", "--signature", f"counted={text}")
        old = harness.kernel() < (6, 18)
        self.refused("takes no signatures: Linux 6.18" if old else 'refused program "counted"', "--signature", f"counted={text}")
        answer = self.load("--to-sign", "/nowhere")
        self.assertIn("write /nowhere/counted.insns: No such file or directory; the programs are loaded", answer.err)


class Verified(Signed):
    def setUp(self):
        super().setUp()
        path = self.toSign()
        answer = self.load("--signature", f"counted={path}")        # which is none
        for lacking in ("built without what verifies", "takes no signatures: Linux 6.18"):
            if lacking in answer.err:
                self.skipTest(f"its kernel verifies no signatures: {answer.err.strip()}")
        self.signer = Signer(self.directory, "trusted")
        self.signature = f"counted={self.signer.sign(path)}"
        self.program = self.loaded("--signature", self.signature, "--keyring", self.signer.keyring)

    def testASignedProgramRuns(self):
        self.daemon.attach("tracepoint", self.program, "syscalls/sys_enter_getpgid")
        self.assertTrue(self.runs(self.program))

    def testWhatWasNotSignedSoIsRefused(self):
        self.refused("is not of these instructions", "--signature", f"other={self.signature.split('=')[1]}", "--keyring", self.signer.keyring,
                     programs="tracepoint:other")
        other = Signer(self.directory, "other")
        self.refused("no key that made the signature", "--signature", self.signature, "--keyring", other.keyring)
        self.refused("no key that made the signature", "--signature", self.signature, "--keyring", "builtin")
        self.refused("there is no such keyring", "--signature", self.signature, "--keyring", 2**31 - 1)

    def testAnotherIsPutInItsPlaceOnlyWithItsOwnSignature(self):
        update = ("program", "update", self.program, "-f", harness.example("signed_program"), "--keyring", self.signer.keyring)
        other = self.signer.sign(self.toSign("other"))
        answer = self.daemon.cli(*update, "--signature", f"counted={other}")
        self.assertIn("is not of these instructions", answer.err)
        self.assertEqual(self.daemon.programs(), [self.program])
        self.daemon.json(*update, "--signature", self.signature)        # which uses the maps of the first
        program, = self.daemon.programs()
        self.daemon.attach("tracepoint", program, "syscalls/sys_enter_getpgid")
        self.assertTrue(self.runs(program))

    def testAPersistentOneComesBackWithItsSignature(self):
        self.addCleanup(harness.run, "umount", BOOT_ID, check=False)
        words = ("--persistent", "--signature", self.signature, "--keyring", self.signer.keyring)
        self.loaded(*words)
        reboot(self.daemon)
        self.daemon.start(40)
        program, = self.daemon.programs()
        self.assertIn(program, self.daemon.kernelPrograms())


if __name__ == "__main__":
    unittest.main()
