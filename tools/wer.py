#!/usr/bin/env python3
"""Word error rate of transcripts against their references.

    tools/wer.py REFERENCES TRANSCRIPTS

Each argument is a text file (one recording), a .json file that maps names to texts, or a folder of NAME.txt files.
Recordings are paired by name; one that has a reference and no transcript is an error, never a silent zero.

The rate is (substituted + deleted + inserted words) / words in the references, over all recordings together, with the
fewest edits counted. Words are compared in lower case, without punctuation except apostrophes inside a word; numbers
are compared as written ("20" is not "twenty"). Where all references are empty (silence), there is no rate: the words
that were invented are counted instead.

Prints one line per recording that differs (with --all, per recording) and a total. Exit status 0; 1 when the rate is
above --max, or with --max anything was invented where all references are empty; 2 when something cannot be read.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

_WORD = re.compile(r"\w+(?:'\w+)*")


@dataclass(frozen=True)
class WordErrors:
    """Edits that turn the reference into the transcript, and the reference's length in words."""

    substituted: int = 0
    deleted: int = 0
    inserted: int = 0
    words: int = 0

    @property
    def errors(self) -> int:
        """All edits together."""
        return self.substituted + self.deleted + self.inserted

    @property
    def rate(self) -> float | None:
        """The word error rate (0.05 is 5 %), or None where the reference has no words."""
        return self.errors / self.words if self.words else None

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(
            self.substituted + other.substituted,
            self.deleted + other.deleted,
            self.inserted + other.inserted,
            self.words + other.words,
        )

    def __str__(self) -> str:
        rate = f"WER {100 * self.rate:.1f} %" if self.rate is not None else f"{self.inserted} words invented"
        counts = f"{self.substituted} substituted, {self.deleted} deleted, {self.inserted} inserted"
        return f"{rate} ({counts}; {self.words} words)"


def split_words(text: str) -> list[str]:
    """The words of a text as they are compared."""
    return _WORD.findall(text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("_", " "))


def word_errors(reference: str, transcript: str) -> WordErrors:
    """Count the fewest edits between two texts."""
    wanted, got = split_words(reference), split_words(transcript)
    # row[j]: (edits, substituted, deleted, inserted) from the words of the reference so far to got[:j]
    row = [(j, 0, 0, j) for j in range(len(got) + 1)]
    for i, word in enumerate(wanted, 1):
        diagonal, row[0] = row[0], (i, 0, i, 0)
        for j, other in enumerate(got, 1):
            above, left = row[j], row[j - 1]
            if word == other:
                best = diagonal
            else:
                best = min(
                    (diagonal[0] + 1, diagonal[1] + 1, diagonal[2], diagonal[3]),
                    (above[0] + 1, above[1], above[2] + 1, above[3]),
                    (left[0] + 1, left[1], left[2], left[3] + 1),
                    key=lambda edits: edits[0],
                )
            diagonal, row[j] = above, best
    _, substituted, deleted, inserted = row[-1]
    return WordErrors(substituted, deleted, inserted, len(wanted))


def load_texts(path: Path) -> dict[str, str]:
    """Texts by name from a .json file, a folder of .txt files, or one text file (named ""). OSError, ValueError."""
    if path.is_dir():
        texts = {file.stem: file.read_text(encoding="utf-8") for file in sorted(path.glob("*.txt"))}
    elif path.suffix == ".json":
        texts = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            raise ValueError(f"{path}: expected an object that maps names to texts")
    else:
        texts = {"": path.read_text(encoding="utf-8")}
    if not texts:
        raise ValueError(f"{path}: no texts in it")
    return texts


def compare(references: dict[str, str], transcripts: dict[str, str]) -> dict[str, WordErrors]:
    """Errors by recording, for every reference. Raises ValueError where a transcript is missing."""
    for name in references:
        if name not in transcripts:
            raise ValueError(f"no transcript of {name!r}")
    return {name: word_errors(text, transcripts[name]) for name, text in references.items()}


def main() -> int:
    """Compare what the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("references", type=Path)
    parser.add_argument("transcripts", type=Path)
    parser.add_argument("--all", action="store_true", help="print the recordings without errors too")
    parser.add_argument("--max", type=float, metavar="PERCENT", help="fail above this word error rate")
    args = parser.parse_args()
    try:
        references, transcripts = load_texts(args.references), load_texts(args.transcripts)
        results = compare(references, transcripts)
    except (OSError, ValueError) as error:
        print(f"wer: {error}", file=sys.stderr)
        return 2
    for name, result in results.items():
        if args.all or result.errors:
            print(f"{name or args.transcripts}: {result}")
            print(f"  wanted: {' '.join(references[name].split())}")
            print(f"  got:    {' '.join(transcripts[name].split())}")
    total = sum(results.values(), WordErrors())
    print(f"total: {total}")
    if args.max is None:
        return 0
    above = total.errors > 0 if total.rate is None else 100 * total.rate > args.max
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
