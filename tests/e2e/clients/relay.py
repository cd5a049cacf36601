"""A TLS man in the middle: genuine evidence of a genuine enclave, behind a certificate of its own.

It is what the operator of the machine can always put in front of an enclave. Decrypts what clients send, keeps it in
`seen`, and passes it on over TLS of its own; `swap_certificate` makes it answer GET /enclave/cert with its own.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from pathlib import Path


class Relay:
    """Listens on loopback until close(); `port`, `certificate` (PEM), `seen` (every byte that clients sent)."""

    def __init__(self, target_port: int, folder: Path, *, swap_certificate: bool = False) -> None:
        self.target_port = target_port
        self.swap_certificate = swap_certificate
        self.seen = b""
        self.certificate = folder / "relay.pem"
        key = folder / "relay.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-keyout", key, "-out", self.certificate, "-subj", "/CN=BlindBox enclave",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
            check=True, capture_output=True, timeout=20,
        )  # fmt: skip
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"localhost:{self.port}"

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
        client = server = None
        try:
            client = self.context.wrap_socket(raw, server_side=True)
            server = self._dial()
            while data := client.recv(65536):
                self.seen += data
                if self.swap_certificate and data.startswith(b"GET /enclave/cert "):
                    self._answer_with_own_certificate(client)
                    continue
                server.sendall(data)
                client.sendall(server.recv(65536))
                server.settimeout(0.5)
                self._pump_rest(server, client)
        except OSError:
            pass  # the client, or the enclave, hung up
        finally:
            for end in (client or raw, server):
                if end is not None:
                    end.close()

    def _dial(self) -> ssl.SSLSocket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        raw = socket.create_connection(("127.0.0.1", self.target_port), timeout=60)
        return context.wrap_socket(raw, server_hostname="localhost")

    def _pump_rest(self, server: ssl.SSLSocket, client: ssl.SSLSocket) -> None:
        """What follows of an answer, until the enclave is silent for a moment."""
        try:
            while data := server.recv(65536):
                client.sendall(data)
        except TimeoutError:
            server.settimeout(60)

    def _answer_with_own_certificate(self, client: ssl.SSLSocket) -> None:
        der = ssl.PEM_cert_to_DER_cert(self.certificate.read_text())
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-x509-ca-cert\r\nContent-Length: {len(der)}\r\n\r\n"
        client.sendall(head.encode() + der)
