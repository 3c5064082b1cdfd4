"""The privileged processes stay small: own lines of everything that is linked into the worker and the broker, headers included; and what
the worker's binary does not contain."""

import os
import re
import subprocess
import sys
import unittest

import harness

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("BPFMAN_BUILD", os.path.join(ROOT, "build"))
WORKER_LINES = 1500
DELEGATOR_LINES = 250
BROKER_LINES = 1000          # the broker's own code
BROKER_LINKED_LINES = 1150   # with the contracts and seccomp/confine, which others share: so that nothing moves there to escape the limit


def codeLines(path):
    """Lines that have something besides blanks and comments. A comment sign in a string would hide code, so strings are emptied first."""
    with open(path) as file:
        text = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', file.read())
    text = re.sub(r"/\*.*?\*/", lambda comment: "\n" * comment.group().count("\n"), text, flags=re.S)
    return sum(1 for line in text.splitlines() if re.sub(r"//.*", "", line).strip())


def dependencies():
    """{object: files of ours that it was compiled from}, as the compiler noted them; generated files are not ours."""
    answer, current = {}, None
    text = subprocess.run(["ninja", "-C", BUILD, "-t", "deps"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    for line in text.splitlines():
        if line.startswith("    "):
            path = os.path.realpath(os.path.join(BUILD, line.strip()))
            if path.startswith(ROOT + "/") and not path.startswith(os.path.realpath(BUILD) + "/"):
                answer[current].add(path)
        elif ": #deps" in line:
            current = line.split(": #deps")[0]
            answer[current] = set()
    return answer


def linesOf(objects, known, beneath=""):
    """Own lines of all files behind objects. One that the compiler's notes do not have is counted as not found, never as nothing."""
    files = set()
    for each in objects:
        if each not in known:
            raise AssertionError(f"no dependencies are noted for {each}; build it with ninja first")
        files |= known[each]
    counts = {os.path.relpath(path, ROOT): codeLines(path) for path in files if os.path.relpath(path, ROOT).startswith(beneath)}
    for path, count in sorted(counts.items()):
        print(f"{count:6} {path}", file=sys.stderr)
    print(f"{sum(counts.values()):6} in all", file=sys.stderr)
    return sum(counts.values())


class Lines(unittest.TestCase):
    def setUp(self):
        self.map = os.path.join(BUILD, "bpfman-worker.map")
        if not os.path.exists(self.map):
            harness.skip(self, f"{self.map} is not there: sanitized builds have no link map")
        self.known = dependencies()

    def linked(self):
        """Our objects in the worker's link map: those named directly, and members of our static libraries."""
        with open(self.map) as file:
            text = file.read()
        objects = set()
        for archive, member in re.findall(r"^(?:LOAD )?(\S+\.a)\((\S+\.o)\)", text, re.M):
            if not os.path.isabs(archive) or archive.startswith(BUILD + "/"):
                folder, library = os.path.split(os.path.relpath(os.path.join(BUILD, archive), BUILD))
                objects.add(f"{folder}/CMakeFiles/{library[3:-2]}.dir/{member}")
        objects |= set(re.findall(r"^LOAD (\S+/CMakeFiles/\S+\.o)$", text, re.M))
        return {each for each in objects if not each.endswith("-policy.c++.o")}   # filters that the policies became: no code

    def test_worker(self):
        objects = self.linked()
        self.assertTrue(any(each.endswith("main.c++.o") for each in objects), objects)
        self.assertTrue(any(each.endswith("load.c++.o") for each in objects), objects)
        self.assertLessEqual(linesOf(objects, self.known), WORKER_LINES)

    def test_broker(self):
        objects = {each for each in self.known if re.match(r"broker/CMakeFiles/(broker|bpfmand)\.dir/", each)}
        objects |= {each for each in self.known if re.match(r"seccomp/CMakeFiles/seccomp_confine\.dir/", each)}
        self.assertGreater(len(objects), 5)
        self.assertLessEqual(linesOf(objects, self.known, "broker/"), BROKER_LINES)
        self.assertLessEqual(linesOf(objects, self.known), BROKER_LINKED_LINES)

    def test_delegator(self):
        """With the contracts and its confinement: the one process that keeps CAP_SYS_ADMIN beside the broker."""
        folders = r"(delegator/CMakeFiles/bpfman-delegator|seccomp/CMakeFiles/seccomp_(confine|landlock))\.dir/"
        objects = {each for each in self.known if re.match(folders, each)}
        self.assertEqual(len(objects), 3)
        self.assertLessEqual(linesOf(objects, self.known), DELEGATOR_LINES)

    def test_worker_contains_no_parser(self):
        binary = os.path.join(BUILD, "bin", "bpfman-worker")
        symbols = subprocess.run(["nm", "-C", binary], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertIn("bpfman::perform", symbols, "the binary is stripped: nothing could be seen in it")
        found = re.findall(r"(?im)^.* (?:kj::|capnp::|elf_begin|elf_\w*get|gelf_|libbpf_|bpf_object__|btf__|sqlite3_|toml::|SSL_|curl_|spdlog::).*$", symbols)
        self.assertEqual(found, [])
        self.assertNotIn("NEEDED", subprocess.run(["readelf", "-d", binary], stdout=subprocess.PIPE, text=True).stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
