"""The project's NSM emulator as a process, asked over its socket; and documents forged with its development root."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from support import PROGRAM, wait_until

PROTECTED = cbor2.dumps({1: -35})


class Emulator:
    """`blindbox nsm-emulator` with a development root of its own; PCR0, 1 and 2 are of two small files."""

    def __init__(self, home: Path) -> None:
        self.state = home / "state"
        self.state.mkdir(mode=0o700)
        for name in ("runtime", "service"):
            (home / name).write_bytes(name.encode() * 100)
        self.path = home / "nsm"
        self.process = subprocess.Popen(
            [PROGRAM, "nsm-emulator", "--listen", f"unix:{self.path}", "--state", self.state,
             "--runtime", home / "runtime", "--service", home / "service"],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(self.path.exists, 20, "the emulator's socket")
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(self.path))

    def close(self) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait(20)

    def ask(self, request: Any) -> Any:
        """One request and its response: CBOR in frames, a big-endian length before each."""
        data = cbor2.dumps(request)
        self.socket.sendall(len(data).to_bytes(4) + data)
        return cbor2.loads(self._read(int.from_bytes(self._read(4))))

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            piece = self.socket.recv(length - len(data))
            assert piece, "the emulator closed"
            data += piece
        return data

    def document(self, public_key: bytes | None, user_data: bytes | None, nonce: bytes | None) -> bytes:
        request = {"public_key": public_key, "user_data": user_data, "nonce": nonce}
        return self.ask({"Attestation": request})["Attestation"]["document"]

    def root_pem(self) -> bytes:
        return (self.state / "dev-root.pem").read_bytes()

    def forger(self) -> Forger:
        """Whoever has the development root's key can make documents; real ones come from hardware."""
        key = serialization.load_pem_private_key((self.state / "dev-root.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return Forger(x509.load_pem_x509_certificate(self.root_pem()), key)


@dataclass
class Link:
    """How to make one certificate; the defaults are right."""

    ca: bool | None = True  # None: no basicConstraints
    path_length: int | None = None
    usage: bool = True  # a keyUsage extension
    usage_right: bool = True  # that permits what the certificate is for
    curve: ec.EllipticCurve | None = None  # P-384
    issuer_name: str | None = None  # the true issuer's
    from_s: int = -60  # validity, in seconds from now
    to_s: int = 3 * 3600
    critical_unknown: bool = False
    harmless_unknown: bool = False
    wrong_signer: bool = False


class Forger:
    """Makes chains below the development root, and signs payloads with their leaves."""

    def __init__(self, root: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.root, self.key = root, key
        self.stray = ec.generate_private_key(ec.SECP384R1())
        self.keys = [ec.generate_private_key(ec.SECP384R1()) for _ in range(12)]
        self.other_curve = ec.generate_private_key(ec.SECP256R1())

    def chain(self, links: list[Link], now: float | None = None) -> tuple[list[bytes], ec.EllipticCurvePrivateKey]:
        """Certificates from the root to the leaf, DER, and the leaf's key."""
        moment = datetime.fromtimestamp(now if now is not None else time.time(), UTC).replace(microsecond=0)
        ders = [self.root.public_bytes(serialization.Encoding.DER)]
        issuer, signer = self.root.subject, self.key
        for i, link in enumerate(links):
            key = self.other_curve if link.curve else self.keys[i]
            made = self._certificate(link, i == len(links) - 1, f"link {i}", issuer, signer, key, moment)
            ders.append(made.public_bytes(serialization.Encoding.DER))
            issuer, signer = made.subject, key
        return ders, signer

    def _certificate(self, link: Link, leaf: bool, name: str, issuer: x509.Name, signer: Any, key: Any, now: datetime):
        builder = (
            x509.CertificateBuilder()
            .subject_name(common_name(name))
            .issuer_name(common_name(link.issuer_name) if link.issuer_name else issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(seconds=link.from_s))
            .not_valid_after(now + timedelta(seconds=link.to_s))
        )
        if link.ca is not None:
            constraints = x509.BasicConstraints(link.ca, link.path_length if link.ca else None)
            builder = builder.add_extension(constraints, critical=True)
        if link.usage:
            builder = builder.add_extension(usage(leaf == link.usage_right), critical=True)
        if link.critical_unknown or link.harmless_unknown:
            unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
            builder = builder.add_extension(unknown, critical=link.critical_unknown)
        return builder.sign(self.stray if link.wrong_signer else signer, hashes.SHA384())


def common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def usage(signs_data: bool) -> x509.KeyUsage:
    rest = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign")
    off = dict.fromkeys((*rest, "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(digital_signature=signs_data, key_cert_sign=not signs_data, **off)


def sign(payload: bytes, key: ec.EllipticCurvePrivateKey, protected: bytes = PROTECTED) -> bytes:
    """A COSE_Sign1 message, untagged."""
    message = cbor2.dumps(["Signature1", protected, b"", payload])
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA384())))
    size = (key.curve.key_size + 7) // 8
    return cbor2.dumps([protected, {}, payload, r.to_bytes(size) + s.to_bytes(size)])


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
