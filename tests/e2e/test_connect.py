"""`blindbox connect`: existing programs talk to it unmodified, and what fails attestation gets nothing from them."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import requests
from middle import Middle, copied_certificate
from support import PATIENCE, PROGRAM, Enclave, form, read_answer, request_head, sample, says_the_same, wait_until


@contextlib.contextmanager
def connect(enclave: Enclave, *options: str, home: Path | None = None) -> Iterator[tuple[str, subprocess.Popen]]:
    """A running `blindbox connect`: the base URL that it prints, and the process.

    With a `home` it is nobody's process among those that the enclave's `down` looks for.
    """
    if "--listen" not in options:
        options = (*options, "--listen", "127.0.0.1:0")
    env = enclave.env if home is None else enclave.env | {"XDG_STATE_HOME": str(home)}
    process = subprocess.Popen(
        [PROGRAM, "connect", *options], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        first = process.stdout.readline()
        assert first.startswith("SIMULATED"), first + process.stderr.read()
        line = process.stdout.readline()
        assert line.startswith("listening on "), line
        yield line.split()[2], process
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(10 * PATIENCE) == 0


def policy(enclave: Enclave) -> tuple[str, ...]:
    return ("--root", enclave.info["root"], "--measurements", enclave.info["measurements"])


@pytest.fixture(scope="module")
def url(enclave: Enclave) -> Iterator[str]:
    """The base URL of one `blindbox connect` to the shared enclave."""
    with connect(enclave, "--name", enclave.name) as (base, _):
        yield base


def spoken() -> str:
    return sample().with_suffix(".txt").read_text()


def test_curl(url: str) -> None:
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "-F", f"audio=@{sample()}", f"{url}/whisper/predict"],
        capture_output=True, timeout=60 * PATIENCE, check=True,
    )  # fmt: skip
    assert says_the_same(spoken(), json.loads(done.stdout))


def test_requests_keeps_its_connection(url: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(3):
            with sample().open("rb") as audio:
                answer = session.post(f"{url}/whisper/predict", files={"audio": audio}, timeout=60 * PATIENCE)
            assert answer.status_code == 200
            assert says_the_same(spoken(), answer.json())


def test_the_openai_sdk(url: str) -> None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        assert [model.id for model in client.models.list()] == ["demo-speech"]
        with sample().open("rb") as audio:
            said = client.audio.transcriptions.create(model="whisper-1", file=audio)
        assert says_the_same(spoken(), said.text)
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("no-such-model")


def test_many_at_once(url: str) -> None:
    failures: list[object] = []

    def work() -> None:
        try:
            assert requests.get(f"{url}/healthz", timeout=30 * PATIENCE).status_code == 200
        except Exception as error:  # noqa: BLE001  (handed to the test's thread)
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60 * PATIENCE)
    assert not failures


def address_of(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)


def test_bytes_pass_at_once_in_both_directions(url: str) -> None:
    """100 Continue comes while the client has sent no body yet, and the answer while it keeps its side open."""
    body, content_type = form({"audio": sample().read_bytes()})
    with socket.create_connection(address_of(url), timeout=60 * PATIENCE) as plain:
        plain.sendall(request_head("/whisper/predict", content_type, len(body), "Expect: 100-continue"))
        assert plain.recv(65536).startswith(b"HTTP/1.1 100 ")
        plain.sendall(body)
        assert says_the_same(spoken(), read_answer(plain).json())


def test_a_half_closed_client_gets_its_answer(url: str) -> None:
    body, content_type = form({"audio": sample().read_bytes()})
    with socket.create_connection(address_of(url), timeout=60 * PATIENCE) as plain:
        plain.sendall(request_head("/whisper/predict", content_type, len(body)) + body)
        plain.shutdown(socket.SHUT_WR)
        assert says_the_same(spoken(), read_answer(plain).json())


def test_a_small_request_does_not_wait_for_a_handshake(url: str) -> None:
    requests.get(f"{url}/healthz", timeout=30)
    time.sleep(0.3 * PATIENCE)  # the pool is full again
    took = []
    for _ in range(20):
        begun = time.perf_counter()
        assert requests.get(f"{url}/healthz", timeout=30).status_code == 200
        took.append(time.perf_counter() - begun)
    assert sorted(took)[10] < 0.05 * PATIENCE


def refused(url: str) -> dict:
    """The error of a recording's refusal."""
    with sample().open("rb") as audio:
        answer = requests.post(f"{url}/whisper/predict", files={"audio": audio}, timeout=30 * PATIENCE)
    assert answer.status_code == 502
    return answer.json()["error"]


def test_a_man_in_the_middle_gets_nothing(enclave: Enclave, tmp_path: Path) -> None:
    relay = Middle(enclave.port, *copied_certificate(enclave.get("/enclave/cert").body, tmp_path))
    with connect(enclave, relay.address, *policy(enclave)) as (url, process):
        error = refused(url)
        assert error["message"].startswith("Attestation verification failed: the document's public key is ")
        assert (error["type"], error["code"]) == ("attestation_error", "BB_ERR_KEY_BINDING")
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        with client, pytest.raises(openai.APIStatusError, match="Attestation verification failed"):
            client.models.list()
    relay.close()
    assert relay.seen == b""
    assert "Attestation verification failed" in process.stderr.read()


def test_an_enclave_that_is_replaced_is_refused(start, tmp_path: Path) -> None:
    first = start()
    with connect(first, first.info["address"], *policy(first), home=tmp_path / "elsewhere") as (url, _):
        with requests.Session() as session:
            assert session.get(f"{url}/healthz", timeout=30).status_code == 200
            first.down()
            error = refused(url)
            assert (error["type"], error["code"]) == ("connection_error", "BB_ERR_CONNECT")
            # The same root, the same address, one other setting.
            options = ("--listen", first.info["address"], "--set", "limits.body_bytes=1000000")
            second = Enclave(first.home, options).up()
            try:
                error = refused(url)
                assert error["message"].startswith("Attestation verification failed: PCR0 is ")
                assert (error["type"], error["code"]) == ("attestation_error", "BB_ERR_PCR_MISMATCH")
                assert session.get(f"{url}/healthz", timeout=30).status_code == 502
                assert second.metric("blindbox_requests_total") == 0
            finally:
                second.down()
        # The right one again: whoever waits is served without a restart.
        third = Enclave(first.home, ("--listen", first.info["address"])).up()
        try:
            assert requests.get(f"{url}/healthz", timeout=30).status_code == 200
        finally:
            third.down()
    first.up()  # for the fixture, which takes it down


def test_only_loopback_unless_exposed(enclave: Enclave) -> None:
    done = enclave.blindbox("connect", "--name", enclave.name, "--listen", "0.0.0.0:0")
    assert done.returncode == 2
    assert "--expose allows that" in done.stderr.decode()
    with connect(enclave, "--name", enclave.name, "--listen", "0.0.0.0:0", "--expose") as (url, _):
        port = address_of(url)[1]
        assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=30).status_code == 200


def test_a_unix_socket(enclave: Enclave, tmp_path: Path) -> None:
    path = tmp_path / "way"
    with connect(enclave, "--name", enclave.name, "--listen", f"unix:{path}"):
        assert path.stat().st_mode & 0o077 == 0
        done = subprocess.run(
            ["curl", "-sS", "--unix-socket", path, "http://enclave/healthz"],
            capture_output=True, timeout=30, check=True,
        )  # fmt: skip
        assert done.stdout == b"ok\n"
    assert not path.exists()


def test_surplus_connections_are_told_so(enclave: Enclave) -> None:
    with connect(enclave, "--name", enclave.name) as (url, _), contextlib.ExitStack() as idle:
        for _ in range(256):
            idle.enter_context(socket.create_connection(address_of(url), timeout=30))
        answer = requests.get(f"{url}/healthz", timeout=30 * PATIENCE)
        assert answer.status_code == 503
        assert answer.json()["error"]["message"] == "blindbox connect carries at most 256 connections at once"
        idle.close()
        wait_until(lambda: requests.get(f"{url}/healthz", timeout=30).status_code == 200, 10, "a free place")


def test_ctrl_c_ends_it_with_clients_connected(enclave: Enclave) -> None:
    with connect(enclave, "--name", enclave.name) as (url, process):
        idle = socket.create_connection(address_of(url), timeout=30)
        busy = socket.create_connection(address_of(url), timeout=30)
        busy.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(busy).status == 200
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: process.poll() is not None, 10, "the end of connect")
        idle.close()
        busy.close()
