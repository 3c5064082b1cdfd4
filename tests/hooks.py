"""What tests of hooks share: how often a program of examples/bpf ran, and what they saw, for tools/hooks-matrix."""

import json
import os
import unittest

import harness


class Seen(unittest.TestCase):
    host = None

    def setUp(self):
        self.daemon = self.enterContext(harness.Daemon())
        self.seen = {}

    def runs(self, program, element=0):
        """How often it ran, as the map says."""
        entries = harness.bpftool("map", "dump", "id", str(self.daemon.mapId(program, "runs")))
        return next(each["formatted"]["value"] for each in entries if each["formatted"]["key"] == element)

    def note(self, type, said):
        self.seen[type] = said

    def publish(self):
        """For tools/hooks-matrix; and `bpfman host` says the same: asked once, as it takes long in a virtual machine."""
        host = Seen.host = Seen.host or {each["type"]: each["supported"] for each in self.daemon.json("host")["hooks"]}
        self.assertEqual({type: host[type] for type in self.seen}, {type: said == "yes" for type, said in self.seen.items()})
        print("hooks of", os.uname().release, json.dumps(self.seen), flush=True)
