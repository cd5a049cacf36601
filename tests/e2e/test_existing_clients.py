"""Clients that exist already, unmodified or re-enacted (tests/e2e/clients): each works, and refuses what it can.

The man in the middle forwards genuine evidence of the genuine enclave: what a client sees of the enclave through it is
all true, except that the TLS connection ends in the wrong place.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support import PROGRAM, Enclave, sample, says_the_same, wait_until

CLIENTS = Path(__file__).parent / "clients"
sys.path.insert(0, str(CLIENTS))
from relay import Relay  # noqa: E402  (beside the clients)

REFERENCE = sample().with_suffix(".txt").read_text()
NODE = os.environ.get("BLINDBOX_NODE", "node")
NODE_MODULES = os.environ.get("BLINDBOX_NODE_MODULES", "/usr/share/nodejs")


@pytest.fixture(scope="module")
def certificate(enclave: Enclave) -> str:
    """The attested certificate, as `blindbox attest --save-cert` saves it."""
    return str(enclave.certificate())


@pytest.fixture
def relay(enclave: Enclave, tmp_path: Path) -> Iterator[Relay]:
    """A man in the middle before the enclave."""
    running = Relay(enclave.port, tmp_path)
    yield running
    running.close()


def expected_pcr0(enclave: Enclave) -> str:
    return json.loads(Path(enclave.info["measurements"]).read_text())["Measurements"]["PCR0"]


def run_client(name: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    """Runs one of the re-enacted clients on the sample."""
    return subprocess.run(
        [sys.executable, CLIENTS / f"{name}.py", *arguments, sample()], capture_output=True, timeout=120, check=False,
        text=True,
    )  # fmt: skip


def nothing_of_the_recording(relay: Relay) -> bool:
    """Has the man in the middle seen neither a POST nor anything of the size of a recording?"""
    return b"POST" not in relay.seen and b"RIFF" not in relay.seen and len(relay.seen) < 4096


# The first BlindBox's own client


def first_client(enclave: Enclave, address: str | None = None, pcr0: str | None = None) -> subprocess.CompletedProcess:
    address = address or f"localhost:{enclave.port}"
    return run_client("first_client", address, enclave.info["root"], pcr0 or expected_pcr0(enclave))


def predictions(enclave: Enclave) -> float:
    """Requests to /whisper/predict that the gate has answered."""
    return enclave.metric("blindbox_requests_total", route="/whisper/predict")


def test_first_client(enclave: Enclave) -> None:
    before = predictions(enclave)
    done = first_client(enclave)
    assert done.returncode == 0, done.stderr
    assert says_the_same(REFERENCE, done.stdout)
    assert predictions(enclave) == before + 1


def test_first_client_refuses_another_image(enclave: Enclave) -> None:
    wrong = "0" * 95 + "1"
    before = predictions(enclave)
    done = first_client(enclave, pcr0=wrong)
    assert done.returncode == 3
    assert f"PCR0 is {expected_pcr0(enclave)}, expected {wrong}" in done.stderr
    assert predictions(enclave) == before


def test_first_client_refuses_another_root(enclave: Enclave, relay: Relay) -> None:
    done = run_client("first_client", f"localhost:{enclave.port}", relay.certificate, expected_pcr0(enclave))
    assert done.returncode == 3 and "trusted root" in done.stderr


def test_first_client_does_not_talk_to_a_man_in_the_middle(enclave: Enclave, relay: Relay, tmp_path: Path) -> None:
    done = first_client(enclave, relay.address)
    assert done.returncode == 1 and "CERTIFICATE_VERIFY_FAILED" in done.stderr, done.stderr
    assert b"GET /enclave/attestation" in relay.seen and nothing_of_the_recording(relay)
    swapping = Relay(enclave.port, tmp_path, swap_certificate=True)
    done = first_client(enclave, swapping.address)
    swapping.close()
    assert done.returncode == 3 and "another certificate" in done.stderr, done.stderr
    assert b"GET /enclave/cert" in swapping.seen and nothing_of_the_recording(swapping)


# nitriding's client


def test_nitriding_client(enclave: Enclave) -> None:
    done = run_client(
        "nitriding_client", f"localhost:{enclave.port}", enclave.info["root"], enclave.info["measurements"]
    )
    assert done.returncode == 0, done.stderr
    assert says_the_same(REFERENCE, done.stdout)


def test_nitriding_client_refuses_another_model(enclave: Enclave, tmp_path: Path) -> None:
    changed = json.loads(Path(enclave.info["measurements"]).read_text())
    changed["Measurements"]["PCR16"] = "ab" * 48
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(changed))
    done = run_client("nitriding_client", f"localhost:{enclave.port}", enclave.info["root"], path)
    assert done.returncode == 3 and "PCR16 is" in done.stderr


def test_nitriding_client_does_not_talk_to_a_man_in_the_middle(enclave: Enclave, relay: Relay) -> None:
    done = run_client("nitriding_client", relay.address, enclave.info["root"], enclave.info["measurements"])
    assert done.returncode == 3 and "another certificate than this connection's" in done.stderr, done.stderr
    assert b"GET /enclave/attestation?nonce=" in relay.seen and nothing_of_the_recording(relay)


# Programs that pin the attested certificate


def curl(certificate: str, address: str) -> subprocess.CompletedProcess:
    """With that certificate alone: Debian's curl also trusts the system's authorities unless --capath is given."""
    return subprocess.run(
        ["curl", "-sS", "--max-time", "60", "--cacert", certificate, "--capath", "/dev/null",
         "-F", f"audio=@{sample()}", f"https://{address}/whisper/predict"],
        capture_output=True, check=False, timeout=90,
    )  # fmt: skip


def test_curl(enclave: Enclave, certificate: str, relay: Relay) -> None:
    done = curl(certificate, f"localhost:{enclave.port}")
    assert done.returncode == 0 and says_the_same(REFERENCE, json.loads(done.stdout))
    assert curl(certificate, relay.address).returncode == 60  # CURLE_PEER_FAILED_VERIFICATION
    assert relay.seen == b""


def test_a_pinned_key_outlives_renewals_and_a_pinned_certificate_does_not(start, relay: Relay) -> None:
    """curl -k --pinnedpubkey compares the key in the handshake, and nothing else about the certificate."""
    short_lived: Enclave = start("--set", "evidence.renew_seconds=2")
    saved = short_lived.certificate()
    pem = Path(saved).read_bytes()
    key = x509.load_pem_x509_certificate(pem).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pin = "sha256//" + base64.b64encode(hashlib.sha256(spki).digest()).decode()
    first = short_lived.get("/enclave/cert").body
    wait_until(lambda: short_lived.get("/enclave/cert").body != first, 20, "a renewed certificate")

    def pinned(port: int) -> int:
        command = ["curl", "-sSk", "--max-time", "60", "--pinnedpubkey", pin, f"https://localhost:{port}/healthz"]
        return subprocess.run(command, capture_output=True, check=False, timeout=90).returncode

    assert pinned(short_lived.port) == 0
    assert pinned(relay.port) == 90  # CURLE_SSL_PINNEDPUBKEYNOTMATCH
    assert relay.seen == b""
    assert curl(str(saved), f"localhost:{short_lived.port}").returncode == 60


def test_requests(enclave: Enclave, certificate: str, relay: Relay) -> None:
    def post(address: str) -> str:
        with sample().open("rb") as audio:
            return requests.post(
                f"https://{address}/whisper/predict", files={"audio": audio}, verify=certificate, timeout=60
            ).json()

    assert says_the_same(REFERENCE, post(f"localhost:{enclave.port}"))
    with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        post(relay.address)
    assert relay.seen == b""


def test_httpx(enclave: Enclave, certificate: str, relay: Relay) -> None:
    with httpx.Client(verify=ssl.create_default_context(cafile=certificate), timeout=60) as client:

        def post(address: str) -> str:
            with sample().open("rb") as audio:
                return client.post(f"https://{address}/whisper/predict", files={"audio": audio}).json()

        assert says_the_same(REFERENCE, post(f"localhost:{enclave.port}"))
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            post(relay.address)
    assert relay.seen == b""


def test_openai_for_python(enclave: Enclave, certificate: str, relay: Relay) -> None:
    def transcribe(address: str) -> str:
        http = openai.DefaultHttpx2Client(verify=ssl.create_default_context(cafile=certificate))
        sdk = openai.OpenAI(
            api_key="unused", base_url=f"https://{address}/v1", http_client=http, max_retries=0, timeout=60
        )  # fmt: skip
        with sample().open("rb") as audio:
            return sdk.audio.transcriptions.create(model="whisper-1", file=audio).text

    assert says_the_same(REFERENCE, transcribe(f"localhost:{enclave.port}"))
    with pytest.raises(openai.APIConnectionError) as caught:
        transcribe(relay.address)
    assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value.__cause__)
    assert relay.seen == b""


def node(base_url: str, certificate: str | None) -> subprocess.CompletedProcess:
    """Runs the SDK for Node; skips where it is not installed (BLINDBOX_NODE, BLINDBOX_NODE_MODULES)."""
    if shutil.which(NODE) is None or not (Path(NODE_MODULES) / "openai/package.json").exists():
        pytest.skip(f"node with the package openai: not at {NODE} and {NODE_MODULES}")
    env = os.environ | {"NODE_PATH": NODE_MODULES} | ({"NODE_EXTRA_CA_CERTS": certificate} if certificate else {})
    return subprocess.run(
        [NODE, CLIENTS / "openai_node.cjs", base_url, sample()], capture_output=True, timeout=120, check=False, env=env
    )


def test_openai_for_node(enclave: Enclave, certificate: str, relay: Relay) -> None:
    done = node(f"{enclave.url}/v1", certificate)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert says_the_same(REFERENCE, answer["text"])
    assert answer["models"] == ["demo-speech"]
    assert answer["refusal"] == {"name": "NotFoundError", "status": 404, "code": "model_not_found"}
    for address, trusted in ((relay.address, certificate), (f"localhost:{enclave.port}", None)):
        done = node(f"https://{address}/v1", trusted)
        assert done.returncode == 1 and b"APIConnectionError" in done.stderr, done.stderr
    assert relay.seen == b""


# The same programs, unmodified and with no certificate to pin, through `blindbox connect`


@contextlib.contextmanager
def connect(enclave: Enclave, address: str) -> Iterator[str]:
    """`blindbox connect` to that address, with the enclave's root and measurements; yields where it listens."""
    process = subprocess.Popen(
        [PROGRAM, "connect", address, "--listen", "127.0.0.1:0", "--root", enclave.info["root"], "--measurements",
         enclave.info["measurements"]],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        line = next((line for line in process.stdout if line.startswith("listening on http://")), "")
        yield line.split()[2]
    finally:
        process.terminate()
        assert process.wait(20) == 0


@pytest.fixture(scope="module")
def proxy(enclave: Enclave) -> Iterator[str]:
    """The URL of a proxy to the enclave."""
    with connect(enclave, enclave.info["address"]) as url:
        yield url


@pytest.fixture
def fooled(enclave: Enclave, relay: Relay) -> Iterator[str]:
    """The URL of a proxy whose way to the enclave leads through the man in the middle."""
    with connect(enclave, f"127.0.0.1:{relay.port}") as url:
        yield url


def plain_curl(url: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["curl", "-sS", "--max-time", "60", "--fail-with-body", "-F", f"audio=@{sample()}", f"{url}/whisper/predict"],
        capture_output=True, check=False, timeout=90,
    )  # fmt: skip


def plain_openai(url: str) -> str:
    sdk = openai.OpenAI(api_key="unused", base_url=f"{url}/v1", max_retries=0, timeout=60)
    with sample().open("rb") as audio:
        return sdk.audio.transcriptions.create(model="whisper-1", file=audio).text


def test_curl_through_connect(proxy: str, fooled: str, relay: Relay) -> None:
    done = plain_curl(proxy)
    assert done.returncode == 0 and says_the_same(REFERENCE, json.loads(done.stdout)), done
    done = plain_curl(fooled)
    assert done.returncode == 22 and b"502" in done.stderr and b"ttestation" in done.stdout, done
    assert relay.seen == b""


def test_requests_through_connect(proxy: str, fooled: str, relay: Relay) -> None:
    with sample().open("rb") as audio:
        answer = requests.post(f"{proxy}/whisper/predict", files={"audio": audio}, timeout=60)
    assert says_the_same(REFERENCE, answer.json())
    with sample().open("rb") as audio:
        assert requests.post(f"{fooled}/whisper/predict", files={"audio": audio}, timeout=60).status_code == 502
    assert relay.seen == b""


def test_openai_for_python_through_connect(proxy: str, fooled: str, relay: Relay) -> None:
    assert says_the_same(REFERENCE, plain_openai(proxy))
    with pytest.raises(openai.InternalServerError) as caught:
        plain_openai(fooled)
    assert caught.value.status_code == 502 and "ttestation" in str(caught.value)
    assert relay.seen == b""


def test_openai_for_node_through_connect(proxy: str, fooled: str, relay: Relay) -> None:
    done = node(f"{proxy}/v1", None)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert says_the_same(REFERENCE, answer["text"])
    assert answer["models"] == ["demo-speech"]
    assert answer["refusal"] == {"name": "NotFoundError", "status": 404, "code": "model_not_found"}
    done = node(f"{fooled}/v1", None)
    assert done.returncode == 1 and b"502" in done.stderr, done.stderr
    assert relay.seen == b""
