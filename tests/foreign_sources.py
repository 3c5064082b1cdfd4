"""Where objects come from that others wrote: Debian's packages, by an apt root of its own, and the Go module proxy, by go. Neither what is
here nor the machine's packages changes; what was got is kept in a cache for a week (BPFMAN_FOREIGN_CACHE, ~/.cache/bpfman-tests).

A test runs without a network: so fetch() is called before it, and what can't be had is told by the environment."""

import fcntl
import glob
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

CACHE = os.environ.get("BPFMAN_FOREIGN_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "bpfman-tests")
MISSING = "BPFMAN_FOREIGN_MISSING"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
WEEK = 7 * 24 * 3600
MODULE = ("github.com/cilium/ebpf", "v0.22.0", "h1:v2ktp0roffpMOj2MMf3idtCQZOsAoC4BJbAJN+ke2bY=")
# Of each suite what has objects; of the machine's own also compilers, which run here.
OBJECTS = ["libxdp1", "xdp-tools", "libbpf-tools", "systemd", "ir-keytable"]
SUITES = ["bookworm", "trixie"]
COMPILERS = {"bookworm": {"clang-16": ["clang-16", "libclang-cpp16", "libllvm16", "libclang-common-16-dev"],
                          "clang-19": ["clang-19", "libclang-cpp19", "libllvm19", "libclang-common-19-dev"],
                          "gcc-bpf": ["gcc-bpf", "binutils-bpf"]},
             "trixie": {"gcc-bpf": ["gcc-bpf", "binutils-bpf"]}}


class Unavailable(Exception):
    pass


def suite():
    with open("/etc/os-release") as file:
        return dict(line.rstrip().split("=", 1) for line in file if "=" in line).get("VERSION_CODENAME", "").strip('"')


def run(*words, **more):
    try:
        result = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, **more)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(str(error))
    if result.returncode:
        raise Unavailable(f"{os.path.basename(words[0])}: {' '.join(result.stdout.split()[-30:])}")
    return result.stdout


def _mirror():
    """Where this machine gets the distribution from."""
    for path in glob.glob("/etc/apt/sources.list.d/*.sources") + ["/etc/apt/sources.list"]:
        if os.path.exists(path):
            with open(path) as file:
                for line in file:
                    words = line.split()
                    if words[:1] == ["URIs:"]:
                        return words[1]
                    if words[:1] == ["deb"]:
                        return next(word for word in words[1:] if ":" in word and not word.startswith("["))
    raise Unavailable("no apt sources")


def kept(folder):
    mark = os.path.join(folder, "complete")
    return os.path.exists(mark) and time.time() - os.path.getmtime(mark) < WEEK


def _debian(suite, name, packages):
    """Unpacks them into CACHE/suite/name, with apt's signatures checked."""
    folder = os.path.join(CACHE, suite, name)
    if kept(folder):
        return
    root = os.path.join(CACHE, suite, ".apt")
    os.makedirs(root, exist_ok=True)
    for each in ("etc/apt.conf.d", "etc/preferences.d", "etc/trusted.gpg.d", "lists/partial", "archives/partial"):
        os.makedirs(os.path.join(root, each), exist_ok=True)
    open(os.path.join(root, "status"), "w").close()
    with open(os.path.join(root, "etc", "sources.list"), "w") as file:
        file.write(f"deb [signed-by={KEYRING}] {_mirror()} {suite} main\n")
    options = ["-q", "-o", f"Dir::Etc={root}/etc", "-o", f"Dir::State={root}", "-o", f"Dir::State::lists={root}/lists", "-o",
               f"Dir::State::status={root}/status", "-o", f"Dir::Cache={root}", "-o", "Dir::Etc::parts=/etc/apt/apt.conf.d",
               "-o", "APT::Sandbox::User=root", "-o", "Acquire::Check-Valid-Until=false"]
    if not kept(root):
        run("apt-get", *options, "update")
        open(os.path.join(root, "complete"), "w").close()
    with tempfile.TemporaryDirectory(dir=root) as files:
        run("apt-get", *options, "download", *packages, cwd=files)
        shutil.rmtree(folder, ignore_errors=True)
        for package in glob.glob(os.path.join(files, "*.deb")):
            run("dpkg-deb", "-x", package, folder)
    open(os.path.join(folder, "complete"), "w").close()


def _goModule():
    path, version, checksum = MODULE
    if not shutil.which("go"):
        raise Unavailable("go is not installed")
    os.makedirs(CACHE, exist_ok=True)
    environment = dict(os.environ, GOMODCACHE=os.path.join(CACHE, "go"), GOFLAGS="-modcacherw", GOTOOLCHAIN="local")
    with tempfile.TemporaryDirectory() as empty:
        said = json.loads(run("go", "mod", "download", "-json", f"{path}@{version}", env=environment, cwd=empty))
    if said.get("Sum") != checksum:
        raise Unavailable(f"{path} {version} has checksum {said.get('Sum')}, not {checksum}")


def fetch(more):
    """All that is not there yet; each twice where the network says no. more: (name, function) that gets something else."""
    os.makedirs(CACHE, exist_ok=True)
    missing, own = {}, suite()
    wanted = [(f"{suite}/{package}", _debian, (suite, package, [package])) for suite in SUITES for package in OBJECTS]
    wanted += [(name, _debian, (own, name, packages)) for name, packages in COMPILERS.get(own, {}).items()]
    wanted += [("go", _goModule, ())] + [(name, get, ()) for name, get in more]
    with open(os.path.join(CACHE, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name, get, arguments in wanted:
            for left in (1, 0):
                try:
                    get(*arguments)
                    break
                except Unavailable as error:
                    if left == 0:
                        missing[name] = str(error)
                        print(f"cannot have {name}: {error}", file=sys.stderr)
    os.environ[MISSING] = json.dumps(missing)


def missing(name):
    """Why it can't be had; None: it is there."""
    return json.loads(os.environ.get(MISSING, "{}")).get(name)


def embedded(path):
    """The BPF objects within a binary, as skeletons that were compiled in."""
    with open(path, "rb") as file:
        data = file.read()
    at = data.find(b"\x7fELF\x02\x01\x01")
    while at >= 0:
        header = data[at:at + 64]
        if len(header) == 64 and struct.unpack_from("<HH", header, 16) == (1, 247):
            start, = struct.unpack_from("<Q", header, 40)
            size, count = struct.unpack_from("<HH", header, 58)
            yield data[at:at + start + size * count]
        at = data.find(b"\x7fELF\x02\x01\x01", at + 4)


def path(source, name):
    """The file NAME of a source: "bookworm/libxdp1", "go", …; NAME may be a pattern."""
    top = os.path.join(CACHE, "go", f"{MODULE[0]}@{MODULE[1]}") if source == "go" else os.path.join(CACHE, source)
    found = glob.glob(os.path.join(top, name), recursive=True)
    if not found:
        raise FileNotFoundError(f"{source} has no {name}")
    return found[0]


def object(source, name, function, directory):
    """The path of an object; of a binary with objects inside the one that has the function."""
    whole = path(source, name)
    if whole.endswith((".o", ".elf")):
        return whole
    for each in embedded(whole):
        if b"\0" + function.encode() + b"\0" in each:
            target = os.path.join(directory, os.path.basename(whole) + ".o")
            with open(target, "wb") as file:
                file.write(each)
            return target
    raise FileNotFoundError(f"{whole} has no object with {function}")


def compilers():
    """{name: (its command, its environment)}: the machine's own and those of its suite that are here."""
    found = {"clang": (["clang", "-target", "bpf"], dict(os.environ))}
    for name in COMPILERS.get(suite(), {}):
        top = os.path.join(CACHE, suite(), name)
        if missing(name) or not os.path.isdir(top):
            continue
        libraries = {os.path.dirname(each) for each in glob.glob(os.path.join(top, "**", "lib*.so*"), recursive=True)}
        environment = dict(os.environ, LD_LIBRARY_PATH=":".join(sorted(libraries)), PATH=os.path.join(top, "usr/bin") + ":" + os.environ["PATH"])
        command = ["bpf-gcc"] if name == "gcc-bpf" else [os.path.join(top, "usr/lib/llvm-" + name.split("-")[1], "bin/clang"), "-target", "bpf"]
        found[name] = (command, environment)
    return found
