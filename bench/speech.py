#!/usr/bin/env python3
"""Requests per second of BlindBox and of whisper-server: same model, same cores, same decoding, one run.

    bench/speech.py [--way gate|worker] [--cores N] [--rounds N] [--concurrency 1,2,4,8] [--model FILE]…

Both servers are up at the same time and pinned to the same cores (all, which the client shares, or the first N); they
are measured in turns, cell by cell, so that what else happens on the machine meets both. Each cell sends a fixed number
of requests from as many clients as its concurrency, each client on one connection, the next request when the answer is
in. The figures are the median over the rounds; latencies are pooled over them.

whisper-server: -t CORES -nf -bo 1, temperature 0: greedy, no second tries, as BlindBox decodes.
BlindBox: --way gate (the default) is the whole way, `blindbox up`, TLS 1.3 and HTTP into the gate, then the worker;
--way worker speaks to blindbox-speech over its socket as the gate would.

Without --model: the demonstration model, and a model of tiny.en's shape with random weights (q8_0) that this script
makes, whose every request decodes one window to 32 tokens. Needs whisper-server and whisper-quantize in the PATH.
"""

from __future__ import annotations

import argparse
import array
import hashlib
import http.client
import json
import os
import platform
import shutil
import signal
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cbor2

TOP = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("BLINDBOX_BUILD", TOP / "build"))
SAMPLE = TOP / "models" / "samples" / "consultation.wav"
CLIP_SECONDS = 11
RATE = 16000
START_TIMEOUT_S = 30
REQUEST_TIMEOUT_S = 120
GOAL = 1.7  # times whisper-server, at the highest concurrency
F_ADD_SEALS, ALL_SEALS = 1033, 0xF


def clip() -> bytes:
    """11 s of speech as a WAV file: a sample recording over and over."""
    with wave.open(str(SAMPLE)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, 2):
            raise ValueError(f"{SAMPLE}: expected 16 kHz, mono, 16 bits")
        frames = file.readframes(file.getnframes())
    samples = (frames * (CLIP_SECONDS * RATE * 2 // len(frames) + 1))[: CLIP_SECONDS * RATE * 2]
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16,
        b"data", len(samples),
    )  # fmt: skip
    return header + samples


def form(field_name: str, audio: bytes) -> tuple[bytes, str]:
    """A multipart body with one file and its content type."""
    mark = "blindbox-benchmark"
    head = (
        f'--{mark}\r\nContent-Disposition: form-data; name="{field_name}"; filename="clip.wav"\r\n'
        "Content-Type: audio/wav\r\n\r\n"
    )
    return head.encode() + audio + f"\r\n--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"


def wait_for(what: str, ready: Callable[[], bool]) -> None:
    """Poll until ready() is true. Raises TimeoutError."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"{what} did not start within {START_TIMEOUT_S} s")


def free_port() -> int:
    """A TCP port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Client:
    """One connection to a server; each call sends a request and returns the text."""

    def transcribe(self) -> str:
        """Send the clip, wait for the answer."""
        raise NotImplementedError


class HttpClient(Client):
    """Posts the clip as a form; answers that are not 200 raise."""

    def __init__(self, connection: http.client.HTTPConnection, path: str, body: bytes, content_type: str) -> None:
        self._connection, self._path, self._body = connection, path, body
        self._headers = {"Content-Type": content_type}

    def transcribe(self) -> str:
        """Post the clip; RuntimeError for any answer but 200."""
        self._connection.request("POST", self._path, self._body, self._headers)
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{self._path}: {answer.status} {data[:200]!r}")
        decoded = json.loads(data)
        return str(decoded["text"] if isinstance(decoded, dict) else decoded)


class WhisperServer:
    """Debian's whisper-server on a model."""

    name = "whisper-server"

    def __init__(self, model: Path, cores: list[int], audio: bytes, log: Path) -> None:
        self._port = free_port()
        self._body, self._type = form("file", audio)
        command = ["whisper-server", "-m", str(model), "-t", str(len(cores)), "-nf", "-bo", "1", "-l", "en",
                   "--host", "127.0.0.1", "--port", str(self._port)]  # fmt: skip
        self._process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, cores)), *command], stdout=log.open("ab"), stderr=subprocess.STDOUT
        )
        wait_for(self.name, lambda: socket.create_connection(("127.0.0.1", self._port), 1).close() is None)

    def client(self) -> Client:
        """A new connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=REQUEST_TIMEOUT_S)
        return HttpClient(connection, "/inference", self._body, self._type)

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


class Gate:
    """BlindBox, the whole way: an enclave in place `process`, spoken to over TLS."""

    name = "blindbox"

    def __init__(self, model: Path, cores: list[int], audio: bytes, home: Path) -> None:
        self._environment = {**os.environ, "XDG_STATE_HOME": str(home / "state"), "XDG_CACHE_HOME": str(home / "cache")}
        self._body, self._type = form("audio", audio)
        self._run("taskset", "-c", ",".join(map(str, cores)), str(BUILD / "src/cli/blindbox"), "up", "--detach",
                  "--name", "bench", "--listen", "127.0.0.1:0", "--model", str(model),
                  "--set", "speech.fallback=false")  # fmt: skip
        status = json.loads(self._run(str(BUILD / "src/cli/blindbox"), "status", "--name", "bench", "--json"))
        self._host, self._port = str(status["address"]).rsplit(":", 1)
        # Speed is measured here, not trust: `blindbox attest` is what checks this certificate.
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    def _run(self, *command: str) -> str:
        return subprocess.run(
            command, env=self._environment, check=True, text=True, stdout=subprocess.PIPE, timeout=60
        ).stdout

    def client(self) -> Client:
        """A new connection."""
        connection = http.client.HTTPSConnection(
            self._host, int(self._port), timeout=REQUEST_TIMEOUT_S, context=self._tls
        )
        return HttpClient(connection, "/whisper/predict", self._body, self._type)

    def stop(self) -> None:
        """End it."""
        self._run(str(BUILD / "src/cli/blindbox"), "down", "--name", "bench")


def sealed(name: str, data: bytes) -> int:
    """A sealed memory file's descriptor."""
    import fcntl

    number = os.memfd_create(name, os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    with open(number, "wb", closefd=False) as file:
        file.write(data)
    fcntl.fcntl(number, F_ADD_SEALS, ALL_SEALS)
    return number


class Worker:
    """blindbox-speech alone, with this script in the gate's place (docs/ARCHITECTURE.md section 3)."""

    name = "blindbox-speech"

    def __init__(self, model: Path, cores: list[int], audio: bytes, home: Path) -> None:
        del home
        weights = model.read_bytes()
        digest = hashlib.sha256(weights).hexdigest()
        config = f"version: 1\nspeech:\n  model: sha256:{digest}\n  name: bench\n  language: en\n  fallback: false\n"
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        given = [theirs.fileno(), sealed("model", weights), sealed("config", config.encode())]
        program = str(BUILD / "src/enclave/speech/blindbox-speech")
        high = [os.dup2(number, 100 + number) for number in given]
        actions = [(os.POSIX_SPAWN_DUP2, number, 3 + i) for i, number in enumerate(high)]
        command = ["taskset", "-c", ",".join(map(str, cores)), program]
        self._pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
        for number in [*given[1:], *high]:
            os.close(number)
        theirs.close()
        self._audio = sealed("audio", audio)
        self._lock = threading.Condition()
        self._answers: dict[int, list[str] | None] = {}
        self._done: set[int] = set()
        self._next_id = 0
        if cbor2.loads(self._socket.recv(65536))["type"] != "ready":
            raise RuntimeError("blindbox-speech did not become ready")
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while packet := self._socket.recv(65536):
            message = cbor2.loads(packet)
            with self._lock:
                texts = self._answers[message["id"]]
                if message["type"] == "segment" and texts is not None:
                    texts.append(message["text"])
                else:
                    if message["type"] == "error":
                        self._answers[message["id"]] = None
                    self._done.add(message["id"])
                    self._lock.notify_all()

    def ask(self) -> str:
        """One request, from any thread."""
        with self._lock:
            self._next_id += 1
            number = self._next_id
            self._answers[number] = []
            message = cbor2.dumps({"type": "transcribe", "id": number, "deadline_ms": 1000 * REQUEST_TIMEOUT_S})
            socket.send_fds(self._socket, [message], [self._audio])
            if not self._lock.wait_for(lambda: number in self._done, REQUEST_TIMEOUT_S):
                raise TimeoutError("blindbox-speech does not answer")
            texts = self._answers.pop(number)
        if texts is None:
            raise RuntimeError("blindbox-speech answered with an error")
        return "".join(texts)

    def client(self) -> Client:
        """All clients share the socket, as the gate's do."""
        made = Client()
        made.transcribe = self.ask  # type: ignore[method-assign]
        return made

    def stop(self) -> None:
        """End it."""
        self._socket.shutdown(socket.SHUT_RDWR)
        os.waitpid(self._pid, 0)


Server = WhisperServer | Gate | Worker


@dataclass
class Cell:
    """What one server did at one concurrency, over all rounds."""

    per_second: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """The latency in seconds that `share` of the requests kept within."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(server: Server, concurrency: int, requests: int, cell: Cell) -> None:
    """Send `requests` requests from `concurrency` clients. Raises what a client raises."""
    clients = [server.client() for _ in range(concurrency)]
    left = iter(range(requests))
    guard = threading.Lock()
    latencies = array.array("d")
    failures: list[BaseException] = []

    def work(client: Client) -> None:
        try:
            while not failures:
                with guard:
                    if next(left, None) is None:
                        return
                begun = time.monotonic()
                client.transcribe()
                latencies.append(time.monotonic() - begun)
        except BaseException as failure:  # handed to the thread that waits
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    cell.per_second.append(requests / (time.monotonic() - begun))
    cell.latencies.extend(latencies)


def requests_for(concurrency: int, cores: int) -> int:
    """Two for every client; where there are more clients than cores, so that every core gets as many as the others."""
    if concurrency < cores:
        return 2 * concurrency
    return -(-2 * concurrency // cores) * cores


def compare(servers: list[Server], concurrencies: list[int], rounds: int, cores: int) -> dict[tuple[str, int], Cell]:
    """All cells of one model, the servers in turns and in changing order."""
    cells = {(server.name, c): Cell() for server in servers for c in concurrencies}
    texts = {server.name: server.client().transcribe().split() for server in servers}
    first, second = texts.values()
    print("  same words from both" if first == second else f"  different words: {texts}")
    for number in range(rounds):
        for concurrency in concurrencies:
            for server in servers if number % 2 == 0 else reversed(servers):
                measure(server, concurrency, requests_for(concurrency, cores), cells[server.name, concurrency])
        print(f"  round {number + 1} of {rounds} done, load {os.getloadavg()[0]:.1f}", flush=True)
    return cells


def show(servers: list[Server], cells: dict[tuple[str, int], Cell], concurrencies: list[int]) -> float:
    """Print the table; returns the ratio at the highest concurrency."""
    theirs, ours = (server.name for server in servers)
    print(f"\n  | concurrency | {theirs} req/s | p50 s | p95 s | {ours} req/s | p50 s | p95 s | ratio |")
    print("  |--:|--:|--:|--:|--:|--:|--:|--:|")
    ratio = 0.0
    for concurrency in concurrencies:
        a, b = cells[theirs, concurrency], cells[ours, concurrency]
        speeds = [statistics.median(cell.per_second) for cell in (a, b)]
        ratio = speeds[1] / speeds[0]
        print(
            f"  | {concurrency} | {speeds[0]:.2f} | {a.percentile(0.5):.2f} | {a.percentile(0.95):.2f} "
            f"| {speeds[1]:.2f} | {b.percentile(0.5):.2f} | {b.percentile(0.95):.2f} | {ratio:.2f} |"
        )
    print()
    return ratio


def random_model(folder: Path) -> Path:
    """tiny.en's shape, random weights, q8_0."""
    whole, quantised = folder / "tiny-shape-f16.bin", folder / "tiny-shape-q8_0.bin"
    maker = [sys.executable, str(TOP / "bench/make_random_model.py"), str(TOP / "models/demo-speech.bin"), str(whole)]
    subprocess.run(maker, check=True)
    subprocess.run(
        ["whisper-quantize", str(whole), str(quantised), "q8_0"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return quantised


def processor() -> str:
    """The processor's name as Linux knows it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def bench_model(args: argparse.Namespace, model: Path, cores: list[int], folder: Path) -> float:
    """Start both servers on a model, measure, print; returns the ratio at the highest concurrency."""
    audio = clip()
    ours = {"gate": Gate, "worker": Worker}[args.way]
    servers: list[Server] = []
    try:
        servers.append(WhisperServer(model, cores, audio, folder / "whisper-server.log"))
        servers.append(ours(model, cores, audio, folder))
        return show(servers, compare(servers, args.concurrency, args.rounds, len(cores)), args.concurrency)
    finally:
        for server in servers:
            server.stop()


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    available = len(os.sched_getaffinity(0))
    parser.add_argument("--way", choices=("gate", "worker"), default="gate", help="what of BlindBox is measured")
    parser.add_argument("--cores", type=int, default=available, help="cores for either server; all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, action="append", help="a ggml speech model; may be repeated")
    parser.add_argument(
        "--concurrency", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2, 4, 8]
    )
    return parser.parse_args()


def main() -> int:
    """Measure what the command line asks for. Exit status 1 when the goal is missed or something failed."""
    args = parse_arguments()
    for program in ("whisper-server", "whisper-quantize", "taskset"):
        if shutil.which(program) is None:
            print(f"bench: {program} is not installed", file=sys.stderr)
            return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    available = sorted(os.sched_getaffinity(0))
    cores = available[: args.cores]
    if set(available) - set(cores):
        os.sched_setaffinity(0, set(available) - set(cores))
    of = f"{len(cores)} of {len(available)} cores for either server"
    print(f"{processor()}: {of}, {CLIP_SECONDS} s clips, way: {args.way}")
    reached = True
    with tempfile.TemporaryDirectory(prefix="blindbox-bench.") as name:
        folder = Path(name)
        for model in args.model or [random_model(folder), TOP / "models/demo-speech.bin"]:
            print(f"\n{model.name}")
            reached &= bench_model(args, model.resolve(), cores, folder) >= GOAL
    verdict = "at least" if reached else "LESS THAN"
    print(f"at concurrency {args.concurrency[-1]}: {verdict} {GOAL} times whisper-server")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
