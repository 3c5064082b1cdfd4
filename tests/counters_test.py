"""What the dispatchers count of each member: who dropped, passed on, redirected how many packets, and how long it took. The numbers are compared
with the packets that were sent, with the members' own counts, and with the dispatcher's maps as bpftool reads them."""

import json
import os
import random
import signal
import struct
import unittest

import harness
import network


def word(number):
    return struct.pack("<i", number).hex()


XDP = {"aborted": 0, "drop": 1, "pass": 2, "tx": 3, "redirect": 4, "unknown": 9}
TC = {"unspec": -1, "ok": 0, "reclassify": 1, "shot": 2, "pipe": 3, "stolen": 4, "queued": 5, "redirect": 7, "trap": 8, "unknown": 12}
FIRST_FINAL = 3   # words of a counter: passed on, timed runs, nanoseconds, final verdicts
POLICY = """
[roles.lan]
base = "operator"
interfaces = ["*"]
namespaces = ["host"]

[[grant]]
users = [4001, 4002]
roles = ["lan"]

[[grant]]
users = [4003]
roles = ["viewer"]
"""


class Station(unittest.TestCase):
    config, policy = '[xdp]\nengine = "tailcall"\n', None

    def setUp(self):
        self.wire = network.Wire("lan0")
        self.addCleanup(self.wire.remove)
        self.daemon = self.enterContext(harness.Daemon(policy=self.policy, config=self.config))

    def load(self, verdict="pass", kind="xdp"):
        return self.daemon.load(f"{kind}_counter", kind, None, "-g", f"verdict={word((XDP if kind == 'xdp' else TC)[verdict])}")

    def attach(self, program, priority, *more, direction=None):
        kind = ("tc", program, "lan0", direction) if direction else ("xdp", program, "lan0")
        return self.daemon.attach(*kind, "-p", priority, *more)["id"]

    def detach(self, link):
        self.assertEqual(self.daemon.cli("link", "detach", link).code, 0)

    def switch(self, to, type="xdp"):
        answer = self.daemon.cli("dispatcher", "count", type, "lan0", to)
        self.assertEqual(answer.code, 0, answer)

    def get(self, type="xdp"):
        return self.daemon.json("dispatcher", "get", type, "lan0")

    def counters(self, type="xdp"):
        """{link: counters}, which must be what the dispatcher's own maps say."""
        chain = self.get(type)
        told = {each["link_id"]: each["counters"] for each in chain["members"]}
        for link, words in self.kernel(chain).items():
            said = told[link]
            verdicts = XDP if type == "xdp" else TC
            names = {number - min(verdicts.values()): name for name, number in verdicts.items() if name != "unknown"}
            finals = {names.get(i, "unknown" if i == len(words) - FIRST_FINAL - 1 else i): count
                      for i, count in enumerate(words[FIRST_FINAL:]) if count}
            self.assertEqual(said["final_verdicts"], finals)
            self.assertEqual([said["passed_on"], said["timed_runs"], said["run_time_ns"]], words[:FIRST_FINAL])
            self.assertEqual(said["seen"], words[0] + sum(finals.values()))
        return told

    def kernel(self, chain):
        """{link: words of its counter}, by the bank that is in use."""
        ids = harness.bpftool("prog", "show", "id", chain["runtime"]["program_id"])["map_ids"]
        maps = {harness.bpftool("map", "show", "id", id)["name"]: id for id in ids}
        active, = harness.sums(maps["active"]).values()
        bank = next(each["formatted"]["value"] for each in harness.bpftool("map", "dump", "id", maps["banks"])
                    if each["formatted"]["key"] == active)
        words, count = harness.sums(maps["counters"]), bank["count"]
        size = len(words) // 60
        self.assertEqual(len(set(bank["counter"][:count])), count)
        return {link: [words[counter * size + i] for i in range(size)] for link, counter in zip(bank["link"][:count], bank["counter"])}

    def own(self, program):
        return harness.sums(self.daemon.mapId(program, "packets"))[0]

    def outline(self, link, type="xdp"):
        one = self.counters(type)[link]
        return [one[key] for key in ("seen", "passed_on", "dropped", "redirected")]


class Xdp(Station):
    def testIsOffAtFirstAndCountsNothingThen(self):
        program = self.load("drop")
        self.attach(program, 10)
        self.wire.send(50)
        chain = self.get()
        self.assertEqual((chain["counting"], "counters" in chain["members"][0], "no_counters" in chain), ("off", False, False))
        self.assertEqual(set(map(sum, self.kernel(chain).values())), {0})
        self.assertIn(f"Counting: off (on: bpfman dispatcher count xdp {chain['key']['nsid']} {chain['key']['ifindex']} verdicts|time)",
                      self.daemon.cli("dispatcher", "get", "xdp", "lan0").out)
        self.assertEqual(self.own(program), 50)

    def testTellsWhoDroppedIt(self):
        """Each final verdict, by a member in the middle: the one before passed all on, the one behind saw none."""
        head, tail = self.load(), self.load()
        first, last = self.attach(head, 0), self.attach(tail, 100)
        self.switch("verdicts")
        sent = 0
        for number, verdict in enumerate(XDP, 1):
            link = self.attach(self.load(verdict), 50, "--proceed-on", "dispatcher_return")
            self.wire.send(10 * number)
            sent += 10 * number
            counters = self.counters()
            self.assertEqual(counters[link]["final_verdicts"], {verdict: 10 * number})
            self.assertEqual(counters[link]["dropped"], 10 * number if verdict in ("drop", "aborted") else 0)
            self.assertEqual(counters[link]["redirected"], 10 * number if verdict == "redirect" else 0)
            self.assertEqual([counters[each]["seen"] for each in (first, link, last)], [sent, 10 * number, 0])
            self.assertEqual(counters[first]["passed_on"], sent)
            self.detach(link)
        self.wire.send(7)
        self.assertEqual([self.outline(each) for each in (first, last)], [[sent + 7, sent + 7, 0, 0], [7, 7, 0, 0]])
        self.assertRegex(self.daemon.cli("dispatcher", "get", "xdp", "lan0").out, rf"Counting: verdicts\n.*SEEN.*\n +0 +xdp_counter +{sent + 7} ")

    def testTimesOnRequestOnly(self):
        link = self.attach(self.load(), 10)
        self.switch("verdicts")
        self.wire.send(30)
        self.assertEqual(self.counters()[link]["timed_runs"], 0)
        self.switch("time")
        self.wire.send(100)
        self.switch("verdicts")
        self.wire.send(20)
        one = self.counters()[link]
        self.assertEqual((one["seen"], one["timed_runs"]), (150, 100))
        self.assertTrue(100 <= one["run_time_ns"] < 100 * 1e6, one)
        self.assertRegex(self.daemon.cli("dispatcher", "get", "xdp", "lan0").out, r"RUN TIME\n.* 100 +\d+ ns\n")

    def testSurvivorsGoOnAndNewcomersBeginAtNothingThroughManyChanges(self):
        seed = random.randrange(1 << 32)
        print("seed", seed)
        dice = random.Random(seed)
        expected = {self.attach(self.load(), 500): 0}
        programs, links = [self.load() for _ in range(6)], {}
        self.switch("verdicts")
        for _ in range(100):
            program = dice.choice(programs)
            if program in links:
                link = links.pop(program)
                expected.pop(link)
                self.detach(link)
            else:
                links[program] = self.attach(program, dice.randrange(1000))
                expected[links[program]] = 0
            packets = dice.randrange(4)
            self.wire.send(packets)
            expected = {link: count + packets for link, count in expected.items()}
            self.assertEqual({link: each["passed_on"] for link, each in self.counters().items()}, expected)

    def testAllThirtyHaveCountersOfTheirOwn(self):
        links = [self.attach(self.load(), 10 * i) for i in range(29)]
        self.switch("verdicts")
        self.wire.send(9)
        links.append(self.attach(self.load(), 500))
        self.wire.send(11)
        self.assertEqual([self.counters()[link]["passed_on"] for link in links], [20] * 29 + [11])

    def testSwitchingLosesNoPacketAndEachIsCountedAtAllMembersOrAtNone(self):
        programs = [self.load() for _ in range(5)]
        links = [self.attach(program, 10 * i) for i, program in enumerate(programs)]
        with network.Flow(self.wire) as flow:
            for i in range(90):
                self.switch(("verdicts", "off", "time")[i % 3])
            flow.stop()
            print(f"90 switches, {flow.sent} packets")
            self.assertEqual((flow.lost, flow.twice), ([], 0))
        self.assertEqual([self.own(each) for each in programs], [flow.sent] * 5)
        self.switch("verdicts")
        seen = [self.counters()[link]["passed_on"] for link in links]
        self.assertEqual(len(set(seen)), 1)
        self.assertTrue(0 < seen[0] < flow.sent, (seen, flow.sent))

    def testNothingIsMissedWhileTheChainChangesUnderAFlow(self):
        head, tail = self.load(), self.load()
        first, last = self.attach(head, 0), self.attach(tail, 1000)
        self.switch("time")
        others, links = [self.load() for _ in range(4)], {}
        with network.Flow(self.wire) as flow:
            for i in range(60):
                program = others[i % 4]
                if program in links:
                    self.detach(links.pop(program))
                else:
                    links[program] = self.attach(program, random.randrange(1, 999))
            flow.stop()
            self.assertEqual((flow.lost, flow.twice), ([], 0))
        self.assertEqual([self.outline(each)[:2] for each in (first, last)], [[flow.sent] * 2] * 2)
        self.assertEqual(self.counters()[last]["timed_runs"], flow.sent)

    def testOutlivesTheDeathOfEachProcess(self):
        link, sent = self.attach(self.load(), 10), 0
        self.switch("verdicts")
        for number, kind in enumerate(("frontend", "worker", "broker")):
            if kind == "broker":
                self.daemon.kill()
                self.daemon.start()
            else:
                os.kill(self.daemon.pid(kind), signal.SIGKILL)
            self.wire.send(10)
            sent += 10
            self.assertEqual(harness.eventually(lambda: self.daemon.cli("dispatcher", "get", "xdp", "lan0").code == 0), True)
            self.assertEqual(self.outline(link)[:2], [sent] * 2)
            self.attach(self.load(), number)    # the first change of a frontend that knows nothing but what the kernel has
            self.wire.send(5)
            sent += 5
            self.assertEqual(self.outline(link)[:2], [sent] * 2)
        self.assertEqual(self.get()["counting"], "verdicts")

    def testGoesWithTheChain(self):
        link = self.attach(self.load(), 10)
        self.switch("time")
        self.detach(link)
        refused = self.daemon.cli("dispatcher", "count", "xdp", "lan0", "off")
        self.assertEqual(refused.code, 1)
        self.assertRegex(refused.err, r"dispatcher \(xdp, \d+, \d+\): record not found")
        self.attach(self.load(), 10)
        self.assertEqual(self.get()["counting"], "off")

    def testEachHookIsSwitchedByItself(self):
        other = network.Wire("lan1")
        self.addCleanup(other.remove)
        here, there = self.attach(self.load(), 10), self.daemon.attach("xdp", self.load(), "lan1", "-p", 10)["id"]
        self.switch("verdicts")
        self.wire.send(10)
        other.send(10)
        lan1 = self.daemon.json("dispatcher", "get", "xdp", "lan1")
        self.assertEqual((lan1["counting"], self.kernel(lan1)[there]), ("off", [0] * 9))
        self.daemon.cli("dispatcher", "count", "xdp", "lan1", "time")
        self.daemon.cli("dispatcher", "count", "xdp", "lan1", "off")
        self.assertEqual(self.outline(here), [10, 10, 0, 0])


class Tc(Station):
    def testTellsWhoDroppedItInBothDirections(self):
        head, tail = self.load("pipe", "tc"), self.load("pipe", "tc")
        first, last = (self.attach(each, at, direction="ingress") for each, at in ((head, 0), (tail, 100)))
        self.switch("time", "tc-ingress")
        sent = 0
        for number, verdict in enumerate(TC, 1):
            link = self.attach(self.load(verdict, "tc"), 50, "--proceed-on", "dispatcher_return", direction="ingress")
            self.wire.send(10 * number)
            sent += 10 * number
            counters = self.counters("tc-ingress")
            self.assertEqual(counters[link]["final_verdicts"], {verdict: 10 * number})
            self.assertEqual([counters[link][key] for key in ("dropped", "redirected")],
                             [10 * number * (verdict == name) for name in ("shot", "redirect")])
            self.assertEqual([counters[each]["seen"] for each in (first, link, last)], [sent, 10 * number, 0])
            self.detach(link)
        self.assertEqual(self.outline(first, "tc-ingress"), [sent, sent, 0, 0])
        self.assertEqual(self.counters("tc-ingress")[first]["timed_runs"], sent)
        out = self.attach(self.load("shot", "tc"), 10, direction="egress")
        self.switch("verdicts", "tc-egress")
        with self.wire.receiver() as one:
            for _ in range(8):
                one.sendto(b"out", (self.wire.farAddress, 5000))
        self.assertEqual(self.outline(out, "tc-egress"), [8, 0, 8, 0])

    def testCountsByATcxLinkToo(self):
        self.daemon.end()
        self.daemon = self.enterContext(harness.Daemon(config='[tc]\nattach = "tcx"\n'))
        link = self.attach(self.load("shot", "tc"), 10, direction="ingress")
        self.switch("verdicts", "tc-ingress")
        self.wire.send(12)
        self.assertEqual(self.outline(link, "tc-ingress"), [12, 0, 12, 0])


class Rights(Station):
    policy = POLICY

    def user(self, uid):
        return {"user": uid, "group": uid, "extra_groups": [4500]}

    def testAdministratorsAndMembersOwnersSwitchAndViewersSee(self):
        os.chmod(self.daemon.runtime, 0o755)
        base = self.daemon.load("xdp_counter", "xdp")
        self.attach(base, 10)
        words = ("dispatcher", "count", "xdp", "lan0", "verdicts")
        for uid in (4001, 4003):
            denied = self.daemon.cli(*words, **self.user(uid))
            self.assertEqual(denied.code, 1)
            self.assertIn(f"user {uid} has no role that may switch the counters of a chain in which he has no program", denied.err)
        self.assertEqual(self.get()["counting"], "off")
        loaded = self.daemon.json("program", "load", "file", harness.example("xdp_counter"), "--programs", "xdp:xdp_counter", **self.user(4001))
        program = loaded["programs"][0]["record"]["program_id"]
        self.assertEqual(self.daemon.cli("link", "attach", "xdp", program, "lan0", "-p", 20, **self.user(4001)).code, 0)
        self.assertEqual(self.daemon.cli(*words, **self.user(4001)).code, 0)
        self.assertEqual(self.daemon.cli(*words, **self.user(4002)).code, 1)
        self.wire.send(5)
        seen = self.daemon.json("dispatcher", "get", "xdp", "lan0", **self.user(4003))
        self.assertEqual([each["counters"]["seen"] for each in seen["members"]], [5, 5])
        self.switch("off")
        lines = [json.loads(line) for line in self.daemon.cli("audit", "--action", "count", "-o", "json").out.splitlines()]
        self.assertEqual([(each["uid"], each["what"], each["result"]) for each in lines],
                         [(4001, "lan0 verdicts", "ok"), (0, "lan0 off", "ok")])


class Libxdp(Station):
    config = ""

    def testSaysThatItHasNone(self):
        harness.requireLibxdp(self, self.daemon)
        self.attach(self.load(), 10)
        refused = self.daemon.cli("dispatcher", "count", "xdp", "lan0", "verdicts")
        self.assertEqual(refused.code, 1)
        self.assertIn("xdp on lan0: engine libxdp has no counters", refused.err)
        self.assertIn("engine libxdp has no counters", self.get()["no_counters"])
        self.assertIn("Counting: off (engine libxdp has no counters", self.daemon.cli("dispatcher", "get", "xdp", "lan0").out)


if __name__ == "__main__":
    harness.main()
