"""Persistent programs outlive a reboot. Natively one is played: everything that lives in memory goes (processes, the runtime directory, both
bpffs, interfaces), only the state directory stays, and the kernel says that it is another boot. Before and After are two real boots of one
machine (tests/vm/run): the first ends like a power cut."""

import json
import os
import re
import shutil
import socket
import signal
import struct
import time
import unittest
import uuid

import harness
import network

BOOT_ID = "/proc/sys/kernel/random/boot_id"
PASS = "verdict=02000000"


def reboot(daemon, meanwhile=lambda: None, clean=True):
    """All but the state directory is gone; `meanwhile` is what happens before bpfmand starts again."""
    daemon.stop() if clean else daemon.kill()
    harness.eventually(lambda: harness.run("umount", os.path.join(daemon.runtime, "fs"), check=False).returncode == 0)
    shutil.rmtree(daemon.runtime)
    harness.run("umount", "-l", "/sys/fs/bpf")
    harness.run("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
    meanwhile()
    file = os.path.join(daemon.directory, "boot_id")
    daemon.write(file, str(uuid.uuid4()) + "\n")
    os.chmod(file, 0o644)
    harness.run("umount", BOOT_ID, check=False)
    harness.run("mount", "--bind", file, BOOT_ID)


class Machine(unittest.TestCase):
    """What a reboot is: replug the wire, boot, look."""
    config = ""

    def setUp(self):
        self.wire = network.Wire("lan0")
        self.addCleanup(self.wire.remove)
        self.daemon = self.enterContext(harness.Daemon(config=self.config))
        self.addCleanup(harness.run, "umount", BOOT_ID, check=False)

    def load(self, name="xdp_counter", type="xdp", *more, function=None):
        return self.daemon.load(name, type, function, "--persistent", *more)

    def reboot(self, replug=True, **more):
        self.wire.unplug()
        reboot(self.daemon, self.wire.plug if replug else lambda: None, **more)
        self.daemon.start(40)

    def record(self, program):
        return self.daemon.json("program", "get", program)["record"]

    def kept(self):
        directory = os.path.join(self.daemon.state, "persistent")
        return sorted(os.listdir(directory)) if os.path.exists(directory) else []

    def links(self):
        return {each["id"]: each for each in self.daemon.links()}

    def of(self, link):
        """The program that a link has now."""
        return self.links()[link]["program_id"]

    def count(self, program, name=None):
        return harness.sums(self.daemon.mapId(program, name))[0]

    def chain(self, type):
        chain, = [each for each in self.daemon.dispatchers() if each["key"]["type"] == type]
        return [each["link_id"] for each in chain["members"]]


class Reboot(Machine):
    def testPersistentProgramsComeBackWithAllThatWasSaidAboutThem(self):
        program = self.load("xdp_counter", "xdp", "-g", PASS, "-m", "team=net", "-m", "stage=live", "-a", "edge")
        other = self.daemon.load("xdp_counter", "xdp")
        self.daemon.attach("xdp", other, "lan0", "-p", 1)
        link = self.daemon.attach("xdp", program, "lan0", "-p", 7, "-m", "why=test")["id"]
        before, details = self.record(program), self.links()[link]
        self.assertTrue(before["persistent"])
        self.assertTrue(details["persistent"])
        self.assertEqual(len(self.kept()), 1)

        for clean in (True, False):  # a shutdown, and a power cut
            self.reboot(clean=clean)
            again, = self.daemon.programs()  # the other one is forgotten
            after = self.record(again)
            for key in ("load", "license", "meta", "created_at"):
                one, two = dict(before[key]) if isinstance(before[key], dict) else before[key], after[key]
                if key == "load":
                    one["object_path"] = two["object_path"]
                self.assertEqual(one, two, key)
            now, = self.daemon.links()
            self.assertEqual(now["id"], link)
            self.assertEqual(now["program_id"], again)
            for key in ("metadata", "created_at"):
                self.assertEqual(now[key], details[key])
            self.assertEqual([now["details"][key] for key in ("priority", "proceed_on", "position")], [7, [2, 31], 0])
            self.assertNotIn("waiting", now)
            self.wire.send(20)
            self.assertEqual(self.count(again), 20)
            self.assertEqual(self.daemon.settled(), [])
        # Ids are not given twice, and unloading removes what was kept.
        newer = self.daemon.attach("xdp", self.daemon.load("xdp_counter", "xdp"), "lan0", "-p", 3)["id"]
        self.assertGreater(newer, link)
        self.assertEqual(self.daemon.cli("program", "unload", again).code, 0)
        self.assertEqual(self.kept(), [])
        self.reboot()
        self.assertEqual((self.daemon.programs(), self.daemon.links(), self.daemon.dispatchers()), ([], [], []))

    def testTheOrderIsTheSame(self):
        """By priority, and by wishes; among those that are not persistent and go."""
        attach = lambda program, priority, *more: self.daemon.attach("xdp", program, "lan0", "-p", priority, *more)["id"]
        last = attach(self.load(), 90)
        gone = attach(self.daemon.load("xdp_counter", "xdp"), 40)
        first = attach(self.load(), 10)
        wished = attach(self.load(), 5, "--after", f"link:{first}")
        dropper = attach(self.load("xdp_counter", "xdp", "-g", "verdict=01000000"), 50, "--proceed-on", "drop")
        self.assertEqual(self.chain("xdp"), [first, wished, gone, dropper, last])
        self.reboot()
        self.assertEqual(self.chain("xdp"), [first, wished, dropper, last])
        self.wire.send(30)
        self.assertEqual([self.count(self.of(each)) for each in (first, wished, dropper, last)], [30] * 4)
        self.assertEqual(self.daemon.settled(), [])

    def ok(self, *words):
        result = self.daemon.cli(*words)
        self.assertEqual(result.code, 0, result)

    def testAMemberThatPausesComesBackPaused(self):
        programs = [self.load(), self.load()]
        links = [self.daemon.attach("xdp", each, "lan0", "-p", 10 * i)["id"] for i, each in enumerate(programs)]
        for paused in ([links[0]], links):
            for link in paused:
                self.ok("link", "pause", link)
            self.reboot()
            self.assertEqual({id for id, each in self.links().items() if each.get("paused")}, set(paused))
            self.wire.send(10)
            self.assertEqual([self.count(self.of(each)) for each in links], [0 if each in paused else 10 for each in links])
        for link in links:
            self.ok("link", "resume", link)
        self.wire.send(10)
        self.assertEqual(self.chain("xdp"), links)
        self.assertEqual(self.daemon.settled(), [])

    def testAChangeThatWaitedIsTakenBack(self):
        first, second, third = self.load(), self.load(), self.load("xdp_counter", "xdp", "-g", "verdict=01000000")
        links = [self.daemon.attach("xdp", each, "lan0", "-p", 10 * i)["id"] for i, each in enumerate((first, second))]
        steps = os.path.join(self.daemon.directory, "steps")
        self.daemon.write(steps, f"link update {links[0]} -p 50\nlink detach {links[1]}\nlink attach xdp {third} lan0 -p 1\n")
        self.ok("change", "apply", steps, "--confirm-within", "1h")
        self.reboot()
        self.assertEqual(self.chain("xdp"), links)
        self.assertEqual(sorted(self.links()), links)
        self.assertEqual(self.daemon.json("change", "list")["changes"], [])
        self.assertEqual(len(self.daemon.programs()), 3)
        self.assertEqual(self.daemon.settled(), [])

    def testOtherBytecodeIsWhatComesBackUnlessItWaited(self):
        old = self.load()
        link = self.daemon.attach("xdp", old, "lan0", "-p", 10)["id"]
        drop = ("--file", harness.example("xdp_counter"), "-g", "verdict=01000000")
        self.ok("program", "update", old, *drop, "--confirm-within", "1h")
        self.reboot()
        self.assertEqual((len(self.daemon.programs()), len(self.kept())), (1, 1))
        self.assertEqual(self.record(self.of(link))["load"].get("global_data", {}), {})
        self.ok("program", "update", self.of(link), *drop)
        self.reboot()
        self.assertEqual((len(self.daemon.programs()), len(self.kept())), (1, 1))
        self.assertIn("verdict", str(self.record(self.of(link))))
        self.assertEqual(self.chain("xdp"), [link])
        self.assertEqual(self.daemon.settled(), [])

    def testEveryKindWhoseTargetCanBeFoundAgainComesBack(self):
        word = struct.pack("<i", 3).hex()
        attach = self.daemon.attach
        tc = [attach("tc", self.load("tc_counter", "tc", "-g", "verdict=" + word), "lan0", "ingress", "-p", priority)["id"] for priority in (20, 10)]
        egress = attach("tc", self.load("tc_counter", "tc", "-g", "verdict=" + word), "lan0", "egress", "-p", 5)["id"]
        kinds = {"tracepoint": attach("tracepoint", self.load("tracepoint_counter", "tracepoint"), "syscalls/sys_enter_kill")["id"]}
        kinds["raw_tp"] = attach("raw_tp", self.load("raw_tp_counter", "raw_tp"), "sys_enter")["id"]
        kinds["tp_btf"] = attach("tp_btf", self.load("tp_btf_counter", "tp_btf"))["id"]
        every = lambda type, function: self.daemon.load("every_hook", type, function, "--persistent")
        others = [attach("netfilter", every("netfilter", "netfilter_"), "ipv4", "output", "-p", 10)["id"],
                  attach("cgroup", every("cgroup_connect4", "connect4"), harness.cgroup2())["id"],
                  attach("perf_event", every("perf_event", "event"), "cpu-clock", "--frequency", 100, "--cpu", 0)["id"],
                  attach("sk_lookup", every("sk_lookup", "lookup"))["id"]]
        iterator = attach("iter", every("iter", "iterator"))["id"]
        before = self.links()
        self.reboot()
        after = self.links()
        self.assertEqual(set(after), set(before))
        self.assertEqual([each for each in after.values() if "waiting" in each], [])
        self.assertEqual((self.chain("tc-ingress"), self.chain("tc-egress")), (tc[::-1], [egress]))
        self.wire.send(10)
        self.assertEqual([self.count(self.of(each), "packets") for each in tc], [10, 10])
        for _ in range(5):
            os.kill(os.getpid(), 0)
        for kind, link in kinds.items():
            self.assertGreaterEqual(self.count(self.of(link)), 5, kind)
        with socket.socket() as one:
            one.connect_ex(("127.0.0.1", 1))
        for link in others:   # the clock ticks by itself
            self.assertTrue(harness.eventually(lambda: self.count(self.of(link), "runs") > 0), after[link])
        self.assertEqual(set(self.daemon.cli("link", "read", iterator).out), {"x"})
        self.assertEqual(self.daemon.settled(), [])

    def testACgroupsProgramsComeBackInTheirOrder(self):
        path = os.path.join(harness.cgroup2(), f"bpfman-reboot-{os.getpid()}")
        os.mkdir(path)
        self.addCleanup(os.rmdir, path)
        attach = lambda *where: self.daemon.cli("link", "attach", "cgroup", self.load("every_hook", "cgroup_connect4", function="connect4"), path, *where)
        self.assertEqual(attach().code, 0)
        first, = self.links()
        tried = attach("--before", f"link:{first}")
        if tried.code:   # before Linux 6.17
            self.assertIn("Invalid argument", tried.err)
            return self.assertLess(harness.kernel(), (6, 17))
        self.assertEqual(attach("--after", f"link:{first}").code, 0)
        order = lambda: [each["id"] for each in harness.bpftool("cgroup", "show", path)]
        wanted = [max(self.links()) - 1, first, max(self.links())]
        self.assertEqual(order(), [self.of(link) for link in wanted])
        self.reboot()
        self.assertEqual(order(), [self.of(link) for link in wanted])
        self.assertEqual(self.daemon.settled(), [])

    def testTcxComesBackInItsOrder(self):
        first = self.load("tcx_counter", "tcx")
        refused = self.daemon.cli("link", "attach", "tcx", first, "lan0", "ingress", "-p", 50)
        if "Linux 6.6" in refused.err:
            self.skipTest("this kernel has no TCX")
        attach = lambda priority: self.daemon.attach("tcx", self.load("tcx_counter", "tcx"), "lan0", "ingress", "-p", priority)["id"]
        links = [self.links().popitem()[0], attach(70), attach(30)]
        self.reboot()
        order = sorted(self.links().values(), key=lambda each: each["details"]["position"])
        self.assertEqual([each["id"] for each in order], [links[2], links[0], links[1]])
        net, = harness.bpftool("net", "show", "dev", "lan0")
        self.assertEqual([each.get("prog_id", each.get("id")) for each in net["tc"]], [each["program_id"] for each in order])
        self.wire.send(10)
        self.assertEqual([self.count(each["program_id"]) for each in order], [10] * 3)
        self.assertEqual(self.daemon.settled(), [])

    def testSharedMapsAreSharedAgainAndEmpty(self):
        owner = self.load()
        user = self.load("xdp_counter", "xdp", "--map-owner-id", owner)
        links = [self.daemon.attach("xdp", each, "lan0", "-p", 1)["id"] for each in (owner, user)]
        self.wire.send(10)
        self.assertEqual(self.count(owner), 20)
        refused = self.daemon.cli("program", "load", "file", harness.example("xdp_counter"), "--programs", "xdp:xdp_counter", "--persistent",
                                  "--map-owner-id", self.daemon.load("xdp_counter", "xdp"))
        self.assertIn("is not persistent", refused.err)
        for gone in (None, owner):  # then the owner is unloaded, and others still share what it made
            self.reboot()
            owner, user = self.of(links[0]), self.of(links[1])
            self.assertEqual(self.daemon.mapId(owner), self.daemon.mapId(user))
            self.assertEqual(self.record(user)["load"]["map_owner_id"], owner)
            self.assertEqual(self.count(owner), 0)
            self.wire.send(10)
            self.assertEqual(self.count(user), 20)
            self.assertEqual(self.daemon.settled(), [])
        third = self.daemon.attach("xdp", self.load("xdp_counter", "xdp", "--map-owner-id", owner), "lan0", "-p", 9)["id"]
        self.assertEqual(self.daemon.cli("program", "unload", owner).code, 0)
        self.reboot()
        user, third = self.of(links[1]), self.of(third)
        self.assertEqual(self.daemon.mapId(user), self.daemon.mapId(third))
        self.assertEqual(self.daemon.settled(), [])

    def testOneThatCannotComeBackIsReportedAndKeepsNobodyElse(self):
        broken, good, away = self.load("xdp_mark", "xdp", function="xdp_second"), self.load(), self.load()
        links = [self.daemon.attach("xdp", each, "lan0", "-p", 1)["id"] for each in (broken, good)]
        other = network.Wire("lan1")
        self.addCleanup(other.remove)
        links.append(self.daemon.attach("xdp", away, "lan1", "-p", 1)["id"])

        def damage():
            self.wire.plug()
            other.unplug()
            file = os.path.join(self.daemon.state, "persistent", self.kept()[0])
            with open(file, "r+b") as bytes:
                bytes.truncate(500)
        self.wire.unplug()
        reboot(self.daemon, damage)
        self.daemon.start(40)
        found = self.links()
        self.assertEqual(sorted(found), sorted(links))
        self.wire.send(10)
        self.assertEqual(self.count(self.of(links[1])), 10)
        lost = self.record(self.of(links[0]))
        self.assertGreaterEqual(lost["program_id"], 1 << 31)
        self.assertNotEqual(lost["not_loaded"], "")
        self.assertIn("can't be loaded again", self.daemon.log)
        self.assertIn("its program is not loaded", found[links[0]]["waiting"])
        self.assertEqual(found[links[2]]["waiting"], "interface lan1 is not there")
        refused = self.daemon.cli("link", "attach", "xdp", lost["program_id"], "lan0", "-p", 9)
        self.assertIn("is not loaded now", refused.err)
        # It is there for the next boot too, until somebody unloads it.
        self.reboot()
        self.assertEqual(sorted(self.links()), sorted(links))
        self.assertEqual(self.daemon.cli("program", "unload", self.of(links[0])).code, 0)
        self.assertEqual(len(self.kept()), 2)
        other.plug()
        self.assertTrue(harness.eventually(lambda: "waiting" not in self.links()[links[2]]), self.daemon.log)
        other.send(5)
        self.assertEqual(self.count(self.of(links[2])), 5)
        self.assertEqual(self.daemon.settled(), [])

    def testAnInterfaceMayComeAfterTheDaemon(self):
        link = self.daemon.attach("xdp", self.load(), "lan0", "-p", 1)["id"]
        self.reboot(replug=False)
        waiting = self.links()[link]
        self.assertEqual(waiting["waiting"], "interface lan0 is not there")
        self.assertEqual((waiting["details"]["interface"], waiting["details"]["position"], waiting["pin_path"]), ("lan0", -1, ""))
        self.wire.plug()
        self.assertTrue(harness.eventually(lambda: "waiting" not in self.links()[link]), self.daemon.log)
        self.wire.send(5)
        self.assertEqual(self.count(self.of(link)), 5)
        # In one that is away the link can be detached, and its program unloaded.
        self.reboot(replug=False)
        self.assertEqual(self.daemon.cli("link", "detach", link).code, 0)
        program, = self.daemon.programs()
        self.assertEqual(self.daemon.cli("program", "unload", program).code, 0)
        self.wire.plug()
        self.assertEqual(self.daemon.settled(), [])

    def testWhatCannotBeFoundAgainIsSaidToBe(self):
        inner = network.Namespace("inner")
        self.addCleanup(inner.remove)
        inner.run("ip", "link", "add", "in0", "type", "veth", "peer", "name", "in1")
        link = self.daemon.attach("xdp", self.load(), "in0", "-p", 1, "-n", inner.path)
        self.assertNotIn("persistent", link)
        self.reboot()
        self.assertEqual(self.daemon.links(), [])
        self.assertIn(f"link {link['id']} on in0 is forgotten", self.daemon.log)
        self.assertEqual(len(self.daemon.programs()), 1)
        self.assertEqual(self.daemon.settled(), [])

    def testKillsWhileItComesBackLoseNothing(self):
        links = [self.daemon.attach("xdp", self.load(), "lan0", "-p", each)["id"] for each in (3, 1, 2)]
        for number in range(12):
            self.wire.unplug()
            reboot(self.daemon, self.wire.plug, clean=False)
            self.daemon.launch()
            time.sleep(0.1 + 0.03 * number * harness.SLOW)
            who = ("broker", "frontend", "worker")[number % 3]
            pids = self.daemon.processes()[who]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            if who == "broker":
                self.daemon.kill()
                self.daemon.start(40)
            self.assertTrue(harness.eventually(lambda: self.daemon.ready() and self.daemon.cli("program", "list").code == 0, 20), self.daemon.log)
            self.assertTrue(harness.eventually(lambda: not any("waiting" in each for each in self.daemon.links()), 20), self.daemon.links())
            self.assertEqual(self.chain("xdp"), [links[1], links[2], links[0]])
            self.wire.send(5)
            self.assertEqual([self.count(self.of(each)) for each in links], [5, 5, 5])
            self.assertEqual(self.daemon.settled(), [], f"{who}, round {number}")
            self.assertEqual(len(self.kept()), 3)

    def testAnEmptiedBpffsIsLikeAReboot(self):
        link = self.daemon.attach("xdp", self.load(), "lan0", "-p", 1)["id"]
        self.daemon.stop()
        harness.eventually(lambda: harness.run("umount", os.path.join(self.daemon.runtime, "fs"), check=False).returncode == 0)
        self.daemon.start(40)
        self.wire.send(5)
        self.assertEqual(self.count(self.of(link)), 5)
        self.assertEqual(self.daemon.settled(), [])


STATE = "/run/state"  # outlives a boot
ENGINES = {"libxdp": "auto", "tailcall": "tailcall"}


class TwoBoots(unittest.TestCase):
    def setUp(self):
        if not os.path.ismount(STATE):
            self.skipTest("tests/vm/run boots a machine twice for this")

    def daemon(self, engine):
        directory = os.path.join(STATE, engine)
        os.makedirs(directory, exist_ok=True)
        uid = 1_500_000_000 + 10 * list(ENGINES).index(engine)
        daemon = harness.Daemon(directory=directory, config=f'[users]\nbase_uid = {uid}\n[xdp]\nengine = "{ENGINES[engine]}"\n')
        daemon.baseUid, daemon.runtime, daemon.logFile = uid, "/run/bpfman-" + engine, f"/run/{engine}.log"
        return daemon


class Before(TwoBoots):
    def test(self):
        said = {}
        for engine in ENGINES:
            daemon, wire = self.daemon(engine).start(60), network.Wire("lan-" + engine)
            self.assertEqual(daemon.engine(), engine)
            load = lambda name, type: daemon.load(name, type, None, "--persistent")
            links = [daemon.attach("xdp", load("xdp_counter", "xdp"), wire.near, "-p", priority)["id"] for priority in (30, 10, 20)]
            daemon.attach("xdp", daemon.load("xdp_counter", "xdp"), wire.near, "-p", 15)
            tc = daemon.attach("tc", load("tc_counter", "tc"), wire.near, "egress", "-p", 1)["id"]
            every = lambda type, function: daemon.load("every_hook", type, function, "--persistent")
            points = [daemon.attach("raw_tp", load("raw_tp_counter", "raw_tp"), "sys_enter")["id"],
                      daemon.attach("fentry", every("fentry", "fentry_"))["id"],
                      daemon.attach("kprobe", every("kprobe", "kprobe_"))["id"]]
            said[engine] = {"order": [links[1], links[2], links[0]], "all": sorted([*links, tc, *points]), "points": points}
        with open(BOOT_ID) as boot, open(os.path.join(STATE, "said"), "w") as file:
            json.dump({"boot": boot.read(), **said}, file)


class After(TwoBoots):
    def test(self):
        with open(BOOT_ID) as boot, open(os.path.join(STATE, "said")) as file:
            said = json.load(file)
            self.assertNotEqual(boot.read(), said["boot"])
        for engine in ENGINES:
            if engine == "libxdp":  # one finds its interface, the other's comes later
                wire = network.Wire("lan-" + engine)
                daemon = self.daemon(engine).start(60)
            else:
                daemon = self.daemon(engine).start(60)
                self.assertEqual({each["details"].get("interface", "") for each in daemon.links() if "waiting" in each}, {"lan-" + engine})
                wire = network.Wire("lan-" + engine)
            self.addCleanup(daemon.end)
            here = lambda: [each["id"] for each in daemon.links() if "waiting" not in each]
            self.assertEqual(harness.eventually(lambda: here() == said[engine]["all"]) and here(), said[engine]["all"], daemon.log)
            chain, = [each for each in daemon.dispatchers() if each["key"]["type"] == "xdp"]
            self.assertEqual([chain["engine"]] + [each["link_id"] for each in chain["members"]], [engine] + said[engine]["order"])
            wire.send(20)
            for member in chain["members"]:
                self.assertEqual(harness.sums(daemon.mapId(member["program_id"]))[0], 20)
            points = [each for each in daemon.links() if each["id"] in said[engine]["points"]]
            self.assertEqual(len(points), 3)
            time.sleep(0.1)
            for point in points:
                self.assertGreater(harness.sums(daemon.mapId(point["program_id"]))[0], 0, point)
            self.assertEqual(daemon.settled(), [])
            if engine == "libxdp":
                status = harness.run("xdp-loader", "status", wire.near).stdout
                shown = re.findall(r"=> +(\d+) +xdp_counter +(\d+)", status)
                self.assertEqual(shown, [(str(each["priority"]), str(each["program_id"])) for each in chain["members"]], status)


class Tailcall(Reboot):
    """Where the kernel lets the libxdp engine work: the other one."""
    config = '[xdp]\nengine = "tailcall"\n'

    def setUp(self):
        super().setUp()
        if "BPFMAN_VM" not in os.environ:
            self.skipTest("it is the same as Reboot here")


if __name__ == "__main__":
    harness.main()
