"""httpx, blocking and async, over attested connections and no others."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import blindbox
import httpx
import pytest
from middle import ManInTheMiddle, Tap, changed_measurements
from support import Enclave, sample, says_the_same

REFERENCE = sample().with_suffix(".txt").read_text()


def about(enclave: Enclave, **more) -> dict:
    options = {
        "addr": enclave.info["address"],
        "measurements": enclave.info["measurements"],
        "root": enclave.info["root"],
    }
    return options | more


def test_post_files(enclave: Enclave) -> None:
    with blindbox.httpx_client(**about(enclave), timeout=60) as client:
        assert isinstance(client, httpx.Client)
        answer = client.post("/whisper/predict", files={"audio": sample().read_bytes()})
        assert answer.status_code == 200
        assert says_the_same(REFERENCE, answer.json())
        with client.stream("GET", "/v1/models") as streamed:
            assert b"demo-speech" in b"".join(streamed.iter_bytes(5))
        assert client.post("/whisper/predict", content=b"x" * 1000).status_code == 415


def test_connections_are_kept(enclave: Enclave) -> None:
    tap = Tap(enclave.port)
    with blindbox.httpx_client(**about(enclave, addr=f"localhost:{tap.port}")) as client:
        for _ in range(5):
            assert client.get("/healthz").status_code == 200
    tap.close()
    assert len(tap.sent) == 1


def test_an_answer_before_the_request_was_sent(enclave: Enclave) -> None:
    with blindbox.httpx_client(**about(enclave), timeout=60) as client:
        answer = client.post("/whisper/predict", files={"audio": bytes(26_000_000)})
        assert answer.status_code == 413 and "body_bytes" in answer.text
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("kind", ["digit", "root", "old"])
def test_a_bad_enclave(enclave: Enclave, kind: str) -> None:
    tap = Tap(enclave.port)
    wrong = {
        "digit": {"measurements": changed_measurements(enclave, "PCR18")},
        "root": {"root": None},
        "old": {"max_age": 0.001},
    }[kind]
    options = about(enclave, addr=f"127.0.0.1:{tap.port}", **wrong)
    time.sleep(0.01)
    with blindbox.httpx_client(**options) as client, pytest.raises(blindbox.AttestationError) as caught:
        client.post("/whisper/predict", content=b"secret")
    assert str(caught.value).startswith("Attestation verification failed: ") and caught.value.report

    async def again() -> None:
        async with blindbox.async_httpx_client(**options) as client:
            with pytest.raises(blindbox.AttestationError):
                await client.post("/whisper/predict", content=b"secret")

    asyncio.run(again())
    tap.close()
    tap.assert_nothing_was_sent()
    assert len(tap.sent) == 2


def test_a_man_in_the_middle(enclave: Enclave, tmp_path: Path) -> None:
    middle = ManInTheMiddle(enclave, tmp_path)
    with blindbox.httpx_client(**about(enclave, addr=f"localhost:{middle.port}")) as client:
        for _ in range(2):
            with pytest.raises(blindbox.AttestationError) as caught:
                client.post("/", content=b"secret")
            assert caught.value.code == "BB_ERR_KEY_BINDING"
    middle.close()
    assert middle.accepted == 2 and middle.heard == b""


def test_nowhere_else(enclave: Enclave, monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        nobody.settimeout(0.2)
        port = nobody.getsockname()[1]
        for name in ("HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        with blindbox.httpx_client(**about(enclave), follow_redirects=True) as client:
            assert client.get("/healthz").status_code == 200
            for url in (f"https://127.0.0.1:{port}/", f"http://127.0.0.1:{enclave.port}/", f"https://localhost:{port}"):
                with pytest.raises(httpx.UnsupportedProtocol):
                    client.get(url)
        with blindbox.httpx_client(**about(enclave, addr=f"LocalHost:{enclave.port}")) as client:
            assert client.get("/healthz").status_code == 200
        for name in ("transport", "mounts", "proxy", "verify", "trust_env"):
            with pytest.raises(TypeError, match=f"^{name} would lead around"):
                blindbox.httpx_client(**about(enclave), **{name: None})
        with pytest.raises(TimeoutError):
            nobody.accept()


def test_an_enclave_replaced_on_its_port(start) -> None:
    first = start()
    tap = Tap(first.port)
    with blindbox.httpx_client(**about(first, addr=f"localhost:{tap.port}")) as client:
        assert client.get("/healthz").status_code == 200
        first.down()
        first.options = ("--set", "limits.body_bytes=1000000")
        first.up()
        tap.target = first.port
        # The policy was read before the enclave was replaced, and with it its measurements file.
        with pytest.raises(blindbox.AttestationError, match="PCR"):
            client.post("/whisper/predict", content=b"secret")
    tap.close()
    assert len(tap.sent) == 2


def test_async(enclave: Enclave) -> None:
    async def work() -> list:
        async with blindbox.async_httpx_client(**about(enclave), timeout=60) as client:
            assert isinstance(client, httpx.AsyncClient)
            jobs = [client.post("/whisper/predict", files={"audio": sample().read_bytes()}) for _ in range(4)]
            answers = await asyncio.gather(*jobs)
            assert (await client.get("/healthz")).status_code == 200
            with pytest.raises(httpx.UnsupportedProtocol):
                await client.get("https://localhost:1/")
            return [answer.json() for answer in answers]

    texts = asyncio.run(work())
    assert all(says_the_same(REFERENCE, text) for text in texts)


def test_async_connecting_does_not_hold_the_loop_up(enclave: Enclave) -> None:
    """While a connection to a peer that says nothing waits for its time limit, the loop goes on."""

    async def work() -> tuple[int, float]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        with socket.create_server(("127.0.0.1", 0)) as silent:
            options = about(enclave, addr=f"127.0.0.1:{silent.getsockname()[1]}")
            started = time.monotonic()
            async with blindbox.async_httpx_client(**options, timeout=1) as client:
                with pytest.raises(httpx.ConnectTimeout):
                    await client.get("/healthz")
            took = time.monotonic() - started
        ticking.cancel()
        return ticks, took

    ticks, took = asyncio.run(work())
    assert ticks > 30 and took < 10, (ticks, took)


def test_async_given_up(enclave: Enclave) -> None:
    async def work() -> None:
        async with blindbox.async_httpx_client(**about(enclave), timeout=60) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.post("/whisper/predict", files={"audio": sample("meeting").read_bytes() * 8})
            assert (await client.get("/healthz")).status_code == 200

    asyncio.run(work())


def test_other_failures_are_the_librarys_own(enclave: Enclave) -> None:
    with blindbox.httpx_client(**about(enclave, addr="127.0.0.1:1")) as client, pytest.raises(httpx.ConnectError):
        client.get("/healthz")
    hasty = blindbox.httpx_client(**about(enclave), timeout=httpx.Timeout(20, read=0.001))
    with hasty as client, pytest.raises(httpx.ReadTimeout):
        client.post("/whisper/predict", files={"audio": sample().read_bytes()})
