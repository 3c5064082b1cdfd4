"""What `program load` can be told: variables by their types, which programs, the verifier's log, the sizes of maps, another kernel's types.
What came of it is read in the kernel: bpftool shows variables by their names."""

import json
import os
import re
import tempfile
import unittest

import harness
import network

OBJECT = harness.example("typed_globals")


class Options(unittest.TestCase):
    def setUp(self):
        self.daemon = harness.Daemon()
        self.addCleanup(self.daemon.end)
        self.daemon.start()

    def load(self, *more, path=OBJECT, programs=("--programs", "xdp:typed_globals"), **who):
        return self.daemon.cli("program", "load", "file", path, *programs, *more, "-o", "json", **who)

    def loaded(self, *more, **who):
        result = self.load(*more, **who)
        self.assertEqual(result.code, 0, result)
        return json.loads(result.out)["programs"][0]["record"]["program_id"]

    def reboot(self):
        """The kernel has lost all; the state directory is there."""
        self.assertEqual(self.daemon.stop(), 0)
        harness.run("umount", os.path.join(self.daemon.runtime, "fs"))
        self.daemon.start()

    def refused(self, text, result):
        self.assertEqual((result.code, result.out), (1, ""), result)
        self.assertIn(text, result.err)
        self.assertEqual(self.daemon.settled(), [])

    def variables(self, program):
        """{name: value} of the sections, as the kernel has them."""
        found = {}
        for each in self.daemon.json("program", "get", program)["status"]["maps"]:
            if each["name"].endswith((".data", ".rodata", ".bss")):
                for section in harness.bpftool("map", "dump", "id", each["id"]):
                    for variables in section.get("formatted", section)["value"].values():
                        found |= {name: value for variable in variables for name, value in variable.items()}
        return found


class Variables(Options):
    def test_each_type_arrives_in_the_kernel_and_what_is_not_named_stays(self):
        program = self.loaded("--set", "threshold=0x64", "--set", 'name="eth0"', "--set", "mode=MODE_ON", "--set", "wide=0x100000000",
                              "--set", "enabled=true", "--set", "ratio=1.5", "--set", "exact=-2.25", "--set", "limits=[1,2]",
                              "--set", 'conf={"a":1,"b":{"c":true},"low":5,"mode":-1,"nested":99}', "--set", 'pair=[{},{"d":7}]',
                              "--set", "tiny=-128", "--set", "huge=18446744073709551615", "--set", "lowest=-9223372036854775808",
                              "--set", "hidden=22", "-g", "step=03000000")
        seen = self.variables(program)
        expected = {"threshold": 100, "limits": [1, 2, 9], "tiny": -128, "huge": 18446744073709551615, "lowest": -9223372036854775808,
                    "hidden": 22, "step": 3}
        self.assertEqual({name: seen[name] for name in expected}, expected)
        self.assertEqual((seen["name"], seen["mode"], seen["enabled"]), ("eth0", "MODE_ON", True))
        conf = seen["conf"]
        self.assertEqual((conf["a"], conf["b"], int(conf["low"], 16), int(conf["high"], 16)), (1, {"c": True, "d": 4}, 5, 9))
        shown = {each["name"]: each["value"] for each in self.daemon.json("program", "variables", program)["variables"]}
        self.assertEqual((shown["ratio"], shown["exact"], shown["wide"], shown["conf"]["nested"]), (1.5, -2.25, 0x100000000, 99))
        self.assertEqual(seen["pair"][1]["d"], 7)
        self.assertEqual(seen["counters"], [0] * 9)

    def test_the_program_sees_them(self):
        wire = network.Wire("lan0")
        self.addCleanup(wire.remove)
        program = self.loaded("--set", "threshold=1000", "--set", "step=5", "--set", "hidden=0")
        self.daemon.attach("xdp", program, "lan0", "-p", 1)
        wire.send(7)
        counters = harness.eventually(lambda: [each for each in [self.variables(program)["counters"]] if each[8] >= 7000])
        self.assertTrue(counters, self.variables(program))
        self.assertEqual(counters[0][8], 1000 * counters[0][5])

    def test_what_does_not_fit_is_refused_and_says_what_would(self):
        for value, text in (("threshold=4294967296", "0 .. 4294967295"), ("tiny=128", "-128 .. 127"), ("threshold=ten", "expected an integer"),
                            ("name=sixteen_letters_", "the text has 16 bytes; it has 16"), ("mode=MODE_ONE", "[MODE_OFF MODE_ON MODE_DEBUG]"),
                            ("limits=[1,2,3,4]", "4 elements were given, it has 3"), ('conf={"z":1}', "it has [a b low high mode nested word bytes pointer]"),
                            ('conf={"low":8}', '"conf.low": 8: expected an integer, 0 .. 7'), ('conf={"pointer":1}', "a pointer can't be set"),
                            ('conf={"word":1}', "lies in a union"), ("address=1", "a pointer can't be set"), ('either={"number":1}', "a union can't be set"),
                            ("enabled=2", "expected true or false"), ("limits=[1,2", "no valid JSON"), ("nope=1", "available: ["),
                            ("threshold=", "the value is empty"), ("threshold", "expected NAME=VALUE")):
            with self.subTest(value=value):
                self.refused(text, self.load("--set", value))
        self.refused("is set twice", self.load("--set", "step=1", "--set", "step=2"))
        self.refused("is set twice", self.load("--set", "step=1", "-g", "step=01000000"))
        # The 64 KiB of one value, and one byte more; all together: loader/globals-test.c++.
        large = {"path": harness.example("large_globals"), "programs": ("--programs", "xdp:large_globals")}
        self.loaded("--set", "fits=x", **large)
        self.refused("at most 65536 bytes each", self.load("--set", "one_more=x", **large))

    def test_without_types_the_bytes_can_be_given(self):
        stripped = os.path.join(self.daemon.directory, "stripped.o")
        with open(OBJECT, "rb") as file:
            content = file.read()
        with open(stripped, "wb") as file:
            file.write(content.replace(b".BTF\0", b".XTF\0").replace(b".BTF.ext\0", b".XTF.ext\0"))
        if "maps" in harness.run("readelf", "-S", stripped).stdout:
            self.skipTest("needs types for its maps")
        self.refused("give the 12 bytes of the value with -g NAME=HEX", self.load("--set", "limits=[1]", path=stripped))
        program = self.loaded("-g", "step=07000000", path=stripped)
        maps = {each["name"]: each["id"] for each in self.daemon.json("program", "get", program)["status"]["maps"]}
        dump = harness.run("bpftool", "map", "dump", "id", next(maps[name] for name in maps if name.endswith(".bss"))).stdout
        self.assertIn("07", dump.split())

    def test_a_restart_and_an_update_keep_the_values(self):
        program = self.loaded("--set", "limits=[4,5,6]", "--set", "mode=MODE_DEBUG", "--persistent")
        record = self.daemon.json("program", "get", program)["record"]
        self.assertEqual(self.daemon.stop(), 0)
        harness.run("umount", os.path.join(self.daemon.runtime, "fs"), check=False)
        self.daemon.start()
        again = self.daemon.programs()[0]
        self.assertNotEqual(again, program)
        self.assertEqual(self.variables(again)["limits"], [4, 5, 6])
        self.assertEqual(self.daemon.json("program", "get", again)["record"]["load"]["global_data"], record["load"]["global_data"])
        updated = self.daemon.json("program", "update", again, "--file", OBJECT)["record"]["program_id"]
        self.assertEqual(self.variables(updated)["limits"], [4, 5, 6])
        updated = self.daemon.json("program", "update", updated, "--file", OBJECT, "--set", "limits=[1]")["record"]["program_id"]
        self.assertEqual(self.variables(updated)["limits"], [1, 8, 9])


class WhileItRuns(Options):
    def set(self, program, *values, **who):
        return self.daemon.cli("program", "set", program, *values, **who)

    def test_exactly_the_bytes_that_are_named(self):
        program = self.loaded()
        before = self.variables(program)
        self.assertEqual(self.set(program, "limits=[1]", "tiny=-3", 'conf={"low":5,"b":{"c":true}}', "counters=[0,0,77]", "-g", "step=02000000").code, 0)
        after = self.variables(program)
        changed = {name for name in after if after[name] != before[name]}
        self.assertEqual(changed, {"limits", "tiny", "conf", "counters", "step"})
        self.assertEqual((after["limits"], after["tiny"], after["step"], after["counters"]), ([1, 8, 9], -3, 2, [0, 0, 77, 0, 0, 0, 0, 0, 0]))
        self.assertEqual({key for key in after["conf"] if after["conf"][key] != before["conf"][key]}, {"low", "b"})
        shown = {each["name"]: each for each in self.daemon.json("program", "variables", program)["variables"]}
        self.assertEqual((shown["limits"]["value"], shown["limits"]["type"], shown["limits"]["section"]), ([1, 8, 9], "__u32[3]", ".data"))
        self.assertEqual(shown["conf"]["value"] | {"pointer": None}, {"a": -3, "b": {"c": True, "d": 4}, "low": 5, "high": 9, "mode": "MODE_OFF",
                                                                      "nested": 11, "pointer": None})
        self.assertEqual((shown["threshold"]["value"], shown["name"]["value"]), (1, "none"))
        self.assertIn("limits", self.daemon.cli("program", "variables", program).out)
        self.assertEqual(self.daemon.settled(), [])

    def test_all_or_none_and_constants_are_refused(self):
        program = self.loaded()
        before = self.variables(program)
        self.refused("which the kernel froze", self.set(program, "tiny=1", "threshold=5"))
        self.refused("-128 .. 127", self.set(program, "step=9", "tiny=500"))
        self.refused("available: [", self.set(program, "step=9", "nope=1"))
        self.refused("is set twice", self.set(program, "step=9", "step=8"))
        self.refused("does not exist", self.set(999999, "step=9"))
        self.refused("name a variable", self.set(program))
        self.assertEqual(self.variables(program), before)

    def test_what_the_program_writes_meanwhile_is_not_lost(self):
        """step is set again and again, which stands beside the counters: each packet is counted, in one of them."""
        wire = network.Wire("lan0")
        self.addCleanup(wire.remove)
        program = self.loaded("--set", "threshold=0", "--set", "hidden=0")
        self.daemon.attach("xdp", program, "lan0", "-p", 1)
        with network.Flow(wire, 2000) as flow:
            for step in range(40):
                self.assertEqual(self.set(program, f"step={step % 8}", f"huge={step}").code, 0)
            flow.stop()
            self.assertEqual(flow.lost, [])
        seen = self.variables(program)
        self.assertEqual((seen["step"], seen["huge"]), (7, 39))
        self.assertGreaterEqual(sum(seen["counters"][:8]), flow.sent)
        self.assertLess(sum(seen["counters"][:8]), flow.sent + 20)   # and none twice
        self.assertGreater(len([each for each in seen["counters"][:8] if each]), 2)

    def test_who_may_and_the_audit(self):
        policy = ('[roles.writer]\nbase = "operator"\nclasses = ["network"]\nmap_rights = ["read", "write"]\n'
                  '[[grant]]\nusers = [4001]\nroles = ["writer"]\n[[grant]]\nusers = [4002]\nroles = ["operator"]\n')
        daemon = self.daemon = harness.Daemon(policy=policy)
        self.addCleanup(daemon.end)
        daemon.start()
        writer, operator = harness.user(4001), harness.user(4002)
        program = self.loaded(**writer)
        self.assertEqual(self.set(program, "step=1", **writer).code, 0)
        self.assertIn("permission denied", self.set(program, "step=2", **operator).err)
        self.assertIn("permission denied", daemon.cli("program", "variables", program, **operator).err)
        other = self.loaded(**operator)
        self.assertIn("permission denied", self.set(other, "step=2", **operator).err)
        self.assertEqual(self.variables(program)["step"], 1)
        line = daemon.json("audit", "--action", "set")
        self.assertEqual((line["programs"], line["what"], line["uid"], line["result"]), ([program], "step", 4001, "ok"))


class WhichPrograms(Options):
    KINDS = harness.example("all_kinds")

    def load(self, *more, path=KINDS, programs=(), **who):
        return super().load(*more, path=path, programs=programs, **who)

    def types(self, result):
        """{name: (our type, the kernel's)}; members of the libxdp engine are extensions to the kernel."""
        self.assertEqual(result.code, 0, result)
        kernel = self.daemon.kernelPrograms()
        records = [each["record"] for each in json.loads(result.out)["programs"]]
        return {each["load"]["program_name"]: (each["load"]["program_type"], kernel[each["program_id"]]["type"].replace("ext", "xdp")) for each in records}

    def test_all_programs_with_the_types_that_their_sections_say(self):
        expected = {"kind_xdp": ("xdp", "xdp"), "kind_tc": ("tc", "sched_cls"), "kind_tcx": ("tcx", "sched_cls"),
                    "kind_tracepoint": ("tracepoint", "tracepoint"), "kind_cgroup": ("cgroup_skb", "cgroup_skb")}
        self.assertEqual(self.types(self.load("--all-programs")), expected)
        self.assertEqual(len(self.daemon.programs()), 5)
        self.assertEqual(self.daemon.settled(), [])

    def test_they_come_back_after_a_reboot(self):
        before = self.types(self.load("--all-programs", "--persistent", "--set", "seen=7"))
        ids = self.daemon.programs()
        self.assertEqual(self.daemon.stop(), 0)
        harness.run("umount", os.path.join(self.daemon.runtime, "fs"), check=False)
        self.daemon.start()
        again = [self.daemon.json("program", "get", each) for each in self.daemon.programs()]
        self.assertEqual({each["record"]["load"]["program_name"]: each["record"]["load"]["program_type"] for each in again},
                         {name: types[0] for name, types in before.items()})
        self.assertEqual(set(self.daemon.programs()) & set(ids), set())
        self.assertEqual(self.variables(self.daemon.programs()[0])["seen"], 7)
        self.assertEqual(self.daemon.settled(), [])

    def test_a_type_that_is_not_named_is_what_the_section_says(self):
        self.assertEqual(self.types(self.load("--programs", "kind_tcx,xdp:kind_xdp")), {"kind_tcx": ("tcx", "sched_cls"), "kind_xdp": ("xdp", "xdp")})
        self.refused('section "lirc_mode2" of program kind_unknown', self.load("--programs", "kind_unknown"))
        self.refused("not found in object file: [nope]", self.load("--programs", "nope"))
        self.refused("either --programs or --all-programs", self.load("--programs", "kind_xdp", "--all-programs"))
        self.refused("either --programs or --all-programs", self.load())

    def test_what_a_question_mark_disables_is_loaded_when_it_is_named(self):
        self.assertEqual(self.types(self.load("--programs", "xdp:kind_optional")), {"kind_optional": ("xdp", "xdp")})
        self.assertEqual(self.types(self.load("--programs", "kind_optional")), {"kind_optional": ("xdp", "xdp")})
        self.assertEqual(self.types(self.load("--programs", "xdp:kind_xdp")), {"kind_xdp": ("xdp", "xdp")})
        self.refused("kind_broken", self.load("--programs", "xdp:kind_broken"))
        self.assertEqual({each["name"] for each in self.daemon.kernelPrograms().values()} & {"kind_broken", "kind_unknown"}, set())

    def test_the_types_that_are_found_are_asked_of_the_policy(self):
        self.daemon = harness.Daemon(policy='[roles.net]\nbase = "operator"\nclasses = ["network"]\n[[grant]]\nusers = [4001]\nroles = ["net"]\n'
                                            '[[grant]]\nusers = [4002]\nroles = ["viewer"]\n')
        self.addCleanup(self.daemon.end)
        self.daemon.start()
        who = harness.user(4001)
        self.refused("permission denied", self.load("--all-programs", **who))
        self.assertEqual(self.types(self.load("--programs", "kind_xdp", **who)), {"kind_xdp": ("xdp", "xdp")})
        self.refused("permission denied", self.load("--all-programs", **harness.user(4002)))


class TheVerifier(Options):
    def test_its_log_comes_also_when_it_accepts(self):
        result = self.load("--log-level", 2)
        log = json.loads(result.out)["programs"][0]["verifier_log"]
        self.assertRegex(log, r"(?m)^0: .*R1=ctx\(")
        self.assertIn("processed ", log)
        self.assertLess(len(json.loads(self.load("--log-level", 4).out)["programs"][0]["verifier_log"]), len(log))
        self.assertNotIn("verifier_log", self.load().out)
        text = self.daemon.cli("program", "load", "file", OBJECT, "--programs", "xdp:typed_globals", "--log-level", 1)
        self.assertIn("processed ", text.out)
        self.refused("log level 8", self.load("--log-level", 8))
        two = self.load("--log-level", 1, path=harness.example("two_programs"), programs=("--programs", "xdp:two_first,xdp:two_second"))
        self.assertEqual(len([each for each in json.loads(two.out)["programs"] if "processed " in each["verifier_log"]]), 2)

    def test_a_refusal_says_where_and_why_in_a_few_lines(self):
        bad = {"path": harness.example("bad_verifier"), "programs": ("--programs", "xdp:bad_verifier")}
        short, whole = self.load(**bad), self.load("--log-level", 1, **bad)
        self.refused("invalid mem access", short)
        self.assertRegex(short.err, r"source: +(bad_verifier.bpf.c|.*/bad_verifier.bpf.c|\S)")
        self.assertRegex(short.err, r"instruction: \d+: \([0-9a-f]{2}\) ")
        self.assertRegex(short.err, r"verifier: +R\d+ invalid mem access")
        self.assertLess(len(short.err.splitlines()), 8)
        self.assertNotIn("processed ", short.err)
        self.refused("processed ", whole)


class Maps(Options):
    KINDS = harness.example("all_kinds")

    def load(self, *more, **who):
        return super().load(*more, path=self.KINDS, programs=("--programs", "xdp:kind_xdp"), **who)

    def size(self, program, name):
        return harness.bpftool("map", "show", "id", self.daemon.mapId(program, name))["max_entries"]

    def test_the_size_is_the_one_that_was_asked_for(self):
        self.assertEqual(self.size(self.loaded(), "table"), 16)
        self.assertEqual(self.size(self.loaded("--map-size", "table=4321"), "table"), 4321)

    def test_what_has_no_size_to_set_is_refused(self):
        self.refused("the object has no such map; maps whose size can be set: [table", self.load("--map-size", "nope=1"))
        self.refused("fixed by what the map is", self.load("--map-size", "events=1"))
        self.refused("fixed by what the map is", self.load("--map-size", ".bss=2"))
        self.refused("expected NAME=ENTRIES", self.load("--map-size", "table=0"))
        owner = self.loaded()
        self.refused("another program's map", self.load("--map-size", "table=5", "--map-owner-id", owner))

    def test_a_persistent_programs_sizes_come_back(self):
        sized, plain = self.loaded("--map-size", "table=4321", "--persistent"), self.loaded("--persistent")
        self.assertEqual((self.size(sized, "table"), self.size(plain, "table")), (4321, 16))
        for _ in range(2):      # also after an update, whose program takes the maps that are there
            self.reboot()
            sized, plain = self.daemon.programs()
            self.assertEqual(sorted(self.size(each, "table") for each in (sized, plain)), [16, 4321])
            sized = max(sized, plain, key=lambda each: self.size(each, "table"))
            updated = self.daemon.json("program", "update", sized, "--file", self.KINDS)["record"]["program_id"]
            self.assertEqual(self.size(updated, "table"), 4321)
        self.assertEqual(self.daemon.cli("program", "update", updated, "--file", OBJECT, "--name", "typed_globals").code, 0)
        self.reboot()           # an object without that map comes back too
        self.assertEqual({each for each in self.daemon.programs() if each >= 1 << 31}, set())
        self.assertEqual(self.daemon.settled(), [])

    def test_within_the_memory_that_is_granted(self):
        self.refused("more maps or map memory than the policy allows", self.load("--map-size", "table=4000000000"))


class HowTheKernelWasBuilt(Options):
    def load(self, name, **who):
        return super().load(path=harness.example(name), programs=("--programs", f"xdp:{name}"), **who)

    def test_what_is_known_is_as_the_kernel_has_it_and_weak_options_are_0(self):
        program = self.loaded("kernel_config")
        with tempfile.NamedTemporaryFile() as packet:
            packet.write(bytes(64))
            packet.flush()
            harness.run("bpftool", "prog", "run", "id", str(program), "data_in", packet.name)
        seen = harness.sums(self.daemon.mapId(program, "seen"))
        with open("/proc/kallsyms") as symbols:
            wrapped = any(line.split()[2].endswith("_sys_bpf") and line.split()[2].startswith("__x64") for line in symbols)
        major, minor, patch = map(int, re.match(r"(\d+)\.(\d+)\.?(\d*)", os.uname().release).groups())
        self.assertEqual(seen[0] >> 8, major << 8 | minor)
        self.assertEqual((seen[1], seen[2], seen[3], seen[4]), (int(wrapped or os.uname().machine != "x86_64"), 1, 0, 0))

    def test_an_option_that_it_needs_is_named(self):
        result = self.load("kernel_option")
        self.refused("extern 'CONFIG_NR_CPUS' (strong): not resolved", result)
        self.assertIn("Declared __weak it is 0", result.err)
        self.assertEqual(self.daemon.settled(), [])


class AnotherKernel(Options):
    CORE = harness.example("core_offset")

    def offset(self, *more):
        return self.offsetOf(self.loaded(*more))

    def offsetOf(self, program):
        dump = harness.bpftool("prog", "dump", "xlated", "id", program)
        constants = [re.search(r"= (\d+)$", each["disasm"]) for each in dump]
        return max(int(each[1]) for each in constants if each)

    def load(self, *more, **who):
        return super().load(*more, path=self.CORE, programs=("--programs", "xdp:core_offset"), **who)

    def test_the_object_is_fitted_to_the_given_types(self):
        own = self.offset()
        self.assertNotEqual(own, 4244)
        self.assertEqual(self.offset("--btf", harness.example("other_kernel")), 4244)
        raw = os.path.join(self.daemon.directory, "raw.btf")
        where = re.search(r" \.BTF +PROGBITS +\w+ (\w+) (\w+)", harness.run("readelf", "-SW", harness.example("other_kernel")).stdout)
        with open(harness.example("other_kernel"), "rb") as file, open(raw, "wb") as out:
            file.seek(int(where[1], 16))
            out.write(file.read(int(where[2], 16)))
        self.assertEqual(self.offset("--btf", raw), 4244)
        self.assertEqual(self.offset("--btf", "/sys/kernel/btf/vmlinux"), own)
        self.assertEqual(self.daemon.settled(), [])

    def test_a_persistent_program_is_fitted_to_them_again(self):
        kept = os.path.join(self.daemon.state, "persistent")
        self.assertEqual(self.offset("--btf", harness.example("other_kernel"), "--persistent"), 4244)
        self.assertEqual(sorted(each.rsplit(".")[-1] for each in os.listdir(kept)), ["btf", "o"])
        for _ in range(2):
            self.reboot()
            self.assertEqual(self.offsetOf(self.daemon.programs()[0]), 4244)
        self.assertEqual(self.daemon.cli("program", "unload", *self.daemon.programs()).code, 0)
        self.assertEqual(os.listdir(kept), [])
        self.loaded("--btf", harness.example("other_kernel"), "--persistent")
        os.unlink(os.path.join(kept, next(each for each in os.listdir(kept) if each.endswith(".btf"))))
        self.reboot()
        program, = self.daemon.programs()
        self.assertIn("the BTF that it is fitted to is not in the state directory", self.daemon.json("program", "get", program)["record"]["not_loaded"])

    def test_types_that_are_none_are_refused(self):
        junk = os.path.join(self.daemon.directory, "junk")
        for content in (b"x", b"\x9f\xeb" + bytes(30), b"\x7fELF" + bytes(100), bytes(70000)):
            with open(junk, "wb") as file:
                file.write(content)
            with self.subTest(content=content[:8]):
                result = self.load("--btf", junk)
                self.assertEqual(result.code, 1, result)
                self.assertEqual(self.daemon.settled(), [])


if __name__ == "__main__":
    harness.main()
