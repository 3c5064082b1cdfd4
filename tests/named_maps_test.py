"""Maps that objects pin by name: one of each name for all loads of one user's application, and for nobody else. Which map is which, and how
much it counted, says bpftool."""

import json
import os
import threading
import unittest

import harness
import network

OBJECT, OTHER = harness.example("shared_map"), harness.example("shared_other")
POLICY = """
[roles.writer]
base = "operator"
classes = ["network"]
map_rights = ["read", "write"]
[roles.reader]
base = "operator"
classes = ["network"]
[[grant]]
users = [4001, 4002]
roles = ["writer"]
[[grant]]
users = [4003]
roles = ["reader"]
"""
ONE, TWO, READER = (harness.user(uid) for uid in (4001, 4002, 4003))


class NamedMaps(unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(harness.Daemon(policy=POLICY))

    def words(self, *more, path=OBJECT, program="xdp:shared_xdp"):
        return ("program", "load", "file", path, "--programs", program, *more, "-o", "json")

    def tryLoad(self, *more, path=OBJECT, program="xdp:shared_xdp", **who):
        return self.daemon.cli(*self.words(*more, path=path, program=program), **who)

    def load(self, *more, **how):
        result = self.tryLoad(*more, **how)
        self.assertEqual(result.code, 0, result)
        self.err = result.err
        return json.loads(result.out)["programs"][0]["record"]["program_id"]

    def kernelMap(self, program, name="shared"):
        """Its id, as the kernel says: of the maps that the program uses the one of that name."""
        found = [each for each in harness.bpftool("prog", "show", "id", program)["map_ids"]
                 if harness.bpftool("map", "show", "id", each)["name"] == name]
        self.assertEqual(len(found), 1, found)
        return found[0]

    def maps(self, *programs):
        """How many different ones they have."""
        return len({self.kernelMap(each) for each in programs})

    def count(self, program, name="shared"):
        return harness.sums(self.kernelMap(program, name))[0]

    def entry(self, program, name="shared"):
        return next(each for each in self.daemon.json("program", "get", program)["status"]["maps"] if each["name"] == name)

    def unload(self, *programs):
        self.assertEqual(self.daemon.cli("program", "unload", *programs).code, 0)

    def refused(self, text, result):
        """And nothing stays behind, neither listed nor in the kernel."""
        self.assertEqual((result.code, result.out), (1, ""), result)
        self.assertIn(text, result.err)
        self.assertEqual(self.daemon.settled(), [])
        return result.err


class WhoShares(NamedMaps):
    def test_the_loads_of_one_application_count_together(self):
        wire = network.Wire("lan0")
        self.addCleanup(wire.remove)
        first, second = self.load("-a", "web"), self.load("-a", "web", program="tcx:shared_tcx")
        elsewhere = self.load("-a", "mail")
        self.assertEqual(self.kernelMap(first), self.kernelMap(second))
        self.assertEqual((self.maps(first, elsewhere), self.err), (2, ""))
        self.assertNotEqual(self.kernelMap(first, "alone"), self.kernelMap(second, "alone"))
        self.daemon.attach("xdp", first, "lan0", "-p", 1)
        self.daemon.attach("xdp", elsewhere, "lan0", "-p", 2)
        self.daemon.attach("tcx", second, "lan0", "ingress", "-p", 1)
        wire.send(20)
        harness.eventually(lambda: self.count(second, "alone") == 20)
        self.assertEqual([self.count(each, "alone") for each in (first, second, elsewhere)], [20, 20, 20])
        self.assertEqual([self.count(each) for each in (first, second, elsewhere)], [40, 40, 20])
        self.assertEqual(self.daemon.settled(), [])

    def test_get_says_that_it_is_pinned_by_name_and_who_shares_it(self):
        first, second, elsewhere = self.load("-a", "web"), self.load("-a", "web"), self.load("-a", "mail")
        self.assertEqual((self.entry(first)["pinned_by_name"], self.entry(first)["shared_with"]), (True, [second]))
        self.assertEqual(self.entry(second)["shared_with"], [first])
        self.assertEqual((self.entry(elsewhere)["pinned_by_name"], self.entry(elsewhere).get("shared_with")), (True, None))
        self.assertEqual({"pinned_by_name", "shared_with"} & set(self.entry(first, "alone")), set())
        self.assertEqual(self.daemon.json("program", "get", first)["status"]["map_used_by"], [first, second])
        text = self.daemon.cli("program", "get", first).out
        self.assertIn(f"shared array, pinned by name, shared with {second}\n", text)
        self.assertIn("alone array\n", text)
        self.assertTrue(os.path.exists(self.entry(second)["pin_path"]))

    def test_without_an_application_nobody_shares_and_is_told_so(self):
        first, second = self.load(), self.load()
        self.assertIn('map "shared" is pinned by name, but without an application (-a) nobody shares it', self.err)
        self.assertEqual(self.maps(first, second, self.load("-a", "web")), 3)
        self.assertEqual(self.err, "")
        self.assertNotIn("pinned_by_name", self.entry(first))
        owned = self.load("--map-owner-id", first)
        self.assertEqual((self.maps(first, owned), self.err), (1, ""))

    def test_two_users_never_share(self):
        root, one, again, two = self.load("-a", "web"), self.load("-a", "web", **ONE), self.load("-a", "web", **ONE), self.load("-a", "web", **TWO)
        self.assertEqual((self.maps(one, again), self.maps(root, one, two)), (1, 3))
        self.assertEqual(self.entry(one)["shared_with"], [again])

    def test_it_needs_the_rights_to_the_maps_of_ones_own_programs(self):
        first = self.load("-a", "web", **READER)
        self.refused("may write maps of programs of user 4003", self.tryLoad("-a", "web", **READER))
        self.assertEqual(self.daemon.programs(), [first])
        self.assertEqual(self.maps(first, self.load("-a", "mail", **READER)), 2)

    def test_both_programs_of_one_load_have_it_too(self):
        before = self.load("-a", "web")
        self.assertEqual(self.maps(before, self.load("-a", "web", program="xdp:shared_xdp,tcx:shared_tcx")), 1)
        self.assertEqual(len(self.entry(before)["shared_with"]), 2)


class WhatMustAgree(NamedMaps):
    def test_another_definition_is_refused_and_both_are_named(self):
        first = self.load("-a", "web")
        before = harness.mapIds()
        said = self.refused('map "shared" is pinned by name, and application "web" has one already',
                            self.tryLoad("-a", "web", path=OTHER, program="xdp:shared_other"))
        for part in (f"map {self.kernelMap(first)} of program {first} (shared_xdp)", "type array, not hash", "key_size 4, not 8",
                     "value_size 8, not 4", "max_entries 8, not 9", "map_flags 0x0, not 0x1", "another application (-a)"):
            self.assertIn(part, said)
        self.refused("max_entries 8, not 16", self.tryLoad("-a", "web", "--map-size", "shared=16"))
        self.assertEqual(harness.orphanMaps(before), [])
        self.assertEqual(self.daemon.programs(), [first])

    def test_a_size_that_is_the_same_is_no_difference(self):
        first, second = (self.load("-a", "web", "--map-size", "shared=16") for _ in range(2))
        self.assertEqual(self.maps(first, second), 1)
        self.refused("max_entries 16, not 8", self.tryLoad("-a", "web"))
        self.assertEqual(harness.bpftool("map", "show", "id", self.kernelMap(first))["max_entries"], 16)

    def test_what_the_kernel_makes_of_a_definition_is_no_difference(self):
        first, second = (self.load("-a", "web", path=OTHER, program="xdp:shared_other") for _ in range(2))
        for name in ("shared", "roomy", "devices", "events", "ring"):
            self.assertEqual(self.kernelMap(first, name), self.kernelMap(second, name), name)

    def test_other_kinds_of_pinning_are_refused(self):
        self.refused("__uint(pinning, LIBBPF_PIN_BY_NAME)",
                     self.tryLoad("-a", "web", path=harness.example("shared_elsewhere"), program="xdp:shared_elsewhere"))


class HowLongItLives(NamedMaps):
    def test_as_long_as_one_of_the_loads_that_use_it(self):
        wire = network.Wire("lan0")
        self.addCleanup(wire.remove)
        first, second = self.load("-a", "web"), self.load("-a", "web")
        self.daemon.attach("xdp", second, "lan0", "-p", 1)
        shared = self.kernelMap(first)
        wire.send(10)
        self.unload(first)
        wire.send(10)
        harness.eventually(lambda: self.count(second) == 20)
        self.assertEqual((self.count(second), self.kernelMap(second)), (20, shared))
        third = self.load("-a", "web")
        self.assertEqual((self.kernelMap(third), self.count(third)), (shared, 20))
        self.assertEqual(self.entry(third)["shared_with"], [second])
        self.unload(second, third)
        self.assertTrue(harness.eventually(lambda: shared not in harness.mapIds()))
        self.assertEqual(self.count(self.load("-a", "web")), 0)
        self.assertEqual(self.daemon.settled(), [])

    def test_over_restarts_of_the_daemon(self):
        first = self.load("-a", "web")
        self.assertEqual(self.daemon.stop(), 0)
        self.daemon.start()
        second = self.load("-a", "web")
        self.daemon.kill()
        self.daemon.start()
        third = self.load("-a", "web")
        self.assertEqual(self.maps(first, second, third), 1)
        self.assertEqual(self.entry(first)["shared_with"], [second, third])
        self.assertEqual(self.daemon.settled(), [])

    def test_after_a_reboot_it_is_shared_again_and_empty(self):
        wire = network.Wire("lan0")
        self.addCleanup(wire.remove)
        gone, kept, other, elsewhere = (self.load("-a", name, *more) for name, *more in
                                        (("web",), ("web", "--persistent"), ("web", "--persistent"), ("mail", "--persistent")))
        self.assertEqual(self.maps(gone, kept, other), 1)
        links = {self.daemon.attach("xdp", each, "lan0", "-p", 1)["id"]: each for each in (kept, other, elsewhere)}
        wire.send(10)
        self.assertEqual(self.daemon.stop(), 0)
        harness.run("umount", os.path.join(self.daemon.runtime, "fs"))
        self.daemon.start()
        kept, other, elsewhere = (each["program_id"] for each in sorted(self.daemon.links(), key=lambda each: list(links).index(each["id"])))
        self.assertEqual((self.maps(kept, other), self.maps(kept, elsewhere)), (1, 2))
        wire.send(10)
        harness.eventually(lambda: self.count(kept) == 20)
        self.assertEqual((self.count(kept), self.count(elsewhere)), (20, 10))
        self.assertEqual(self.maps(kept, self.load("-a", "web")), 1)
        self.assertEqual(self.daemon.settled(), [])

    def test_an_update_keeps_it(self):
        first, second = self.load("-a", "web"), self.load("-a", "web")
        shared = self.kernelMap(first)
        updated = self.daemon.json("program", "update", first, "--file", OBJECT)["record"]["program_id"]
        self.assertEqual((self.kernelMap(updated), self.kernelMap(second)), (shared, shared))
        self.assertEqual((self.entry(updated)["pinned_by_name"], self.entry(updated)["shared_with"]), (True, [second]))
        self.unload(second)
        self.assertEqual(self.kernelMap(self.load("-a", "web")), shared)
        self.refused("another type, key or value size",
                     self.daemon.cli("program", "update", updated, "--file", OTHER, "--name", "shared_other"))


class WithAMapOwner(NamedMaps):
    def test_who_is_named_goes_before_a_name(self):
        mail = self.load("-a", "mail")
        web = self.load("-a", "web", "--map-owner-id", mail)
        self.assertEqual(self.maps(mail, web), 1)
        self.assertNotIn("pinned_by_name", self.entry(web))     # it is not the application's
        self.assertEqual(self.entry(web)["shared_with"], [mail])
        own = self.load("-a", "web")
        self.assertEqual(self.maps(web, own), 2)
        self.assertEqual(self.maps(own, self.load("-a", "web", "--map-owner-id", own)), 1)
        said = self.refused(f"program {mail}, whose maps are to be used, has another", self.tryLoad("-a", "web", "--map-owner-id", mail))
        self.assertIn(f"map {self.kernelMap(own)} of program {own}", said)

    def test_another_users_map_that_was_named_is_not_given_on(self):
        one = self.load("-a", "web", **ONE)
        root = self.load("-a", "web", "--map-owner-id", one)
        self.assertEqual(self.maps(one, root), 1)
        self.assertEqual(self.maps(root, self.load("-a", "web")), 2)

    def test_of_the_same_application_it_becomes_the_one_of_that_name(self):
        unnamed = self.load("-a", "web")
        self.unload(unnamed)
        first = self.load("-a", "web")
        second = self.load("-a", "web", "--map-owner-id", first)
        self.unload(first)
        self.assertEqual(self.maps(second, self.load("-a", "web")), 1)


class AtOnce(NamedMaps):
    def test_loads_at_once_make_one_map(self):
        for _ in range(4):
            processes = [self.daemon.popen(*self.words("-a", name)) for name in ("web", "mail") for _ in range(6)]
            outputs = [each.communicate(timeout=harness.TIMEOUT) for each in processes]
            programs = [json.loads(out)["programs"][0]["record"]["program_id"] for out, err in outputs]
            self.assertEqual((self.maps(*programs[:6]), self.maps(*programs[6:]), self.maps(*programs)), (1, 1, 2))
            self.unload(*programs)
        self.assertEqual(self.daemon.settled(), [])

    def test_loads_and_unloads_at_once(self):
        """Whatever the order: who is there afterwards shares one map, and no load fails because another one went."""
        failures, left = [], []

        def churn(number):
            for turn in range(12):
                result = self.tryLoad("-a", "web")
                if result.code != 0:
                    return failures.append(result)
                program = json.loads(result.out)["programs"][0]["record"]["program_id"]
                if turn == 11 and number % 2:
                    left.append(program)
                else:
                    self.unload(program)
        threads = [threading.Thread(target=churn, args=(number,)) for number in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        self.assertEqual(failures, [])
        self.assertEqual((len(left), self.maps(*left)), (2, 1))
        self.assertEqual(self.daemon.settled(), [])


if __name__ == "__main__":
    harness.main()
