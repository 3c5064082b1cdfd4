"""Who may do what, through the command, by user and groups; and what a wrong policy says."""

import json
import os
import tempfile
import unittest

import harness

POLICY = """
[roles.lan]
base = "operator"
interfaces = ["lan*"]
namespaces = ["host"]
priorities = [100, 200]

[roles.rootless]
base = "operator"
interfaces = ["*"]
namespaces = ["own"]

[roles.firewall]
base = "operator"
interfaces = ["*"]
namespaces = ["host"]

[[reserve]]
types = ["xdp"]
interfaces = ["lan*"]
priorities = [190, 250]
roles = ["firewall"]

[[grant]]
users = [4001]
roles = ["lan"]

[[grant]]
users = [4004]
roles = ["firewall"]

[[grant]]
groups = [4500]
roles = ["viewer"]

[[grant]]
users = [4002]
roles = ["rootless"]

[[grant]]
users = [4003]
roles = ["administrator"]
"""


def user(uid, *groups):
    return {"user": uid, "group": uid, "extra_groups": list(groups)}


LOAD = ("program", "load", "file", harness.example("xdp_counter"), "--programs", "xdp:xdp_counter")


class WithoutPolicy(unittest.TestCase):
    def test_only_root_comes_in(self):
        with harness.Daemon() as daemon:
            self.assertEqual(daemon.cli("program", "list").code, 0)
            denied = daemon.cli("program", "list", **user(4001))
            self.assertEqual(denied.code, 1)
            self.assertIn("permission denied", denied.err)
            self.assertIn("connecting needs root or a group", denied.err)


class Roles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for name in ("lan0", "wan0"):
            harness.run("ip", "link", "add", name, "type", "veth", "peer", "name", name + "peer")
        cls.daemon = harness.Daemon(policy=POLICY).start()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.end()
        for name in ("lan0", "wan0"):
            harness.run("ip", "link", "del", name, check=False)

    def denied(self, text, *words, **who):
        result = self.daemon.cli(*words, **who)
        refused = result.code == 1 and all(each in result.err for each in ("permission denied: user", text, self.daemon.policyFile))
        harness.attack(self, "authority", f"{words[:4]} as {who.get('user')}: {result}", refused)

    def allowed(self, *words, **who):
        return self.daemon.json(*words, **who)

    def loaded(self, **who):
        id = self.allowed(*LOAD, **who)["programs"][0]["record"]["program_id"]
        self.addCleanup(self.daemon.cli, "program", "unload", id)
        return id

    def test_nobody_else_sees_anything(self):
        for words in (("program", "list"), ("link", "list"), ("dispatcher", "list"), ("overview",)):
            self.denied("view this host's eBPF programs", *words, **user(4999))
        self.denied("load type xdp (class network)", *LOAD, **user(4999))

    def test_a_viewer_by_supplementary_group_only_looks(self):
        mine = self.loaded()
        self.assertIn(mine, [each["program_id"] for each in self.allowed("program", "list", **user(4999, 4500))["programs"]])
        self.denied("load type xdp (class network)", *LOAD, **user(4999, 4500))
        self.denied("change programs of user 0", "program", "unload", mine, **user(4999, 4500))
        self.denied("change programs of user 0", "link", "attach", "xdp", mine, "lan0", "-p", 150, **user(4999, 4500))

    def test_a_viewer_by_primary_group(self):
        self.allowed("program", "list", user=4998, group=4500, extra_groups=[])

    def test_an_operator_has_his_interfaces_and_priorities(self):
        mine = self.loaded(**user(4001))
        link = self.allowed("link", "attach", "xdp", mine, "lan0", "-p", 150, **user(4001))["record"]["id"]
        self.assertEqual(self.daemon.cli("link", "detach", link, **user(4001)).code, 0)
        self.denied("to interface wan0 in the host's network namespace", "link", "attach", "xdp", mine, "wan0", "-p", 150, **user(4001))
        for priority in (99, 201):
            self.denied(f"with priority {priority}", "link", "attach", "xdp", mine, "lan0", "-p", priority, **user(4001))

    def test_reserved_priorities_are_their_roles(self):
        mine = self.loaded(**user(4001))
        self.denied("lan: priority 195 is reserved for firewall (line 18)", "link", "attach", "xdp", mine, "lan0", "-p", 195, **user(4001))
        tcx = self.allowed("program", "load", "file", harness.example("tcx_counter"), "--programs", "tcx:tcx_counter", **user(4001))
        tcx = tcx["programs"][0]["record"]["program_id"]
        self.addCleanup(self.daemon.cli, "program", "unload", tcx)
        firewalls = self.loaded(**user(4004))
        roots = self.loaded()
        for words, who in ((("xdp", mine, "lan0", "-p", 189), user(4001)), (("tcx", tcx, "lan0", "ingress", "-p", 195), user(4001)),
                           (("xdp", firewalls, "lan0", "-p", 195), user(4004)), (("xdp", roots, "lan0", "-p", 200), {})):
            link = self.allowed("link", "attach", *words, **who)["record"]["id"]
            self.assertEqual(self.daemon.cli("link", "detach", link, **who).code, 0)

    def test_policy_check_says_what_the_daemon_does(self):
        mine = self.loaded(**user(4001))
        for interface, priority in (("lan0", 150), ("lan0", 195), ("lan0", 99), ("wan0", 150)):
            asked = self.daemon.cli("policy", "check", "--policy", self.daemon.policyFile, "--user", 4001, "attach", "xdp",
                                    "--interface", interface, "--priority", priority, **user(4999))
            done = self.daemon.cli("link", "attach", "xdp", mine, interface, "-p", priority, "-o", "json", **user(4001))
            self.assertEqual(asked.code, done.code, (asked, done))
            if done.code == 0:
                self.daemon.cli("link", "detach", json.loads(done.out)["record"]["id"])

    def test_an_operator_has_his_classes(self):
        self.denied("load type tracepoint (class observe)", "program", "load", "file", harness.example("tracepoint_counter"),
                    "--programs", "tracepoint:tracepoint_counter", **user(4001))

    def test_an_operator_leaves_others_programs_alone(self):
        roots = self.loaded()
        self.denied("change programs of user 0", "program", "unload", roots, **user(4001))
        his = self.loaded(**user(4001))
        self.denied("change programs of user 4001", "program", "unload", his, **user(4002))

    def test_own_namespaces_are_not_the_hosts(self):
        mine = self.loaded(**user(4002))
        self.denied("in the host's network namespace", "link", "attach", "xdp", mine, "lan0", "-p", 50, **user(4002))
        harness.run("ip", "netns", "add", "roots")
        self.addCleanup(harness.run, "ip", "netns", "del", "roots")
        self.denied("someone else's network namespace", "link", "attach", "xdp", mine, "lo", "-p", 50, "-n", "/run/netns/roots", **user(4002))

    def test_an_administrator_by_user(self):
        roots = self.loaded()
        link = self.allowed("link", "attach", "xdp", roots, "wan0", "-p", 1, **user(4003))["record"]["id"]
        self.assertEqual(self.daemon.cli("link", "detach", link, **user(4003)).code, 0)

    def test_nothing_of_a_denied_load_is_left(self):
        before = len(self.daemon.kernelPrograms()), self.daemon.pins()
        for _ in range(20):
            self.daemon.cli(*LOAD, **user(4999))
        self.assertEqual((len(self.daemon.kernelPrograms()), self.daemon.pins()), before)


class WrongPolicies(unittest.TestCase):
    def test_each_mistake_is_named_with_its_line(self):
        rows = [("[[grant]]\nusers = [4001]\nroles = [\"nonsense\"]\n", 3, "nonsense"),
                ("[roles.x]\nbase = \"king\"\n", 2, "king"),
                ("[roles.x\n", 1, ""),
                ("[[grant]]\nusers = [\"no-such-user-here\"]\nroles = [\"viewer\"]\n", 2, "no-such-user-here"),
                ("[roles.x]\nbase = \"viewer\"\ninterfaces = [\"a\"]\n", 3, "interfaces")]
        for text, line, word in rows:
            with self.subTest(policy=text):
                daemon = harness.Daemon(policy=text)
                try:
                    daemon.launch()
                    said = harness.eventually(lambda: f"policy.toml:{line}:" in daemon.log and word in daemon.log, 10)
                    self.assertTrue(said, daemon.log)
                    self.assertIn("does not start without a right policy", daemon.log)
                    self.assertFalse(daemon.ready())
                    self.assertEqual(daemon.process.wait(10), 1)
                finally:
                    daemon.end()


class GroupBpfman(unittest.TestCase):
    """Its members administrate, without a policy and without root; here in an /etc/group of the test's own."""

    GID = 7999

    def setUp(self):
        self.groups = tempfile.NamedTemporaryFile("w", suffix=".group")
        self.addCleanup(self.groups.close)
        with open("/etc/group") as file:
            self.groups.write(file.read() + f"bpfman:x:{self.GID}:\n")
        self.groups.flush()
        os.chmod(self.groups.name, 0o644)
        harness.run("mount", "--bind", self.groups.name, "/etc/group")
        self.addCleanup(harness.run, "umount", "/etc/group")
        self.daemon = harness.Daemon()
        self.addCleanup(self.daemon.end)
        self.daemon.start()

    def test_members_administrate_and_nobody_else_can_connect(self):
        self.assertEqual(self.daemon.cli(*LOAD, **user(4100, self.GID)).code, 0)
        self.assertEqual(self.daemon.cli("audit", **user(4100, self.GID)).code, 0)
        other = self.daemon.cli("program", "list", **user(4100, 4200))
        self.assertEqual(other.code, 1)
        self.assertIn("permission", other.err.lower())


if __name__ == "__main__":
    harness.main()
