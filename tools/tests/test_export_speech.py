"""The export of speech models, and the model and samples that are in the repository."""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import wave
from pathlib import Path

import ggml_file
import mel_filters
import numpy as np
import pytest
import vocabulary
import wer

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / "models/demo-speech.bin"
EXPORT = ROOT / "tools/export_speech"
SAMPLES = sorted((ROOT / "models/samples").glob("*.wav"))
WIDTH = 64


def ranks_source() -> str:
    """A vocabulary of the real size in the package's form, in two pieces as a package may split it."""
    words = [base64.b64encode(b"w%d" % i).decode() for i in range(vocabulary.N_RANKS)]
    lines = f"! 0 {' '.join(words[:1000])}\\n! 1000 {' '.join(words[1000:])}"
    return f'export default {{"bpe_ranks":"{lines}"}};'


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "js-tiktoken.tgz"
    data = ranks_source().encode()
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo(vocabulary.MEMBER)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return path


def small_weights() -> dict[str, np.ndarray]:
    """Random weights with every tensor of an architecture of one encoder and one decoder layer."""
    random = np.random.default_rng(1)
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.positional_embedding": (10, WIDTH),
        "encoder.conv1.weight": (WIDTH, 80, 3),
        "encoder.conv1.bias": (WIDTH,),
        "encoder.conv2.weight": (WIDTH, WIDTH, 3),
        "encoder.conv2.bias": (WIDTH,),
        "decoder.positional_embedding": (20, WIDTH),
        "decoder.token_embedding.weight": (ggml_file.ENGLISH_N_VOCAB, WIDTH),
    }
    for block, attentions in (("encoder.blocks.0", ["attn"]), ("decoder.blocks.0", ["attn", "cross_attn"])):
        for attention in attentions:
            for part in ("query", "key", "value", "out"):
                shapes[f"{block}.{attention}.{part}.weight"] = (WIDTH, WIDTH)
            for part in ("query", "value", "out"):
                shapes[f"{block}.{attention}.{part}.bias"] = (WIDTH,)
        shapes[f"{block}.mlp.0.weight"] = (4 * WIDTH, WIDTH)
        shapes[f"{block}.mlp.0.bias"] = (4 * WIDTH,)
        shapes[f"{block}.mlp.2.weight"] = (WIDTH, 4 * WIDTH)
        shapes[f"{block}.mlp.2.bias"] = (WIDTH,)
        for norm in [*(f"{a}_ln" for a in attentions), "mlp_ln"]:
            shapes[f"{block}.{norm}.weight"] = shapes[f"{block}.{norm}.bias"] = (WIDTH,)
    for norm in ("encoder.ln_post", "decoder.ln"):
        shapes[f"{norm}.weight"] = shapes[f"{norm}.bias"] = (WIDTH,)
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def run_export(tmp_path: Path, weights: dict[str, np.ndarray], package: Path) -> tuple[int, str]:
    np.savez(tmp_path / "weights.npz", **weights)
    command = [sys.executable, EXPORT, tmp_path / "weights.npz", package, tmp_path / "model.bin"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stderr


def test_export_keeps_every_value(tmp_path: Path, package: Path) -> None:
    weights = small_weights()
    assert run_export(tmp_path, weights, package) == (0, "")
    model = ggml_file.read(tmp_path / "model.bin")
    header = ggml_file.Header(ggml_file.ENGLISH_N_VOCAB, 10, WIDTH, 1, 1, 20, WIDTH, 1, 1, 80, 1)
    assert model.header == header
    assert model.vocabulary[1000] == b"w1000"
    assert model.vocabulary[-1] == vocabulary.END_OF_TEXT
    assert model.tensors.keys() == weights.keys()
    for name, array in weights.items():
        tensor = model.tensors[name]
        exact = array.ndim == 1 or "positional" in name
        assert tensor.type_name == ("f32" if exact else "f16"), name
        stored = array if exact else array.astype(np.float16).astype(np.float32)
        assert np.array_equal(tensor.values().reshape(array.shape), stored), name
    assert model.tensors["encoder.conv1.bias"].shape == (WIDTH, 1)


def test_export_refuses_what_libwhisper_would_misread(tmp_path: Path, package: Path) -> None:
    good = small_weights()
    missing = {name: array for name, array in good.items() if name != "decoder.ln.bias"}
    assert run_export(tmp_path, missing, package) == (1, "export_speech: decoder.ln.bias: missing\n")
    extra = good | {"decoder.blocks.0.attn.key.bias": np.zeros(WIDTH, np.float32)}
    status, said = run_export(tmp_path, extra, package)
    assert status == 1 and "attn.key.bias: has no place" in said
    wrong = good | {"decoder.ln.bias": np.zeros(WIDTH + 1, np.float32)}
    status, said = run_export(tmp_path, wrong, package)
    assert status == 1 and "expected (64,)" in said
    huge = good | {"encoder.conv2.weight": np.full((WIDTH, WIDTH, 3), 1e6, np.float32)}
    status, said = run_export(tmp_path, huge, package)
    assert status == 1 and "does not fit into float16" in said
    second = {n.replace("decoder.blocks.0", "decoder.blocks.1"): a for n, a in good.items()}
    status, said = run_export(tmp_path, good | second, package)
    assert status == 1 and "2 decoder layers" in said
    multilingual = good | {"decoder.token_embedding.weight": np.zeros((51865, WIDTH), np.float32)}
    status, said = run_export(tmp_path, multilingual, package)
    assert status == 1 and "n_vocab is 51865" in said


def test_vocabulary_refuses_gaps_and_short_lists() -> None:
    good = ranks_source()
    assert len(vocabulary.parse_ranks(good)) == vocabulary.N_RANKS + 1
    for bad in (good.replace("! 1000 ", "! 1001 "), good[: good.rfind(" ")] + '"};', "nothing", "{}"):
        with pytest.raises(vocabulary.VocabularyError):
            vocabulary.parse_ranks(bad)


def test_mel_scale_at_its_fixed_points() -> None:
    hz = np.array([0.0, 200.0, 1000.0, 6400.0])
    mel = np.array([0.0, 3.0, 15.0, 42.0])
    assert np.allclose(mel_filters.hz_to_mel(hz), mel)
    assert np.allclose(mel_filters.mel_to_hz(mel), hz)


def test_mel_filters_are_triangles_of_unit_area() -> None:
    bank = mel_filters.mel_filters(80)
    assert bank.shape == (80, 201) and bank.min() == 0.0
    bin_hz = mel_filters.SAMPLE_RATE_HZ / mel_filters.FFT_SIZE
    assert np.allclose(bank.sum(axis=1) * bin_hz, 1.0, atol=0.09)  # coarse: 40 Hz bins
    assert (np.diff(bank.argmax(axis=1)) >= 0).all()


def test_mel_filters_are_librosas() -> None:
    librosa = pytest.importorskip("librosa")
    wanted = librosa.filters.mel(sr=16000, n_fft=400, n_mels=80)
    assert np.abs(mel_filters.mel_filters(80) - wanted).max() < 1e-8


def test_reader_refuses_every_kind_of_damage(tmp_path: Path) -> None:
    whole = MODEL.read_bytes()
    damaged = tmp_path / "damaged.bin"
    tail_start = whole.index(b"decoder.ln.bias")
    for length in (0, 3, 47, 55, 60, 64_000, 70_000, tail_start, len(whole) - 1000, len(whole) - 1):
        damaged.write_bytes(whole[:length])
        with pytest.raises(ggml_file.FormatError):
            ggml_file.read(damaged)
    for wrong in (b"X" + whole[1:], whole + b"\0", whole + whole[tail_start - 16 :]):
        damaged.write_bytes(wrong)
        with pytest.raises(ggml_file.FormatError):
            ggml_file.read(damaged)


def test_demonstration_model_is_what_its_card_says() -> None:
    model = ggml_file.read(MODEL)
    assert MODEL.stat().st_size <= 15_000_000
    assert (model.header.n_audio_layer, model.header.n_text_layer, model.header.n_audio_state) == (4, 3, 192)
    assert model.tensors["decoder.token_embedding.weight"].type_name == "q5_1"
    assert np.abs(model.mel_filters - mel_filters.mel_filters(80)).max() < 1e-8
    assert model.vocabulary[:3] == [b"!", b'"', b"#"] and model.vocabulary[188] == b"\x00"
    assert len(model.vocabulary) == len(set(model.vocabulary)) == vocabulary.N_RANKS + 1


def test_checksums() -> None:
    listed = (ROOT / "models/SHA256SUMS").read_text().splitlines()
    names = set()
    for line in listed:
        digest, name = line.split("  ")
        names.add(name)
        assert hashlib.sha256((ROOT / "models" / name).read_bytes()).hexdigest() == digest, name
    samples = {f"samples/{path.name}" for path in (ROOT / "models/samples").iterdir()}
    assert names == samples | {"demo-speech.bin"}


def test_samples_are_recordings_with_transcripts() -> None:
    assert len(SAMPLES) == 3
    for path in SAMPLES:
        with wave.open(str(path)) as sound:
            assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (16_000, 1, 2)
            assert sound.getnframes() > 16_000
        assert wer.split_words(path.with_suffix(".txt").read_text())


@pytest.mark.skipif(shutil.which("whisper-cli") is None, reason="needs whisper-cli")
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_model_transcribes_its_samples(path: Path) -> None:
    command = ["whisper-cli", "-m", MODEL, "-f", path, "-np", "-nt", "-t", "2"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert wer.word_errors(path.with_suffix(".txt").read_text(), done.stdout).errors == 0
