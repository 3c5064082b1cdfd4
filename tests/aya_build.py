"""tests/aya, built as Aya's own tool chain does it: rustc to bitcode, linked and made to an object by LLVM's tools. What this takes, Debian 12
has (a rustc with a standard library for BPF, and its LLVM); the crates are Aya's own of crates.io, pinned by Cargo.lock."""

import glob
import os
import re
import shutil
import tempfile

import foreign_sources as sources

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "aya")
OLD = "old_maps"


def _packages():
    """rustc-web, and what it needs of the same version."""
    def needs(package, wanted):
        said = sources.run("apt-cache", "depends", package)
        found = re.search(rf"Depends: ({wanted})", said)
        if not found:
            raise sources.Unavailable(f"apt has no {package} for BPF")
        return found[1]
    library = needs("libstd-rust-web-dev", r"libstd-rust-web-[\d.]+")
    llvm = needs(library, r"libllvm\d+")
    return ["rustc-web", "libstd-rust-web-dev", "libstd-rust-web-dev-bpf", library, llvm, llvm.replace("lib", "").replace("llvm", "llvm-")]


def _toolchain():
    folder = os.path.join(sources.CACHE, "rust")
    if sources.kept(folder):
        return folder
    with tempfile.TemporaryDirectory(dir=sources.CACHE) as files:
        sources.run("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *_packages(), cwd=files)
        shutil.rmtree(folder, ignore_errors=True)
        for package in glob.glob(os.path.join(files, "*.deb")):
            sources.run("dpkg-deb", "-x", package, folder)
    open(os.path.join(folder, "complete"), "w").close()
    return folder


def _functions():
    with open(os.path.join(HERE, "src", "lib.rs")) as file:
        return re.findall(r"pub fn (\w+)", file.read())


def _cargo():
    """The real one, not rustup's, which would look for a tool chain of its own."""
    found = glob.glob(os.path.expanduser("~/.rustup/toolchains/*/bin/cargo")) + [each for each in [shutil.which("cargo")] if each]
    if not found:
        raise sources.Unavailable("cargo is not installed")
    return found[0]


def build():
    """CACHE/aya/new.o and old_maps.o."""
    cache = os.path.join(sources.CACHE, "aya")
    newest = max(os.path.getmtime(each) for each in glob.glob(os.path.join(HERE, "**", "*.*"), recursive=True))
    if sources.kept(cache) and os.path.getmtime(os.path.join(cache, "complete")) > newest:
        return
    os.makedirs(cache, exist_ok=True)
    cargo, rust = _cargo(), _toolchain()
    environment = dict(os.environ, LD_LIBRARY_PATH=":".join({os.path.dirname(each) for each in glob.glob(f"{rust}/usr/lib/*/lib*.so*")}),
                       RUSTC=f"{rust}/usr/bin/rustc", CARGO_HOME=os.path.join(cache, "cargo"), CARGO_TARGET_DIR=os.path.join(cache, "target"),
                       RUSTC_BOOTSTRAP="1")
    llvm = glob.glob(f"{rust}/usr/lib/llvm-*/bin")[0]
    made = os.path.join(cache, "target", "bpfel-unknown-none", "release", "deps")
    for name, features in (("new", []), (OLD, ["--features", OLD])):
        for each in glob.glob(os.path.join(made, "*aya_objects*")):
            os.unlink(each)
        sources.run(cargo, "rustc", "--locked", "--release", "--target", "bpfel-unknown-none", *features, "--manifest-path",
                     os.path.join(HERE, "Cargo.toml"), "--", "--emit=obj", env=environment, cwd=cache)
        with tempfile.TemporaryDirectory(dir=cache) as parts:
            for library in glob.glob(os.path.join(made, "libaya_ebpf*.rlib")):
                sources.run("ar", "x", library, cwd=parts)
            bitcode = glob.glob(os.path.join(made, "aya_objects*.o")) + glob.glob(os.path.join(parts, "*.rcgu.o"))
            linked, small = os.path.join(parts, "all.bc"), os.path.join(parts, "small.bc")
            sources.run(f"{llvm}/llvm-link", "-o", linked, *bitcode, env=environment)
            kept = ",".join(["PACKETS", "LICENSE", *_functions()])
            sources.run(f"{llvm}/opt", "-passes=internalize,globaldce,default<O2>", "-internalize-public-api-list=" + kept, linked, "-o", small,
                         env=environment)
            sources.run(f"{llvm}/llc", "-march=bpfel", "-mcpu=v3", "-filetype=obj", small, "-o", os.path.join(cache, name + ".o"), env=environment)
    open(os.path.join(cache, "complete"), "w").close()
