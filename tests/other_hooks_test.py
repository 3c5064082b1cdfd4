"""Hooks of other kinds than those of every_hook_test.py: sockets and routes, which are no bpfman's, struct_ops, and static probes."""

import contextlib
import json
import os
import signal
import socket
import struct
import tempfile

import harness
import hooks
import network

# Two static probes as <sys/sdt.h> makes them, which is no dependency of ours: a note with the place, a base, the semaphore's place, who and
# where the arguments are.
STATIC_PROBES = r"""
#include <stdio.h>
#include <stdlib.h>
__asm__(".section .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n.weak _.stapsdt.base\n_.stapsdt.base: .space 1\n.previous\n");
unsigned short lost_semaphore __attribute__((section(".probes")));
#define NOTE(name, semaphore, arguments) \
  "990: nop\n.pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n.4byte 992f-991f,994f-993f,3\n991: .asciz \"stapsdt\"\n992: .balign 4\n" \
  "993: .8byte 990b\n.8byte _.stapsdt.base\n.8byte " semaphore "\n.asciz \"shop\"\n.asciz \"" name "\"\n.asciz \"" arguments "\"\n994: .balign 4\n.popsection\n"
int main(int argc, char** argv) {
  int probed = 0;
  for (long i = 0; i < atoi(argv[1]); i++) {
    volatile int inMemory = i;
    int twice = -2 * i;
    __asm__ volatile(NOTE("sold", "0", "8@%1 -4@%2") : : "i"(0), "r"(i), "r"(twice));
    __asm__ volatile(NOTE("lost", "lost_semaphore", "4@$7 -4@%0") : : "m"(inMemory));
    probed |= lost_semaphore;
  }
  if (probed) puts("probed");
}
"""


class OtherHooks(hooks.Seen):
    def testStaticProbes(self):
        """Where they are and where their arguments are, the binary says: in registers, in memory, constants; one has a semaphore."""
        supported = harness.kernel() >= (6, 6)
        directory = self.enterContext(tempfile.TemporaryDirectory(dir="/dev/shm"))
        source, binary = os.path.join(directory, "probed.c"), os.path.join(directory, "probed")
        with open(source, "w") as file:
            file.write(STATIC_PROBES)
        harness.run("cc", "-O1", "-o", binary, source)
        answer = self.daemon.cli("program", "load", "file", harness.example("usdt_counter"), "--programs", "usdt:usdt_counter", "-o", "json")
        self.assertEqual(answer.code, 0, answer)
        program = json.loads(answer.out)["programs"][0]["record"]["program_id"]
        attach = lambda name: self.daemon.cli("link", "attach", "usdt", program, binary, name)
        first = attach("shop:sold")
        if supported:
            self.assertEqual(first.code, 0, first)
            self.assertEqual(attach("shop:lost").code, 0)
            self.assertEqual(harness.run(binary, "5").stdout, "probed\n")
            sums = lambda: harness.bpftool("map", "dump", "id", str(self.daemon.mapId(program, "sums")))[0]["formatted"]["value"]
            # sold(i, -2 i) and lost(7, i), i from 0 to 4
            self.assertEqual(sums(), {"runs": 10, "first": 10 + 35, "second": -20 + 10})
            for link in self.daemon.links():
                self.assertEqual(self.daemon.cli("link", "detach", link["id"]).code, 0)
            self.assertEqual(harness.run(binary, "5").stdout, "")
            self.assertEqual(sums()["runs"], 10)
        else:
            self.assertIn("needs Linux 6.6", first.err)
        place = "/dev/shm/bpfman-static-probes"             # as a section has it
        os.symlink(binary, place)
        self.addCleanup(os.unlink, place)
        sectioned = self.daemon.load("usdt_counter", "usdt", "usdt_section")
        answer = self.daemon.cli("link", "attach", "usdt", sectioned)
        self.assertEqual(answer.code if supported else "needs Linux 6.6" in answer.err, 0 if supported else True, answer)
        self.assertIn("has no static probe shop:nothing", self.daemon.cli("link", "attach", "usdt", sectioned, place, "shop:nothing").err)
        self.assertIn("names none", self.daemon.cli("link", "attach", "usdt", program).err)
        self.assertEqual(self.daemon.cli("program", "unload", sectioned).code, 0)
        self.assertIn("has no static probe shop:nothing", attach("shop:nothing").err)
        self.assertIn("expected PROVIDER:NAME", attach("sold").err)
        self.note("usdt", "yes" if supported else first.err.strip().replace("bpfman: error: ", "").replace(directory, "DIRECTORY"))
        self.assertEqual(self.daemon.cli("program", "unload", program).code, 0)
        self.assertEqual(self.daemon.settled(), [])
        self.publish()

    # ---- programs that are given to sockets and routes ----

    def given(self, program, one):
        return self.daemon.cli("link", "attach", "socket", program, one.fileno(), pass_fds=[one.fileno()])

    def testSocketFilter(self):
        program = self.daemon.load("every_hook", "socket_filter", "socket_filter")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind(("127.0.0.1", 0))
            one.settimeout(10)
            answer = self.given(program, one)
            self.assertEqual(answer.code, 0, answer)
            one.sendto(b"x", one.getsockname())
            self.assertEqual(one.recv(10), b"x")
            self.assertEqual(self.runs(program), 1)
            self.assertIn("there is none", self.daemon.cli("link", "attach", "socket", program, 3, "-p", 2 ** 22 - 1).err)
            self.assertIn("Bad file descriptor", self.daemon.cli("link", "attach", "socket", program, 999).err)
            self.assertIn("Socket operation on non-socket", self.daemon.cli("link", "attach", "socket", program, 1).err)
            other = self.daemon.cli("link", "attach", "socket", program, one.fileno(), "-p", os.getpid())
            self.assertEqual(other.code, 0, other)
            self.assertIn("is given to a socket", self.daemon.cli("link", "attach", "tracepoint", program, "syscalls/sys_enter_kill").err)
            self.assertIn("only those of sockets", self.daemon.cli("link", "attach", "socket", self.daemon.load("every_hook", "xdp", "xdp_"), one.fileno(), "-p", os.getpid()).err)
            self.assertIn("permission denied", self.daemon.cli("link", "attach", "socket", program, 1, **harness.user(4001)).err)
            for each in self.daemon.programs():                      # the socket keeps it
                self.assertEqual(self.daemon.cli("program", "unload", each).code, 0)
            self.assertIn(program, self.daemon.kernelPrograms())
        self.assertTrue(harness.eventually(lambda: program not in self.daemon.kernelPrograms()))
        self.assertEqual(self.daemon.settled(), [])
        self.note("socket_filter", "yes")
        self.publish()

    def testReuseport(self):
        for type, function in (("sk_reuseport", "reuseport"), ("sk_reuseport.migrate", "reuseport_migrate")):
            program = self.daemon.load("every_hook", type, function)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two:
                self.assertIn("is SO_REUSEPORT set", self.given(program, one).err)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                two.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                one.bind(("127.0.0.1", 0))
                two.bind(one.getsockname())
                answer = self.given(program, one)
                self.assertEqual(answer.code, 0, answer)
                for _ in range(5):
                    two.sendto(b"x", one.getsockname())
                self.assertEqual(self.runs(program), 5)
            self.note(type, "yes")
            self.assertEqual(self.daemon.cli("program", "unload", program).code, 0)
        self.assertEqual(self.daemon.settled(), [])
        self.publish()

    def route(self, type, *words):
        """A program of this type, which the route has by its pin."""
        program = self.daemon.load("every_hook", type, type + "_")
        pinned = ["pinned", os.path.join(self.daemon.runtime, "fs", f"prog_{program}")]
        harness.run("ip", *(part for word in words for part in (pinned if word == "PIN" else [word])), "dev", "lan0")
        return program

    def segments(self):
        """An IPv6 packet with two segments, the first of which is fd98::2."""
        address = lambda last: bytes([0xfd, 0x98]) + bytes(13) + bytes([last])
        header = bytes([59, 4, 4, 1, 1, 0, 0, 0]) + address(3) + address(2)
        with network.inNamespace(self.wire.far.path, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)) as one:
            one.bind(("far0", 0x86dd))
            one.send(bytes([2, 0, 0, 0, self.wire.number, 1]) + bytes(6) + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(header), 43, 64) + address(1) + address(2) + header)

    def testRoutes(self):
        self.wire = network.Wire("lan0")
        self.addCleanup(self.wire.remove)
        via = ["via", self.wire.farAddress]
        harness.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.lan0.disable_ipv6=0", "net.ipv6.conf.all.forwarding=1")
        self.wire.far.run("ip", "route", "add", "10.98.1.0/24", "via", self.wire.nearAddress)
        there = {each: self.route(each, "route", "add", f"10.98.1.{number}/32", "encap", "bpf", each[4:], "PIN", *via)
                 for number, each in enumerate(("lwt_in", "lwt_out", "lwt_xmit"), 1)}
        there["lwt_seg6local"] = self.route("lwt_seg6local", "-6", "route", "add", "fd98::2/128", "encap", "seg6local", "action", "End.BPF", "endpoint", "PIN")
        def send():
            self.segments()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.sendto(b"x", ("10.98.1.2", 9))
                one.sendto(b"x", ("10.98.1.3", 9))
            with network.inNamespace(self.wire.far.path, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as one:
                one.sendto(b"x", ("10.98.1.1", 9))
        send()
        for type, program in there.items():
            self.assertTrue(harness.eventually(lambda: self.runs(program) == 1), type)
            self.assertIn("a route has it by its pin", self.daemon.cli("link", "attach", "sk_lookup", program).err)
            self.note(type, "yes")
        for number in (1, 2, 3):
            harness.run("ip", "route", "del", f"10.98.1.{number}/32")
        harness.run("ip", "-6", "route", "del", "fd98::2/128")
        with contextlib.suppress(OSError):          # there is no way any more
            send()
        for type, program in there.items():
            self.assertEqual(self.runs(program), 1, type)
            self.assertEqual(self.daemon.cli("program", "unload", program).code, 0)
        self.assertEqual(self.daemon.settled(), [])
        self.publish()

    # ---- programs that are run ----

    def testSyscall(self):
        program = self.daemon.load("every_hook", "syscall", "syscall_")
        run = lambda *more, **how: self.daemon.cli("program", "run", program, *more, **how)
        answer = run("--context", struct.pack("<QQQ", 30, 12, 0).hex(), "-o", "json")
        self.assertEqual(answer.code, 0, answer)
        self.assertEqual(json.loads(answer.out), {"result": 2 ** 32 - 7, "context": struct.pack("<QQQ", 30, 12, 42).hex()})
        self.assertEqual(self.runs(program), 1)
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(65535))
            file.flush()
            self.assertEqual(run("--context-file", file.name).out, "Returned -7\nContext " + "00" * 65535 + "\n")
            file.write(b"x")
            file.flush()
            self.assertIn("at most 65535", run("--context-file", file.name).err)
        self.assertIn("needs a larger context than 8 bytes", run("--context", "00" * 8).err)
        self.assertIn("needs a larger context than 0 bytes", run().err)
        self.assertIn("permission denied", run("--context", "00" * 24, **harness.user(4001)).err)
        self.assertEqual(self.runs(program), 2)
        self.assertIn("it is run", self.daemon.cli("link", "attach", "sk_lookup", program).err)
        other = self.daemon.load("every_hook", "socket_filter", "socket_filter")
        self.assertIn("only syscall programs are run", self.daemon.cli("program", "run", other).err)
        self.assertIn("only those of sockets", self.daemon.cli("link", "attach", "socket", program, 1).err)
        audited = [json.loads(line) for line in self.daemon.cli("audit", "--action", "run", "-o", "json").out.splitlines()]
        self.assertEqual([each["result"] for each in audited].count("ok"), 2, audited)
        for each in self.daemon.programs():
            self.assertEqual(self.daemon.cli("program", "unload", each).code, 0)
        self.assertEqual(self.daemon.settled(), [])
        self.note("syscall", "yes")
        self.publish()

    # ---- functions that the kernel calls in place of its own ----

    def congested(self, name, element):
        """How often it ran while a connection used this congestion control; None: the kernel knows none of that name."""
        before = self.runs(self.program, element)
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
            try:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name)
            except FileNotFoundError:
                return None
            client.connect(server.getsockname())
            other, _ = server.accept()
            with other:
                client.sendall(bytes(1000))
                other.recv(1000, socket.MSG_WAITALL)
        return self.runs(self.program, element) - before

    def testStructOps(self):
        load = lambda *more: self.daemon.cli("program", "load", "file", harness.example("struct_ops"), *more, "-o", "json")
        answer = load("--all-programs")
        if harness.kernel() < (6, 4):
            self.assertIn("needs Linux 6.4", answer.err)
            self.note("struct_ops", answer.err.strip().splitlines()[0].replace("bpfman: error: ", ""))
            self.assertEqual(self.daemon.settled(), [])
            return self.publish()
        self.assertEqual(answer.code, 0, answer)
        records = [each["record"] for each in json.loads(answer.out)["programs"]]
        self.assertEqual({each["load"]["program_name"]: each["load"]["attach_func"] for each in records},
                         {"ssthresh": "tcp_congestion_ops.ssthresh", "undo_cwnd": "tcp_congestion_ops.undo_cwnd",
                          "first_cong_avoid": "tcp_congestion_ops.cong_avoid", "second_cong_avoid": "tcp_congestion_ops.cong_avoid"})
        self.program = next(each["program_id"] for each in records if each["load"]["program_name"] == "first_cong_avoid")
        attach = lambda *more: self.daemon.cli("link", "attach", "struct_ops", self.program, *more, "-o", "json")
        self.assertIsNone(self.congested(b"bpfman_first", 0))
        self.assertIn("say which is to be attached: first, second", attach().err)
        self.assertIn('no struct_ops "third", but with: first, second', attach("third").err)
        links = {name: json.loads(attach(name).out)["record"] for name in ("first", "second")}
        shown = {each["id"]: each for each in harness.bpftool("link", "show")}
        self.assertEqual({shown[each["kernel_link_id"]]["type"] for each in links.values()}, {"struct_ops"})
        self.assertGreater(self.congested(b"bpfman_first", 0), 0)
        self.assertGreater(self.congested(b"bpfman_second", 1), 0)
        self.assertIn("already attached", attach("first").err)
        self.daemon.stop(signal.SIGKILL)
        self.daemon.start()
        self.assertGreater(self.congested(b"bpfman_first", 0), 0)
        self.assertEqual(self.daemon.cli("link", "detach", links["first"]["id"]).code, 0)
        self.assertIsNone(self.congested(b"bpfman_first", 0))
        self.assertGreater(self.congested(b"bpfman_second", 1), 0)
        for each in records:                                     # with the link that is left
            self.assertEqual(self.daemon.cli("program", "unload", each["program_id"]).code, 0)
        self.assertEqual(self.daemon.settled(), [])
        answer = load("--programs", "struct_ops:ssthresh")
        self.assertIn('struct_ops "first" also has [undo_cwnd first_cong_avoid]', answer.err.replace("first_cong_avoid undo_cwnd", "undo_cwnd first_cong_avoid"))
        self.assertEqual(self.daemon.settled(), [])
        self.note("struct_ops", "yes")
        self.publish()


if __name__ == "__main__":
    harness.main()
