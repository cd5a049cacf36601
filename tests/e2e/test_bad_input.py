"""Bad input gets a clear answer and hurts nobody else: beside each of these an ordinary request must succeed."""

from __future__ import annotations

import contextlib
import io
import re
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pytest
import soundfile
from support import (
    Answer,
    Enclave,
    chunked,
    form,
    good_request_beside,
    parse_answer,
    read_answer,
    read_until_closed,
    request_head,
    sample,
)

PREDICT = "/whisper/predict"
OPENAI = "/v1/audio/transcriptions"


@pytest.fixture(autouse=True)
def others_are_served(enclave: Enclave) -> Iterator[None]:
    """Every test of this file runs beside a good request."""
    with good_request_beside(enclave):
        yield


def detail(answer: Answer) -> str:
    """The sentence in an error of the first BlindBox's dialect."""
    assert answer.headers["content-type"] == "application/json"
    return answer.json()["detail"]


def encoded(container: str, subtype: str, seconds: float = 3.0) -> bytes:
    """A tone in some format."""
    buffer = io.BytesIO()
    tone = 0.1 * numpy.sin(numpy.arange(int(16000 * seconds)) * 0.1)
    soundfile.write(buffer, tone, 16000, format=container, subtype=subtype)
    return buffer.getvalue()


def wav_header(rate: int = 16000, data_size: int = 0, channels: int = 1) -> bytes:
    """A canonical header of a 16-bit WAV file that may claim anything."""
    block = channels * 2
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", (36 + data_size) & 0xFFFFFFFF, b"WAVE", b"fmt ", 16,
        1, channels, rate, (rate * block) & 0xFFFFFFFF, block, 16, b"data", data_size,
    )  # fmt: skip


TONE = (numpy.sin(numpy.arange(16000) * 0.1) * 3000).astype("<i2").tobytes()
NOT_AUDIO = "Could not deserialize data: not an audio file"
TRUNCATED = "The audio file is truncated"
TOO_LONG = "The recording is longer than the limit audio_seconds (3600)"
RATE = "The sample rate must be from 8000 to 192000 Hz with 1 to 8 channels"


def flac_claiming(samples: int) -> bytes:
    """A FLAC file whose STREAMINFO claims that many samples."""
    data = bytearray(encoded("FLAC", "PCM_16"))
    assert data[:4] == b"fLaC" and data[4] & 0x7F == 0
    packed = int.from_bytes(data[18:26]) >> 36 << 36 | samples
    data[18:26] = packed.to_bytes(8)
    return bytes(data)


AUDIO = {
    "text": (b"this is not audio", 400, NOT_AUDIO),
    "random bytes": (bytes(range(256)) * 100, 400, NOT_AUDIO),
    "empty file": (b"", 400, "The audio file is empty"),
    "WAV header without samples": (wav_header(), 400, "The audio file holds no samples"),
    "truncated WAV": (wav_header(data_size=len(TONE)) + TONE[: len(TONE) // 2], 400, TRUNCATED),
    "truncated FLAC": (encoded("FLAC", "PCM_16")[:-2000], 400, TRUNCATED),
    "truncated MP3": (encoded("MP3", "MPEG_LAYER_III")[:3000], 400, TRUNCATED),
    "truncated header": (wav_header()[:20], 400, NOT_AUDIO),
    "WAV that claims 4 GB": (wav_header(data_size=0xFFFFFF00) + TONE, 400, TRUNCATED),
    "0 Hz": (
        wav_header(rate=0, data_size=len(TONE)) + TONE,
        400,
        RATE,
    ),
    "9 channels": (
        wav_header(channels=9, data_size=18 * 100) + bytes(18 * 100),
        400,
        RATE,
    ),
    "FLAC that claims 2^36 samples": (flac_claiming((1 << 36) - 1), 413, TOO_LONG),
    "WAV that claims 1 GB of samples": (wav_header(data_size=1 << 30) + TONE, 400, TRUNCATED),
}


@pytest.mark.parametrize("name", AUDIO)
def test_audio(enclave: Enclave, name: str) -> None:
    data, status, message = AUDIO[name]
    answer = enclave.predict(data)
    assert (answer.status, detail(answer)) == (status, message)
    body, content_type = form({"file": data}, {"model": "whisper-1"})
    answer = enclave.post(OPENAI, body, content_type)
    assert answer.status == status
    assert answer.json()["error"]["message"] == message
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_three_hours(enclave: Enclave) -> None:
    silence = io.BytesIO()
    soundfile.write(silence, numpy.zeros(3 * 3600 * 8000, dtype="int16"), 8000, format="FLAC")
    answer = enclave.predict(silence.getvalue())
    assert (answer.status, detail(answer)) == (413, TOO_LONG)


def test_wrong_field_name(enclave: Enclave) -> None:
    body, content_type = form({"sound": sample().read_bytes()})
    answer = enclave.post(PREDICT, body, content_type)
    assert (answer.status, detail(answer)) == (400, "The form has no file in the field audio")
    answer = enclave.post(OPENAI, body, content_type)
    assert answer.status == 400
    assert answer.json()["error"]["param"] in ("file", "model")


def test_no_boundary(enclave: Enclave) -> None:
    answer = enclave.post(PREDICT, b"x", "multipart/form-data")
    assert (answer.status, detail(answer)) == (400, "The Content-Type has no boundary")


def test_long_boundary(enclave: Enclave) -> None:
    body, content_type = form({"audio": b"x"}, boundary="b" * 300)
    answer = enclave.post(PREDICT, body, content_type)
    assert (answer.status, detail(answer)) == (400, "The boundary is longer than 70 characters")


def test_not_a_form(enclave: Enclave) -> None:
    answer = enclave.post(PREDICT, b"{}", "application/json")
    assert (answer.status, detail(answer)) == (415, "The body must be multipart/form-data")


def test_form_cut_short(enclave: Enclave) -> None:
    body, content_type = form({"audio": sample().read_bytes()})
    answer = enclave.post(PREDICT, body[:-20], content_type)
    assert (answer.status, detail(answer)) == (400, "The form ends in the middle of a part")


def test_26_mb_body_is_refused_before_it_is_sent(enclave: Enclave) -> None:
    with enclave.connect() as tls:
        tls.sendall(request_head(PREDICT, "multipart/form-data; boundary=b", 26_000_000))
        answer = read_answer(tls)
    assert (answer.status, detail(answer)) == (413, "The request body exceeds the limit body_bytes (25000000)")


def test_26_mb_body_sent_all_the_same(enclave: Enclave) -> None:
    body, content_type = form({"audio": bytes(26_000_000)})
    head = request_head(PREDICT, content_type, None)
    with enclave.connect() as tls:
        with contextlib.suppress(OSError):  # the server may have answered and closed already
            tls.sendall(head)
            for piece in chunked(body, 1 << 20):
                tls.sendall(piece)
        answer = read_answer(tls)
    assert (answer.status, detail(answer)) == (413, "The request body exceeds the limit body_bytes (25000000)")


def test_unknown_route(enclave: Enclave) -> None:
    assert enclave.get("/secret-name-of-a-patient").status == 404
    answer = enclave.get("/secret-name-of-a-patient")
    assert "patient" not in answer.text
    assert enclave.get("/v1/unknown").json()["error"]["type"] == "invalid_request_error"
    assert "patient" not in enclave.get("/metrics").text
    assert "patient" not in enclave.log()


def test_wrong_method(enclave: Enclave) -> None:
    answer = enclave.get(PREDICT)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    answer = enclave.post("/healthz", b"", "text/plain")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_header_of_100_kb(enclave: Enclave) -> None:
    with enclave.connect() as tls:
        with contextlib.suppress(OSError):
            tls.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n")
        answer = read_answer(tls)
    assert answer.status == 431
    assert "header_bytes (32768)" in answer.text


def test_chunked_body(enclave: Enclave) -> None:
    body, content_type = form({"audio": sample().read_bytes()})
    head = request_head(PREDICT, content_type, None)
    with enclave.connect() as tls:
        tls.sendall(head)
        for piece in chunked(body, 1009):
            tls.sendall(piece)
        assert read_answer(tls).status == 200


def test_expect_100_continue(enclave: Enclave) -> None:
    body, content_type = form({"audio": sample().read_bytes()})
    head = request_head(PREDICT, content_type, len(body), "Expect: 100-continue")
    with enclave.connect() as tls:
        tls.sendall(head)
        assert tls.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        tls.sendall(body)
        assert read_answer(tls).status == 200


def test_expect_100_continue_over_the_limit(enclave: Enclave) -> None:
    with enclave.connect() as tls:
        tls.sendall(request_head(PREDICT, "multipart/form-data; boundary=b", 30_000_000, "Expect: 100-continue"))
        assert parse_answer(tls.recv(65536)).status == 413


def test_half_closed_socket_still_gets_its_answer(enclave: Enclave) -> None:
    body, content_type = form({"audio": sample().read_bytes()})
    head = request_head(PREDICT, content_type, len(body))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    tls = context.wrap_bio(incoming, outgoing)
    with socket.create_connection(("127.0.0.1", enclave.port), timeout=60) as raw:

        def pump(step: Callable[[], object]) -> object:
            while True:
                try:
                    result = step()
                    if pending := outgoing.read():
                        raw.sendall(pending)
                    return result
                except ssl.SSLWantReadError:
                    if pending := outgoing.read():
                        raw.sendall(pending)
                    data = raw.recv(65536)
                    if data:
                        incoming.write(data)
                    else:
                        incoming.write_eof()

        pump(tls.do_handshake)
        pump(lambda: tls.write(head + body))
        raw.shutdown(socket.SHUT_WR)
        data = b""
        while not data.endswith(b'"'):  # the end of the JSON string
            data += pump(lambda: tls.read(65536))
        assert parse_answer(data).status == 200


POST = b"POST /whisper/predict HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
GARBAGE = {
    "not HTTP": b"\x00\x01\x02\x03 hello\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "length and chunked": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": POST + b"Content-Length: -5\r\n\r\n",
    "huge length": POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "bad chunk": POST + b"Content-Type: multipart/form-data; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "folded header": GET + b"A: b\r\n c\r\n\r\n",
    "NUL in a header": GET + b"A: b\0c\r\n\r\n",
    "no Host": b"GET /healthz HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_http_garbage(enclave: Enclave, name: str) -> None:
    with enclave.connect() as tls:
        tls.sendall(GARBAGE[name])
        data = read_until_closed(tls)
    assert parse_answer(data).status in (400, 413), data
    assert data.count(b"HTTP/1.1 ") == 1


def test_slow_sender(start) -> None:
    slow = start("--set", "limits.header_ms=2000", "--set", "limits.body_ms=2000")
    with slow.connect() as tls:
        data = send_slowly(tls, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert parse_answer(data).status == 408
    assert "header_ms (2000)" in parse_answer(data).text
    body, content_type = form({"audio": sample().read_bytes()})
    head = request_head(PREDICT, content_type, len(body))
    with slow.connect() as tls:
        tls.sendall(head)
        with good_request_beside(slow):
            data = send_slowly(tls, body)
    assert parse_answer(data).status == 408
    assert "body_ms (2000)" in parse_answer(data).text


def send_slowly(tls: ssl.SSLSocket, data: bytes) -> bytes:
    """One byte a second until the server answers or hangs up; what it said."""
    tls.settimeout(1.0)
    said = b""
    for i in range(min(len(data), 15)):
        try:
            tls.sendall(data[i : i + 1])
            chunk = tls.recv(65536)
            said += chunk
            if not chunk:
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return said


def test_500_idle_connections(enclave: Enclave, start) -> None:
    crowded = start("--set", "limits.idle_ms=30000")
    connections = [crowded.connect() for _ in range(500)]
    with good_request_beside(crowded):
        assert crowded.get("/healthz").status == 200
    assert crowded.metric("blindbox_connections") >= 500
    for connection in connections:
        connection.close()


def test_idle_connections_are_closed(start) -> None:
    brisk = start("--set", "limits.idle_ms=500", "--set", "limits.handshake_ms=500")
    with brisk.connect() as tls:
        begun = time.monotonic()
        assert read_until_closed(tls) == b""
        assert time.monotonic() - begun < 15
    with socket.create_connection(("127.0.0.1", brisk.port), timeout=15) as raw:
        assert read_until_closed(raw) == b""


def test_too_many_connections(start) -> None:
    small = start("--set", "limits.connections=4")
    connections = [small.connect() for _ in range(4)]
    with socket.create_connection(("127.0.0.1", small.port), timeout=15) as raw:
        assert read_until_closed(raw) == b""
    connections.pop().close()
    deadline = time.monotonic() + 10
    while True:
        try:
            assert small.get("/healthz").status == 200
            break
        except (OSError, AssertionError):
            assert time.monotonic() < deadline
    for connection in connections:
        connection.close()


def test_full_queue(start) -> None:
    busy = start("--states", "1", "--set", "limits.queue=1")
    long = Path(busy.home / "long.wav")
    audio, rate = soundfile.read(sample(), dtype="int16")
    soundfile.write(long, numpy.tile(audio, 60), rate)
    body, content_type = form({"audio": long.read_bytes()})
    head = request_head(PREDICT, content_type, len(body))
    waiting = []
    for _ in range(2):  # one is worked on, one fills the queue
        tls = busy.connect()
        tls.sendall(head + body)
        waiting.append(tls)
        time.sleep(1)
    answer = busy.predict(sample().read_bytes())
    assert answer.status == 503
    assert "queue (1)" in detail(answer)
    assert int(answer.headers["retry-after"]) >= 1
    for tls in waiting:
        tls.close()


def test_request_deadline(start) -> None:
    hurried = start("--states", "1", "--set", "limits.request_ms=300")
    audio, rate = soundfile.read(sample(), dtype="int16")
    long = io.BytesIO()
    soundfile.write(long, numpy.tile(audio, 100), rate, format="WAV")
    answer = hurried.predict(long.getvalue())
    assert answer.status == 503
    assert "request_ms (300)" in detail(answer)


def test_pipelined_requests_are_answered_in_order(enclave: Enclave) -> None:
    with enclave.connect() as tls:
        tls.sendall(GET + b"\r\n" + b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = read_until_closed(tls)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", data) == [b"200", b"404"]
