"""Export trained weights (.npz, under Whisper's tensor names) to a ggml file that libwhisper loads.

    python3 tools/export_speech weights.npz js-tiktoken-1.0.21.tgz speech-f16.bin

Trusts the weights' owner (the .npz is read without pickle); refuses weights whose tensors are not exactly those of the
architecture, since libwhisper would load some of such files and compute nonsense.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import zipfile
from pathlib import Path

import ggml_file
import mel_filters
import numpy as np
import numpy.typing as npt
import vocabulary

HEAD_SIZE = 64  # fixed in Whisper's architecture, so the number of heads follows from the width

Weights = dict[str, npt.NDArray[np.generic]]


class WeightsError(ValueError):
    """The .npz does not hold the tensors of an English Whisper model that libwhisper can run."""


def count_layers(weights: Weights, side: str) -> int:
    """How many blocks the encoder or decoder has."""
    return len({name.split(".")[2] for name in weights if name.startswith(f"{side}.blocks.")})


def make_header(weights: Weights) -> ggml_file.Header:
    """Read the model's dimensions off its tensors. Raises WeightsError."""
    try:
        audio_ctx, audio_state = weights["encoder.positional_embedding"].shape
        text_ctx, text_state = weights["decoder.positional_embedding"].shape
        n_vocab = weights["decoder.token_embedding.weight"].shape[0]
        n_mels = weights["encoder.conv1.weight"].shape[1]
    except (KeyError, IndexError, ValueError) as error:
        raise WeightsError(f"not the weights of a Whisper model: {error}") from error
    if n_vocab != ggml_file.ENGLISH_N_VOCAB:
        raise WeightsError(f"n_vocab is {n_vocab}, expected {ggml_file.ENGLISH_N_VOCAB} (English)")
    if audio_state != text_state or audio_state % HEAD_SIZE != 0:
        raise WeightsError(f"widths are {audio_state} and {text_state}, expected one multiple of {HEAD_SIZE}")
    n_text_layer = count_layers(weights, "decoder")
    if n_text_layer == 2:
        raise WeightsError("2 decoder layers: libwhisper would take the model for a distilled one")
    return ggml_file.Header(
        n_vocab=n_vocab,
        n_audio_ctx=audio_ctx,
        n_audio_state=audio_state,
        n_audio_head=audio_state // HEAD_SIZE,
        n_audio_layer=count_layers(weights, "encoder"),
        n_text_ctx=text_ctx,
        n_text_state=text_state,
        n_text_head=text_state // HEAD_SIZE,
        n_text_layer=n_text_layer,
        n_mels=n_mels,
        ftype=ggml_file.FTYPE_MOSTLY_F16,
    )


def block_shapes(prefix: str, width: int, attentions: list[str]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of one transformer block's tensors."""
    shapes: dict[str, tuple[int, ...]] = {}
    for attention in attentions:
        for part in ("query", "key", "value", "out"):
            shapes[f"{prefix}.{attention}.{part}.weight"] = (width, width)
            if part != "key":
                shapes[f"{prefix}.{attention}.{part}.bias"] = (width,)
    shapes[f"{prefix}.mlp.0.weight"] = (4 * width, width)
    shapes[f"{prefix}.mlp.0.bias"] = (4 * width,)
    shapes[f"{prefix}.mlp.2.weight"] = (width, 4 * width)
    shapes[f"{prefix}.mlp.2.bias"] = (width,)
    for norm in [*(f"{attention}_ln" for attention in attentions), "mlp_ln"]:
        shapes[f"{prefix}.{norm}.weight"] = (width,)
        shapes[f"{prefix}.{norm}.bias"] = (width,)
    return shapes


def expected_shapes(header: ggml_file.Header) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors that libwhisper looks for."""
    width = header.n_audio_state
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.positional_embedding": (header.n_audio_ctx, width),
        "encoder.conv1.weight": (width, header.n_mels, 3),
        "encoder.conv1.bias": (width,),
        "encoder.conv2.weight": (width, width, 3),
        "encoder.conv2.bias": (width,),
        "encoder.ln_post.weight": (width,),
        "encoder.ln_post.bias": (width,),
        "decoder.positional_embedding": (header.n_text_ctx, width),
        "decoder.token_embedding.weight": (header.n_vocab, width),
        "decoder.ln.weight": (width,),
        "decoder.ln.bias": (width,),
    }
    for layer in range(header.n_audio_layer):
        shapes |= block_shapes(f"encoder.blocks.{layer}", width, ["attn"])
    for layer in range(header.n_text_layer):
        shapes |= block_shapes(f"decoder.blocks.{layer}", width, ["attn", "cross_attn"])
    return shapes


def check_weights(weights: Weights, header: ggml_file.Header) -> None:
    """Refuse missing tensors, tensors too many and wrong shapes. Raises WeightsError, naming the first."""
    expected = expected_shapes(header)
    for name, shape in expected.items():
        if name not in weights:
            raise WeightsError(f"{name}: missing")
        if weights[name].shape != shape:
            raise WeightsError(f"{name}: shape is {weights[name].shape}, expected {shape}")
    for name in weights:
        if name not in expected:
            raise WeightsError(f"{name}: has no place in this architecture")


def load_weights(path: Path) -> Weights:
    """Read the .npz without pickle. Raises OSError, WeightsError."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: not an .npz file: {error}") from error


def export(weights_path: Path, package: Path, output: Path) -> ggml_file.Header:
    """Write the f16 model file and read it back. Raises OSError or ValueError."""
    weights = load_weights(weights_path)
    header = make_header(weights)
    check_weights(weights, header)
    filters = mel_filters.mel_filters(header.n_mels)
    tokens = vocabulary.load(package)
    tensors = {name: ggml_file.make_tensor(name, array) for name, array in weights.items()}
    ggml_file.write(output, header, filters, tokens, tensors.items())
    back = ggml_file.read(output)
    if back.header != header or back.vocabulary != tokens or back.tensors != tensors:
        raise WeightsError(f"{output}: does not read back as it was written")
    return header


def main() -> int:
    """Parse the arguments and export. Exit status 1 and a sentence for what cannot be exported."""
    parser = argparse.ArgumentParser(prog="export_speech", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights", type=Path, help=".npz with the trained weights")
    parser.add_argument("package", type=Path, help="js-tiktoken's archive, as `npm pack` saves it")
    parser.add_argument("output", type=Path, help="ggml file to write (f16)")
    args = parser.parse_args()
    try:
        header = export(args.weights, args.package, args.output)
    except (OSError, ValueError) as error:
        print(f"export_speech: {error}", file=sys.stderr)
        return 1
    digest = hashlib.sha256(args.output.read_bytes()).hexdigest()
    print(header)
    print(f"{args.output}: {args.output.stat().st_size} bytes, sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
