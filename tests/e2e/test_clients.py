"""Programs that people already have: curl, requests, the OpenAI SDK, a Prometheus reader, nitriding's client."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import subprocess

import cbor2
import openai
import pytest
import requests
from support import Enclave, sample, says_the_same

REFERENCE = sample().with_suffix(".txt").read_text()


@pytest.fixture(scope="module")
def certificate(enclave: Enclave) -> str:
    """The attested certificate, saved once."""
    return str(enclave.certificate())


def curl(*args: str) -> subprocess.CompletedProcess:
    return subprocess.run(["curl", "-sS", "--max-time", "60", *args], capture_output=True, check=False, timeout=90)


def test_curl_predict(enclave: Enclave, certificate: str) -> None:
    done = curl("--cacert", certificate, "-F", f"audio=@{sample()}", f"{enclave.url}/whisper/predict")
    assert done.returncode == 0, done.stderr
    assert says_the_same(REFERENCE, json.loads(done.stdout))


def test_curl_with_another_certificate_is_refused(enclave: Enclave, tmp_path) -> None:
    other = tmp_path / "other.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
         tmp_path / "key.pem", "-out", other, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True, timeout=20,
    )  # fmt: skip
    assert curl("--cacert", str(other), f"{enclave.url}/healthz").returncode == 60


def test_requests_predict(enclave: Enclave, certificate: str) -> None:
    with sample().open("rb") as audio:
        answer = requests.post(f"{enclave.url}/whisper/predict", files={"audio": audio}, verify=certificate, timeout=60)
    assert answer.status_code == 200
    assert says_the_same(REFERENCE, json.loads(answer.text))


@pytest.fixture(scope="module")
def sdk(enclave: Enclave, certificate: str) -> openai.OpenAI:
    """The OpenAI SDK, pointed at the enclave."""
    context = ssl.create_default_context(cafile=certificate)
    http = openai.DefaultHttpx2Client(verify=context)
    return openai.OpenAI(api_key="unused", base_url=f"{enclave.url}/v1", http_client=http, max_retries=0, timeout=60)


def test_openai_json_and_text(sdk: openai.OpenAI) -> None:
    with sample().open("rb") as audio:
        answer = sdk.audio.transcriptions.create(model="whisper-1", file=audio, response_format="json")
    assert says_the_same(REFERENCE, answer.text)
    with sample().open("rb") as audio:
        text = sdk.audio.transcriptions.create(model="demo-speech", file=audio, response_format="text")
    assert text.strip() == answer.text


def test_openai_models(sdk: openai.OpenAI) -> None:
    names = [model.id for model in sdk.models.list()]
    assert names == ["demo-speech"]
    assert sdk.models.retrieve("demo-speech").object == "model"
    with pytest.raises(openai.NotFoundError) as caught:
        sdk.models.retrieve("gpt-4")
    assert caught.value.code == "model_not_found"


def test_openai_errors_in_its_dialect(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"not audio at all"))
    assert caught.value.type == "invalid_request_error"
    with pytest.raises(openai.NotFoundError) as caught, sample().open("rb") as audio:
        sdk.audio.transcriptions.create(model="gpt-4o-transcribe", file=audio)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as caught, sample().open("rb") as audio:
        sdk.audio.transcriptions.create(model="whisper-1", file=audio, response_format="srt")
    assert caught.value.param == "response_format"
    with pytest.raises(openai.BadRequestError) as caught, sample().open("rb") as audio:
        sdk.audio.transcriptions.create(model="whisper-1", file=audio, language="xx")
    assert caught.value.param == "language"


def document_of(cose: bytes) -> dict:
    """The payload of a COSE_Sign1, read by another CBOR library."""
    items = cbor2.loads(cose)
    assert cbor2.loads(items[0]) == {1: -35} and len(items) == 4 and len(items[3]) == 96
    return cbor2.loads(items[2])


def test_attestation_without_nonce(enclave: Enclave) -> None:
    certificate = enclave.get("/enclave/cert")
    assert certificate.headers["content-type"] == "application/x-x509-ca-cert"
    answer = enclave.get("/enclave/attestation")
    assert answer.headers["content-type"] == "application/cbor"
    document = document_of(answer.body)
    assert document["user_data"] == b"sha256:" + hashlib.sha256(certificate.body).digest() + b";sha256:" + bytes(32)
    assert document["nonce"] is None
    assert document["digest"] == "SHA384"
    assert len(document["cabundle"]) == 4


def test_attestation_with_nonce(enclave: Enclave) -> None:
    certificate = enclave.get("/enclave/cert").body
    nonce = bytes(range(20))
    answer = enclave.get(f"/enclave/attestation?nonce={nonce.hex()}")
    assert answer.status == 200 and answer.body.endswith(b"\n")
    document = document_of(base64.b64decode(answer.body.removesuffix(b"\n"), validate=True))
    assert document["nonce"] == nonce
    digest = hashlib.sha256(certificate).digest()
    assert document["user_data"] == b"\x12\x20" + digest + b"\x12\x20" + bytes(32)
    assert document["pcrs"][16] != bytes(48)


@pytest.mark.parametrize("nonce", ["", "00", "zz" * 20, "00" * 19, "00" * 21])
def test_bad_nonce(enclave: Enclave, nonce: str) -> None:
    assert enclave.get(f"/enclave/attestation?nonce={nonce}").status == 400


def test_operators_routes(enclave: Enclave) -> None:
    assert enclave.get("/enclave").status == 200
    assert enclave.get("/healthz").status == 200
    assert enclave.get("/readyz").status == 200
    answer = enclave.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    names = set()
    for line in answer.text.splitlines():
        if line.startswith("# TYPE "):
            names.add(line.split()[2])
        elif not line.startswith("#"):
            head, _, value = line.rpartition(" ")
            float(value)
            name = head.partition("{")[0]
            base = [name.removesuffix(s) for s in ("", "_bucket", "_sum", "_count")]
            assert names & set(base), f"{name} has no TYPE line before it"
    assert "blindbox_requests_total" in names
    assert "a.wav" not in answer.text and "nonce" not in answer.text
