"""Opening connections."""

from __future__ import annotations

from collections.abc import Mapping

from .. import enclave
from ..connection import Connection
from ..policy import CLOCK_SKEW_S, MAX_AGE_S, Policy, Source

__all__ = ["Connection", "connect"]


def connect(
    addr: str | None = None,
    measurements: Source | Mapping[str, object] | None = None,
    root: Source | None = None,
    *,
    policy: Policy | None = None,
    name: str | None = None,
    max_age: float = MAX_AGE_S,
    clock_skew: float = CLOCK_SKEW_S,
    allow_debug: bool = False,
    connect_timeout: float | None = None,
    request_timeout: float | None = None,
) -> Connection:
    """Connects to an enclave and verifies its evidence.

    addr: "HOST", "HOST:PORT" or "[V6]:PORT", port 443 unless named; without it the enclave that `blindbox up` started
    on this machine (as `name`). measurements, root, max_age and clock_skew (seconds), allow_debug: what is demanded,
    as in blindbox.Policy, or all of it as policy. connect_timeout, request_timeout: seconds, the library's defaults
    (15 and 660) unless given.

    Raises AttestationError when the enclave does not satisfy the policy (nothing was sent), TransportError when there
    is no connection, PolicyError when it is not said which enclave is the right one.
    """
    found = enclave.find(
        addr, measurements, root,
        policy=policy, name=name, max_age=max_age, clock_skew=clock_skew, allow_debug=allow_debug,
    )  # fmt: skip
    made = Connection(found, connect_timeout=connect_timeout, request_timeout=request_timeout)
    try:
        made.attest()
    except BaseException:
        made.close()
        raise
    return made
