"""Fixtures: one enclave for all tests that leave it as they found it, and a way to start others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import Enclave


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
