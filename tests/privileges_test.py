"""The table in docs/privileges.md is what the live processes have: identity, capabilities, filters, descriptors, environment, root."""

import os
import re
import unittest

import harness
import lines_test

CAPABILITIES = {"CHOWN": 0, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8, "NET_ADMIN": 12, "SYS_ADMIN": 21, "PERFMON": 38, "BPF": 39}
PLACES = {"null": r"/dev/null", "pipe": r"pipe:", "socket": r"socket:", "memfd": r"/memfd:",
          "vmlinux": r"/sys/kernel/btf/vmlinux|/dev/null", "bpf_stats_enabled": r"/proc/sys/kernel/bpf_stats_enabled",
          "functions": r"/.*available_filter_functions$|/dev/null", "cgroup": r"/sys/fs/cgroup|/dev/null", "state": r"/.*/state$", "programs": r"/.*/run/programs$"}


def table(second="uid"):
    """{process: {column: text}} of the table whose columns begin so."""
    with open(os.path.join(harness.ROOT, "docs", "privileges.md")) as file:
        rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in file if line.startswith("|")]
    start = next(i for i, row in enumerate(rows) if row[:2] == ["process", second])
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
        harness.eventually(cls.confined)               # those that wait for work begin when the last load is answered

    @classmethod
    def confined(cls):
        processes = cls.daemon.processes()
        if len(processes["loader"]) != 2 or len(processes["session"]) != 2:   # limits.pool_size
            return False
        pids = {pid: name for name, all in processes.items() for pid in all}
        return all(harness.status(pid).get("Seccomp_filters") in (None, cls.rows[name]["seccomp"].split()[0]) for pid, name in pids.items())

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


class Made(unittest.TestCase):
    """What the binaries are made of is what the document says."""

    BINARIES = {"broker": "bpfmand", "frontend": "bpfman-frontend", "worker": "bpfman-worker", "session": "bpfman-worker", "loader": "bpfman-loader"}
    # Something that each static library has: a symbol that nothing else would bring.
    STATIC = {"bpf": "bpf_object__open_mem", "elf": "elf_begin", "z": "inflate", "capnp": "capnp::", "kj": "kj::", "stdc++": "std::terminate",
              "c": "__libc_start_main", "toml++": "toml::", "sqlite3": "sqlite3_open", "crypto": "EVP_", "curl": "curl_easy", "spdlog": "spdlog::"}

    @classmethod
    def setUpClass(cls):
        cls.rows = table("policies")

    def path(self, name):
        return os.path.join(harness.BIN, self.BINARIES[name])

    def test_all_processes_are_there(self):
        self.assertEqual(set(self.rows), set(table()))

    def test_policies_are_those_that_stack(self):
        for name, row in table().items():
            policies = self.rows[name]["policies"].split(", ")
            self.assertEqual(len(policies), int(row["seccomp"].split()[0]), name)
            for each in policies:
                self.assertTrue(os.path.exists(os.path.join(harness.ROOT, "seccomp", each + ".policy")), each)

    def test_libraries(self):
        for name, row in self.rows.items():
            needed = re.findall(r"NEEDED.*\[lib(.*?)(?:-\d[\d.]*)?\.so", harness.run("readelf", "-d", self.path(name)).stdout)
            self.assertEqual(set(needed) - set(row["linked dynamically"].split()), set(), name)
            self.assertEqual(bool(needed), row["linked dynamically"] != "–", name)
            symbols = harness.run("nm", "-C", "--defined-only", self.path(name)).stdout
            found = {library for library, symbol in self.STATIC.items() if re.search(rf"^\S+ [TtWw] {re.escape(symbol)}", symbols, re.M)}
            listed = set(row["linked statically"].split()) - {"–"}
            self.assertEqual(listed - found, set(), f"{name}: listed, not there")
            if row["linked dynamically"] == "–":                         # else templates of a shared library are there too
                self.assertEqual(found - listed, set(), f"{name}: there, not listed")

    def test_own_lines(self):
        known = lines_test.dependencies()
        folders = {"broker": "broker/CMakeFiles/(broker|bpfmand).dir/", "frontend": "frontend/CMakeFiles/(frontend_[a-z]+|bpfman-frontend).dir/",
                   "worker": "worker/CMakeFiles/.*worker.*.dir/", "session": "worker/CMakeFiles/.*worker.*.dir/",
                   "loader": "loader/CMakeFiles/(loader_object|bpfman-loader).dir/"}
        for name, row in self.rows.items():
            objects = {each for each in known if re.match(folders[name], each) and not re.search("test|fuzz|fixture", each)}
            self.assertGreater(len(objects), 3, name)
            lines = lines_test.linesOf(objects, known)
            self.assertLessEqual(lines, int(row["own lines"]), name)
            self.assertGreater(lines, int(row["own lines"]) * 0.7, f"{name}: the bound says nothing any more")

    def test_who_may_parse_is_said(self):
        for name, row in self.rows.items():
            self.assertGreater(len(row["may parse"]), 20, name)


if __name__ == "__main__":
    harness.main()
