"""The OpenAI SDK, blocking and async, over attested connections and no others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import blindbox
import openai
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


def test_transcription(enclave: Enclave, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "for another service")
    with blindbox.openai_client(**about(enclave)) as client, sample().open("rb") as audio:
        assert isinstance(client, openai.OpenAI)
        assert client.api_key == "unused"
        answer = client.audio.transcriptions.create(model="whisper-1", file=audio)
        assert says_the_same(REFERENCE, answer.text)
        assert [model.id for model in client.models.list()] == ["demo-speech"]
        with pytest.raises(openai.BadRequestError):
            client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"not audio at all"))


def test_async_transcription(enclave: Enclave) -> None:
    async def work() -> list[str]:
        async with blindbox.async_openai_client(**about(enclave), api_key="k") as client:
            assert client.api_key == "k"
            jobs = [
                client.audio.transcriptions.create(model="whisper-1", file=("a.wav", sample().read_bytes()))
                for _ in range(3)
            ]
            return [answer.text for answer in await asyncio.gather(*jobs)]

    assert all(says_the_same(REFERENCE, text) for text in asyncio.run(work()))


def test_a_bad_enclave_is_asked_once_and_told_nothing(enclave: Enclave) -> None:
    tap = Tap(enclave.port)
    options = about(enclave, addr=f"127.0.0.1:{tap.port}", measurements=changed_measurements(enclave))
    with blindbox.openai_client(**options) as client:
        with pytest.raises(blindbox.AttestationError, match="^Attestation verification failed: PCR0 is") as caught:
            client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"secret"))
        assert isinstance(caught.value, openai.OpenAIError)
        assert caught.value.code == "BB_ERR_PCR_MISMATCH" and caught.value.report

    async def again() -> None:
        async with blindbox.async_openai_client(**options) as client:
            with pytest.raises(blindbox.AttestationError):
                await client.models.list()

    asyncio.run(again())
    tap.close()
    tap.assert_nothing_was_sent()
    assert len(tap.sent) == 2


def test_a_man_in_the_middle(enclave: Enclave, tmp_path: Path) -> None:
    middle = ManInTheMiddle(enclave, tmp_path)
    with blindbox.openai_client(**about(enclave, addr=f"localhost:{middle.port}")) as client:
        with pytest.raises(blindbox.AttestationError) as caught:
            client.models.list()
        assert caught.value.code == "BB_ERR_KEY_BINDING"
    middle.close()
    assert middle.accepted == 1 and middle.heard == b""


def test_no_way_around(enclave: Enclave) -> None:
    for name in ("http_client", "base_url"):
        with pytest.raises(TypeError, match="around"):
            blindbox.openai_client(**about(enclave), **{name: None})
    with blindbox.openai_client(**about(enclave)) as client, pytest.raises(openai.APIConnectionError):
        client.with_options(base_url="https://localhost:1/v1", max_retries=0).models.list()
