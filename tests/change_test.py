"""Changes of a chain while packets flow: priorities, verdicts, pauses, other bytecode in place, several at once, and changes that are taken
back because nobody confirmed them. The same tests for each engine and hook; libxdp and freplace need a kernel with freplace (tests/vm)."""

import contextlib
import os
import random
import signal
import sqlite3
import time
import unittest

import harness
import network

CHANGES = int(os.environ.get("BPFMAN_CHANGES", "1000"))
PASS, DROP = "verdict=02000000", "verdict=01000000"
WAIT = 3 * harness.SLOW     # seconds within which a change is confirmed, or taken back


class Tailcall(unittest.TestCase):
    engine, config, kind, example = "tailcall", '[xdp]\nengine = "tailcall"\n', "xdp", "xdp_counter"
    goesOn, ends, proceed = PASS, DROP, "pass"

    def setUp(self):
        self.wire = network.Wire("lan0")
        self.addCleanup(self.wire.remove)
        if self.engine != "tailcall":
            harness.requireFreplace(self)
        self.daemon = self.enterContext(harness.Daemon(config=self.config))

    def load(self, verdict=None, example=None):
        return self.daemon.load(example or self.example, self.kind, None, "-g", verdict or self.goesOn)

    def place(self, interface="lan0"):
        return [interface]

    def attach(self, program, priority, *more):
        return self.daemon.attach(self.kind, program, *self.place(), "-p", priority, *more)["id"]

    def count(self, program):
        return harness.sums(self.daemon.mapId(program, self.mapName))[0]

    mapName = None

    def members(self):
        chain, = self.daemon.dispatchers()
        self.assertEqual(chain["engine"], self.engine)
        return [each["link_id"] for each in chain["members"]]

    def ok(self, *words, **more):
        result = self.daemon.cli(*words, **more)
        self.assertEqual(result.code, 0, result)
        return result

    def refused(self, text, *words, **more):
        result = self.daemon.cli(*words, **more)
        self.assertEqual(result.code, 1, result)
        self.assertIn(text, result.err)

    def counted(self, programs, packets):
        """How much each count grows by so many packets."""
        before = [self.count(each) for each in programs]
        self.wire.send(packets)
        return [self.count(each) - old for each, old in zip(programs, before)]

    # -- one member --

    def testAPriorityAndItsVerdictsChangeInPlace(self):
        first, second = self.load(), self.load(self.ends)
        links = [self.attach(first, 10), self.attach(second, 20)]
        self.assertEqual(self.counted([first, second], 10), [10, 10])
        kernel = {each["id"] for each in self.daemon.kernelPrograms().values() if each["type"] != "ext" and "dispatcher" not in each["name"]}
        self.ok("link", "update", links[1], "--priority", 5)
        self.assertEqual(self.members(), links[::-1])
        self.assertEqual(self.counted([first, second], 10), [0, 10])
        self.ok("link", "update", links[1], "--proceed-on", self.endsWord)
        self.assertEqual(self.counted([first, second], 10), [10, 10])
        self.assertLessEqual(kernel, set(self.daemon.kernelPrograms()))
        self.assertEqual([each["id"] for each in self.daemon.links()], sorted(links))
        self.assertEqual(self.daemon.settled(), [])

    endsWord = "drop"

    def testAMemberThatPausesSeesNothingAndKeepsAllElse(self):
        first, second = self.load(), self.load()
        links = [self.attach(first, 10), self.attach(second, 20)]
        self.wire.send(10)
        self.ok("link", "pause", links[0])
        self.assertEqual(self.members(), [links[1]])
        self.assertEqual(self.counted([first, second], 10), [0, 10])
        self.assertIn("paused", self.daemon.cli("link", "list").out)
        self.ok("link", "pause", links[1])                 # nobody runs: packets pass, the dispatcher stays
        self.assertEqual(self.counted([first, second], 10), [0, 0])
        self.daemon.stop(signal.SIGKILL)
        self.daemon.start()
        self.ok("link", "resume", links[0])
        self.assertEqual(self.counted([first, second], 10), [10, 0])
        self.ok("link", "resume", links[1])
        self.assertEqual(self.members(), links)
        self.assertEqual(self.count(first), 20)
        self.ok("link", "pause", links[1])
        for link in links:
            self.ok("link", "detach", link)
        self.assertEqual(self.daemon.settled(), [])
        self.assertEqual(self.daemon.dispatchers(), [])

    def testOtherBytecodeTakesAProgramsPlaceWithItsMaps(self):
        old, other = self.load(), self.load()
        links = [self.attach(old, 10), self.attach(other, 20)]
        self.wire.send(10)
        maps = self.daemon.mapId(old, self.mapName)
        record = self.daemon.json("program", "update", old, "--file", harness.example(self.example), "-g", self.ends)["record"]
        new = record["program_id"]
        self.assertNotEqual(new, old)
        self.assertEqual(self.daemon.mapId(new, self.mapName), maps)
        self.assertEqual(self.members(), links)
        self.assertEqual(self.counted([new, other], 10), [10, 0])
        self.assertEqual(self.count(new), 20)
        self.assertNotIn(old, self.daemon.programs())
        self.assertTrue(harness.eventually(lambda: old not in self.daemon.kernelPrograms()))
        self.assertEqual(self.daemon.settled(), [])
        self.refused(f"program {new} took its place", "program", "update", old, "--file", harness.example(self.example))
        # After a reboot another program may have the old one's number: a start must not take what is done for an update under way.
        self.daemon.stop()
        with contextlib.closing(sqlite3.connect(os.path.join(self.daemon.state, "bpfman.db"))) as catalogue:
            purposes = [each for each, in catalogue.execute("SELECT purpose FROM load WHERE own = 0")]
        self.assertEqual([each for each in purposes if each.startswith("update:")], [])
        self.daemon.start()
        self.assertIn(new, self.daemon.programs())
        self.ok("program", "unload", new)
        self.assertEqual(self.daemon.settled(), [])

    def testAnUpdateThatTheVerifierRefusesChangesNothing(self):
        old = self.load()
        link = self.attach(old, 10)
        self.refused("program", "program", "update", old, "--file", harness.example("tracepoint_counter"))
        self.refused("not found in object file", "program", "update", old, "--file", harness.example(self.example), "--name", "nobody")
        self.refused("does not exist", "program", "update", 4294967, "--file", harness.example(self.example))
        self.assertEqual(self.counted([old], 10), [10])
        self.assertEqual((self.daemon.programs(), self.members()), ([old], [link]))
        self.assertEqual(self.daemon.settled(), [])

    def testAnUpdateOfAProgramWithOtherLinksIsRefused(self):
        program = self.daemon.load("tracepoint_counter", "tracepoint")
        self.daemon.attach("tracepoint", program, "syscalls/sys_enter_kill")
        self.refused("only those of xdp and tc", "program", "update", program, "--file", harness.example("tracepoint_counter"))
        self.assertEqual(self.daemon.settled(), [])

    # -- several at once --

    def apply(self, text, *more):
        path = os.path.join(self.daemon.directory, "steps")
        with open(path, "w") as file:
            file.write(text)
        return self.daemon.cli("change", "apply", path, *more)

    def testAChangeOfSeveralIsOneForPackets(self):
        programs = [self.load() for _ in range(3)]
        links = [self.attach(each, 10 * i) for i, each in enumerate(programs)]
        newcomer = self.load()
        revision = self.daemon.dispatchers()[0]["revision"]
        result = self.apply(f"# order turned round, one more, one less\nlink update {links[0]} --priority 50\n\n"
                            f"link detach {links[1]}\nlink attach {self.kind} {newcomer} {' '.join(self.place())} --priority 30\n")
        self.assertEqual(result.code, 0, result)
        self.assertEqual(self.daemon.dispatchers()[0]["revision"], revision + 1)
        new = [each["id"] for each in self.daemon.links() if each["program_id"] == newcomer]
        self.assertEqual(self.members(), [links[2], *new, links[0]])
        self.assertEqual(self.counted([*programs, newcomer], 10), [10, 0, 10, 10])
        self.assertEqual(self.daemon.settled(), [])

    def testAllOrNothing(self):
        programs = [self.load() for _ in range(2)]
        links = [self.attach(each, 10 * i) for i, each in enumerate(programs)]
        for bad, text in (("link detach 999999", "does not exist"), (f"link attach {self.kind} {programs[0]} nowhere0 -p 1", "nowhere0"),
                          ("link dance", "expected link attach"), (f"link update {links[1]} --proceed-on sing", "sing"),
                          (f"link attach {self.kind} {programs[0]} {' '.join(self.place())} -p 1 --before nobody", "nobody")):
            if "attach" in bad and self.kind == "tc":
                bad = bad.replace("nowhere0", "nowhere0 ingress")
            result = self.apply(f"link update {links[0]} --priority 50\n{bad}\n")
            self.assertEqual(result.code, 1, (bad, result))
            self.assertIn(text, result.err)
            self.assertEqual(self.members(), links)
        self.assertEqual(self.daemon.settled(), [])

    def testTwoInterfacesChangeTogether(self):
        other = network.Wire("lan1")
        self.addCleanup(other.remove)
        program, second = self.load(), self.load()
        text = "".join(f"link attach {self.kind} {each} {' '.join(self.place(name))} -p 10\n"
                       for each, name in ((program, "lan0"), (second, "lan1")))
        self.assertEqual(self.apply(text).code, 0)
        other.send(10)
        self.assertEqual(self.counted([program], 10), [10])
        self.assertEqual(self.count(second), 10)
        ids = " ".join(str(each["id"]) for each in self.daemon.links())
        self.assertEqual(self.apply(f"link detach {ids}\n").code, 0)
        self.assertEqual((self.daemon.links(), self.daemon.dispatchers()), ([], []))
        self.assertEqual(self.daemon.settled(), [])

    # -- confirmed changes --

    def waiting(self):
        return self.daemon.json("change", "list")["changes"]

    def testALockOutIsTakenBackAndNobodyElseChangesItMeanwhile(self):
        keeper, dropper = self.load(), self.load(self.ends)
        link = self.attach(keeper, 20)
        out = self.ok("link", "attach", self.kind, dropper, *self.place(), "-p", 10, "--confirm-within", f"{WAIT}s").out
        self.assertRegex(out, "by the kernel" if self.engine == "tailcall" else "by the daemon")
        started = time.monotonic()
        self.assertEqual(self.counted([keeper, dropper], 10), [0, 10])
        change, = self.waiting()
        self.refused("waits to be confirmed", "link", "detach", link)
        self.refused("waits to be confirmed", "link", "update", link, "--priority", 1)
        self.refused("waits to be confirmed", "link", "attach", self.kind, self.load(), *self.place(), "-p", 1)
        self.assertTrue(harness.eventually(lambda: not self.waiting(), WAIT + 5))
        self.assertGreaterEqual(time.monotonic() - started, WAIT - 1.5)
        self.assertEqual(self.counted([keeper, dropper], 10), [10, 0])
        self.assertEqual(self.members(), [link])
        self.refused("no change", "confirm", change["id"])
        self.assertEqual(self.daemon.settled(), [])

    def testAChangeThatIsConfirmedStays(self):
        keeper, dropper = self.load(), self.load(self.ends)
        link = self.attach(keeper, 20)
        self.ok("link", "attach", self.kind, dropper, *self.place(), "-p", 10, "--confirm-within", f"{WAIT}s")
        self.ok("confirm")
        time.sleep(WAIT + 1)
        self.assertEqual(self.counted([keeper, dropper], 10), [0, 10])
        self.ok("link", "detach", link)
        self.assertEqual(self.daemon.settled(), [])

    def testAChangeIsTakenBackAtOnceOnRequest(self):
        keeper, dropper = self.load(), self.load(self.ends)
        link = self.attach(keeper, 20)
        self.ok("link", "attach", self.kind, dropper, *self.place(), "-p", 10, "--confirm-within", "1h")
        self.ok("revert")
        self.assertEqual(self.counted([keeper, dropper], 10), [10, 0])
        self.assertEqual(self.members(), [link])
        self.assertEqual(self.daemon.settled(), [])

    def testAFirstAttachAndALastDetachAreTakenBackToo(self):
        program = self.load()
        self.ok("link", "attach", self.kind, program, *self.place(), "-p", 10, "--confirm-within", "1h")
        self.assertEqual(self.counted([program], 10), [10])
        self.ok("revert")
        self.assertEqual((self.daemon.links(), self.daemon.dispatchers()), ([], []))
        self.assertEqual(self.daemon.settled(), [])
        link = self.attach(program, 10)
        self.ok("link", "detach", link, "--confirm-within", "1h")
        self.assertEqual(self.counted([program], 10), [0])
        self.ok("revert")
        self.assertEqual(self.counted([program], 10), [10])
        self.ok("link", "detach", link, "--confirm-within", "1h")
        self.ok("confirm")
        self.assertEqual((self.daemon.links(), self.daemon.dispatchers()), ([], []))
        self.assertEqual(self.daemon.settled(), [])

    def testAnUpdateIsTakenBackWithItsMaps(self):
        old = self.load()
        link = self.attach(old, 10)
        self.wire.send(10)
        new = self.daemon.json("program", "update", old, "--file", harness.example(self.example), "--confirm-within", "1h")["record"]["program_id"]
        self.refused("waits to be confirmed", "program", "unload", old)
        self.refused("waits to be confirmed", "program", "unload", new)
        self.wire.send(10)
        self.ok("revert")
        self.assertEqual((self.members(), self.daemon.programs()), ([link], [old]))
        self.assertEqual(self.counted([old], 10), [10])
        self.assertEqual(self.count(old), 30)
        self.assertEqual(self.daemon.settled(), [])

    def testItIsTakenBackWhoeverDied(self):
        keeper, dropper = self.load(), self.load(self.ends)
        self.attach(keeper, 20)
        for who in ("worker", "frontend", "broker"):
            with self.subTest(died=who):
                self.ok("link", "attach", self.kind, dropper, *self.place(), "-p", 10, "--confirm-within", f"{WAIT}s")
                if who == "broker":
                    self.daemon.kill()
                    time.sleep(WAIT + 0.5)
                    if self.engine == "tailcall":       # nobody lives, and packets pass again
                        dropped = harness.sums(self.dropperMap)[0]
                        self.wire.send(10)
                        self.assertEqual(harness.sums(self.dropperMap)[0], dropped)
                    self.daemon.start()
                else:
                    self.dropperMap = self.daemon.mapId(dropper, self.mapName)
                    os.kill(self.daemon.pid(who), signal.SIGKILL)
                self.assertTrue(harness.eventually(lambda: self.daemon.cli("change", "list", "-o", "json").out == '{\n  "changes": []\n}\n', WAIT + 10))
                self.assertEqual(self.counted([keeper, dropper], 10), [10, 0])
                self.assertEqual(self.daemon.settled(), [])

    # -- an empty dispatcher that stays --

    hook = "xdp"

    def testAParkedDispatcherIsNeitherMadeNorRemovedByMembers(self):
        self.ok("dispatcher", "park", self.hook, "lan0")
        self.assertEqual(self.daemon.settled(), [])
        before = self.daemon.dispatchers()[0]["runtime"]
        self.assertEqual(self.members(), [])
        program = self.load(self.ends)
        self.wire.send(10)                       # nothing stops them
        link = self.attach(program, 10)
        self.assertEqual(self.counted([program], 10), [10])
        self.ok("link", "detach", link)
        self.assertEqual(self.counted([program], 10), [0])
        if self.engine == "tailcall":            # the very same program and link all the time
            self.assertEqual(self.daemon.dispatchers()[0]["runtime"], before)
        self.assertIn("Parked: yes", self.ok("dispatcher", "get", self.hook, "lan0").out)
        self.daemon.stop()
        self.daemon.start()
        self.assertEqual(self.daemon.settled(), [])
        link = self.attach(program, 10)
        self.ok("dispatcher", "unpark", self.hook, "lan0")
        self.assertEqual(self.members(), [link])
        self.ok("dispatcher", "park", self.hook, "lan0")
        self.ok("link", "detach", link)
        self.assertEqual(len(self.daemon.dispatchers()), 1)
        self.ok("dispatcher", "unpark", self.hook, "lan0")
        self.assertEqual(self.daemon.dispatchers(), [])
        self.refused("no dispatcher is parked", "dispatcher", "unpark", self.hook, "lan0")
        self.refused("does not exist", "dispatcher", "park", self.hook, "nowhere0")
        self.refused("permission denied", "dispatcher", "park", self.hook, "lan0", user=4321, group=4321, extra_groups=[])
        self.assertEqual(self.daemon.settled(), [])

    # -- with packets flowing --

    def testNoPacketAndNoCountIsLostInManyChanges(self):
        seed = random.randrange(1 << 32)
        print("seed", seed)
        dice = random.Random(seed)
        head, tail = self.load(), self.load()
        bound = ["--proceed-on", self.proceed]      # without the dispatcher's own return code
        self.attach(head, 0, *bound)
        self.attach(tail, 1000, *bound)
        changing = self.load()
        links = [self.attach(self.load(), dice.randrange(1, 999), *bound) for _ in range(4)] + [self.attach(changing, 500, *bound)]
        paused = set()
        with network.Flow(self.wire) as flow:
            for _ in range(CHANGES):
                link = dice.choice(links)
                what = dice.randrange(10)
                if what < 4:
                    self.ok("link", "update", link, "--priority", dice.randrange(1, 999))
                elif what < 6:
                    self.ok("link", "resume" if link in paused else "pause", link)
                    paused ^= {link}
                elif what < 8:
                    result = self.apply("".join(f"link update {each} --priority {dice.randrange(1, 999)}\n" for each in links))
                    self.assertEqual(result.code, 0, result)
                elif what < 9:
                    self.ok("link", "update", link, "--priority", dice.randrange(1, 999), "--confirm-within", "1h")
                    self.ok(dice.choice(["confirm", "revert"]))
                else:
                    changing = self.daemon.json("program", "update", changing, "--file", harness.example(self.example))["record"]["program_id"]
            flow.stop()
            print(f"{self.engine} {self.kind}: {CHANGES} changes, {flow.sent} packets")
            self.assertEqual((flow.lost, flow.twice), ([], 0))
            self.assertEqual([self.count(head), self.count(tail)], [flow.sent] * 2)
        self.assertEqual(self.daemon.settled(), [])


class Clsact(Tailcall):
    hook = "tc-ingress"
    config, kind, example = "", "tc", "tc_counter"
    goesOn, ends, proceed, endsWord = "verdict=03000000", "verdict=02000000", "pipe", "shot"

    def place(self, interface="lan0"):
        return [interface, "ingress"]


class Tcx(Clsact):
    config = '[tc]\nattach = "tcx"\n'


class Freplace(Clsact):
    engine, config = "freplace", '[tc]\nengine = "freplace"\n'


class FreplaceTcx(Freplace):
    config = '[tc]\nengine = "freplace"\nattach = "tcx"\n'


class Libxdp(Tailcall):
    engine, config = "libxdp", ""


if __name__ == "__main__":
    harness.main()
