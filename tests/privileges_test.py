"""The table in docs/privileges.md is what the live processes have: identity, capabilities, filters, descriptors, environment, root."""

import os
import re
import unittest

import harness

CAPABILITIES = {"CHOWN": 0, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8, "NET_ADMIN": 12, "SYS_ADMIN": 21, "PERFMON": 38, "BPF": 39}
PLACES = {"null": r"/dev/null", "pipe": r"pipe:", "socket": r"socket:", "memfd": r"/memfd:",
          "vmlinux": r"/sys/kernel/btf/vmlinux|/dev/null", "bpf_stats_enabled": r"/proc/sys/kernel/bpf_stats_enabled",
          "cgroup": r"/sys/fs/cgroup|/dev/null", "state": r"/.*/state$", "programs": r"/.*/run/programs$"}


def table():
    """{process: {column: text}} of the first table that has these columns."""
    with open(os.path.join(harness.ROOT, "docs", "privileges.md")) as file:
        rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in file if line.startswith("|")]
    start = next(i for i, row in enumerate(rows) if row[:2] == ["process", "uid"])
    answer = {}
    for row in rows[start + 2:]:
        if len(row) != len(rows[start]):
            break
        answer[row[0]] = dict(zip(rows[start], row))
    return answer


def mask(words):
    return sum(1 << CAPABILITIES[word] for word in re.findall(r"[A-Z_]+", words))


class Privileges(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = harness.Daemon(policy="").start()
        cls.daemon.load("xdp_counter", "xdp")          # so that what is compared has also worked
        harness.eventually(lambda: all(cls.daemon.processes().values()))
        cls.rows = table()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.end()

    def each(self):
        """(process, its row, its pid) for each live process; all kinds of the table are there and no other."""
        processes = self.daemon.processes()
        self.assertEqual(set(processes), set(self.rows))
        for name, pids in processes.items():
            self.assertTrue(pids, f"no {name} is running")
            for pid in pids:
                with self.subTest(process=name, pid=pid):
                    yield name, self.rows[name], pid

    def test_identity(self):
        for name, row, pid in self.each():
            offset = re.fullmatch(r"base_uid(?:\+(\d))?", row["uid"])
            uid = self.daemon.baseUid + int(offset[1] or 0) if offset else int(row["uid"])
            status = harness.status(pid)
            self.assertEqual(status["Uid"].split(), [str(uid)] * 4)
            self.assertEqual(status["Gid"].split(), [str(uid)] * 4)
            self.assertEqual(status["Groups"].split(), [])

    def test_capabilities(self):
        for name, row, pid in self.each():
            status = harness.status(pid)
            permitted, effective = mask(row["capabilities"]), mask(re.sub(r"\(.*\)", "", row["capabilities"]))
            self.assertEqual(int(status["CapPrm"], 16), permitted)
            self.assertEqual(int(status["CapEff"], 16), effective)
            self.assertEqual(int(status["CapBnd"], 16), mask(row["bounding set"]))
            self.assertEqual(int(status["CapAmb"], 16), 0)
            self.assertEqual(int(status["CapInh"], 16), permitted if name in ("worker", "session") else 0)

    def test_filters(self):
        for name, row, pid in self.each():
            status = harness.status(pid)
            self.assertEqual(status["NoNewPrivs"], {"yes": "1", "no": "0"}[row["no_new_privs"]])
            self.assertEqual(status["Seccomp"], "2")
            self.assertEqual(status.get("Seccomp_filters", row["seccomp"][0]), row["seccomp"].split()[0])

    def test_descriptors(self):
        for name, row, pid in self.each():
            there = harness.descriptors(pid)
            listed = {int(number): place for number, place in re.findall(r"(\d+) (\w+)", row["descriptors"])}
            for number, place in listed.items():
                self.assertRegex(there.get(number, "closed"), f"^(?:{PLACES[place]})")
            if "nothing else" in row["descriptors"]:
                self.assertEqual(set(there), set(listed))
            for number, text in there.items():
                self.assertNotRegex(text, r"anon_inode:\[?bpf[-_]", f"{name} holds a kernel object at rest")

    def test_surroundings(self):
        bpffs = os.stat(os.path.join(self.daemon.runtime, "fs"))
        for name, row, pid in self.each():
            root = os.stat(f"/proc/{pid}/root/.")
            inBpffs = (root.st_dev, root.st_ino) == (bpffs.st_dev, bpffs.st_ino)
            self.assertEqual(inBpffs, name in ("worker", "session"))
            if name != "broker":                        # the broker's is what it was started with
                with open(f"/proc/{pid}/environ", "rb") as file:
                    self.assertEqual(file.read(), b"")


if __name__ == "__main__":
    harness.main()
