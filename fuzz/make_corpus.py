#!/usr/bin/env python3
"""Makes a corpus for the fuzz targets: make_corpus.py BLINDBOX FOLDER

Starts an enclave with that program (SIMULATED, in a state directory of its own) and takes its evidence: the documents
that it gives, with and without a nonce, their parts, every certificate, and its own, as DER and PEM. Adds forms as
clients send them. Writes FOLDER/TARGET/NAME for each target and stops the enclave.
"""

from __future__ import annotations

import os
import secrets
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

import cbor2


def enclave_evidence(blindbox: str, home: Path) -> tuple[list[bytes], bytes]:
    """Documents (COSE_Sign1) and the certificate (PEM) of an enclave that runs only for this."""
    env = os.environ | {"XDG_STATE_HOME": str(home), "BLINDBOX_DATA": str(Path(__file__).resolve().parents[1])}
    name = "fuzz" + secrets.token_hex(4)

    def run(*arguments: str | Path) -> None:
        subprocess.run([blindbox, *arguments], env=env, check=True, timeout=120, stdout=subprocess.DEVNULL)

    run("up", "--detach", "--name", name, "--listen", "127.0.0.1:0")
    try:
        saved = [home / "document", home / "certificate"]
        run("attest", "--name", name, "--save-document", saved[0], "--save-cert", saved[1])
        return [saved[0].read_bytes()], saved[1].read_bytes()
    finally:
        run("down", "--name", name)


def variants(cose: bytes) -> list[bytes]:
    """The same document tagged, and with a payload of indefinite length and of other optional fields."""
    protected, unprotected, payload, signature = cbor2.loads(cose)
    fields = cbor2.loads(payload)
    indefinite = b"\xbf" + b"".join(cbor2.dumps(k) + cbor2.dumps(v) for k, v in fields.items()) + b"\xff"
    other = cbor2.dumps(fields | {"nonce": b"n", "user_data": b"", "public_key": None, "unknown": [1, {"a": -2.5}]})
    payloads = [payload, indefinite, other]
    return [b"\xd2" + cose, *(cbor2.dumps([protected, unprotected, each, signature]) for each in payloads)]


FORM_TYPE = b'multipart/form-data; boundary="b"\n'
PART = b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
FORMS = [
    PART % (b"audio", b'; filename="a.wav"\r\nContent-Type: audio/wav', b"RIFF\r\n--\r\n--c\0") + b"--b--\r\n",
    PART % (b"file", b"; filename=a", b"x") + PART % (b"model", b"", b"whisper-1") + b"--b--",
    b"preamble\r\n--b \r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n--b--\r\nepilogue",
    b"--b\r\ncontent-disposition: form-data; name*=UTF-8''a\r\n\r\n--b--",
]


def write(folder: Path, target: str, inputs: list[bytes]) -> None:
    """One file for each input, named by its number."""
    (folder / target).mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(inputs):
        (folder / target / f"{number:02}").write_bytes(data)


def main() -> None:
    """Reads the arguments, makes everything."""
    blindbox, folder = sys.argv[1], Path(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="blindbox-corpus.") as home:
        documents, pem = enclave_evidence(blindbox, Path(home))
    documents += variants(documents[0])
    payloads = [cbor2.loads(each) for each in documents]
    payloads = [(each.value if isinstance(each, cbor2.CBORTag) else each)[2] for each in payloads]
    fields = cbor2.loads(payloads[0])
    message = cbor2.dumps({"type": "document", "id": 1, "offset": -5, "translate": True, "temperature": 0.5})
    write(folder, "cbor", [*documents, *payloads, message, cbor2.dumps("attest"), b"\x9f\x01\xff"])
    write(folder, "cose", documents)
    write(folder, "document", documents)
    own = ssl.PEM_cert_to_DER_cert(pem.decode())
    write(folder, "certificate", [own, pem, *fields["cabundle"], fields["certificate"]])
    write(folder, "multipart", [bytes([piece]) + FORM_TYPE + form for form in FORMS for piece in (0, 7)])


if __name__ == "__main__":
    main()
