#!/usr/bin/env python3
"""The first BlindBox's own client, re-enacted: first_client.py ADDRESS ROOT.pem PCR0 AUDIO

Over TLS that verifies nothing, asks for the attestation document (GET /enclave/attestation: raw CBOR), for the
certificate that it vouches for (GET /enclave/cert: DER) and for the service (GET /enclave). Requires a genuine document
with digest SHA384, the PCR0 that was named, and user_data `sha256:` SHA-256(certificate) `;sha256:` 32 zero bytes (no
application of the operator's). Then pins that certificate and POSTs the recording (multipart field `audio`) to
/whisper/predict. Prints the text; exits 3, with the reason on standard error, when the evidence is not good enough, and
1 when the pinned connection fails. Sends no byte of the recording before.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
import sys
import uuid
from pathlib import Path

import nitro


def get(address: str, path: str, content_type: str | None = None) -> bytes:
    """GET over TLS that verifies nothing: what comes is judged by itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(address, context=context, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    nitro.require(answer.status == 200, f"GET {path} answers {answer.status}")
    if content_type is not None:
        nitro.require(answer.headers["Content-Type"] == content_type, f"GET {path} is {answer.headers['Content-Type']}")
    return body


def attested_certificate(address: str, root_pem: bytes, pcr0: bytes) -> bytes:
    """The certificate (DER) that a genuine document of that PCR0 vouches for. Raises nitro.AttestationError."""
    document = nitro.verified_document(get(address, "/enclave/attestation", "application/cbor"), root_pem)
    certificate = get(address, "/enclave/cert", "application/x-x509-ca-cert")
    get(address, "/enclave")
    nitro.require(document["digest"] == "SHA384", "the digest is not SHA384")
    nitro.require(document["pcrs"][0] == pcr0, f"PCR0 is {document['pcrs'][0].hex()}, expected {pcr0.hex()}")
    expected = b"sha256:" + hashlib.sha256(certificate).digest() + b";sha256:" + bytes(32)
    nitro.require(document["user_data"] == expected, "the document vouches for another certificate or application")
    return certificate


def predict(address: str, certificate: bytes, audio: bytes) -> str:
    """POST /whisper/predict over TLS with that certificate and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(certificate))
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="audio"; filename="audio.wav"\r\n\r\n'
    body = head.encode() + audio + f"\r\n--{boundary}--\r\n".encode()
    connection = http.client.HTTPSConnection(address, context=context, timeout=60)
    connection.request(
        "POST", "/whisper/predict", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )  # fmt: skip
    answer = connection.getresponse()
    text = json.loads(answer.read())
    connection.close()
    if answer.status != 200:
        raise OSError(f"the server answers {answer.status}: {text['detail']}")
    return text


def main() -> int:
    """Reads the arguments, attests, transcribes."""
    address, root, pcr0, audio = sys.argv[1:]
    try:
        certificate = attested_certificate(address, Path(root).read_bytes(), bytes.fromhex(pcr0))
        print(predict(address, certificate, Path(audio).read_bytes()))
    except nitro.AttestationError as error:
        print(f"Attestation verification failed: {error}", file=sys.stderr)
        return 3
    except OSError as error:
        print(f"first_client: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
