"""Helpers of the end-to-end tests: an enclave as a user starts it, raw TLS connections, processes."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BLINDBOX_BUILD", TOP / "build"))
PROGRAM = BUILD / "src/cli/blindbox"
SAMPLES = TOP / "models/samples"
SHARED = Path(os.environ.get("BLINDBOX_SHARED", TOP.parent / "shared"))
SANITIZED = "asan" in BUILD.name
# Sanitizers make everything slower; waits are upper bounds, not measurements.
PATIENCE = 4.0 if SANITIZED else 1.0

sys.path.insert(0, str(TOP / "tools"))
import wer  # noqa: E402  (the project's word error rate)


def sample(name: str = "meeting") -> Path:
    """Path of one of the repository's recordings."""
    return SAMPLES / f"{name}.wav"


def word_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Word errors and words of the reference, compared as tools/wer.py does."""
    result = wer.word_errors(reference, hypothesis)
    return result.errors, result.words


def says_the_same(reference: str, hypothesis: str, tolerance: float = 0.15) -> bool:
    """True when at most `tolerance` of the reference's words are wrong."""
    errors, words = word_errors(reference, hypothesis)
    return errors <= tolerance * words


def run(*args: str | Path, timeout: float = 60, stdin: bytes | None = None, env: dict[str, str] | None = None):
    """Runs `blindbox` and returns the finished process with its output as bytes."""
    return subprocess.run(
        [str(PROGRAM), *map(str, args)],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=timeout * PATIENCE,
        env=env or os.environ.copy(),
        check=False,
    )


def wait_until(condition: Callable[[], object], timeout: float, what: str) -> None:
    """Polls `condition` until it is true; fails the test after `timeout` seconds."""
    end = time.monotonic() + timeout * PATIENCE
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"still waiting for {what} after {timeout * PATIENCE:.0f} s")


@dataclass
class Process:
    """A live process as /proc shows it."""

    pid: int
    name: str
    arguments: list[str]

    @property
    def role(self) -> str:
        """The program's name, with the role or verb for programs that have several."""
        program = Path(self.arguments[0]).name if self.arguments else self.name
        return f"{program} {self.arguments[1]}" if len(self.arguments) > 1 and program != "blindbox-speech" else program

    def cpu_seconds(self) -> float:
        """User and system time so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processes_with(mark: str) -> list[Process]:
    """Every process whose environment has `mark` (the state directory of one test's enclave)."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                continue
            if mark.encode() not in (entry / "environ").read_bytes():
                continue
            arguments = (entry / "cmdline").read_bytes().decode().rstrip("\0").split("\0")
            found.append(Process(int(entry.name), (entry / "comm").read_text().strip(), arguments))
    return found


@dataclass
class Enclave:
    """An enclave started with `blindbox up --detach` in a state directory of its own."""

    home: Path
    options: tuple[str, ...] = ()
    name: str = field(default_factory=lambda: "t" + uuid.uuid4().hex[:10])
    info: dict = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """The environment in which this enclave's commands run."""
        return os.environ | {
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "BLINDBOX_DATA": str(TOP),
        }

    def blindbox(self, *args: str | Path, timeout: float = 60, stdin: bytes | None = None):
        """Runs a verb in this enclave's environment."""
        return run(*args, timeout=timeout, stdin=stdin, env=self.env)

    def up(self) -> Enclave:
        """Starts the enclave and waits until it is ready."""
        done = self.blindbox("up", "--detach", "--name", self.name, "--listen", "127.0.0.1:0", *self.options)
        assert done.returncode == 0, done.stderr.decode() + self.log()
        self.info = json.loads(self.blindbox("status", "--name", self.name, "--json").stdout)
        return self

    def down(self) -> None:
        """Stops the enclave and checks that no process of it is left."""
        done = self.blindbox("down", "--name", self.name)
        assert done.returncode == 0, done.stderr.decode()
        assert not self.processes(), self.processes()

    def log(self) -> str:
        """What the enclave's processes wrote."""
        path = self.home / "state/blindbox/enclaves" / self.name / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def port(self) -> int:
        """The TCP port on loopback."""
        return int(self.info["address"].rpartition(":")[2])

    @property
    def url(self) -> str:
        """The base URL."""
        return f"https://localhost:{self.port}"

    def processes(self) -> list[Process]:
        """The enclave's processes and those that play its surroundings."""
        return processes_with(f"XDG_STATE_HOME={self.home}/state")

    def process(self, role: str) -> Process:
        """The one process with that role ("blindboxd gate", "blindbox-speech")."""
        found = [p for p in self.processes() if p.role == role]
        assert len(found) == 1, (role, self.processes())
        return found[0]

    def certificate(self) -> Path:
        """The attested certificate as PEM, as a user of curl gets it."""
        path = self.home / f"{self.name}.pem"
        done = self.blindbox(
            "attest", self.info["address"], "--root", self.info["root"],
            "--measurements", self.info["measurements"], "--save-cert", path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        return path

    def connect(self, timeout: float = 20) -> ssl.SSLSocket:
        """A bare TLS connection that verifies nothing: for tests of the server's side."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=timeout * PATIENCE)
        return context.wrap_socket(raw, server_hostname="localhost")

    def get(self, path: str) -> Answer:
        """GET over a bare connection."""
        with self.connect() as tls:
            tls.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return read_answer(tls)

    def post(self, path: str, body: bytes, content_type: str, timeout: float = 60) -> Answer:
        """POST over a bare connection."""
        with self.connect(timeout) as tls:
            tls.sendall(request_head(path, content_type, len(body), "Connection: close") + body)
            return read_answer(tls)

    def predict(self, audio: bytes, timeout: float = 60) -> Answer:
        """POST /whisper/predict with a form as the first BlindBox's clients send it."""
        body, content_type = form({"audio": audio})
        return self.post("/whisper/predict", body, content_type, timeout)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        total = 0.0
        for line in self.get("/metrics").text.splitlines():
            head, _, value = line.rpartition(" ")
            if head.partition("{")[0] == name and all(f'{k}="{v}"' in head for k, v in labels.items()):
                total += float(value)
        return total


@dataclass
class Answer:
    """An HTTP answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self):
        """The body as JSON."""
        return json.loads(self.body)


def read_until_closed(connection: socket.socket) -> bytes:
    """Every byte until the peer closes, resets or the socket's timeout passes (then TimeoutError)."""
    data = b""
    while True:
        try:
            chunk = connection.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError, BrokenPipeError):
            return data
        if not chunk:
            return data
        data += chunk


def parse_answer(data: bytes) -> Answer:
    """Splits one HTTP answer (with Content-Length) off the front of `data`."""
    head, separator, body = data.partition(b"\r\n\r\n")
    assert separator, f"no answer, only {data[:200]!r}"
    lines = head.decode().split("\r\n")
    headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
    status = int(lines[0].split(" ")[1])
    if status == 100:
        return parse_answer(body)
    return Answer(status, headers, body[: int(headers.get("content-length", len(body)))])


def read_answer(connection: socket.socket) -> Answer:
    """Reads one answer: as many bytes as its Content-Length says."""
    data = b""
    while True:
        head, separator, body = data.partition(b"\r\n\r\n")
        if separator and b" 100 " in head.split(b"\r\n")[0]:
            data = body
            continue
        if separator:
            answer = parse_answer(data)
            if len(body) >= int(answer.headers.get("content-length", 0)):
                return answer
        try:
            chunk = connection.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            chunk = b""
        if not chunk:
            return parse_answer(data)
        data += chunk


def request_head(path: str, content_type: str, length: int | None, *more: str) -> bytes:
    """The head of a POST; without a length the body is chunked."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {content_type}", framing, *more]
    return "\r\n".join([*lines, "", ""]).encode()


def chunked(body: bytes, size: int) -> Iterator[bytes]:
    """The pieces of a chunked body."""
    for at in range(0, len(body), size):
        piece = body[at : at + size]
        yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    yield b"0\r\n\r\n"


def form(
    files: dict[str, bytes], fields: dict[str, str] | None = None, boundary: str = "bLiNdBoX"
) -> tuple[bytes, str]:
    """A multipart/form-data body and its content type."""
    parts = b""
    for name, value in (fields or {}).items():
        parts += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    for name, data in files.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="a.wav"\r\n'
        parts += head.encode() + b"Content-Type: audio/wav\r\n\r\n" + data + b"\r\n"
    return parts + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


@contextlib.contextmanager
def good_request_beside(enclave: Enclave) -> Iterator[None]:
    """While the block runs, an ordinary client transcribes; afterwards it must have succeeded."""
    outcome: list[object] = []

    def work() -> None:
        try:
            outcome.append(enclave.predict(sample().read_bytes()))
        except Exception as error:  # noqa: BLE001  (handed to the test's thread)
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join(60 * PATIENCE)
    assert not thread.is_alive(), "the good request hangs"
    answer = outcome[0]
    assert isinstance(answer, Answer), answer
    assert answer.status == 200, answer
    assert says_the_same(sample().with_suffix(".txt").read_text(), answer.json())


def kill(process: Process) -> None:
    """SIGKILL by pid; returns when the process has ended (its sockets are closed then)."""
    descriptor = os.pidfd_open(process.pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        assert select.select([descriptor], [], [], 20 * PATIENCE)[0], process
    finally:
        os.close(descriptor)
