"""What a client demands of an enclave."""
# ruff: noqa: ANN401 (the library's pointers and the HTTP libraries' objects are Any)

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._native import ffi, lib
from ._text import code_name, sentence
from .errors import PolicyError, SimulatedWarning

Source = str | os.PathLike[str] | bytes
"""A file's path, or its content as bytes."""

SIMULATED = "SIMULATED: the trusted root is not AWS's, so no hardware vouches for this enclave; for trials only"
MAX_AGE_S = lib.BB_POLICY_MAX_AGE_MS_DEFAULT / 1000
CLOCK_SKEW_S = lib.BB_POLICY_CLOCK_SKEW_MS_DEFAULT / 1000
PCR_LEN: int = lib.BB_PCR_LEN
PCR_COUNT: int = lib.BB_PCR_COUNT

_told = False


class Policy:
    """Trusted roots, expected measurements, age and clock tolerance. Does not change once made.

    measurements: a file as nitro-cli prints it, plus PCR16 and up (a path, bytes, or the parsed mapping).
    pcrs: further or the only expected registers, by index; 48 bytes or 96 hexadecimal digits each.
    root: trusted certificates (PEM; a path or bytes) instead of AWS's Nitro Enclaves root, which is trusted otherwise.
    max_age, clock_skew: seconds; allow_debug accepts enclaves whose memory the operator can read.

    Raises PolicyError when no measurement is named (an empty policy accepts nothing) or an input is damaged, OSError
    when a file cannot be read.
    """

    def __init__(
        self,
        measurements: Source | Mapping[str, object] | None = None,
        *,
        pcrs: Mapping[int, bytes | str] | None = None,
        root: Source | None = None,
        max_age: float = MAX_AGE_S,
        clock_skew: float = CLOCK_SKEW_S,
        allow_debug: bool = False,
    ) -> None:
        if measurements is None and not pcrs:
            raise PolicyError("the policy names no measurement: measurements= says which enclave is the right one",
                              "BB_ERR_POLICY_EMPTY")  # fmt: skip
        pointer = lib.bb_policy_new()
        if pointer == ffi.NULL:
            raise MemoryError
        self._policy = ffi.gc(pointer, lib.bb_policy_free)
        if root is None:
            _check(lib.bb_policy_trust_aws(self._policy), "root")
        else:
            pem = _content(root)
            _check(lib.bb_policy_trust_root_pem(self._policy, pem, len(pem)), _named("root", root))
        if measurements is not None:
            data = json.dumps(measurements).encode() if isinstance(measurements, Mapping) else _content(measurements)
            _check(lib.bb_policy_load_measurements(self._policy, data, len(data)), _named("measurements", measurements))
        for index, value in (pcrs or {}).items():
            self._expect(index, value)
        lib.bb_policy_set_max_age_ms(self._policy, _milliseconds(max_age))
        lib.bb_policy_set_clock_skew_ms(self._policy, _milliseconds(clock_skew))
        lib.bb_policy_allow_debug(self._policy, bool(allow_debug))

    def _expect(self, index: int, value: bytes | str) -> None:
        try:
            digest = bytes.fromhex(value) if isinstance(value, str) else bytes(value)
        except ValueError:
            raise PolicyError(f"PCR{index}: not hexadecimal", "BB_ERR_HEX") from None
        if len(digest) != PCR_LEN or not 0 <= index < PCR_COUNT:
            raise PolicyError(f"PCR{index}: a PCR has an index of 0 to {PCR_COUNT - 1} and {PCR_LEN} bytes",
                              "BB_ERR_ARGUMENT")  # fmt: skip
        _check(lib.bb_policy_expect_pcr(self._policy, index, digest), f"PCR{index}")

    @property
    def pcrs(self) -> dict[int, bytes]:
        """The expected registers by index."""
        found = ((i, lib.bb_policy_expected_pcr(self._policy, i)) for i in range(PCR_COUNT))
        return {i: bytes(ffi.buffer(value, PCR_LEN)) for i, value in found if value != ffi.NULL}

    @property
    def simulated(self) -> bool:
        """A root other than AWS's is trusted: what this policy accepts may be simulated."""
        return not lib.bb_policy_trusts_only_aws(self._policy)

    def _warn_if_simulated(self) -> None:
        """Says SIMULATED, once in a process."""
        global _told
        if self.simulated and not _told:
            _told = True
            warnings.warn(SIMULATED, SimulatedWarning, stacklevel=3)


def _content(source: Source) -> bytes:
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def _named(what: str, source: Any) -> str:
    return f"{what} {os.fspath(source)}" if isinstance(source, str | os.PathLike) else what


def _milliseconds(seconds: float) -> int:
    return min(round(seconds * 1000), 2**62)


def _check(err: int, what: str) -> None:
    if err == lib.BB_ERR_NO_MEMORY:
        raise MemoryError
    if err != lib.BB_OK:
        raise PolicyError(f"{what}: {sentence(err)}", code_name(err))
