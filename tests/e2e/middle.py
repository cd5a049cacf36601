"""A man in the middle for attesting clients: a TLS relay that shows an enclave's own evidence.

It copies the extension with the evidence into a certificate for a key of its own, which everybody who can reach an
enclave can do, and passes on what clients send; that is kept in `seen`. (A relay that holds the enclave's key as well
is in tests/unit/client/test_fresh.c.)
"""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

EVIDENCE_OID = x509.ObjectIdentifier("2.25.19491097476254907414874394232724310514")


def dial(port: int) -> ssl.SSLSocket:
    """A genuine connection to the enclave, which verifies nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=20), server_hostname="localhost")


def copied_certificate(genuine_der: bytes, folder: Path, *, with_evidence: bool = True) -> tuple[Path, Path]:
    """A certificate like the enclave's, evidence included, for a key of our own: paths of certificate and key."""
    genuine = x509.load_der_x509_certificate(genuine_der)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(genuine.subject)
        .issuer_name(genuine.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=24))
    )
    if with_evidence:
        evidence = genuine.extensions.get_extension_for_oid(EVIDENCE_OID).value
        builder = builder.add_extension(evidence, critical=False)
    certificate = folder / "middle.pem"
    private = folder / "middle.key"
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private


class Middle:
    """Listens on loopback until close(), terminates TLS and passes everything on to the enclave."""

    def __init__(self, target_port: int, certificate: Path, key: Path) -> None:
        self.target_port = target_port
        self.seen = b""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.load_cert_chain(certificate, key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stops listening."""
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            raw,
            self.context.wrap_socket(raw, server_side=True) as client,
            dial(self.target_port) as server,
        ):
            back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
            back.start()
            while data := client.recv(65536):
                self.seen += data
                server.sendall(data)
            back.join(5)

    @staticmethod
    def _pump(source: ssl.SSLSocket, target: ssl.SSLSocket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
