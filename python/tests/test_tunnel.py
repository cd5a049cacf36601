"""Attested connections as plain sockets."""

from __future__ import annotations

import gc
import json
import os
import socket
import threading
from pathlib import Path

import blindbox
import pytest
from middle import Tap, changed_measurements
from support import Enclave, read_answer, wait_until

GET = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"

FRESH = {f"Fresh evidence: {name}" for name in ("Nonce", "Channel binding", "Certificate binding")}


@pytest.fixture
def policy(enclave: Enclave) -> blindbox.Policy:
    return blindbox.Policy(enclave.info["measurements"], root=enclave.info["root"])


def test_a_request_by_hand(enclave: Enclave, policy: blindbox.Policy) -> None:
    with blindbox.open_tunnel(enclave.info["address"], policy, timeout=20) as tunnel:
        assert tunnel.address == enclave.info["address"]
        assert tunnel.document.pcrs[0] == policy.pcrs[0]
        assert all(check.passed for check in tunnel.report)
        assert FRESH.issubset(check.name for check in tunnel.report)
        for _ in range(2):
            tunnel.sendall(GET)
            assert json.loads(read_answer(tunnel).body)["object"] == "list"


def test_half_closed(enclave: Enclave, policy: blindbox.Policy) -> None:
    with blindbox.open_tunnel(enclave.info["address"], policy) as tunnel:
        tunnel.settimeout(20)
        tunnel.sendall(GET)
        tunnel.shutdown(socket.SHUT_WR)
        assert read_answer(tunnel).status == 200
        assert tunnel.recv(1) == b""


def test_each_tunnel_has_evidence_of_its_own(enclave: Enclave, policy: blindbox.Policy) -> None:
    with (
        blindbox.open_tunnel(enclave.info["address"], policy) as first,
        blindbox.open_tunnel(enclave.info["address"], policy) as second,
    ):
        one, other = ({check.name: check.sentence for check in tunnel.report} for tunnel in (first, second))
    assert all((one[name] == other[name]) == (name == "Fresh evidence: Certificate binding") for name in FRESH)


def resources() -> tuple[int, int]:
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


def test_closing_leaves_nothing_behind(enclave: Enclave, policy: blindbox.Policy) -> None:
    blindbox.open_tunnel(enclave.info["address"], policy).close()
    gc.collect()
    before = resources()
    for i in range(30):
        tunnel = blindbox.open_tunnel(enclave.info["address"], policy)
        if i % 2:
            tunnel.sendall(GET)
        tunnel.close()
    wrong = blindbox.Policy(changed_measurements(enclave), root=enclave.info["root"])
    for _ in range(10):
        with pytest.raises(blindbox.AttestationError):
            blindbox.open_tunnel(enclave.info["address"], wrong)
    del tunnel
    gc.collect()
    wait_until(lambda: resources() <= before, 10, f"descriptors and threads as before: {before}")


def test_many_at_once(enclave: Enclave, policy: blindbox.Policy) -> None:
    answers: list[int] = []

    def work() -> None:
        for _ in range(5):
            with blindbox.open_tunnel(enclave.info["address"], policy) as tunnel:
                tunnel.sendall(GET)
                answers.append(read_answer(tunnel).status)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [200] * 20


def test_a_bad_enclave(enclave: Enclave, tmp_path: Path) -> None:
    tap = Tap(enclave.port)
    wrong = blindbox.Policy(changed_measurements(enclave, "PCR2"), root=enclave.info["root"])
    with pytest.raises(blindbox.AttestationError, match="^Attestation verification failed: PCR2 is") as caught:
        blindbox.open_tunnel(f"127.0.0.1:{tap.port}", wrong)
    assert caught.value.code == "BB_ERR_PCR_MISMATCH"
    tap.close()
    tap.assert_nothing_was_sent()


def test_a_silent_peer(policy: blindbox.Policy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(blindbox.TransportError) as caught:
        blindbox.open_tunnel(f"127.0.0.1:{silent.getsockname()[1]}", policy, timeout=0.3)
    assert caught.value.code == "BB_ERR_TIMEOUT"
