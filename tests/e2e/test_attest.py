"""`blindbox attest`: what it checks, says and refuses; nothing is sent to an enclave that fails."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support import Enclave, sample


def attest(enclave: Enclave, measurements: Path | str, *more: str):
    return enclave.blindbox(
        "attest", enclave.info["address"], "--root", enclave.info["root"], "--measurements", measurements, *more
    )


def changed_measurements(enclave: Enclave, tmp_path: Path, register: str) -> tuple[Path, str, str]:
    """The enclave's measurements with one hexadecimal digit of one register changed; the true and the changed value."""
    document = json.loads(Path(enclave.info["measurements"]).read_text())
    true = document["Measurements"][register]
    wrong = ("1" if true[0] == "0" else "0") + true[1:]
    document["Measurements"][register] = wrong
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(document))
    return path, true, wrong


def test_prints_each_check_and_succeeds(enclave: Enclave) -> None:
    done = attest(enclave, enclave.info["measurements"])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert "SIMULATED" in lines[0]
    for register in ("PCR0", "PCR1", "PCR2", "PCR16", "PCR18"):
        assert sum(line.startswith(f"passed  {register}: ") for line in lines) == 1, (register, lines)
    assert not [line for line in lines if line.startswith("failed")]


@pytest.mark.parametrize("register", ["PCR0", "PCR1", "PCR2", "PCR16", "PCR18"])
def test_one_changed_digit_is_refused_and_nothing_sent(enclave: Enclave, tmp_path: Path, register: str) -> None:
    path, true, wrong = changed_measurements(enclave, tmp_path, register)
    before = enclave.metric("blindbox_requests_total")
    done = attest(enclave, path)
    assert done.returncode == 3
    expected = f"Attestation verification failed: {register} is {true}, expected {wrong}"
    assert expected in done.stderr.decode()
    done = enclave.blindbox(
        "transcribe", sample(), "--to", enclave.info["address"], "--root", enclave.info["root"], "--measurements", path
    )
    assert done.returncode == 3
    assert expected in done.stderr.decode()
    assert done.stdout == b""
    # The only request that the gate saw in between is the first reading of its own counter.
    assert enclave.metric("blindbox_requests_total") == before + 1


class Tap:
    """A relay that counts the bytes of TLS application data records that a client sends after its Finished message."""

    def __init__(self, port: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.client_bytes = b""
        self.target = port
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        client, _ = self.listener.accept()
        server = socket.create_connection(("127.0.0.1", self.target), timeout=20)

        def back() -> None:
            while data := server.recv(65536):
                client.sendall(data)
            client.close()

        other = threading.Thread(target=back, daemon=True)
        other.start()
        with contextlib.suppress(ConnectionResetError):  # a client that is done need not wait for the server's alert
            while data := client.recv(65536):
                self.client_bytes += data
                server.sendall(data)
        server.shutdown(socket.SHUT_WR)
        other.join(20)

    def records(self) -> list[tuple[int, int]]:
        """TLS records that the client sent: (content type, length)."""
        self.thread.join(30)
        found, at = [], 0
        while at + 5 <= len(self.client_bytes):
            length = int.from_bytes(self.client_bytes[at + 3 : at + 5])
            found.append((self.client_bytes[at], length))
            at += 5 + length
        return found


def test_a_refused_enclave_gets_only_an_alert(enclave: Enclave, tmp_path: Path) -> None:
    path, _, _ = changed_measurements(enclave, tmp_path, "PCR0")
    tap = Tap(enclave.port)
    done = enclave.blindbox(
        "transcribe", sample(), "--to", f"127.0.0.1:{tap.port}", "--root", enclave.info["root"], "--measurements", path
    )
    assert done.returncode == 3
    records = tap.records()
    assert records[0][0] == 22  # ClientHello
    # After it: a change_cipher_spec for middleboxes and one encrypted alert (2 bytes, type, 16 bytes of tag).
    rest = [length for kind, length in records[1:] if kind != 20]
    assert len(rest) <= 1 and all(length <= 2 + 1 + 16 for length in rest), records


def test_save_cert_is_the_attested_certificate(enclave: Enclave) -> None:
    pem = enclave.certificate()
    der = subprocess.run(
        ["openssl", "x509", "-in", pem, "-outform", "DER"], capture_output=True, check=True, timeout=20
    ).stdout
    assert enclave.get("/enclave/cert").body == der


def test_the_development_root_must_be_named(enclave: Enclave) -> None:
    done = enclave.blindbox("attest", enclave.info["address"], "--measurements", enclave.info["measurements"])
    assert done.returncode == 3
    assert "root" in done.stderr.decode()


def test_without_measurements_nothing_is_accepted(enclave: Enclave, tmp_path: Path) -> None:
    done = enclave.blindbox("attest", enclave.info["address"], "--root", enclave.info["root"])
    assert done.returncode == 2
    empty = tmp_path / "empty.json"
    empty.write_text('{"Measurements": {"HashAlgorithm": "Sha384 { ... }"}}')
    assert attest(enclave, empty).returncode == 1
    typo = tmp_path / "typo.json"
    typo.write_text(Path(enclave.info["measurements"]).read_text().replace('"PCR0"', '"PRC0"'))
    assert attest(enclave, typo).returncode in (1, 2)


def test_another_enclaves_root_is_refused(enclave: Enclave, start, tmp_path: Path) -> None:
    other = start()
    done = enclave.blindbox(
        "attest", enclave.info["address"], "--root", other.info["root"], "--measurements", enclave.info["measurements"]
    )
    assert done.returncode == 3
    assert "root" in done.stderr.decode()


def test_an_old_document_is_refused(enclave: Enclave) -> None:
    time.sleep(2)
    done = attest(enclave, enclave.info["measurements"], "--max-age", "1")
    assert done.returncode == 3
    assert "old" in done.stderr.decode()


def test_the_development_key_is_private(enclave: Enclave) -> None:
    key = enclave.home / "state/blindbox/dev-root.key"
    assert key.stat().st_mode & 0o777 == 0o600
