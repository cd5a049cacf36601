#!/usr/bin/env python3
"""Prints those of the named files that the build compiles, each ended by NUL: compiled.py COMPILE_COMMANDS FILE..."""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        entries = json.load(file)
    compiled = {os.path.realpath(os.path.join(entry["directory"], entry["file"])) for entry in entries}
    for name in sys.argv[2:]:
        if os.path.realpath(name) in compiled:
            sys.stdout.write(name + "\0")


if __name__ == "__main__":
    main()
