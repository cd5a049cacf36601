"""What happens when a process dies, and when a client goes away."""

from __future__ import annotations

import io
import threading
import time

import numpy
import soundfile
from support import Answer, Enclave, form, kill, request_head, sample, says_the_same, wait_until

SPEECH = "blindbox-speech"
REFERENCE = sample().with_suffix(".txt").read_text()


def long_audio(repetitions: int) -> bytes:
    """The sample again and again, as a WAV file."""
    audio, rate = soundfile.read(sample(), dtype="int16")
    buffer = io.BytesIO()
    soundfile.write(buffer, numpy.tile(audio, repetitions), rate, format="WAV")
    return buffer.getvalue()


def pids(enclave: Enclave) -> dict[str, int]:
    return {p.role: p.pid for p in enclave.processes()}


def test_the_worker_dies_during_requests(start) -> None:
    enclave = start()
    before = pids(enclave)
    audio = long_audio(100)
    answers: list[Answer] = []
    clients = [threading.Thread(target=lambda: answers.append(enclave.predict(audio))) for _ in range(3)]
    for client in clients:
        client.start()
    wait_until(lambda: enclave.metric("blindbox_speech_requests_working") == 3, 20, "three requests at work")
    kill(enclave.process(SPEECH))
    for client in clients:
        client.join(60)
    assert [a.status for a in answers] == [503] * 3, answers
    assert all(int(a.headers["retry-after"]) >= 1 for a in answers)
    answer = enclave.predict(sample().read_bytes())
    assert answer.status == 200 and says_the_same(REFERENCE, answer.json())
    after = pids(enclave)
    assert after.pop(SPEECH) != before.pop(SPEECH)
    assert after == before
    assert enclave.metric("blindbox_worker_restarts_total") == 1


def test_the_worker_dies_again_and_again(start) -> None:
    enclave = start()
    for _ in range(3):
        kill(enclave.process(SPEECH))
        assert enclave.predict(sample().read_bytes()).status == 200


def test_the_gate_dies(start) -> None:
    enclave = start()
    init = enclave.process("blindboxd init").pid
    before = enclave.get("/enclave/cert").body
    kill(enclave.process("blindboxd gate"))

    def back() -> bool:
        try:
            return enclave.get("/readyz").status == 200
        except (OSError, AssertionError):
            return False

    wait_until(back, 20, "the gate's return")
    assert enclave.process("blindboxd init").pid == init
    assert enclave.get("/enclave/cert").body != before
    done = enclave.blindbox("transcribe", "--name", enclave.name, sample())
    assert done.returncode == 0, done.stderr


def test_a_client_that_goes_away_stops_the_work(start) -> None:
    enclave = start("--states", "1")
    worker = enclave.process(SPEECH)
    body, content_type = form({"audio": long_audio(150)})
    with enclave.connect() as tls:
        tls.sendall(request_head("/whisper/predict", content_type, len(body)) + body)
        begun = worker.cpu_seconds()
        wait_until(lambda: worker.cpu_seconds() > begun + 0.5, 30, "the worker to work")
    # The engine stops at its next step; then its cores stand still although minutes of audio are left.
    wait_until(lambda: standing_still(worker), 15, "the worker's cores to stop")
    assert enclave.predict(sample().read_bytes()).status == 200
    assert enclave.process(SPEECH).pid == worker.pid


def standing_still(process) -> bool:
    """True when the process used no CPU time for half a second."""
    before = process.cpu_seconds()
    time.sleep(0.5)
    return process.cpu_seconds() - before <= 0.02


def test_a_waiting_request_is_dropped_when_its_client_goes(start) -> None:
    enclave = start("--states", "1")
    body, content_type = form({"audio": long_audio(60)})
    connections = []
    for _ in range(4):
        tls = enclave.connect()
        tls.sendall(request_head("/whisper/predict", content_type, len(body)) + body)
        connections.append(tls)
    wait_until(lambda: enclave.metric("blindbox_speech_requests_working") == 4, 20, "four requests at work")
    for tls in connections:
        tls.close()
    wait_until(lambda: enclave.metric("blindbox_speech_requests_working") == 0, 20, "all of them to be gone")
    worker = enclave.process(SPEECH)
    wait_until(lambda: standing_still(worker), 15, "the worker's cores to stop")
