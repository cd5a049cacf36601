"""The code of the documents that BlindBox started from, as written, and what it says about a bad enclave."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
import wave
from pathlib import Path

import blindbox
import pytest
from middle import ManInTheMiddle, Tap, changed_measurements
from support import Enclave, sample, says_the_same

REFERENCE = sample().with_suffix(".txt").read_text()
PREFIX = "Attestation verification failed: "


def connect(enclave: Enclave, **more):
    options = {
        "addr": enclave.info["address"],
        "measurements": enclave.info["measurements"],
        "root": enclave.info["root"],
    }
    return blindbox.ai.connection.connect(**(options | more))


def test_as_written(enclave: Enclave) -> None:
    client = connect(enclave)
    assert says_the_same(REFERENCE, blindbox.ai.Audio.transcribe(str(sample()), connection=client))
    with pytest.raises(blindbox.ModelError, match="no text model here"):
        blindbox.ai.Completion.create("What is an enclave?", connection=client)
    assert client.handshakes == 1
    client.close()
    with pytest.raises(ValueError, match="closed"):
        client.transcribe(sample())


def test_the_enclave_that_was_started_here(enclave: Enclave) -> None:
    program = "import blindbox; print(blindbox.ai.Audio.transcribe(__import__('sys').argv[1]))"
    env = enclave.env | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program.replace("(__import__", f"(connection=blindbox.connect(name={enclave.name!r}), "
                                               "file=__import__"), sample()],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert says_the_same(REFERENCE, done.stdout)
    assert done.stderr.count("SIMULATED") == 1
    done = subprocess.run(
        [sys.executable, "-c", program, sample()], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "no enclave 'default' is up; start it with `blindbox up`, or name an address" in done.stderr


def test_what_a_connection_tells(enclave: Enclave) -> None:
    with connect(enclave) as client:
        assert client.address == enclave.info["address"]
        assert client.simulated
        assert all(check.passed and check.code == "BB_OK" for check in client.report)
        assert {"PCR0", "PCR1", "PCR2", "PCR16", "PCR18"} <= {check.name for check in client.report}
        assert client.certificate == enclave.get("/enclave/cert").body
        document, evidence = client.document, client.evidence
    assert document is not None and evidence is not None
    policy = blindbox.Policy(enclave.info["measurements"], root=enclave.info["root"])
    assert document.pcrs[0] == policy.pcrs[0]
    assert len(document.certificates) == 5 and document.cabundle[0] == document.certificates[0]
    assert blindbox.verify_document(evidence, policy, time=document.timestamp).module_id == document.module_id


def test_recordings_of_every_kind(enclave: Enclave) -> None:
    seen: list[tuple[int, int]] = []
    with connect(enclave) as client, sample().open("rb") as file:
        first = client.transcribe(sample(), progress=lambda sent, total: seen.append((sent, total)))
        assert client.transcribe(sample().read_bytes(), language="en") == first
        assert client.transcribe(file, model="whisper-1", temperature=0.0) == first
        assert client.handshakes == 1
    assert seen and seen[-1][0] <= seen[-1][1]


def test_ending_a_request(enclave: Enclave) -> None:
    class Enough(Exception):
        pass

    def enough(sent: int, total: int) -> None:
        raise Enough

    with connect(enclave) as client:
        with pytest.raises(Enough):
            client.transcribe(sample(), progress=enough)
        with pytest.raises(blindbox.TransportError) as caught:
            client.transcribe(sample(), progress=lambda sent, total: False)
        assert caught.value.code == "BB_ERR_CANCELLED"
        assert says_the_same(REFERENCE, client.transcribe(sample()))


def test_ctrl_c(enclave: Enclave) -> None:
    """SIGINT ends a running request within about a second, and the connection can be used again."""
    with sample().open("rb") as file:
        recording = file.read()
    with connect(enclave) as client:
        timer = threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,))
        timer.start()
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            client.transcribe(longer(recording, 20))
        assert time.monotonic() - started < 5
        timer.join()
        assert says_the_same(REFERENCE, client.transcribe(recording))


def longer(recording: bytes, times: int) -> bytes:
    """A WAV file whose samples are repeated."""
    with wave.open(io.BytesIO(recording)) as source:
        parameters, samples = source.getparams(), source.readframes(source.getnframes())
    made = io.BytesIO()
    with wave.open(made, "wb") as sink:
        sink.setparams(parameters)
        sink.writeframes(samples * times)
    return made.getvalue()


def test_one_connection_and_several_threads(enclave: Enclave) -> None:
    texts: list[str] = []
    with connect(enclave) as client:
        work = [threading.Thread(target=lambda: texts.append(client.transcribe(sample()))) for _ in range(3)]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join(60)
    assert len(texts) == 3 and len(set(texts)) == 1


def test_what_the_server_refuses(enclave: Enclave) -> None:
    with connect(enclave) as client:
        with pytest.raises(blindbox.ServerError, match="not an audio file") as caught:
            client.transcribe(b"this is no audio")
        assert (caught.value.status, caught.value.code) == (400, "BB_ERR_HTTP_STATUS")
        with pytest.raises(blindbox.ServerError) as caught:
            client.transcribe(sample(), model="no-such-model")
        assert caught.value.status == 404
    with pytest.raises(FileNotFoundError), connect(enclave) as client:
        client.transcribe("no such file.wav")


def test_one_digit_of_pcr0(enclave: Enclave) -> None:
    tap = Tap(enclave.port)
    with pytest.raises(blindbox.AttestationError) as caught:
        connect(enclave, addr=f"127.0.0.1:{tap.port}", measurements=changed_measurements(enclave))
    true = blindbox.Policy(enclave.info["measurements"]).pcrs[0].hex()
    assert str(caught.value).startswith(PREFIX + "PCR0 is " + true[:8])
    assert "expected " in str(caught.value)
    assert caught.value.code == "BB_ERR_PCR_MISMATCH"
    failed = [check for check in caught.value.report if not check.passed]
    assert [(check.name, check.code) for check in failed] == [("PCR0", "BB_ERR_PCR_MISMATCH")]
    assert sum(check.passed for check in caught.value.report) > 5
    tap.close()
    tap.assert_nothing_was_sent()


def test_another_root(enclave: Enclave, start) -> None:
    tap = Tap(enclave.port)
    for root in (start().info["root"], None):
        with pytest.raises(blindbox.AttestationError) as caught:
            connect(enclave, addr=f"127.0.0.1:{tap.port}", root=root)
        assert caught.value.code == "BB_ERR_CHAIN_ROOT"
    tap.close()
    tap.assert_nothing_was_sent()


def test_old_evidence(enclave: Enclave) -> None:
    time.sleep(2)
    tap = Tap(enclave.port)
    with pytest.raises(blindbox.AttestationError) as caught:
        connect(enclave, addr=f"127.0.0.1:{tap.port}", max_age=1)
    assert caught.value.code == "BB_ERR_DOCUMENT_OLD"
    tap.close()
    tap.assert_nothing_was_sent()


def test_a_man_in_the_middle(enclave: Enclave, tmp_path: Path) -> None:
    middle = ManInTheMiddle(enclave, tmp_path)
    with pytest.raises(blindbox.AttestationError) as caught:
        connect(enclave, addr=f"127.0.0.1:{middle.port}")
    assert caught.value.code == "BB_ERR_KEY_BINDING"
    middle.close()
    assert middle.accepted == 1 and middle.heard == b""


def test_nobody_there() -> None:
    policy = blindbox.Policy(pcrs={0: b"\1" * 48})
    with pytest.raises(blindbox.TransportError) as caught:
        blindbox.connect("127.0.0.1:1", policy=policy)
    assert caught.value.code == "BB_ERR_CONNECT"
    with pytest.raises(ValueError, match="not an address"):
        blindbox.connect("127.0.0.1:99999", policy=policy)
    with pytest.raises(blindbox.PolicyError, match="measurements"):
        blindbox.connect("127.0.0.1:1")
    with pytest.raises(ValueError, match="exclude"):
        blindbox.connect("127.0.0.1:1", name="default", policy=policy)


def test_simulated_is_said_once(enclave: Enclave, monkeypatch) -> None:
    monkeypatch.setattr("blindbox.policy._told", False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            connect(enclave).close()
    assert [str(w.message)[:9] for w in caught if w.category is blindbox.SimulatedWarning] == ["SIMULATED"]
