"""Those who stand between a client and an enclave: one that ends TLS itself, one that only passes bytes on."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support import Enclave

EVIDENCE = x509.ObjectIdentifier("2.25.19491097476254907414874394232724310514")


def copied_certificate(enclave: Enclave, folder: Path) -> ssl.SSLContext:
    """A TLS server with a key of its own, whose certificate carries the genuine evidence of a genuine enclave."""
    genuine = x509.load_der_x509_certificate(enclave.get("/enclave/cert").body)
    evidence = genuine.extensions.get_extension_for_oid(EVIDENCE).value
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(genuine.subject)
        .issuer_name(genuine.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(evidence, critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "middle.pem"
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(key.private_bytes(*plain) + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(file)
    return context


class ManInTheMiddle:
    """Accepts connections with a copied certificate and keeps every byte that a client says inside TLS."""

    def __init__(self, enclave: Enclave, folder: Path) -> None:
        self.context = copied_certificate(enclave, folder)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.accepted = 0
        self.heard = b""
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                raw, _ = self.listener.accept()
                self.accepted += 1
                with contextlib.suppress(OSError), raw:
                    raw.settimeout(20)
                    with self.context.wrap_socket(raw, server_side=True) as tls:
                        while data := tls.recv(65536):
                            self.heard += data

    def close(self) -> None:
        # close() alone does not wake a thread in accept()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(20)
        assert not self.thread.is_alive()


class Tap:
    """Passes the bytes of any number of connections on and keeps what clients send."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sent: list[bytearray] = []
        self.threads: list[threading.Thread] = []
        self._start(self._run)

    def _start(self, target, *args) -> None:
        self.threads.append(threading.Thread(target=target, args=args, daemon=True))
        self.threads[-1].start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target), timeout=20)
                client.settimeout(20)
                self.sent.append(bytearray())
                self._start(self._carry, client, server, self.sent[-1])
                self._start(self._carry, server, client, None)

    def _carry(self, source: socket.socket, sink: socket.socket, keep: bytearray | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if keep is not None:
                    keep += data
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def records(self) -> list[tuple[int, int]]:
        """The TLS records that clients sent: (content type, length)."""
        for thread in self.threads[1:]:
            thread.join(20)
        found = []
        for data in self.sent:
            at = 0
            while at + 5 <= len(data):
                length = int.from_bytes(data[at + 3 : at + 5])
                found.append((data[at], length))
                at += 5 + length
        return found

    def assert_nothing_was_sent(self) -> None:
        """Each client sent a ClientHello, and then at most a change_cipher_spec and one encrypted alert."""
        records = self.records()
        assert self.sent, "nobody connected"
        assert sum(kind == 22 for kind, _ in records) == len(self.sent)
        rest = [length for kind, length in records if kind not in (20, 22)]
        assert len(rest) <= len(self.sent) and all(length <= 2 + 1 + 16 for length in rest), records


def changed_measurements(enclave: Enclave, register: str = "PCR0") -> dict:
    """The enclave's measurements with one hexadecimal digit of one register changed."""
    document = json.loads(Path(enclave.info["measurements"]).read_text())
    true = document["Measurements"][register]
    document["Measurements"][register] = ("1" if true[0] == "0" else "0") + true[1:]
    return document
