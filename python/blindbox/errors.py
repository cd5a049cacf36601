"""The exceptions. Each that comes from the library carries the library's code by name (`BB_ERR_PCR_MISMATCH`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing that was checked: a short name ("PCR0"), whether it passed, the code and a sentence."""

    name: str
    passed: bool
    code: str
    sentence: str


Report = tuple[Check, ...]


class BlindboxError(Exception):
    """Any failure of this package; `code` is the library's name for it ("BB_ERR_CONNECT")."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class AttestationError(BlindboxError):
    """The evidence does not satisfy the policy: nothing was sent.

    The text begins with "Attestation verification failed: " and names expected and actual. `report` lists every check
    in order, failed and passed; the first that failed is the cause.
    """

    def __init__(self, message: str, code: str, report: Report = ()) -> None:
        super().__init__(message, code)
        self.report = report


class PolicyError(BlindboxError, ValueError):
    """A policy cannot be made of what was given: no measurements, a damaged file, no root."""


class TransportError(BlindboxError):
    """There was no connection, or it ended early: name not resolved, refused, TLS failed, time limit, closed."""


class ServerError(BlindboxError):
    """The enclave, attested, answered with an error.

    `status` is the HTTP status; `retry_after` the seconds after which the enclave suggests to try again, or None.
    """

    def __init__(self, message: str, code: str, status: int, retry_after: int | None = None) -> None:
        super().__init__(message, code)
        self.status = status
        self.retry_after = retry_after


class ModelError(BlindboxError):
    """The service has no model for what was asked."""


class SimulatedWarning(UserWarning):
    """The trusted root is not AWS's: no hardware vouches for the enclave."""
