"""Compare two ggml speech models: header, mel filters, vocabulary, tensors.

    python3 tools/export_speech/compare.py ours.bin theirs.bin

Prints one line per thing compared; exit status 0 when they agree, 1 when they differ, 2 when one cannot be read.
Mel filters may differ by 1e-6 of the largest value; tensors of equal type must be equal, those of different types
(one file quantised) are compared by name and shape only.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import ggml_file
import numpy as np

MEL_TOLERANCE = 1e-6  # of the largest value: rounding to float32, not another definition


def compare_headers(a: ggml_file.Header, b: ggml_file.Header) -> bool:
    """All dimensions; `ftype` says only how the file is stored, so it is printed, not judged."""
    same = dataclasses.replace(a, ftype=0) == dataclasses.replace(b, ftype=0)
    print(f"header: {'equal' if same else f'{a} against {b}'} (ftype {a.ftype}, {b.ftype})")
    return same


def compare_filters(a: ggml_file.Model, b: ggml_file.Model) -> bool:
    """Shape and values of the mel filter banks."""
    if a.mel_filters.shape != b.mel_filters.shape:
        print(f"mel filters: {a.mel_filters.shape} against {b.mel_filters.shape}")
        return False
    apart = float(np.abs(a.mel_filters - b.mel_filters).max() / np.abs(b.mel_filters).max())
    print(f"mel filters: largest difference {apart:.2g} of the largest value")
    return apart <= MEL_TOLERANCE


def compare_vocabularies(a: ggml_file.Model, b: ggml_file.Model) -> bool:
    """The tokens, in order."""
    differ = [i for i, (x, y) in enumerate(zip(a.vocabulary, b.vocabulary, strict=False)) if x != y]
    same = not differ and len(a.vocabulary) == len(b.vocabulary)
    print(f"vocabulary: {len(a.vocabulary)} and {len(b.vocabulary)} tokens, {len(differ)} differ")
    return same


def compare_tensors(a: ggml_file.Model, b: ggml_file.Model) -> bool:
    """Names and shapes of all tensors, values where both files store the same type."""
    wrong = sorted(a.tensors.keys() ^ b.tensors.keys())
    equal = unlike = 0
    for name in a.tensors.keys() & b.tensors.keys():
        x, y = a.tensors[name], b.tensors[name]
        if x.shape != y.shape or (x.type == y.type and x.data != y.data):
            wrong.append(name)
        elif x.type == y.type:
            equal += 1
        else:
            unlike += 1
    print(f"tensors: {equal} equal, {unlike} of another type, {len(wrong)} differ {wrong[:5]}")
    return not wrong


def main() -> int:
    """Compare the two files named on the command line."""
    parser = argparse.ArgumentParser(prog="compare", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    args = parser.parse_args()
    try:
        a, b = ggml_file.read(args.a), ggml_file.read(args.b)
    except (OSError, ValueError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    results = [
        compare_headers(a.header, b.header),
        compare_filters(a, b),
        compare_vocabularies(a, b),
        compare_tensors(a, b),
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
