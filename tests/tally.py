#!/usr/bin/env python3
"""Names and counts test cases from what meson and pytest wrote down.

    tally.py meson LABEL meson-logs/testlog.json
    tally.py pytest LABEL junit.xml [--quiet]

Prints one line per case and, as the last line, `passed failed` as two numbers for tests/run.sh. Skipped cases are
printed as `skipped: ...` and counted in neither. A program that ends before its plan is through (a crash, a timeout)
fails every case that it still owed, at least one.
"""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

TAP_CASE = re.compile(r"^(not )?ok \d+ - (.*?)(?:\s*#\s*(SKIP|TODO)\b\s*(.*))?$")
TAP_PLAN = re.compile(r"^1\.\.(\d+)")


class Tally:
    """Prints cases as they are added and counts them."""

    def __init__(self, label: str, quiet: bool) -> None:
        self.label = label
        self.quiet = quiet
        self.passed = 0
        self.failed = 0

    def add_pass(self, name: str) -> None:
        self.passed += 1
        if not self.quiet:
            print(f"passed  {self.label} {name}")

    def add_failure(self, name: str, why: str) -> None:
        self.failed += 1
        print(f"FAILED  {self.label} {name}: {why}" if why else f"FAILED  {self.label} {name}")

    def add_skip(self, name: str, why: str) -> None:
        why = why.removeprefix("skipped: ") or "no reason given"
        print(f"skipped: {self.label} {name}: {why}")


def tally_tap(tally: Tally, program: str, entry: dict) -> None:
    """Adds the cases of one program; `entry` is its line of meson's testlog.json."""
    planned, seen, failed_before, reason = 0, 0, tally.failed, ""
    for line in entry.get("stdout", "").splitlines():
        if plan := TAP_PLAN.match(line):
            planned = int(plan[1])
        elif case := TAP_CASE.match(line):
            seen += 1
            name = f"{program}: {case[2]}"
            if case[3]:
                tally.add_skip(name, case[4] or reason)
            elif case[1]:
                tally.add_failure(name, "")
            else:
                tally.add_pass(name)
            reason = ""
        elif "skipped:" in line:
            reason = line.split("skipped:", 1)[1].strip()
    for missing in range(planned - seen):
        tally.add_failure(f"{program}: case {seen + missing + 1}", f"did not run ({entry['result']})")
    if entry["is_fail"] and tally.failed == failed_before:
        tally.add_failure(program, f"{entry['result']}, exit status {entry['returncode']}")
    if seen == 0 and planned == 0 and not entry["is_fail"]:
        tally.add_failure(program, "ran no test case")
    if tally.failed > failed_before:
        for stream in ("stdout", "stderr"):
            print("\n".join(f"    {line}" for line in entry.get(stream, "").splitlines()[-60:]))


def tally_meson(tally: Tally, log: Path) -> None:
    """Adds every program that meson ran."""
    for line in log.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        tally_tap(tally, entry["name"].rsplit(":", 1)[-1], entry)


def tally_pytest(tally: Tally, junit: Path) -> None:
    """Adds every case of pytest's junit file, whose tracebacks pytest has printed itself."""
    for case in ElementTree.parse(junit).iter("testcase"):
        name = f"{case.get('classname', '').rsplit('.', 1)[-1]}: {case.get('name')}"
        problem = case.find("failure") if case.find("failure") is not None else case.find("error")
        skip = case.find("skipped")
        if problem is not None:
            tally.add_failure(name, (problem.get("message") or "").split("\n")[0][:200])
        elif skip is not None:
            tally.add_skip(name, skip.get("message") or "")
        else:
            tally.add_pass(name)


def main() -> None:
    kind, label, log = sys.argv[1:4]
    tally = Tally(label, "--quiet" in sys.argv[4:])
    {"meson": tally_meson, "pytest": tally_pytest}[kind](tally, Path(log))
    print(tally.passed, tally.failed)


if __name__ == "__main__":
    main()
