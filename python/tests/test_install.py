"""The package as something that is installed: from sources and as a wheel, typed, of the library's version."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import blindbox
import pytest
from conftest import OFFLINE, PIP, SCRATCH, TOP, copy_of_sources, run

CHECK = "import blindbox, pathlib; print(blindbox.__version__, pathlib.Path(blindbox.__file__).parent.parent)"


def new_environment(folder: Path) -> Path:
    """A virtual environment that sees the system's packages; its Python."""
    venv.EnvBuilder(system_site_packages=True, with_pip=False, symlinks=True).create(folder)
    return folder / "bin/python"


def check(python: Path, folder: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "BLINDBOX_BUILD")}
    done = subprocess.run(
        [python, "-c", CHECK], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    version, place = done.stdout.split(maxsplit=1) if done.returncode == 0 else ("", done.stderr)
    assert version == blindbox.__version__, place
    assert place.startswith(str(folder)), place


def test_pip_install_from_sources(tmp_path: Path) -> None:
    python = new_environment(tmp_path / "env")
    run(python, *PIP, "install", *OFFLINE, copy_of_sources("install-source"))
    check(python, tmp_path)


def test_pip_install_of_the_wheel(tmp_path: Path, wheel: Path) -> None:
    python = new_environment(tmp_path / "env")
    run(python, *PIP, "install", *OFFLINE, wheel)
    check(python, tmp_path)


def test_the_wheel_stands_alone(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (native,) = [name for name in names if name.startswith("blindbox/_native.") and name.endswith(".so")]
        archive.extract(native, tmp_path)
    assert {"blindbox/py.typed", "blindbox/requests.py", "blindbox/ai/audio.py"} <= set(names)
    assert not [name for name in names if "test" in name]
    needed = run("ldd", tmp_path / native)
    assert "libblindbox" not in needed and "not found" not in needed and "libssl" in needed


def test_without_a_library_building_says_what_is_missing(tmp_path: Path) -> None:
    env = os.environ | {"BLINDBOX_BUILD": str(tmp_path)}
    command = [sys.executable, *PIP, "wheel", *OFFLINE, "--wheel-dir", tmp_path, copy_of_sources("no-library")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert f"BLINDBOX_BUILD: {tmp_path} holds no src/client/libblindbox.a" in done.stdout + done.stderr


def test_versions_agree() -> None:
    project = tomllib.loads((TOP / "python/pyproject.toml").read_text())["project"]
    assert project["version"] == blindbox.__version__


def test_types(tmp_path: Path) -> None:
    try:
        import mypy  # noqa: F401
    except ModuleNotFoundError:
        pytest.skip("skipped: mypy is not here")
    config = ("--config-file", TOP / "python/pyproject.toml", "--cache-dir", tmp_path)
    run(sys.executable, "-m", "mypy", *config, SCRATCH / "installed/blindbox")
    user = tmp_path / "user.py"
    user.write_text(
        'import blindbox\nclient = blindbox.connect(addr="localhost")\n'
        'text: str = blindbox.ai.Audio.transcribe("a.wav", connection=client)\n'
    )
    env = os.environ | {"MYPYPATH": str(SCRATCH / "installed")}
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path, user]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    user.write_text(user.read_text().replace("text: str", "text: int"))
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1 and 'expression has type "str"' in done.stdout, done.stdout
