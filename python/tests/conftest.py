"""Installs the package as users get it (a wheel) for this run, and starts the enclaves that the tests talk to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.setdefault("BLINDBOX_BUILD", str(TOP / "build")))
SCRATCH = Path(tempfile.mkdtemp(prefix="blindbox-python."))
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check", "--no-cache-dir")
OFFLINE = ("--no-index", "--no-build-isolation", "--no-deps")

sys.path.append(str(TOP / "tests/e2e"))
from support import Enclave  # noqa: E402  (where the enclaves' helpers are)


def run(*command: str | Path, timeout: float = 300) -> str:
    """Runs a command to its end; its output goes into the exception when it fails."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def copy_of_sources(name: str) -> Path:
    """The package's sources in a folder of their own: building leaves files beside them."""
    leave = shutil.ignore_patterns("tests", "build", "dist", "*.egg-info", "__pycache__")
    return shutil.copytree(TOP / "python", SCRATCH / name, ignore=leave)


def build_wheel() -> Path:
    """Builds the wheel against BLINDBOX_BUILD."""
    run(sys.executable, *PIP, "wheel", *OFFLINE, "--wheel-dir", SCRATCH / "wheel", copy_of_sources("wheel-source"))
    (made,) = (SCRATCH / "wheel").glob("blindbox-*.whl")
    return made


def pytest_configure() -> None:
    """Before the first test module is imported."""
    options = (*OFFLINE, "--no-compile", "--root-user-action=ignore", "--target", SCRATCH / "installed")
    run(sys.executable, *PIP, "install", *options, build_wheel())
    sys.path.insert(0, str(SCRATCH / "installed"))


def pytest_unconfigure() -> None:
    """After the last."""
    shutil.rmtree(SCRATCH, ignore_errors=True)


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The wheel that this run has installed."""
    return next((SCRATCH / "wheel").glob("*.whl"))


@pytest.fixture(scope="session")
def enclave(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enclave]:
    """An enclave with the default settings, started once."""
    started = Enclave(tmp_path_factory.mktemp("enclave")).up()
    yield started
    started.down()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Enclave]]:
    """Starts enclaves with options of `blindbox up`; stops them at the end of the test."""
    running: list[Enclave] = []

    def start_one(*options: str) -> Enclave:
        home = tmp_path / f"e{len(running)}"
        home.mkdir()
        running.append(Enclave(home, options))
        return running[-1].up()

    yield start_one
    for one in running:
        one.down()
