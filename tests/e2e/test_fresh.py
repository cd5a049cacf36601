"""Fresh evidence over the wire, and the men in the middle that every client of ours refuses with nothing sent."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from middle import Middle, copied_certificate
from support import Answer, Enclave, read_answer, sample

PATH = "/.well-known/blindbox/evidence"


def ask(tls: ssl.SSLSocket, body: bytes) -> Answer:
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    tls.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return read_answer(tls)


def with_nonce(nonce: bytes) -> bytes:
    return json.dumps({"nonce": base64.b64encode(nonce).decode()}).encode()


def fresh(tls: ssl.SSLSocket, nonce: bytes) -> dict:
    """The document's payload, after what can be checked of it from here."""
    answer = ask(tls, with_nonce(nonce))
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "application/cbor"
    document = cbor2.loads(cbor2.loads(answer.body)[2])
    der = tls.getpeercert(binary_form=True)
    spki = (
        x509.load_der_x509_certificate(der)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    assert document["nonce"] == nonce
    assert document["public_key"] == spki
    assert len(document["user_data"]) == 104
    assert document["user_data"][:8] == b"BBEVID01"
    assert document["user_data"][40:72] == hashlib.sha256(spki).digest()
    assert document["user_data"][72:] == hashlib.sha256(der).digest()
    return document


def exporter(document: dict) -> bytes:
    return document["user_data"][8:40]


def test_the_document_binds_nonce_key_certificate_and_connection(enclave: Enclave) -> None:
    with enclave.connect() as one, enclave.connect() as other:
        first = exporter(fresh(one, os.urandom(16)))
        assert exporter(fresh(one, os.urandom(64))) == first
        assert exporter(fresh(other, os.urandom(32))) != first
        assert first != bytes(32)


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (with_nonce(bytes(15)), 400, "The nonce must have 16 to 64 bytes"),
        (with_nonce(bytes(65)), 400, "The nonce must have 16 to 64 bytes"),
        (b'{"nonce":"%%%%"}', 400, "The nonce is not base64"),
        (b'{"nonce":"AAAAAAAAAAAAAAAAAAAAAA"}', 400, "The nonce is not base64"),
        (b'{"nonce":7}', 400, "The body must be the JSON object"),
        (b'{"nonce":"' + base64.b64encode(bytes(32)) + b'","user_data":"AAAA"}', 400, "a member that is not known"),
        (b"{}", 400, "The body must be the JSON object"),
        (b"[]", 400, "The body must be the JSON object"),
        (b"", 400, "The body must be the JSON object"),
        (b"{", 400, "The body must be the JSON object"),
        (b'{"nonce":"AA","nonce":"AA"}', 400, "The body must be the JSON object"),
        (b" " * 1025, 413, "longer than 1024 bytes"),
    ],
)
def test_other_requests_are_refused(enclave: Enclave, body: bytes, status: int, sentence: str) -> None:
    with enclave.connect() as tls:
        answer = ask(tls, body)
    assert answer.status == status
    assert sentence in answer.json()["error"]


def test_who_asks_too_often_is_put_off_and_nobody_else_is_lost(enclave: Enclave) -> None:
    with enclave.connect() as tls:
        answers = [ask(tls, with_nonce(os.urandom(32))) for _ in range(400)]
    refused = [answer for answer in answers if answer.status != 200]
    assert all(answer.status == 503 and answer.headers["retry-after"] == "1" for answer in refused)
    # A client of ours waits for its turn.
    done = enclave.blindbox("attest", "--name", enclave.name)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def middle(enclave: Enclave, tmp_path: Path) -> Iterator[Middle]:
    """Shows the enclave's own evidence in a certificate of its own, and passes on what clients send."""
    relay = Middle(enclave.port, *copied_certificate(enclave.get("/enclave/cert").body, tmp_path))
    yield relay
    relay.close()


def test_copied_evidence_is_refused(enclave: Enclave, middle: Middle) -> None:
    policy = ("--root", enclave.info["root"], "--measurements", enclave.info["measurements"])
    for command in (("attest", middle.address), ("transcribe", sample(), "--to", middle.address)):
        done = enclave.blindbox(*command, *policy)
        assert done.returncode == 3
        assert "Attestation verification failed: the document's public key is " in done.stderr.decode()
    done = enclave.blindbox("attest", middle.address, *policy, "--json")
    assert json.loads(done.stdout)["code"] == "BB_ERR_KEY_BINDING"
    assert middle.seen == b""


def test_a_certificate_without_evidence_is_refused(enclave: Enclave, tmp_path: Path) -> None:
    bare = copied_certificate(enclave.get("/enclave/cert").body, tmp_path, with_evidence=False)
    relay = Middle(enclave.port, *bare)
    done = enclave.blindbox(
        "transcribe", sample(), "--to", relay.address, "--root", enclave.info["root"],
        "--measurements", enclave.info["measurements"],
    )  # fmt: skip
    relay.close()
    assert done.returncode == 3
    assert "Attestation verification failed: the certificate carries no attestation evidence" in done.stderr.decode()
    assert relay.seen == b""


def test_attest_shows_the_checks_of_the_fresh_evidence(enclave: Enclave) -> None:
    lines = enclave.blindbox("attest", "--name", enclave.name).stdout.decode().splitlines()
    for check in ("Nonce", "Channel binding", "Key binding", "Certificate binding", "PCR0", "Signature"):
        assert sum(line.startswith(f"passed  Fresh evidence: {check}: ") for line in lines) == 1, (check, lines)
