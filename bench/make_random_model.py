#!/usr/bin/env python3
"""Write a speech model of tiny.en's shape with random weights, for measuring speed where no real weights may go.

    bench/make_random_model.py VOCABULARY_MODEL OUT.bin [--tokens N] [--seed S]

VOCABULARY_MODEL is any English ggml speech model (models/demo-speech.bin); its vocabulary and mel filters are taken
over. The result is float16; `whisper-quantize OUT.bin Q8.bin q8_0` makes the form that is served.

Random weights alone would decode until the text context is full. Here the decoder's positional embedding points, at
each position, at the embedding of the token that is to come out there: N text tokens, then end of text. So every
engine does the same amount of work on every recording: one 30 s window, N tokens.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools" / "export_speech"))
import ggml_file

WIDTH, HEADS, LAYERS, HIDDEN = 384, 6, 4, 1536
AUDIO_CONTEXT, TEXT_CONTEXT, MELS = 1500, 448, 80
HEADER = ggml_file.Header(
    ggml_file.ENGLISH_N_VOCAB, AUDIO_CONTEXT, WIDTH, HEADS, LAYERS, TEXT_CONTEXT, WIDTH, HEADS, LAYERS, MELS,
    ggml_file.FTYPE_MOSTLY_F16,
)  # fmt: skip
END_OF_TEXT, FIRST_TIMESTAMP = 50256, 50363
PULL = 12.0  # length of the positional embedding beside the blocks' random output: it decides the token

Array = npt.NDArray[np.float32]


def sinusoids() -> Array:
    """The encoder's fixed positions, as Whisper defines them."""
    scales = np.exp(-np.log(10000) / (WIDTH // 2 - 1) * np.arange(WIDTH // 2))
    angles = np.arange(AUDIO_CONTEXT)[:, None] * scales[None, :]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def text_tokens(vocabulary: list[bytes], count: int) -> list[int]:
    """`count` tokens that are plain words with a space in front."""
    words = [i for i, token in enumerate(vocabulary[:5000]) if token[:1] == b" " and token[1:].isalpha()]
    return words[100 : 100 + count]


def attention(rng: np.random.Generator, prefix: str) -> Iterator[tuple[str, Array]]:
    """One attention block with its layer norm; keys have no bias in this architecture."""
    for part in ("query", "key", "value", "out"):
        yield f"{prefix}.{part}.weight", normal(rng, WIDTH, WIDTH)
        if part != "key":
            yield f"{prefix}.{part}.bias", np.zeros(WIDTH, np.float32)
    yield from layer_norm(f"{prefix}_ln")


def layer_norm(prefix: str) -> Iterator[tuple[str, Array]]:
    """A layer norm that only normalises."""
    yield f"{prefix}.weight", np.ones(WIDTH, np.float32)
    yield f"{prefix}.bias", np.zeros(WIDTH, np.float32)


def normal(rng: np.random.Generator, *shape: int) -> Array:
    """Gaussian weights whose product with a normalised row stays near 0.1."""
    fan_in = int(np.prod(shape[1:]))
    return (rng.standard_normal(shape) * 0.1 / np.sqrt(fan_in)).astype(np.float32)


def block(rng: np.random.Generator, prefix: str, *, cross: bool) -> Iterator[tuple[str, Array]]:
    """One transformer block."""
    yield from attention(rng, f"{prefix}.attn")
    if cross:
        yield from attention(rng, f"{prefix}.cross_attn")
    yield f"{prefix}.mlp.0.weight", normal(rng, HIDDEN, WIDTH)
    yield f"{prefix}.mlp.0.bias", np.zeros(HIDDEN, np.float32)
    yield f"{prefix}.mlp.2.weight", normal(rng, WIDTH, HIDDEN)
    yield f"{prefix}.mlp.2.bias", np.zeros(WIDTH, np.float32)
    yield from layer_norm(f"{prefix}.mlp_ln")


def decoder_positions(embedding: Array, tokens: list[int]) -> Array:
    """Positions that make `tokens` come out one after another and end of text from there on.

    Position 0 holds start of transcript, and its output is the first timestamp; position p + 1 then yields tokens[p].
    """
    wanted = [FIRST_TIMESTAMP, *tokens] + [END_OF_TEXT] * TEXT_CONTEXT
    rows = embedding[wanted[:TEXT_CONTEXT]]
    return (PULL * rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def weights(rng: np.random.Generator, tokens: list[int]) -> Iterator[tuple[str, Array]]:
    """All tensors of the model, in the order of the official files."""
    yield "encoder.positional_embedding", sinusoids()
    yield "encoder.conv1.weight", normal(rng, WIDTH, MELS, 3)
    yield "encoder.conv1.bias", np.zeros(WIDTH, np.float32)
    yield "encoder.conv2.weight", normal(rng, WIDTH, WIDTH, 3)
    yield "encoder.conv2.bias", np.zeros(WIDTH, np.float32)
    for i in range(LAYERS):
        yield from block(rng, f"encoder.blocks.{i}", cross=False)
    yield from layer_norm("encoder.ln_post")
    embedding = rng.standard_normal((HEADER.n_vocab, WIDTH)).astype(np.float32) / np.sqrt(WIDTH)
    yield "decoder.positional_embedding", decoder_positions(embedding, tokens)
    yield "decoder.token_embedding.weight", embedding
    for i in range(LAYERS):
        yield from block(rng, f"decoder.blocks.{i}", cross=True)
    yield from layer_norm("decoder.ln")


def main() -> int:
    """Write the model that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("vocabulary", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokens", type=int, default=32, help="text tokens that each window decodes to (32)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    try:
        source = ggml_file.read(args.vocabulary)
        tokens = text_tokens(source.vocabulary, args.tokens)
        made = weights(np.random.default_rng(args.seed), tokens)
        tensors = ((name, ggml_file.make_tensor(name, array)) for name, array in made)
        ggml_file.write(args.out, HEADER, source.mel_filters, source.vocabulary, tensors)
    except (OSError, ValueError) as error:
        print(f"make_random_model: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
