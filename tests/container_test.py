"""examples/sidecar/container: root in user, mount, pid and network namespaces of its own has what its socket's user may have, and no more."""

import json
import os
import unittest
import warnings

import harness

POLICY = """
[roles.shop]
base = "operator"
interfaces = ["*"]
namespaces = ["own"]
map_rights = ["read", "descriptor"]

[[grant]]
users = [7501]
roles = ["shop"]
"""
OUTSIDE = 64501    # who starts the container: nobody to the policy


class Container(unittest.TestCase):
    def setUp(self):
        warnings.simplefilter("ignore", ResourceWarning)
        self.daemon = harness.Daemon(policy=POLICY, config="[clients]\nshop = 7501\nother = 7502\n")
        self.addCleanup(self.daemon.end)
        self.daemon.start()
        self.roots = self.daemon.load("xdp_counter", "xdp")
        with open(os.path.join(harness.ROOT, "examples", "sidecar", "container")) as file:
            self.script = file.read()                            # the checkout may be root's own

    def inside(self, command, *words, **more):
        who = {"user": OUTSIDE, "group": OUTSIDE, "extra_groups": [], "cwd": "/", **more}
        return harness.run("bash", "-c", self.script, "container", self.daemon.runtime, "shop", os.path.join(harness.BIN, command), *words,
                           check=False, **who)

    def bpfman(self, *words):
        return self.inside("bpfman", *words)

    def refused(self, what, text, *words):
        result = self.bpfman(*words)
        harness.attack(self, "identity", f"{what}: {result.stderr}", result.returncode != 0 and text in result.stderr)

    def test_the_sidecar_reads_counters_in_all_its_ways(self):
        mine = self.loaded("xdp_counter")
        said = self.inside("bpfman-sidecar", str(mine))
        self.assertEqual(said.returncode, 0, said)
        self.assertIn("uid 0, effective capabilities 000001ff", said.stdout)
        for way in ("over the RPC", "from an iterator", "by its descriptor"):
            self.assertRegex(said.stdout, f"{way} +nothing counted yet")

    def loaded(self, name):
        """A program of the container's user; by its socket, from outside, as the container sees none of our files."""
        inside = os.path.join(self.daemon.directory, "bpfman.sock")
        if not os.path.exists(inside):
            os.symlink(os.path.join(self.daemon.runtime, "clients", "shop.sock"), inside)
        loaded = self.daemon.cli("--runtime-dir", self.daemon.directory, "program", "load", "file", harness.example(name), "--programs",
                                 f"xdp:{name}", "-o", "json", user=OUTSIDE)
        self.assertEqual(loaded.code, 0, loaded)
        return json.loads(loaded.out)["programs"][0]["record"]["program_id"]

    def test_root_inside_is_the_sockets_user_and_no_more(self):
        seen = self.bpfman("program", "list", "-o", "json")
        self.assertEqual(seen.returncode, 0, seen)
        self.assertIn(self.roots, [each["program_id"] for each in json.loads(seen.stdout)["programs"]])
        mine = self.loaded("xdp_counter")
        self.refused("administration", "permission denied: user 7501", "audit")
        self.refused("another's program", "permission denied: user 7501", "program", "unload", self.roots)
        self.refused("another's program on its own interface", "permission denied: user 7501", "link", "attach", "xdp", self.roots, "lo", "-p", 10,
                     "-n", "/proc/self/ns/net")
        self.refused("the host's namespace", "permission denied: user 7501", "link", "attach", "xdp", mine, "lo", "-p", 10)
        sidecar = self.inside("bpfman-sidecar", str(self.roots))
        refused = sidecar.returncode == 1 and "permission denied: user 7501" in sidecar.stdout and "counted" not in sidecar.stdout
        harness.attack(self, "identity", f"another's maps: {sidecar.stdout}", refused and "key" not in sidecar.stdout)
        self.assertEqual(self.daemon.links(), [])

    def test_nothing_else_of_the_host_is_in_reach(self):
        def shell(line):
            return self.inside("/usr/bin/bash", "-c", line)
        self.assertEqual(shell("id -u; ls /run/bpfman").stdout.split(), ["0", "bpfman.sock", "fd.sock"])
        self.assertEqual(shell("cd /proc; echo [0-9]*").stdout.split(), ["1"])
        for line in (f"ls {self.daemon.runtime}", "ls /old/run", "ls /run/bpfman/clients", "cat /etc/passwd", "mount --bind /old /tmp",
                     "mount -t tracefs none /tmp", "echo 1 > /proc/sys/kernel/bpf_stats_enabled", "ls /sys/fs/bpf"):
            result = shell(line)
            harness.attack(self, "identity", f"in a container: {line}: {result.stderr}", result.returncode != 0)


if __name__ == "__main__":
    harness.main()
