"""Which enclave to talk to and what to demand of it: from arguments, or from what `blindbox up` wrote down here."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import BlindboxError, PolicyError
from .policy import CLOCK_SKEW_S, MAX_AGE_S, Policy, Source


@dataclass(frozen=True)
class Enclave:
    """An address ("HOST:PORT") and the policy for it."""

    address: str
    policy: Policy


def find(
    addr: str | None = None,
    measurements: Source | Mapping[str, object] | None = None,
    root: Source | None = None,
    *,
    policy: Policy | None = None,
    name: str | None = None,
    max_age: float = MAX_AGE_S,
    clock_skew: float = CLOCK_SKEW_S,
    allow_debug: bool = False,
) -> Enclave:
    """The enclave that the arguments name; without an address the one that `blindbox up` started here as `name`.

    A policy takes the place of measurements, root, max_age, clock_skew and allow_debug (all as in Policy). Raises
    PolicyError when an address comes without measurements, BlindboxError when no such enclave is up.
    """
    if addr is not None and name is not None:
        raise ValueError("an address and a name exclude each other")
    if policy is not None and (measurements is not None or root is not None):
        raise ValueError("a policy and measurements or root exclude each other")
    if addr is None:
        record = _read_record(name if name is not None else "default")
        addr = record["address"]
        measurements = measurements if measurements is not None else record["measurements"]
        root = root if root is not None else record["root"]
    if policy is None:
        if measurements is None:
            raise PolicyError("measurements= is needed: it says which enclave is the right one", "BB_ERR_POLICY_EMPTY")
        policy = Policy(measurements, root=root, max_age=max_age, clock_skew=clock_skew, allow_debug=allow_debug)
    policy._warn_if_simulated()
    return Enclave(addr, policy)


def _state_folder() -> Path:
    """$XDG_STATE_HOME/blindbox or ~/.local/state/blindbox; a relative path counts as none."""
    named = os.environ.get("XDG_STATE_HOME", "")
    return (Path(named) if named.startswith("/") else Path.home() / ".local/state") / "blindbox"


def _read_record(name: str) -> dict[str, str]:
    """What `blindbox up` wrote about its enclave: address, root, measurements."""
    if not re.fullmatch(r"[a-z0-9-]{1,32}", name):
        raise ValueError(f"{name!r} is not an enclave's name (1 to 32 of a-z, 0-9 and -)")
    path = _state_folder() / "enclaves" / name / "enclave.json"
    try:
        record = json.loads(path.read_bytes())
        found = {key: str(record[key]) for key in ("address", "root", "measurements")}
        alive = _start_time(int(record["pid"])) == int(record["pid_start"])
        ready = record["state"] == "ready"
    except FileNotFoundError:
        alive = False
    except (ValueError, KeyError, TypeError) as damage:
        raise BlindboxError(f"{path} cannot be used: {damage}", "BB_ERR_JSON") from damage
    if not alive:
        raise BlindboxError(f"no enclave '{name}' is up; start it with `blindbox up`, or name an address",
                            "BB_ERR_NOT_FOUND")  # fmt: skip
    if not ready:
        raise BlindboxError(f"enclave '{name}' is still starting", "BB_ERR_BUSY")
    return found


def _start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (proc_pid_stat(5), field 22); None: there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
