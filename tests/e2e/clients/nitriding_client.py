#!/usr/bin/env python3
"""A client of nitriding, re-enacted: nitriding_client.py ADDRESS ROOT.pem MEASUREMENTS.json AUDIO

On one TLS connection, whose certificate it notes and does not verify, asks for a document with a nonce of its own
(GET /enclave/attestation?nonce=, 40 hexadecimal digits; the answer is base64 and a newline). Requires a genuine
document with that nonce, every PCR of the measurements file, and user_data 0x12 0x20 SHA-256(certificate of this very
connection) 0x12 0x20 32 bytes. Then, on the same connection, POSTs the recording to /whisper/predict. Prints the text;
exits 3, with the reason on standard error and nothing sent, when the evidence is not good enough.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import secrets
import ssl
import sys
from pathlib import Path

import nitro


def connect(address: str) -> http.client.HTTPSConnection:
    """A TLS connection that verifies nothing yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(address, context=context, timeout=60)
    connection.connect()
    return connection


def attest(connection: http.client.HTTPSConnection, root_pem: bytes, pcrs: dict[int, bytes]) -> None:
    """Raises nitro.AttestationError unless this connection ends in an enclave with these PCRs."""
    certificate = connection.sock.getpeercert(binary_form=True)
    nonce = secrets.token_bytes(20)
    connection.request("GET", f"/enclave/attestation?nonce={nonce.hex()}")
    answer = connection.getresponse()
    body = answer.read()
    nitro.require(answer.status == 200, f"the server answers {answer.status}")
    nitro.require(body.endswith(b"\n"), "the answer is not base64 and a newline")
    document = nitro.verified_document(base64.b64decode(body[:-1], validate=True), root_pem)
    nitro.require(document["nonce"] == nonce, "the nonce is not ours")
    for index, expected in pcrs.items():
        actual = document["pcrs"].get(index, b"")
        nitro.require(actual == expected, f"PCR{index} is {actual.hex()}, expected {expected.hex()}")
    user_data = document["user_data"]
    nitro.require(len(user_data) == 68 and user_data[34:36] == b"\x12\x20", "user_data has another layout")
    bound = b"\x12\x20" + hashlib.sha256(certificate).digest()
    nitro.require(user_data[:34] == bound, "the document vouches for another certificate than this connection's")


def predict(connection: http.client.HTTPSConnection, audio: bytes) -> str:
    """POST /whisper/predict on the connection that was attested."""
    boundary = secrets.token_hex(16)
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="audio"; filename="audio.wav"\r\n\r\n'
    body = head.encode() + audio + f"\r\n--{boundary}--\r\n".encode()
    connection.request(
        "POST", "/whisper/predict", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )  # fmt: skip
    return json.loads(connection.getresponse().read())


def read_pcrs(path: str) -> dict[int, bytes]:
    """PCRs of a measurements file as nitro-cli writes it."""
    measurements = json.loads(Path(path).read_text())["Measurements"]
    return {int(k[3:]): bytes.fromhex(v) for k, v in measurements.items() if re.fullmatch(r"PCR\d+", k)}


def main() -> int:
    """Reads the arguments, attests, transcribes."""
    address, root, measurements, audio = sys.argv[1:]
    connection = connect(address)
    try:
        attest(connection, Path(root).read_bytes(), read_pcrs(measurements))
    except nitro.AttestationError as error:
        print(f"Attestation verification failed: {error}", file=sys.stderr)
        return 3
    print(predict(connection, Path(audio).read_bytes()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
