#!/usr/bin/env python3
"""Prints how many attacks of each class the tests tried and how many were refused, by the classes of docs/threat-model.md. A class that nobody
tried, an unknown class and an attempt that was not refused fail. Run after the tests that attack; without all of them there is nothing to
judge (exit 77).

    attack_count.py BUILD TEST…        TEST: file names of those tests
"""

import collections
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def classes():
    with open(os.path.join(ROOT, "docs", "threat-model.md")) as file:
        section = file.read().split("## Attacks that are tried\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \|", section, re.M)
    return rows[rows.index("class") + 1:]


def main(build, tests):
    tried, refused, missing = collections.Counter(), collections.Counter(), []
    for test in tests:
        path = os.path.join(build, "attacks", test)
        if not os.path.exists(path) or os.path.getsize(path) == 0:
            missing.append(test)
            continue
        with open(path) as file:
            for kind, outcome, _ in (line.rstrip("\n").split("\t", 2) for line in file):
                tried[kind] += 1
                refused[kind] += outcome == "True"
    listed = classes()
    width = max(map(len, listed))
    print(f"{'class of attack':{width}}  attempts  refused")
    for kind in listed + sorted(set(tried) - set(listed)):
        print(f"{kind:{width}}  {tried[kind]:8}  {refused[kind]:7}")
    print(f"{'in all':{width}}  {sum(tried.values()):8}  {sum(refused.values()):7}")
    if missing:
        print("SKIP: not all tests that attack have run, so nothing is judged. Missing:", *missing)
        return 77
    wrong = [f"nobody tried: {kind}" for kind in listed if not tried[kind]]
    wrong += [f"not in docs/threat-model.md: {kind}" for kind in tried if kind not in listed]
    wrong += [f"not refused: {kind}" for kind in tried if refused[kind] != tried[kind]]
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
