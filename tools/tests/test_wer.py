"""The word error rate: counting, pairing, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import wer
from wer import WordErrors

TOOL = Path(wer.__file__)


@pytest.mark.parametrize(
    ("reference", "transcript", "expected"),
    [
        ("", "", WordErrors(0, 0, 0, 0)),
        ("one two three", "one two three", WordErrors(0, 0, 0, 3)),
        ("one two three", "one too three", WordErrors(1, 0, 0, 3)),
        ("one two three", "one three", WordErrors(0, 1, 0, 3)),
        ("one three", "one two three", WordErrors(0, 0, 1, 2)),
        ("", "thank you", WordErrors(0, 0, 2, 0)),
        ("one two", "", WordErrors(0, 2, 0, 2)),
        ("a b c d e f", "x b c e f g", WordErrors(1, 1, 1, 6)),
        ("Mrs. Carter, please!", "mrs carter PLEASE", WordErrors(0, 0, 0, 3)),
        ("Let's go", "Let\u2019s go", WordErrors(0, 0, 0, 2)),
        ("Let's go", "lets go", WordErrors(1, 0, 0, 2)),
        ("follow-up", "follow up", WordErrors(0, 0, 0, 2)),
        ("twenty", "20", WordErrors(1, 0, 0, 1)),
    ],
)
def test_counts(reference: str, transcript: str, expected: WordErrors) -> None:
    assert wer.word_errors(reference, transcript) == expected


def test_rate_is_over_all_words_together() -> None:
    total = wer.word_errors("one", "two") + wer.word_errors("a b c", "a b c")
    assert total.rate == 0.25
    assert WordErrors(inserted=2).rate is None


def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_folder_against_json(tmp_path: Path) -> None:
    (tmp_path / "got").mkdir()
    (tmp_path / "got/a.txt").write_text("one two three five\n")
    (tmp_path / "got/b.txt").write_text("six\n")
    (tmp_path / "ref.json").write_text(json.dumps({"a": "one two three four", "b": "Six."}))
    done = run(tmp_path / "ref.json", tmp_path / "got", "--max", "20")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == (
        "total: WER 20.0 % (1 substituted, 0 deleted, 0 inserted; 5 words)"
    )
    assert run(tmp_path / "ref.json", tmp_path / "got", "--max", "19.9").returncode == 1


def test_invented_words_fail_a_silent_set(tmp_path: Path) -> None:
    (tmp_path / "ref.json").write_text('{"a": ""}')
    (tmp_path / "got.json").write_text('{"a": "Thank you."}')
    assert run(tmp_path / "ref.json", tmp_path / "got.json").returncode == 0
    assert run(tmp_path / "ref.json", tmp_path / "got.json", "--max", "50").returncode == 1


def test_missing_transcript_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ref.json").write_text('{"a": "one", "b": "two"}')
    (tmp_path / "got.json").write_text('{"a": "one"}')
    done = run(tmp_path / "ref.json", tmp_path / "got.json")
    assert (done.returncode, done.stderr) == (2, "wer: no transcript of 'b'\n")


@pytest.mark.parametrize("content", ["[]", '{"a": 1}', "{}", "nonsense"])
def test_bad_json_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "ref.json").write_text(content)
    assert run(tmp_path / "ref.json", tmp_path / "ref.json").returncode == 2
