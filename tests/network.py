"""Interfaces, namespaces and packets for the integration tests."""

import ctypes
import itertools
import os
import select
import socket
import struct
import threading
import time

from harness import CLONE_NEWNET, LIBC, run


class Namespace:
    """A named network namespace, without IPv6, so that no packet is on the wire but those that a test sends."""

    def __init__(self, name):
        self.name, self.path = name, f"/run/netns/{name}"
        run("ip", "netns", "add", name)
        self.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *words, **more):
        return run("ip", "netns", "exec", self.name, *words, **more)

    def remove(self):
        run("ip", "netns", "del", self.name, check=False)


def inNamespace(path, make):
    """make() in a network namespace: a socket made there stays there."""
    result = []

    def work():
        fd = os.open(path, os.O_RDONLY)
        if LIBC.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(fd)
        result.append(make())
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return result[0]


class Wire:
    """A veth pair: `near` here (or in a namespace), `far` in a namespace; static neighbours, no IPv6, no ARP."""

    numbers = itertools.count(1)

    def __init__(self, near, namespace=None):
        self.number = next(Wire.numbers)
        self.near, self.namespace = near, namespace
        self.far = Namespace(f"far{self.number}")
        self.nearAddress, self.farAddress = f"198.18.{self.number}.1", f"198.18.{self.number}.2"
        self.plug()

    def here(self, *words, **more):
        return self.namespace.run(*words, **more) if self.namespace else run(*words, **more)

    def plug(self):
        """Makes the interfaces; also again, after near was deleted."""
        run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        self.far.run("ip", "link", "add", "far0", "type", "veth", "peer", "name", "near" + str(self.number))
        self.far.run("ip", "link", "set", "near" + str(self.number), "netns", self.namespace.name if self.namespace else str(os.getpid()))
        macs = {"near": f"02:00:00:00:{self.number:02x}:01", "far": f"02:00:00:00:{self.number:02x}:02"}
        self.here("ip", "link", "set", "near" + str(self.number), "name", self.near, "address", macs["near"])
        self.far.run("ip", "link", "set", "far0", "address", macs["far"])
        for do, name, own, other, mac in ((self.here, self.near, self.nearAddress, self.farAddress, macs["far"]),
                                          (self.far.run, "far0", self.farAddress, self.nearAddress, macs["near"])):
            do("ip", "addr", "add", own + "/24", "dev", name)
            do("ip", "link", "set", name, "up")
            do("ip", "neigh", "replace", other, "lladdr", mac, "dev", name, "nud", "permanent")

    def unplug(self):
        self.here("ip", "link", "del", self.near, check=False)

    def remove(self):
        self.unplug()
        self.far.remove()

    def receiver(self, port=5000):
        def make():
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE: what waits for a busy reader is not lost
            one.bind((self.nearAddress, port))
            return one
        return inNamespace(self.namespace.path, make) if self.namespace else make()

    def sender(self, port=5000):
        def make():
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.bind((self.farAddress, 0))
            one.connect((self.nearAddress, port))
            return one
        return inNamespace(self.far.path, make)

    def send(self, count, port=5000):
        """Sends packets from far to near, 50 at a time so that no queue overflows."""
        with self.sender(port) as sender:
            for number in range(count):
                try:
                    sender.send(struct.pack("!Q", number))
                except ConnectionRefusedError:
                    sender.send(struct.pack("!Q", number))
                if number % 50 == 49:
                    time.sleep(0.001)


class Flow:
    """A steady flow of numbered UDP packets from far to near, and who arrives. As a context: it flows inside it."""

    def __init__(self, wire, perSecond=1000, port=5000):
        self.receiving, self.sending = wire.receiver(port), wire.sender(port)
        self.pause, self.sent, self.arrived, self.twice = 1 / perSecond, 0, set(), 0
        self.flowing, self.listening = True, True
        self.threads = [threading.Thread(target=each, daemon=True) for each in (self.listen, self.send)]

    def send(self):
        while self.flowing:
            self.sending.send(struct.pack("!Q", self.sent))
            self.sent += 1
            time.sleep(self.pause)

    def listen(self):
        while self.listening:
            if not select.select([self.receiving], [], [], 0.1)[0]:
                continue
            number = struct.unpack("!Q", self.receiving.recv(100))[0]
            self.twice += number in self.arrived
            self.arrived.add(number)

    def __enter__(self):
        for each in self.threads:
            each.start()
        return self

    def stop(self):
        """Ends the flow and waits for stragglers."""
        self.flowing = False
        self.threads[1].join()
        end = time.monotonic() + 3
        while len(self.arrived) < self.sent and time.monotonic() < end:
            time.sleep(0.02)
        self.listening = False
        self.threads[0].join()

    @property
    def lost(self):
        return sorted(set(range(self.sent)) - self.arrived)

    def __exit__(self, *_):
        if self.flowing:
            self.stop()
        self.receiving.close()
        self.sending.close()
