#!/usr/bin/env python3
"""Checks what is in the tree: tree.py FILE...

No file above 15 MB; in text no path of one person's machine, no host of a private package registry, no white space at
line ends, a line feed at the end of the file. Prints `file:line: rule` and exits 1 on a finding.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

LARGEST = 15_000_000

RULES: list[tuple[re.Pattern[str], str]] = [
    (re.compile(r"(?<![\w./-])/(work|root|Users|tmp/w)/[\w.]"), "names a path of one person's machine"),
    (re.compile(r"\b[\w-]+\.pkg\.dev\b|\bartifactory\b|\bregistry[\w.-]*\.(internal|local|corp)\b", re.I),
     "names a private package registry"),
]
# Only the tests may look beside the checkout (and say `skipped: ...` where nothing is there).
BESIDE = re.compile(r"\.\./shared\b")
SPACE_AT_END = re.compile(r"[ \t]+$")


def findings(path: Path) -> Iterator[tuple[int, str]]:
    """Yields line number and rule of each finding in one file."""
    size = path.stat().st_size
    if size > LARGEST:
        yield 1, f"{size} bytes; the limit is {LARGEST}"
    data = path.read_bytes()
    if b"\0" in data[:8000] or not data:
        return
    try:
        text = data.decode()
    except UnicodeDecodeError:
        yield 1, "is neither UTF-8 nor binary"
        return
    for number, line in enumerate(text.split("\n"), start=1):
        for pattern, rule in RULES:
            if pattern.search(line):
                yield number, rule
        if BESIDE.search(line) and not {"tests", "lint"} & set(path.parts):
            yield number, "names a folder beside the checkout (only tests may)"
        if path.suffix != ".md" and SPACE_AT_END.search(line):
            yield number, "ends in white space"
    if not text.endswith("\n"):
        yield text.count("\n") + 1, "does not end in a line feed"


def main() -> None:
    found = False
    for name in sys.argv[1:]:
        for number, rule in findings(Path(name)):
            print(f"{name}:{number}: {rule}")
            found = True
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
