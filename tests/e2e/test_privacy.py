"""Nothing that a user sent stays: not in logs, files or metrics, nor in the memory of the enclave's processes."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

import pytest
from support import SANITIZED, Enclave, form, request_head, sample, wait_until


def memory_contains(pid: int, needle: bytes) -> bool:
    """Searches every readable mapping of a process (needs the right to trace it: root)."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) (r)", line)
            if match is None or "[v" in line:
                continue
            start, end = int(match[1], 16), int(match[2], 16)
            while start < end:
                try:
                    memory.seek(start)
                    piece = memory.read(min(end - start, 1 << 24))
                except OSError:
                    break
                if needle in piece:
                    return True
                start += max(len(piece) - len(needle), 1) if len(piece) == 1 << 24 else len(piece) or end
    return False


@pytest.mark.skipif(os.geteuid() != 0, reason="skipped: reading another process's memory needs root")
@pytest.mark.skipif(SANITIZED, reason="skipped: the sanitizers keep freed memory, and terabytes of shadows")
def test_uploads_do_not_stay_in_memory(start) -> None:
    enclave: Enclave = start()
    marker = secrets.token_hex(24).encode()
    # A WAV file may end in chunks that decoders pass over: the marker travels the whole way.
    audio = sample().read_bytes()
    chunk = b"LIST" + (len(marker)).to_bytes(4, "little") + marker
    size = int.from_bytes(audio[4:8], "little") + len(chunk)
    audio = audio[:4] + size.to_bytes(4, "little") + audio[8:] + chunk
    prompt = secrets.token_hex(24)
    body, content_type = form({"file": audio}, {"model": "whisper-1", "prompt": prompt})
    answer = enclave.post("/v1/audio/transcriptions", body, content_type)
    assert answer.status == 200
    for process in enclave.processes():
        for needle in (marker, prompt.encode()):
            assert not memory_contains(process.pid, needle), (process.role, needle)


@pytest.mark.skipif(os.geteuid() != 0, reason="skipped: reading another process's memory needs root")
@pytest.mark.skipif(SANITIZED, reason="skipped: the sanitizers keep freed memory, and terabytes of shadows")
def test_the_search_would_find_it(start) -> None:
    """The test above can fail: a form field is found in the gate while the form is still being received."""
    enclave: Enclave = start()
    marker = secrets.token_hex(24)
    body, content_type = form({"file": sample().read_bytes()}, {"prompt": marker})
    with enclave.connect() as tls:
        tls.sendall(request_head("/v1/audio/transcriptions", content_type, len(body)) + body[:-100])
        gate = enclave.process("blindboxd gate").pid
        wait_until(lambda: memory_contains(gate, marker.encode()), 20, "the field to arrive")


def test_logs_and_files_hold_nothing_of_the_user(start) -> None:
    enclave: Enclave = start()
    spoken = enclave.predict(sample().read_bytes()).json()
    body, content_type = form({"audio": b"nonsense"}, {"prompt": "patient-zero"})
    enclave.post("/whisper/predict", body, content_type)
    enclave.get("/patient-zero?name=patient-zero")
    files = [path for path in enclave.home.rglob("*") if path.is_file() and "cache" not in path.parts]
    written = b"".join(path.read_bytes() for path in files)
    assert b"patient-zero" not in written and b"a.wav" not in written
    for word in spoken.split():
        if len(word) > 6:
            assert word.encode() not in written
    assert "patient-zero" not in enclave.get("/metrics").text


def test_processes_cannot_be_dumped_or_gain_privileges(enclave: Enclave) -> None:
    for role in ("blindboxd gate", "blindbox-speech"):
        pid = enclave.process(role).pid
        status = Path(f"/proc/{pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"Max core file size +0 +0", limits)
