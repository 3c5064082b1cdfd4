"""One rule for the order on every shared hook: the administrator's rules, before and after, priority, then the tie-break. Judged by the order
in which the kernel runs the programs, and by a dry run that says the same and changes nothing."""

import struct
import unittest

import harness
import network

POLICY = """
[[order]]
types = ["tc"]
interfaces = ["nowhere*"]
first = [{ name = "*" }]

[[order]]
interfaces = ["ord*"]
first = [{ label = "role=firewall" }, { application = "acme" }]
last = [{ owner = "nobody" }, { label = "role=log*" }]
"""


class Ordering(unittest.TestCase):
    policy, config = None, ""

    def setUp(self):
        self.wire = network.Wire("ord0")
        self.addCleanup(self.wire.remove)
        self.daemon = self.enterContext(harness.Daemon(policy=self.policy, config=self.config))

    def load(self, number=0, *more, type="tc"):
        name = {"tc": "tc_counter", "tcx": "tcx_counter", "xdp": "xdp_counter"}[type]
        numbered = ("-g", "number=" + struct.pack("<I", number).hex()) if type == "tc" else ()
        return self.daemon.load(name, type, None, *numbered, *more)

    def attach(self, program, priority, *more, type="tc"):
        where = ("ord0",) if type == "xdp" else ("ord0", "ingress")
        return self.daemon.attach(type, program, *where, "-p", priority, *more)["id"]

    def plan(self, program, priority, *more, type="tc"):
        where = ("ord0",) if type == "xdp" else ("ord0", "ingress")
        return self.daemon.json("dispatcher", "plan", type, program, *where, "-p", priority, *more)

    def chain(self):
        chain, = self.daemon.dispatchers()
        return [each["program_id"] for each in chain["members"]]

    def marks(self, last):
        self.wire.send(1)
        return harness.sums(self.daemon.mapId(last, "mark"))[0]

    def tcxOrder(self):
        net, = harness.bpftool("net", "show", "dev", "ord0")
        return [each.get("prog_id", each.get("id")) for each in net["tc"] if "tcx" in each["kind"]]


class Rules(Ordering):
    policy = POLICY

    def testTheAdministratorsRulesComeBeforeAnyPriority(self):
        a, log, acme, wall = self.load(1), self.load(2, "-m", "role=logging"), self.load(3, "-a", "acme"), self.load(4, "-m", "role=firewall")
        self.attach(a, 0)
        self.attach(log, 0)
        self.attach(acme, 900)
        plan = self.plan(wall, 1000)
        self.assertEqual([each["program_id"] for each in plan["now"]], [acme, a, log])
        self.assertEqual([each["program_id"] for each in plan["then"]], [wall, acme, a, log])
        self.assertEqual([each["new"] for each in plan["then"]], [True, False, False, False])
        self.assertEqual([each["reason"] for each in plan["then"]],
                         ["rule in line 7 of the policy: first"] * 2 + ["priority 0", "rule in line 7 of the policy: last"])
        self.assertEqual(self.chain(), [acme, a, log])                  # a plan changes nothing
        self.attach(wall, 1000)
        self.assertEqual(self.chain(), [wall, acme, a, log])
        self.assertEqual(self.marks(log), 4312)

    def testNobodyGetsBeforeAnAdministratorsFirst(self):
        wall, other = self.load(1, "-m", "role=firewall"), self.load(2)
        link = self.attach(wall, 50)
        for words in (("link", "attach"), ("dispatcher", "plan")):
            answer = self.daemon.cli(*words, "tc", other, "ord0", "ingress", "-p", 0, "--before", f"link:{link}")
            self.assertEqual(answer.code, 1)
            self.assertIn("the administrator's rules put them the other way round", answer.err)
        self.assertEqual(self.chain(), [wall])

    def testTcxFirstAndLastAreSoForForeignProgramsToo(self):
        harness.run("bpftool", "prog", "load", harness.example("tcx_counter"), "/sys/fs/bpf/ordering_foreign", "type", "tcx/ingress")
        self.addCleanup(harness.run, "rm", "-f", "/sys/fs/bpf/ordering_foreign")
        foreign = harness.bpftool("prog", "show", "pinned", "/sys/fs/bpf/ordering_foreign")["id"]
        harness.run("bpftool", "net", "attach", "tcx_ingress", "pinned", "/sys/fs/bpf/ordering_foreign", "dev", "ord0")
        wall, other = self.load(0, "-m", "role=firewall", type="tcx"), self.load(type="tcx")
        self.attach(other, 10, type="tcx")
        self.attach(wall, 900, type="tcx")
        self.assertEqual(self.tcxOrder(), [wall, foreign, other])
        third = self.load(type="tcx")
        plan = self.plan(third, 0, "--before", foreign, type="tcx")
        self.assertEqual([each["program_id"] for each in plan["then"]], [wall, third, foreign, other])
        self.attach(third, 0, "--before", foreign, type="tcx")
        self.assertEqual(self.tcxOrder(), [wall, third, foreign, other])


class Wishes(Ordering):
    def testBeforeAndAfterHoldThroughLaterChangesAndARestart(self):
        a, b, n = self.load(1), self.load(2), self.load(3)
        self.attach(a, 10)
        self.attach(b, 20)
        self.attach(n, 500, "--before", "tc_counter")
        self.assertEqual(self.chain(), [n, a, b])
        late = self.load(4)
        self.attach(late, 15)
        self.assertEqual(self.chain(), [n, a, late, b])
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.chain(), [n, a, late, b])
        self.assertEqual(self.marks(b), 3142)

    def testAWishThatNobodyCanFulfilIsRefusedAndChangesNothing(self):
        a, b = self.load(1), self.load(2)
        self.attach(a, 10)
        for words, text in ((("--before", "nobody"), "nobody on that hook is called nobody"), (("--after", "link:77"), "link 77"),
                            (("--after", a, "--before", a), "can't run after")):
            answer = self.daemon.cli("link", "attach", "tc", b, "ord0", "ingress", "-p", 1, *words)
            self.assertEqual(answer.code, 1)
            self.assertIn(text, answer.err)
        self.assertEqual(self.chain(), [a])
        self.assertEqual(self.daemon.settled(), [])

    def testEqualPrioritiesRunByNameThenTheOldestFirst(self):
        second, first = self.daemon.load("xdp_mark", "xdp", "xdp_second"), self.load(type="xdp")
        third = self.load(type="xdp")
        for each in (second, first, third):
            self.attach(each, 10, type="xdp")
        self.assertEqual(self.chain(), [first, third, second])
        plan = self.plan(self.load(type="xdp"), 10, type="xdp")
        self.assertEqual([each["link_id"] for each in plan["then"]].index(None), 2)
        self.assertIn("then by name and who was there first", plan["then"][0]["reason"])

    def testAPlanRefusesAsTheAttachWould(self):
        program = self.load()
        for words in (("-p", "1", "--proceed-on", "31"), ("-p", "1", "--before", "x")):
            real = self.daemon.cli("link", "attach", "tc", program, "ord0", "ingress", *words)
            dry = self.daemon.cli("dispatcher", "plan", "tc", program, "ord0", "ingress", *words)
            self.assertEqual((real.code, real.err), (dry.code, dry.err))
            self.assertEqual(real.code, 1)
        text = self.daemon.cli("dispatcher", "plan", "tc", program, "ord0", "ingress", "-p", 1).out
        self.assertIn("Now: nobody", text)
        self.assertIn("<new>", text)
        self.assertEqual((self.daemon.links(), harness.run("tc", "filter", "show", "dev", "ord0", "ingress").stdout), ([], ""))


class Newest(Ordering):
    config = "[ordering]\nties = \"newest\"\n"

    def testTheNewestOfEqualPrioritiesRunsFirst(self):
        a, b = self.load(1), self.load(2)
        self.attach(a, 10)
        self.attach(b, 10)
        self.assertEqual(self.chain(), [b, a])
        self.assertEqual(self.marks(a), 21)


if __name__ == "__main__":
    harness.main()
