"""TLS as the gate speaks it: version, groups, no resumption; what old and confused clients get."""

from __future__ import annotations

import socket
import subprocess

from support import Enclave, good_request_beside, read_until_closed


def s_client(enclave: Enclave, *options: str) -> str:
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{enclave.port}", *options],
        input=b"", capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


def test_the_hybrid_group_comes_first(enclave: Enclave) -> None:
    said = s_client(enclave)
    assert "TLSv1.3" in said
    assert "X25519MLKEM768" in said
    for group in ("X25519", "P-256"):
        assert "TLSv1.3" in s_client(enclave, "-groups", group)


def test_tls_1_2_gets_an_alert(enclave: Enclave) -> None:
    with good_request_beside(enclave):
        assert "alert protocol version" in s_client(enclave, "-tls1_2")


def test_no_session_is_resumed(enclave: Enclave) -> None:
    said = s_client(enclave, "-reconnect")
    assert "Reused" not in said
    assert "TLS session ticket:" not in said


def test_plain_http_on_the_tls_port(enclave: Enclave) -> None:
    with good_request_beside(enclave), socket.create_connection(("127.0.0.1", enclave.port), timeout=20) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = read_until_closed(raw)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"TLS" in said


def test_garbage_on_the_tls_port_is_closed(enclave: Enclave) -> None:
    with good_request_beside(enclave), socket.create_connection(("127.0.0.1", enclave.port), timeout=20) as raw:
        raw.sendall(bytes(range(256)) * 64)
        said = read_until_closed(raw)
    assert len(said) <= 7  # nothing, or one TLS alert record


def test_the_key_is_p256_and_the_evidence_is_inside(enclave: Enclave) -> None:
    text = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-noout", "-text"],
        input=enclave.get("/enclave/cert").body, capture_output=True, timeout=20, check=True,
    ).stdout.decode()  # fmt: skip
    assert "NIST CURVE: P-256" in text
    assert "2.25." in text
    assert "DNS:localhost" in text
