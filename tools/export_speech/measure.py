"""Measure a ggml speech model with a stock whisper-cli: word error rate and time per set of recordings.

    python3 tools/export_speech/measure.py speech-q5_0.bin SET… [-- WHISPER-CLI-OPTION…]

A set is a folder of .wav files with a ref.json (name to text) or NAME.txt files. Every recording gets a process of its
own, so that no recording sees another's words as context. Prints a Markdown table row per set; the time is the wall
time of the median process, with loading the model.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # tools/ is not a package
import wer

TIMEOUT_S = 120


def transcribe(model: Path, recording: Path, options: list[str]) -> tuple[str, float]:
    """The transcript and the seconds it took. Raises OSError, subprocess.SubprocessError."""
    command = ["whisper-cli", "-m", str(model), "-f", str(recording), "-np", *options]
    started = time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S)
    seconds = time.monotonic() - started
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    # "[00:00:00.000 --> 00:00:02.000]  text" unless -nt was given
    texts = [line.split("]", 1)[1] if "-->" in line else line for line in lines]
    return " ".join(texts), seconds


def measure(model: Path, folder: Path, options: list[str], verbose: bool) -> None:
    """Transcribe one set and print its row."""
    listed = folder / "ref.json"
    references = wer.load_texts(listed if listed.exists() else folder)
    transcripts: dict[str, str] = {}
    times: list[float] = []
    for name in references:
        transcripts[name], seconds = transcribe(model, folder / f"{name}.wav", options)
        times.append(seconds)
    results = wer.compare(references, transcripts)
    if verbose:
        for name, result in results.items():
            print(f"{folder.name}/{name}: {result}\n  {references[name]}\n  {transcripts[name]}")
    total = sum(results.values(), wer.WordErrors())
    median = statistics.median(times)
    print(f"| {model.name} | {folder.name} | {len(results)} | {total} | {median:.2f} s |", flush=True)


def main() -> int:
    """Measure the sets that the command line names."""
    own, options = sys.argv[1:], []
    if "--" in own:
        cut = own.index("--")
        own, options = own[:cut], own[cut + 1 :]
    parser = argparse.ArgumentParser(prog="measure", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("sets", type=Path, nargs="+")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every transcript")
    args = parser.parse_args(own)
    try:
        for folder in args.sets:
            measure(args.model, folder, options, args.verbose)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        print(f"measure: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
