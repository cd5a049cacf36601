"""`blindbox verify`: documents and certificates in files, in every encoding; published, emulated and bad ones."""

from __future__ import annotations

import base64
import csv
import json
import subprocess
import textwrap
import time
from pathlib import Path

import pytest
from support import PROGRAM, SHARED, Enclave, run

VECTORS = SHARED / "vectors"
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason=f"no published evidence at {VECTORS}")


def manifest() -> list[dict[str, str]]:
    """The rows of the vectors' MANIFEST.tsv."""
    if not VECTORS.is_dir():
        return []
    with (VECTORS / "MANIFEST.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def facts() -> dict[str, dict]:
    """What an independent reader found in each Nitro document, by path."""
    if not VECTORS.is_dir():
        return {}
    lines = (VECTORS / "nitro-facts.jsonl").read_text().splitlines()
    return {fact["file"]: fact for fact in map(json.loads, lines)}


FACTS = facts()
DOCUMENTS = [row for row in manifest() if row["kind"] in ("nitro-doc", "nitrotpm-doc", "cose-foreign")]


def measurements(pcrs: dict[str, str], tmp_path: Path) -> Path:
    """A measurements file that demands these PCRs (index -> hexadecimal)."""
    path = tmp_path / "measurements.json"
    values = {"HashAlgorithm": "Sha384 { ... }"} | {f"PCR{i}": v for i, v in pcrs.items()}
    path.write_text(json.dumps({"Measurements": values}))
    return path


def judge(file: Path | str, *options: str | Path, stdin: bytes | None = None) -> tuple[int, dict]:
    """Exit status and JSON of `blindbox verify`."""
    done = run("verify", file, "--json", *options, stdin=stdin)
    assert done.returncode in (0, 3), done.stderr
    answer = json.loads(done.stdout)
    assert answer["verified"] is (done.returncode == 0)
    assert answer["verified"] is all(check["passed"] for check in answer["checks"])
    assert ("document" in answer) is answer["verified"]
    return done.returncode, answer


def failures(answer: dict) -> list[str]:
    """The codes of the checks that failed, in order."""
    return [check["code"] for check in answer["checks"] if not check["passed"]]


CODE_OF_VERDICT = {
    "VALID": "BB_OK",
    "VALID-DEBUG": "BB_ERR_DEBUG_MODE",
    "INVALID-SIGNATURE": "BB_ERR_COSE_SIGNATURE",
    "INVALID-ROOT": "BB_ERR_CHAIN_ROOT",
    "NOT-ENCLAVE": "BB_ERR_DOCUMENT_NOT_ENCLAVE",
    "MALFORMED / not a Nitro document": None,  # for whatever reason
}


@needs_vectors
@pytest.mark.parametrize("row", DOCUMENTS, ids=lambda row: row["path"])
def test_published_documents_get_their_verdicts(row: dict[str, str], tmp_path: Path) -> None:
    file, fact = VECTORS / row["path"], FACTS.get(row["path"], {})
    demanded = measurements({i: v for i, v in fact.get("pcrs", {"0": "00" * 48}).items()}, tmp_path)
    status, answer = judge(file, "--time", "document", "--measurements", demanded)
    expected = CODE_OF_VERDICT[row["expected"]]
    assert status == (0 if row["expected"] == "VALID" else 3)
    assert answer["code"] == expected or expected is None, answer["error"]
    assert answer["simulated"] is False
    if row["expected"] == "VALID-DEBUG":
        assert failures(answer) == ["BB_ERR_DEBUG_MODE"]
        status, answer = judge(file, "--time", "document", "--measurements", demanded, "--allow-debug")
        assert status == 0, answer["error"]
    # Whatever the document was worth when it was made, today it is too old.
    status, answer = judge(file, "--measurements", demanded, "--allow-debug")
    assert status == 3
    if row["expected"] in ("VALID", "VALID-DEBUG"):
        assert answer["code"] == "BB_ERR_CHAIN_EXPIRED"
        assert failures(answer)[-1] == "BB_ERR_DOCUMENT_OLD"


@needs_vectors
@pytest.mark.parametrize("path", FACTS)
def test_every_field_is_shown_as_an_independent_reader_found_it(path: str) -> None:
    fact = FACTS[path]
    status, answer = judge(VECTORS / path, "--time", "document")
    assert status == 3 and answer["code"] == "BB_ERR_POLICY_EMPTY"
    document = answer["unverified_document"]
    assert document["module_id"] == fact["module_id"]
    assert document["timestamp_ms"] == fact["timestamp_ms"]
    assert document["digest"] == fact["digest"]
    # The registers of a NitroTPM are not an enclave's, and are not shown as such.
    pcrs = {} if fact["verdict"] == "NOT-ENCLAVE" else fact["pcrs"]
    assert document["pcrs"] == {f"PCR{i}": value for i, value in pcrs.items()}
    for field in ("public_key", "user_data", "nonce"):
        assert document[field] == fact[field], field
    certificates = document["certificates"]
    assert len(certificates) == fact["cabundle_certs"] + 1
    assert certificates[0]["sha256"] == fact["root_sha256"]
    assert certificates[-1]["sha256"] == fact["leaf_sha256"]
    assert [[c["not_before"], c["not_after"]] for c in certificates] == fact["validity_root_to_leaf"]
    for issuer, issued in zip(certificates, certificates[1:], strict=False):
        assert issued["issuer"] == issuer["subject"]
    # The text says the same.
    text = run("verify", VECTORS / path, "--time", "document").stdout.decode()
    assert "NOT VERIFIED document" in text and "\nVERIFIED" not in text
    fields = [fact[field] for field in ("public_key", "user_data", "nonce")]
    assert sum(line.split()[-1] == "absent" for line in text.splitlines()) == fields.count(None)
    for value in [fact["module_id"], fact["leaf_sha256"], *pcrs.values(), *filter(None, fields)]:
        assert value in text


@needs_vectors
def test_a_wrong_root_is_not_taken_for_the_right_one(tmp_path: Path) -> None:
    path = next(p for p, fact in FACTS.items() if fact["verdict"] == "VALID")
    demanded = measurements(FACTS[path]["pcrs"], tmp_path)
    options = ("--time", "document", "--measurements", demanded, "--root")
    status, answer = judge(VECTORS / path, *options, VECTORS / "roots/aws_nitro_root_g1.pem")
    assert status == 0 and answer["simulated"] is False
    wrong = VECTORS / "roots/negative_aws_root_invalid.pem"
    done = run("verify", VECTORS / path, *options, wrong)
    assert done.returncode in (1, 3), done.stdout
    assert b"Attestation verified" not in done.stdout


@pytest.fixture(scope="module")
def kept(enclave: Enclave, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What attest saves of the emulator's enclave, and the policy under which it is good."""
    folder = tmp_path_factory.mktemp("kept")
    files = {"document": folder / "document.cbor", "certificate": folder / "certificate.pem"}
    done = enclave.blindbox(
        "attest", enclave.info["address"], "--root", enclave.info["root"], "--measurements",
        enclave.info["measurements"], "--save-document", files["document"], "--save-cert", files["certificate"],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return files | {"root": Path(enclave.info["root"]), "measurements": Path(enclave.info["measurements"])}


def policy(kept: dict[str, Path]) -> tuple[str | Path, ...]:
    return ("--root", kept["root"], "--measurements", kept["measurements"])


def der(pem: Path) -> bytes:
    """A certificate's DER, by OpenSSL."""
    command = ["openssl", "x509", "-in", pem, "-outform", "DER"]
    return subprocess.run(command, capture_output=True, check=True, timeout=20).stdout


def lines(text: bytes, width: int) -> bytes:
    return "\n".join(textwrap.wrap(text.decode(), width)).encode() + b"\r\n"


ENCODINGS = {
    "raw": lambda data: data,
    "base64": lambda data: base64.b64encode(data) + b"\n",
    "base64 in lines": lambda data: lines(base64.b64encode(data), 76),
    "base64 of the URL alphabet, unpadded": lambda data: base64.urlsafe_b64encode(data).rstrip(b"="),
    "hex": lambda data: data.hex().encode(),
    "hex in lines": lambda data: lines(data.hex().upper().encode(), 60),
    "hex with 0x": lambda data: b"0x" + data.hex().encode() + b"\n",
}
NAMES = {"raw": ("CBOR", "DER")}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", ["document", "certificate"])
@pytest.mark.parametrize("where", ["file", "stdin"])
def test_every_encoding(kept: dict[str, Path], tmp_path: Path, encoding: str, kind: str, where: str) -> None:
    plain = kept["document"].read_bytes() if kind == "document" else der(kept["certificate"])
    data = ENCODINGS[encoding](plain)
    file = tmp_path / "evidence"
    file.write_bytes(data)
    status, answer = judge(
        file if where == "file" else "-", *policy(kept), stdin=data if where == "stdin" else None
    )  # fmt: skip
    assert status == 0, answer["error"]
    assert answer["kind"] == kind
    expected = NAMES.get(encoding, (encoding.split()[0],) * 2)
    assert answer["encoding"] == expected[kind == "certificate"]
    assert answer["simulated"] is True
    assert answer["document"]["pcrs"]["PCR0"] == json.loads(kept["measurements"].read_text())["Measurements"]["PCR0"]


def test_the_emulators_document_in_words(kept: dict[str, Path]) -> None:
    done = run("verify", kept["document"], *policy(kept))
    assert done.returncode == 0 and done.stderr == b""
    text = done.stdout.decode().splitlines()
    assert text[0].startswith("SIMULATED")
    assert "VERIFIED document:" in text and text[-1] == "Attestation verified: every check passed."
    assert not [line for line in text if line.startswith("FAILED")]
    assert sum("certificate " in line and " of 5" in line for line in text if line.startswith("  ")) == 5
    assert any(line.split()[:2] == ["nonce", "absent"] for line in text)


def test_a_certificate_in_pem(kept: dict[str, Path], tmp_path: Path) -> None:
    done = run("verify", kept["certificate"], *policy(kept))
    assert done.returncode == 0, done.stderr
    assert b"VERIFIED certificate:" in done.stdout and b"CN=BlindBox enclave" in done.stdout
    assert b"Only a handshake proves that" in done.stdout
    # A certificate with no evidence in it, and evidence in a certificate of another key.
    key = tmp_path / "key.pem"
    other = tmp_path / "other.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
         "-out", other, "-subj", "/CN=BlindBox enclave"],
        check=True, capture_output=True, timeout=20,
    )  # fmt: skip
    status, answer = judge(other, *policy(kept))
    assert status == 3 and answer["code"] == "BB_ERR_EVIDENCE_MISSING"
    assert answer["unverified_document"] is None and answer["certificate"]["key"] == "P-256"
    oid = "2.25.19491097476254907414874394232724310514"
    document = kept["document"].read_bytes()
    extension = b"\x04\x82" + len(document).to_bytes(2) + document
    subprocess.run(
        ["openssl", "req", "-x509", "-key", key, "-out", other, "-subj", "/CN=BlindBox enclave", "-addext",
         f"{oid}=DER:{extension.hex()}"],
        check=True, capture_output=True, timeout=20,
    )  # fmt: skip
    status, answer = judge(other, *policy(kept))
    assert status == 3 and failures(answer) == ["BB_ERR_KEY_BINDING"], answer["error"]


def test_the_fields_that_the_caller_knows(enclave: Enclave, kept: dict[str, Path], tmp_path: Path) -> None:
    nonce = bytes(range(20)).hex()
    answer_of_server = enclave.get(f"/enclave/attestation?nonce={nonce}").body
    file = tmp_path / "answer.b64"
    file.write_bytes(answer_of_server)
    status, answer = judge(file, *policy(kept), "--nonce", nonce)
    assert status == 0 and answer["encoding"] == "base64"
    user_data = answer["document"]["user_data"]
    assert judge(file, *policy(kept), "--nonce", nonce.upper(), "--user-data", user_data)[0] == 0
    text = run("verify", file, *policy(kept)).stdout.decode()
    certificate = subprocess.run(
        ["openssl", "dgst", "-sha256", "-r"], input=enclave.get("/enclave/cert").body, capture_output=True, timeout=20,
        check=True,
    ).stdout.split()[0].decode()  # fmt: skip
    assert f"SHA-256 of a certificate   {certificate}" in text
    status, answer = judge(file, *policy(kept), "--nonce", "00" * 20, "--user-data", "")
    assert failures(answer) == ["BB_ERR_NONCE", "BB_ERR_USER_DATA"]
    # The evidence in the certificate names the certificate's key.
    assert judge(kept["document"], *policy(kept), "--public-key", kept["certificate"])[0] == 0
    spki = tmp_path / "key"
    spki.write_bytes(bytes.fromhex(judge(kept["document"], *policy(kept))[1]["document"]["public_key"]))
    assert judge(kept["document"], *policy(kept), "--public-key", spki)[0] == 0
    assert failures(judge(kept["document"], *policy(kept), "--public-key", kept["measurements"])[1]) == [
        "BB_ERR_KEY_BINDING"
    ]


def test_all_failures_are_listed_and_the_cause_comes_first(kept: dict[str, Path], tmp_path: Path) -> None:
    broken = bytearray(kept["document"].read_bytes())
    broken[-1] ^= 1
    file = tmp_path / "broken.cbor"
    file.write_bytes(broken)
    wrong = json.loads(kept["measurements"].read_text())["Measurements"]
    demanded = measurements({"0": "11" * 48, "1": wrong["PCR1"], "16": "22" * 48}, tmp_path)
    later = str(int(time.time()) + 5 * 3600)
    status, answer = judge(
        file, "--root", kept["root"], "--measurements", demanded, "--nonce", "00", "--time", later
    )  # fmt: skip
    assert status == 3
    assert failures(answer) == [
        "BB_ERR_CHAIN_EXPIRED", "BB_ERR_COSE_SIGNATURE", "BB_ERR_DOCUMENT_OLD", "BB_ERR_PCR_MISMATCH",
        "BB_ERR_PCR_MISMATCH", "BB_ERR_NONCE",
    ]  # fmt: skip
    assert answer["code"] == failures(answer)[0]
    done = run("verify", file, "--root", kept["root"], "--measurements", demanded, "--nonce", "00", "--time", later)
    errors = done.stderr.decode().splitlines()
    assert errors[0].startswith("Attestation verification failed: ") and "expired" in errors[0]
    assert len(errors) == 6 and all(line.startswith("  and: ") for line in errors[1:])
    assert f"PCR0 is {wrong['PCR0']}, expected {'11' * 48}" in errors[3]


def test_without_measurements_nothing_is_good_and_all_is_checked(kept: dict[str, Path]) -> None:
    status, answer = judge(kept["document"], "--root", kept["root"])
    assert status == 3 and failures(answer) == ["BB_ERR_POLICY_EMPTY"]
    assert len(answer["checks"]) > 10
    status, answer = judge(kept["document"], "--measurements", kept["measurements"])
    assert failures(answer) == ["BB_ERR_CHAIN_ROOT"] and answer["simulated"] is False


def test_time(kept: dict[str, Path]) -> None:
    made = judge(kept["document"], *policy(kept))[1]["document"]["timestamp_ms"] // 1000
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(made))
    east = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(made + 5400))
    for moment in (str(made + 1), f"{stamp}Z", f"{stamp}.999Z", f"{stamp}+00:00", f"{east}+01:30"):
        status, answer = judge(kept["document"], *policy(kept), "--time", moment)
        assert status == 0, (moment, answer["error"])
        assert answer["time"].startswith(time.strftime("%Y-%m-%dT%H:%M", time.gmtime(made)))
    assert failures(judge(kept["document"], *policy(kept), "--time", str(made + 3700))[1]) == ["BB_ERR_DOCUMENT_OLD"]
    assert judge(kept["document"], *policy(kept), "--time", str(made + 3700), "--max-age", "3700")[0] == 0
    status, answer = judge(kept["document"], *policy(kept), "--time", str(made - 3600))
    assert status == 3 and "BB_ERR_DOCUMENT_FUTURE" in failures(answer)
    for moment in ("", "yesterday", stamp, f"{stamp}+1:30", f"{stamp}+24:00", "2026-02-30T00:00:00Z",
                   "2026-02-03 00:00:00Z", f"{stamp}.Z", f"{stamp}Z ", "-1", "9" * 30, "1e9"):  # fmt: skip
        assert run("verify", kept["document"], *policy(kept), "--time", moment).returncode == 2, moment


def test_what_is_no_evidence_fails(kept: dict[str, Path], tmp_path: Path) -> None:
    whole = kept["document"].read_bytes()
    pieces = (b"", b"hello\n", b"\0" * 100, whole[:-1], whole + b"\0", b"{}", b"0", b"0\x82", bytes(range(256)) * 80)
    for data in (*pieces, base64.b64encode(whole[:-5]), whole.hex().encode()[:-1]):
        file = tmp_path / "no"
        file.write_bytes(data)
        status, answer = judge(file, *policy(kept))
        assert status == 3 and answer["unverified_document"] is None, data[:20]
    # A stranger's text in the document's fields cannot move the cursor.
    text = run("verify", "-", stdin=whole.replace(b"i-", b"\x1b[", 1)).stdout
    assert b"module id   ?[" in text and b"\x1b" not in text


def test_what_cannot_be_judged(kept: dict[str, Path], tmp_path: Path) -> None:
    assert run("verify", tmp_path / "missing", *policy(kept)).returncode == 1
    assert run("verify", tmp_path, *policy(kept)).returncode == 1
    large = tmp_path / "large"
    large.write_bytes(bytes(1024 * 1024))
    assert run("verify", large, *policy(kept)).returncode == 1
    bad = tmp_path / "bad.pem"
    bad.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert run("verify", bad, *policy(kept)).returncode == 1
    for option in ("--root", "--measurements", "--public-key"):
        assert run("verify", kept["document"], option, tmp_path / "missing").returncode == 1
    for options in (("--nonce", "0"), ("--nonce", "zz"), ("--user-data", "00" * 1025), ("--max-age", "0"),
                    ("--unknown",), ("another",)):  # fmt: skip
        assert run("verify", kept["document"], *options).returncode == 2, options
    assert run("verify", kept["certificate"], *policy(kept), "--nonce", "00").returncode == 2
    with Path("/dev/full").open("wb") as full:
        command = [PROGRAM, "verify", kept["document"], *policy(kept)]
        assert subprocess.run(command, stdout=full, timeout=60, check=False).returncode == 1
