"""The evidence certificate is renewed before it ages out: same key, new document, no connection dropped."""

from __future__ import annotations

import hashlib

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support import Enclave, read_answer, wait_until


def ask(tls, path: str) -> bytes:
    tls.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = read_answer(tls)
    assert answer.status == 200
    return answer.body


def public_key(der: bytes) -> bytes:
    key = x509.load_der_x509_certificate(der).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def evidence_of(der: bytes) -> dict:
    """The attestation document in a certificate's extension."""
    for extension in x509.load_der_x509_certificate(der).extensions:
        if extension.oid.dotted_string.startswith("2.25."):
            octets = extension.value.value  # an OCTET STRING of more than 255 bytes: 04 82 and two bytes of length
            assert octets[:2] == b"\x04\x82" and int.from_bytes(octets[2:4]) == len(octets) - 4
            return cbor2.loads(cbor2.loads(octets[4:])[2])
    raise AssertionError("no evidence extension")


def test_renewal(start) -> None:
    enclave: Enclave = start("--set", "evidence.renew_seconds=2")
    with enclave.connect() as old:
        first = ask(old, "/enclave/cert")
        assert old.getpeercert(binary_form=True) == first
        wait_until(lambda: enclave.get("/enclave/cert").body != first, 20, "a renewed certificate")
        # The old connection lives on and keeps speaking of the certificate that it was made with.
        assert ask(old, "/enclave/cert") == first
        document = cbor2.loads(cbor2.loads(ask(old, "/enclave/attestation"))[2])
        assert hashlib.sha256(first).digest() in document["user_data"]
    second = enclave.get("/enclave/cert").body
    assert public_key(first) == public_key(second)
    assert evidence_of(first)["timestamp"] < evidence_of(second)["timestamp"]
    assert evidence_of(second)["public_key"] == public_key(second)
    done = enclave.blindbox(
        "attest", enclave.info["address"], "--root", enclave.info["root"],
        "--measurements", enclave.info["measurements"], "--max-age", "10",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
