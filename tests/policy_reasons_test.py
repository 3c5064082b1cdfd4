"""Every line of a seccomp policy that lets through a call with power over other processes, files, the kernel or executable memory says on that
line which code needs it."""

import glob
import os
import re
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
POWERFUL = set("""
    bpf perf_event_open seccomp prctl ptrace process_vm_readv process_vm_writev kcmp
    clone clone3 fork vfork execve execveat kill tgkill tkill pidfd_send_signal pidfd_getfd
    setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid capset setns unshare chroot pivot_root
    mount umount2 fsopen fsmount fsconfig move_mount open_tree mount_setattr
    open openat openat2 link linkat symlink symlinkat rename renameat renameat2 unlink unlinkat mkdir mkdirat rmdir mknod mknodat
    chmod fchmod fchmodat chown fchown lchown fchownat truncate
    socket socketpair connect bind listen accept accept4 ioctl memfd_create mmap mprotect
    init_module finit_module delete_module kexec_load reboot keyctl add_key request_key userfaultfd io_uring_setup
""".split())


class Reasons(unittest.TestCase):
    def test_each_powerful_line_has_one(self):
        policies = glob.glob(os.path.join(ROOT, "seccomp", "*.policy"))
        self.assertGreaterEqual(len(policies), 5)
        seen, silent = 0, []
        for path in policies:
            with open(path) as file:
                for number, line in enumerate(file, 1):
                    rule, _, reason = line.partition("#")
                    name = re.match(r"\w+", rule)
                    if not name or name.group() not in POWERFUL or "return" in rule:
                        continue
                    seen += 1
                    if len(reason.strip()) < 4:
                        silent.append(f"{os.path.relpath(path, ROOT)}:{number}: {rule.strip()}")
        self.assertGreater(seen, 20)
        self.assertEqual(silent, [], "say which code needs it")

    def test_some_are_in_no_policy_at_all(self):
        for path in glob.glob(os.path.join(ROOT, "seccomp", "*.policy")):
            with open(path) as file:
                names = {match.group() for match in (re.match(r"\w+", line) for line in file) if match}
            mounts = set() if path.endswith("broker.policy") else {"open_tree", "move_mount", "mount", "pivot_root"}
            self.assertFalse(names & {"ptrace", "process_vm_readv", "process_vm_writev", "init_module", "finit_module", "kexec_load", "reboot",
                                      "keyctl", "userfaultfd", "io_uring_setup", "fsopen", "mount_setattr", "chroot"} | names & mounts, path)


if __name__ == "__main__":
    unittest.main()
