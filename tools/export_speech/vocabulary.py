"""GPT-2's vocabulary (r50k_base) out of the npm package js-tiktoken.

The package keeps it in `dist/ranks/r50k_base.js`, a JSON object behind `export default`, whose `bpe_ranks` is lines of
"! FIRST_RANK BASE64 BASE64 …". Only that one file is read from the package; nothing of it is executed.
English Whisper models number their tokens by these ranks: 0..50255, then <|endoftext|> as 50256; libwhisper names the
rest (start of transcript, timestamps, …) by itself.
"""

from __future__ import annotations

import base64
import binascii
import json
import tarfile
from pathlib import Path

MEMBER = "package/dist/ranks/r50k_base.js"
MEMBER_MAX_BYTES = 4 << 20
N_RANKS = 50256
END_OF_TEXT = b"<|endoftext|>"


class VocabularyError(ValueError):
    """The package does not hold the vocabulary where or as it is expected."""


def parse_ranks(source: str) -> list[bytes]:
    """The tokens by rank from the text of r50k_base.js, <|endoftext|> last. Raises VocabularyError."""
    start, end = source.find("{"), source.rfind("}")
    if start < 0 or end < start:
        raise VocabularyError(f"{MEMBER}: no JSON object in it")
    try:
        lines = json.loads(source[start : end + 1])["bpe_ranks"].splitlines()
    except (json.JSONDecodeError, KeyError) as error:
        raise VocabularyError(f"{MEMBER}: no bpe_ranks in it") from error
    tokens: list[bytes] = []
    for line in lines:
        mark, first, *words = line.split(" ")
        if mark != "!" or first != str(len(tokens)):
            raise VocabularyError(f"{MEMBER}: ranks are not in one piece at {len(tokens)}")
        try:
            tokens.extend(base64.b64decode(word, validate=True) for word in words)
        except binascii.Error as error:
            raise VocabularyError(f"{MEMBER}: not base64 near rank {len(tokens)}") from error
    if len(tokens) != N_RANKS or len(set(tokens)) != N_RANKS or b"" in tokens:
        raise VocabularyError(f"{MEMBER}: {len(tokens)} tokens, expected {N_RANKS} different ones")
    return [*tokens, END_OF_TEXT]


def load(package: Path) -> list[bytes]:
    """Read the vocabulary from js-tiktoken's archive as `npm pack` saves it. Raises OSError, VocabularyError."""
    try:
        with tarfile.open(package, "r:gz") as archive:
            member = archive.getmember(MEMBER)
            stream = archive.extractfile(member)
            if stream is None or member.size > MEMBER_MAX_BYTES:
                raise VocabularyError(f"{package}: {MEMBER} is no file of at most {MEMBER_MAX_BYTES} bytes")
            text = stream.read().decode()
    except (tarfile.TarError, KeyError) as error:
        raise VocabularyError(f"{package}: no {MEMBER} in it") from error
    return parse_ranks(text)
