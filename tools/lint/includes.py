#!/usr/bin/env python3
"""Checks who includes whom: includes.py FILE...

The tables below are docs/ARCHITECTURE.md, section 9, in a form that a machine reads: change both together. Prints
`file:line: rule` for each breach and exits 1 when there is one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

# Folder of src/ -> the other folders of ours whose headers it may include ("blindbox": the public headers).
OURS: dict[str, set[str]] = {
    "base": set(),
    "cbor": {"base"},
    "crypto": {"base"},
    "nsm": {"cbor", "base"},
    "attest": {"cbor", "crypto", "base", "blindbox"},
    "tls": {"crypto", "base"},
    "client": {"attest", "tls", "crypto", "base", "blindbox"},
    "image": {"cbor", "crypto", "base"},
    "host": {"nsm", "cbor", "crypto", "image", "base"},
    "cli": {"blindbox", "crypto", "host", "image", "base"},
    "enclave": {"enclave/gate", "nsm", "cbor", "crypto", "tls", "base"},
    "enclave/gate": {"enclave", "nsm", "cbor", "crypto", "tls", "base"},
    # The process that meets hostile audio has no TLS and no keys.
    "enclave/speech": {"enclave", "cbor", "base"},
}

# Header of a library (regular expression) -> the only folders of src/ that may include it.
LIBRARIES: list[tuple[str, set[str]]] = [
    (r"openssl/", {"crypto", "tls"}),
    (r"cbor(/|\.h$)", {"cbor"}),
    (r"curl/", {"client"}),
    (r"cyaml/", {"enclave"}),
    (r"llhttp\.h$", {"enclave/gate"}),
    (r"(whisper|ggml.*|sndfile|soxr)\.h$", {"enclave/speech"}),
    (r"llama\.h$", {"enclave/text"}),
]

# What a public header may ask of its user: ISO C alone, and other public headers.
PUBLIC = re.compile(r"(std(arg|bool|def|int|io)|limits|inttypes|time)\.h$|blindbox/[^/]+\.h$")


def folder_of(path: Path) -> str:
    """Returns the longest entry of OURS that holds `path`, the first folder below src/ where none does."""
    parts = path.parts[1:-1]
    for length in range(len(parts), 0, -1):
        if "/".join(parts[:length]) in OURS:
            return "/".join(parts[:length])
    return parts[0] if parts else ""


def breach_in_source(folder: str, header: str, ours: bool) -> str | None:
    """Returns the rule that an include in src/`folder` breaks, None where it breaks none."""
    if ours or header.startswith("blindbox/"):
        if "/" not in header or header == "blindbox/error.h":
            return None  # a neighbour in the same folder; the error codes, which are everybody's
        target = folder_of(Path("src") / header) if not header.startswith("blindbox/") else "blindbox"
        if target == folder or target in OURS.get(folder, set()):
            return None
        allowed = ", ".join(sorted(OURS.get(folder, set()))) or "none of ours"
        return f"src/{folder} may not include {header} (it may include: {allowed})"
    for pattern, homes in LIBRARIES:
        if re.match(pattern, header) and folder not in homes:
            return f"<{header}> belongs to {', '.join(f'src/{home}' for home in sorted(homes))} alone"
    return None


def breaches(path: Path) -> Iterator[tuple[int, str]]:
    """Yields line number and rule of each breach in one file."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        found = INCLUDE.match(line)
        if not found:
            continue
        ours, header = found[1] == '"', found[2]
        if path.parts[0] == "src":
            rule = breach_in_source(folder_of(path), header, ours)
        elif path.parts[0] == "include":
            rule = None if PUBLIC.match(header) else f"public headers use libc types only, not {header}"
        else:
            rule = None
        if rule:
            yield number, rule


def main() -> None:
    found = False
    for name in sys.argv[1:]:
        path = Path(name)
        if path.parts[0] == "src" and len(path.parts) > 2 and folder_of(path) not in OURS:
            print(f"{name}:1: src/{folder_of(path)} is not in the table of tools/lint/includes.py")
            found = True
        for number, rule in breaches(path):
            print(f"{name}:{number}: {rule}")
            found = True
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
