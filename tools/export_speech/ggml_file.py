"""Write and read the ggml model file that whisper.cpp loads.

The layout follows whisper.cpp's loader (`whisper_model_load`); all numbers are little-endian:

    int32       magic 0x67676d6c ("ggml")
    int32 * 11  n_vocab, n_audio_ctx, n_audio_state, n_audio_head, n_audio_layer,
                n_text_ctx, n_text_state, n_text_head, n_text_layer, n_mels, ftype
    int32 * 2   rows and columns of the mel filter bank, then its float32 values by row
    int32       number of vocabulary entries, then each as uint32 length and bytes
    to the end  tensors: int32 * 3 number of dimensions, length of the name, type;
                int32 * dimensions, fastest-varying first (numpy's shape reversed); name; data

What the loader does not tell you when you get it wrong:

- It does not notice a file cut short or one with a wrong tail. `read` here refuses both.
- One `ftype` decides the type of every matrix; the loader refuses a tensor of another size. So matrices
  are float16 all together (and one quantised type all together after whisper-quantize).
- 1-D tensors, convolution biases and both positional embeddings must be float32, or the computation
  fails far from here. Convolution biases are stored as [n, 1], since ggml adds them along time.
- `attn.key` has no bias in this architecture: there is no such tensor to write.
- n_text_layer 2 makes libwhisper take the file for a distilled model, which forces timestamps off.
- n_vocab 51865 or more means "multilingual" and moves every special token by one.

`read` trusts nothing it reads: every length is checked against what is left of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

MAGIC = 0x67676D6C
TYPE_F32 = 0
TYPE_F16 = 1
FTYPE_MOSTLY_F16 = 1
ENGLISH_N_VOCAB = 51864  # one more and libwhisper takes the model for a multilingual one

# ggml type number: (name, values per block, bytes per block); the types that whisper-quantize may write here
BLOCKS = {
    0: ("f32", 1, 4),
    1: ("f16", 1, 2),
    2: ("q4_0", 32, 18),
    3: ("q4_1", 32, 20),
    6: ("q5_0", 32, 22),
    7: ("q5_1", 32, 24),
    8: ("q8_0", 32, 34),
}


class FormatError(ValueError):
    """The file is not a ggml speech model, or it is one that was damaged."""


@dataclass(frozen=True)
class Header:
    """The eleven integers behind the magic number, in file order."""

    n_vocab: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    n_text_ctx: int
    n_text_state: int
    n_text_head: int
    n_text_layer: int
    n_mels: int
    ftype: int

    def pack(self) -> bytes:
        """The header's bytes, magic number first."""
        values = [getattr(self, f.name) for f in fields(self)]
        return struct.pack("<12i", MAGIC, *values)


@dataclass
class Tensor:
    """A tensor as it lies in a file: `shape` is numpy's order, `data` the raw bytes."""

    shape: tuple[int, ...]
    type: int
    data: bytes

    @property
    def type_name(self) -> str:
        """The ggml name of the element type."""
        return BLOCKS[self.type][0]

    def values(self) -> npt.NDArray[np.float32]:
        """The values of a float32 or float16 tensor. Raises FormatError for a quantised one."""
        if self.type not in (TYPE_F32, TYPE_F16):
            raise FormatError(f"tensor is {self.type_name}, not f32 or f16")
        dtype = "<f4" if self.type == TYPE_F32 else "<f2"
        return np.frombuffer(self.data, dtype=dtype).astype(np.float32).reshape(self.shape)


@dataclass
class Model:
    """A whole file, read into memory."""

    header: Header
    mel_filters: npt.NDArray[np.float32]
    vocabulary: list[bytes]
    tensors: dict[str, Tensor] = field(default_factory=dict)


def needs_float32(name: str, array: npt.NDArray[np.generic]) -> bool:
    """Whether libwhisper expects this tensor as float32 (else float16)."""
    return array.ndim == 1 or name.endswith("positional_embedding")


def make_tensor(name: str, array: npt.NDArray[np.generic]) -> Tensor:
    """Give an array the type and the shape under which libwhisper looks for it."""
    if not np.isfinite(array.astype(np.float32)).all():
        raise FormatError(f"{name}: has values that are not finite")
    as_f32 = needs_float32(name, array)
    if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
        array = array.reshape(-1, 1)
    data = np.ascontiguousarray(array, dtype="<f4" if as_f32 else "<f2")
    if not np.isfinite(data).all():
        raise FormatError(f"{name}: does not fit into float16")
    return Tensor(tuple(data.shape), TYPE_F32 if as_f32 else TYPE_F16, data.tobytes())


def write(
    path: Path,
    header: Header,
    mel_filters: npt.NDArray[np.float32],
    vocabulary: list[bytes],
    tensors: Iterable[tuple[str, Tensor]],
) -> None:
    """Write a model file. Raises OSError; leaves a partial file behind only then."""
    with path.open("wb") as out:
        out.write(header.pack())
        out.write(struct.pack("<2i", *mel_filters.shape))
        out.write(np.ascontiguousarray(mel_filters, dtype="<f4").tobytes())
        out.write(struct.pack("<i", len(vocabulary)))
        for token in vocabulary:
            out.write(struct.pack("<I", len(token)) + token)
        for name, tensor in tensors:
            encoded = name.encode()
            out.write(struct.pack("<3i", len(tensor.shape), len(encoded), tensor.type))
            out.write(struct.pack(f"<{len(tensor.shape)}i", *reversed(tensor.shape)))
            out.write(encoded)
            out.write(tensor.data)


class _Reader:
    """Reads exactly as many bytes as asked, or refuses."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self.left = size

    def take(self, count: int, what: str) -> bytes:
        if not 0 <= count <= self.left:
            raise FormatError(f"{what}: {count} bytes wanted, {self.left} left")
        data = self._stream.read(count)
        if len(data) != count:
            raise FormatError(f"{what}: the file changed while it was read")
        self.left -= count
        return data

    def ints(self, count: int, what: str) -> tuple[int, ...]:
        return struct.unpack(f"<{count}i", self.take(4 * count, what))


def _read_tensor(reader: _Reader) -> tuple[str, Tensor]:
    n_dims, name_len, type_number = reader.ints(3, "tensor header")
    if not 1 <= n_dims <= 4:
        raise FormatError(f"tensor with {n_dims} dimensions")
    if type_number not in BLOCKS:
        raise FormatError(f"tensor of unknown type {type_number}")
    dims = reader.ints(n_dims, "tensor dimensions")
    if min(dims) <= 0:
        raise FormatError(f"tensor with dimensions {dims}")
    name = reader.take(name_len, "tensor name").decode()
    _, per_block, block_bytes = BLOCKS[type_number]
    if dims[0] % per_block != 0:
        raise FormatError(f"{name}: rows of {dims[0]} values do not divide into blocks of {per_block}")
    count = 1
    for dim in dims:
        count *= dim
    data = reader.take(count // per_block * block_bytes, name)
    return name, Tensor(tuple(reversed(dims)), type_number, data)


def read(path: Path) -> Model:
    """Read a model file whole. Raises OSError, or FormatError for anything but a complete model."""
    with path.open("rb") as stream:
        reader = _Reader(stream, path.stat().st_size)
        magic, *values = reader.ints(12, "header")
        if magic != MAGIC:
            raise FormatError(f"magic number is {magic:#x}, expected {MAGIC:#x}")
        rows, columns = reader.ints(2, "mel filter size")
        if rows <= 0 or columns <= 0:
            raise FormatError(f"mel filters of {rows} x {columns}")
        mel = np.frombuffer(reader.take(4 * rows * columns, "mel filters"), dtype="<f4")
        (n_tokens,) = reader.ints(1, "vocabulary size")
        vocabulary = []
        for _ in range(n_tokens):
            (length,) = reader.ints(1, "token length")
            vocabulary.append(reader.take(length, "token"))
        model = Model(Header(*values), mel.reshape(rows, columns), vocabulary)
        while reader.left:
            name, tensor = _read_tensor(reader)
            if name in model.tensors:
                raise FormatError(f"{name}: twice in the file")
            model.tensors[name] = tensor
    return model
