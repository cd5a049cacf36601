"""`blindbox up`, `status`, `down`: what they print, and that no way of stopping leaves a process behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from support import PATIENCE, PROGRAM, Enclave, kill, wait_until

AROUND = {"blindbox up", "blindbox nsm-emulator", "blindbox store"}
ROLES = AROUND | {"blindboxd init", "blindboxd gate", "blindbox-speech"}


def test_roles_are_processes_of_their_own(enclave: Enclave) -> None:
    assert {p.role for p in enclave.processes()} == ROLES


def test_only_the_worker_links_the_engine_and_only_the_gate_side_links_tls(enclave: Enclave) -> None:
    maps = {p.role: Path(f"/proc/{p.pid}/maps").read_text() for p in enclave.processes()}
    assert "libwhisper" in maps["blindbox-speech"] and "libsndfile" in maps["blindbox-speech"]
    assert "libssl" not in maps["blindbox-speech"]
    assert "libwhisper" not in maps["blindboxd gate"] and "libsndfile" not in maps["blindboxd gate"]


def test_up_status_down(enclave: Enclave, tmp_path: Path) -> None:
    mine = Enclave(tmp_path)
    assert mine.blindbox("status", "--name", mine.name).returncode == 1
    assert mine.blindbox("down", "--name", mine.name).returncode == 0
    done = mine.blindbox("up", "--detach", "--name", mine.name, "--listen", "127.0.0.1:0")
    try:
        assert done.returncode == 0, done.stderr
        said = done.stdout.decode()
        assert "SIMULATED" in said.splitlines()[0]
        measurements = json.loads((tmp_path / f"state/blindbox/enclaves/{mine.name}/measurements.json").read_text())
        for register in ("PCR0", "PCR1", "PCR2", "PCR16", "PCR18"):
            assert measurements["Measurements"][register] in said
        again = mine.blindbox("up", "--detach", "--name", mine.name, "--listen", "127.0.0.1:0")
        assert again.returncode == 1 and "already" in again.stderr.decode()
        status = json.loads(mine.blindbox("status", "--name", mine.name, "--json").stdout)
        assert status["simulated"] is True and status["place"] == "process" and status["state"] == "ready"
        assert mine.blindbox("status", "--name", mine.name).returncode == 0
    finally:
        assert mine.blindbox("down", "--name", mine.name).returncode == 0
    assert not mine.processes()
    assert mine.blindbox("status", "--name", mine.name).returncode == 1


def test_a_port_in_use_is_said_plainly(enclave: Enclave, tmp_path: Path) -> None:
    mine = Enclave(tmp_path)
    done = mine.blindbox("up", "--detach", "--name", mine.name, "--listen", f"127.0.0.1:{enclave.port}")
    assert done.returncode == 1
    assert str(enclave.port) in done.stderr.decode()
    assert not mine.processes()


def test_only_loopback_unless_exposed(tmp_path: Path) -> None:
    mine = Enclave(tmp_path)
    done = mine.blindbox("up", "--detach", "--name", mine.name, "--listen", "0.0.0.0:0")
    assert done.returncode == 2
    assert "--expose" in done.stderr.decode()


def test_a_wrong_model_never_listens(enclave: Enclave, tmp_path: Path) -> None:
    mine = Enclave(tmp_path)
    model = tmp_path / "cut.bin"
    model.write_bytes((Path(__file__).parents[2] / "models/demo-speech.bin").read_bytes()[:-1000])
    done = mine.blindbox("up", "--detach", "--name", mine.name, "--listen", "127.0.0.1:0", "--model", model)
    assert done.returncode == 1
    assert "model" in done.stderr.decode()
    assert not mine.processes()


def test_a_store_that_lies_is_refused(tmp_path: Path) -> None:
    mine = Enclave(tmp_path).up()
    mine.down()
    config = tmp_path / f"state/blindbox/enclaves/{mine.name}/blindbox.yml"
    blob = next((tmp_path / "cache/blindbox/sha256").iterdir())
    blob.chmod(0o600)
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    saved = tmp_path / "mine.yml"
    saved.write_bytes(config.read_bytes())
    done = mine.blindbox("up", "--detach", "--name", mine.name, "--listen", "127.0.0.1:0", "--config", saved)
    assert done.returncode == 1
    assert "SHA-256" in done.stderr.decode() + mine.log()
    assert not mine.processes()


@pytest.mark.parametrize(
    "text", ["version: 2\n", "speech: 7\n", "limits:\n  bodybytes: 5\n", "limits:\n  queue: 0\n", "\t", "a: [", ""]
)
def test_a_bad_configuration_is_refused_with_a_reason(tmp_path: Path, text: str) -> None:
    mine = Enclave(tmp_path)
    config = tmp_path / "bad.yml"
    config.write_text(text)
    done = mine.blindbox("up", "--detach", "--name", mine.name, "--listen", "127.0.0.1:0", "--config", config)
    assert done.returncode in (1, 2)
    assert len(done.stderr) > 20
    assert not mine.processes()


def foreground(enclave: Enclave) -> subprocess.Popen:
    """`blindbox up` without --detach, in a session of its own, once it is ready."""
    process = subprocess.Popen(
        [str(PROGRAM), "up", "--name", enclave.name, "--listen", "127.0.0.1:0"],
        env=enclave.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip

    def ready() -> bool:
        return enclave.blindbox("status", "--name", enclave.name).returncode == 0

    wait_until(ready, 30, "the enclave in the foreground")
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_however_the_launcher_ends_nothing_is_left(tmp_path: Path, number: signal.Signals) -> None:
    mine = Enclave(tmp_path)
    with foreground(mine) as process:
        os.kill(process.pid, number)
        process.communicate(timeout=30 * PATIENCE)
    wait_until(lambda: not mine.processes(), 15, "the last process to end")


def test_ctrl_c_reaches_the_whole_group(tmp_path: Path) -> None:
    mine = Enclave(tmp_path)
    with foreground(mine) as process:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=30 * PATIENCE)
    wait_until(lambda: not mine.processes(), 15, "the last process to end")


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.2, 0.5])
def test_ctrl_c_while_starting(tmp_path: Path, delay: float) -> None:
    mine = Enclave(tmp_path)
    process = subprocess.Popen(
        [str(PROGRAM), "up", "--name", mine.name, "--listen", "127.0.0.1:0"],
        env=mine.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        process.wait(timeout=delay)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT)
    process.wait(timeout=30 * PATIENCE)
    wait_until(lambda: not mine.processes(), 15, "the last process to end")


@pytest.mark.parametrize("role", ["blindboxd init", "blindbox nsm-emulator"])
def test_the_death_of_a_pillar_ends_everything(tmp_path: Path, role: str) -> None:
    mine = Enclave(tmp_path).up()
    kill(mine.process(role))
    wait_until(lambda: not mine.processes(), 20, "the last process to end")
    assert mine.blindbox("status", "--name", mine.name).returncode == 1


def test_a_role_that_keeps_dying_ends_the_enclave(tmp_path: Path) -> None:
    mine = Enclave(tmp_path).up()
    for _ in range(8):
        speech = [p for p in mine.processes() if p.role == "blindbox-speech"]
        if speech:
            kill(speech[0])
        wait_until(
            lambda seen=speech: not mine.processes()
            or [p.pid for p in mine.processes() if p.role == "blindbox-speech"] not in ([], [s.pid for s in seen]),
            20, "the next worker or the end",
        )  # fmt: skip
        if not mine.processes():
            break
    assert not mine.processes()
    assert "blindbox-speech" in mine.log() or "speech" in mine.log()
