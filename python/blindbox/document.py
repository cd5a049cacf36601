"""Attestation documents and the certificates that carry them, judged by libblindbox (pure functions, no network)."""
# ruff: noqa: ANN401 (the library's pointers and the HTTP libraries' objects are Any)

from __future__ import annotations

import time as clock
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ._native import ffi, lib
from ._text import checks, code_name, counted, sentence, text
from .errors import AttestationError
from .policy import PCR_COUNT, PCR_LEN, Policy

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Document:
    """A verified attestation document.

    timestamp_ms: milliseconds since 1970-01-01T00:00:00Z. pcrs: by index, 48 bytes each. certificates: DER, root first,
    the leaf that signed the document last. Optional fields are None when the document has none.
    """

    module_id: str
    timestamp_ms: int
    pcrs: dict[int, bytes]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None
    certificates: tuple[bytes, ...]

    digest = "SHA384"  # the only one that is accepted

    @property
    def timestamp(self) -> datetime:
        """When the document was made, UTC."""
        return EPOCH + timedelta(milliseconds=self.timestamp_ms)

    @property
    def certificate(self) -> bytes:
        """The leaf certificate, DER."""
        return self.certificates[-1]

    @property
    def cabundle(self) -> tuple[bytes, ...]:
        """The certificates above the leaf, root first, DER."""
        return self.certificates[:-1]


def copy_document(pointer: Any) -> Document:  # a struct bb_document *
    """All fields of a document that the library has verified."""
    values = ((i, lib.bb_document_pcr(pointer, i)) for i in range(PCR_COUNT))
    return Document(
        module_id=text(lib.bb_document_module_id(pointer)),
        timestamp_ms=lib.bb_document_timestamp_ms(pointer),
        pcrs={i: bytes(ffi.buffer(value, PCR_LEN)) for i, value in values if value != ffi.NULL},
        public_key=counted(lib.bb_document_public_key, pointer),
        user_data=counted(lib.bb_document_user_data, pointer),
        nonce=counted(lib.bb_document_nonce, pointer),
        certificates=tuple(
            counted(lib.bb_document_certificate, pointer, i) or b""
            for i in range(lib.bb_document_certificate_count(pointer))
        ),
    )


def verify_document(
    document: bytes,
    policy: Policy,
    *,
    time: datetime | float | None = None,
    public_key: bytes | None = None,
    nonce: bytes | None = None,
    user_data: bytes | None = None,
) -> Document:
    """Judges an attestation document (COSE_Sign1, at most 16384 bytes) and returns its fields.

    time: the moment to judge at, a datetime with a zone or seconds since 1970; now unless given. public_key, nonce and
    user_data: what the document must carry, where given. Raises AttestationError when anything is not as it must be.
    """
    expectation = ffi.new("struct bb_expectation *")
    kept = []  # the buffers must live until the call is over
    for field, value in {"public_key": public_key, "nonce": nonce, "user_data": user_data}.items():
        if value is not None:
            kept.append(ffi.new("uint8_t[]", bytes(value) or b"\0"))
            setattr(expectation, field, kept[-1])
            setattr(expectation, f"{field}_len", len(value))
    data = ffi.from_buffer(document)
    return _judge(
        lambda report, out: lib.bb_verify_document(
            data, len(data), policy._policy, expectation, _now_ms(time), report, out
        )
    )


def verify_certificate(certificate: bytes, policy: Policy, *, time: datetime | float | None = None) -> Document:
    """Judges a server's evidence certificate (DER) and returns the fields of its document.

    The certificate must come from a TLS 1.3 handshake: only the handshake proves possession of the key. time as for
    verify_document(). Raises AttestationError.
    """
    data = ffi.from_buffer(certificate)
    return _judge(
        lambda report, out: lib.bb_verify_certificate(data, len(data), policy._policy, _now_ms(time), report, out)
    )


def _now_ms(time: datetime | float | None) -> int:
    if time is None:
        return clock.time_ns() // 1_000_000
    if isinstance(time, datetime):
        return (time - EPOCH) // timedelta(milliseconds=1)
    return int(time * 1000)


def _judge(verify: Any) -> Document:  # a call of the library with report and document
    report = lib.bb_report_new()
    if report == ffi.NULL:
        raise MemoryError
    report = ffi.gc(report, lib.bb_report_free)
    out = ffi.new("struct bb_document **")
    err = verify(report, out)
    if err == lib.BB_ERR_NO_MEMORY:
        raise MemoryError
    if err != lib.BB_OK:
        reason = text(lib.bb_report_failure(report)) or sentence(err)
        raise AttestationError(f"Attestation verification failed: {reason}", code_name(err), checks(report))
    return copy_document(ffi.gc(out[0], lib.bb_document_free))
