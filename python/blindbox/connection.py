"""A connection to an enclave, over which recordings are transcribed."""
# ruff: noqa: ANN401 (the library's pointers and the HTTP libraries' objects are Any)

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from ._native import ffi, lib
from ._text import checks, code_name, counted, sentence, text
from .document import Document, copy_document
from .enclave import Enclave
from .errors import AttestationError, Report, ServerError, TransportError

Progress = Callable[[int, int], object]
"""Called about once a second with the bytes sent so far and in all (0: not known); False ends the call."""

Recording = str | os.PathLike[str] | bytes | BinaryIO
"""A file's path, its bytes, or a file open for reading in binary."""


class Connection:
    """HTTPS to an enclave whose evidence is judged inside the handshake, before a byte of a request is written.

    Stays open between requests; when a new handshake becomes necessary, the evidence is judged anew. May be used by
    several threads, one request at a time. connect_timeout and request_timeout are seconds.
    """

    def __init__(
        self, enclave: Enclave, *, connect_timeout: float | None = None, request_timeout: float | None = None
    ) -> None:
        out = ffi.new("struct bb_connection **")
        self._lock = threading.Lock()
        self._enclave = enclave  # keeps the policy, which is borrowed
        err = lib.bb_connection_new(enclave.address.encode(), enclave.policy._policy, out)
        if err == lib.BB_ERR_NO_MEMORY:
            raise MemoryError
        if err != lib.BB_OK:
            raise ValueError(f"{enclave.address}: not an address (HOST, HOST:PORT, [IPV6]:PORT)")
        self._pointer: Any = ffi.gc(out[0], lib.bb_connection_free)
        lib.bb_connection_set_connect_timeout_ms(self._pointer, round((connect_timeout or 0) * 1000))
        lib.bb_connection_set_request_timeout_ms(self._pointer, round((request_timeout or 0) * 1000))

    def close(self) -> None:
        """Ends the connection. Twice is no harm."""
        with self._lock:
            if self._pointer is not None:
                ffi.release(self._pointer)
                self._pointer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _open(self) -> Any:
        if self._pointer is None:
            raise ValueError("the connection is closed")
        return self._pointer

    def attest(self) -> Report:
        """Connects and judges the evidence without sending anything of the user's; returns what was checked.

        Raises AttestationError, TransportError.
        """
        with self._lock:
            self._raise_for(lib.bb_connection_attest(self._open))
            return checks(lib.bb_connection_report(self._open))

    def transcribe(
        self,
        file: Recording,
        *,
        model: str | None = None,
        language: str | None = None,
        prompt: str | None = None,
        temperature: float = 0.0,
        progress: Progress | None = None,
    ) -> str:
        """What is said in a recording (WAV, FLAC, Ogg Vorbis, Opus, MP3).

        model: by its name, the service's own unless given; language: ISO 639-1 ("en"); prompt: text that precedes the
        recording; temperature: 0 to 1. Neither the file's name nor anything else that is not in the arguments is
        sent. Raises AttestationError, ServerError, TransportError, OSError when the file cannot be read, and whatever
        progress raises.
        """
        recording = _read(file)
        watch = _Watch(progress)
        handle = ffi.new_handle(watch)
        words = {key: _c_text(value) for key, value in (("model", model), ("language", language), ("prompt", prompt))}
        audio = ffi.new("struct bb_audio *", {"bytes": ffi.from_buffer(recording), "len": len(recording)})
        options = ffi.new("struct bb_transcribe_options *", {**words, "temperature": temperature})
        options.progress, options.progress_context = lib.bb_python_progress, handle
        out = ffi.new("struct bb_transcript **")
        with self._lock:
            err = lib.bb_transcribe(self._open, audio, options, out)
            if watch.error is not None:
                if err == lib.BB_OK:
                    lib.bb_transcript_free(out[0])
                raise watch.error
            self._raise_for(err)
        transcript = ffi.gc(out[0], lib.bb_transcript_free)
        return (counted(lib.bb_transcript_text, transcript) or b"").decode()

    def _raise_for(self, err: int) -> None:
        """Raises the exception that the latest call's result asks for."""
        if err == lib.BB_OK:
            return
        if err == lib.BB_ERR_NO_MEMORY:
            raise MemoryError
        message = text(lib.bb_connection_error_text(self._open)) or sentence(err)
        if lib.bb_connection_attestation_failed(self._open):
            raise AttestationError(message, code_name(err), checks(lib.bb_connection_report(self._open)))
        if err == lib.BB_ERR_ARGUMENT:
            raise ValueError(message)
        status = lib.bb_connection_http_status(self._open)
        if err == lib.BB_ERR_HTTP_STATUS:
            wait = lib.bb_connection_retry_after_s(self._open)
            raise ServerError(message, code_name(err), status, wait if wait >= 0 else None)
        raise TransportError(message, code_name(err))

    @property
    def address(self) -> str:
        """Host and port as they are used ("127.0.0.1:8443")."""
        with self._lock:
            return text(lib.bb_connection_address(self._open))

    @property
    def simulated(self) -> bool:
        """A root other than AWS's is trusted: no hardware need vouch for the enclave."""
        return self._enclave.policy.simulated

    @property
    def report(self) -> Report:
        """What the latest handshake was checked for."""
        with self._lock:
            return checks(lib.bb_connection_report(self._open))

    @property
    def document(self) -> Document | None:
        """The verified attestation document of the latest handshake."""
        with self._lock:
            pointer = lib.bb_connection_document(self._open)
            return None if pointer == ffi.NULL else copy_document(pointer)

    @property
    def evidence(self) -> bytes | None:
        """That document as it was received (COSE_Sign1)."""
        with self._lock:
            return counted(lib.bb_connection_evidence, self._open)

    @property
    def certificate(self) -> bytes | None:
        """The enclave's certificate, DER."""
        with self._lock:
            return counted(lib.bb_connection_certificate_der, self._open)

    @property
    def handshakes(self) -> int:
        """How many handshakes with good evidence there were."""
        with self._lock:
            return int(lib.bb_connection_handshakes(self._open))


class _Watch:
    """Takes the library's progress calls; keeps the first exception, Ctrl-C among them, for after the call."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.error: BaseException | None = None

    def call(self, sent: int, total: int) -> bool:
        try:
            return self.progress is None or self.progress(sent, total) is not False
        except BaseException as error:  # noqa: BLE001  (raised again by transcribe)
            self.error = error
            return False


def _keep(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Ctrl-C may come between the library's call and _Watch.call()."""
    if trace is not None and "context" in trace.tb_frame.f_locals:
        ffi.from_handle(trace.tb_frame.f_locals["context"]).error = error


@ffi.def_extern(error=False, onerror=_keep)  # type: ignore[untyped-decorator,unused-ignore]
def bb_python_progress(context: Any, sent: int, total: int) -> bool:
    """See _Watch."""
    return ffi.from_handle(context).call(sent, total)  # type: ignore[no-any-return]


def _read(file: Recording) -> bytes:
    if isinstance(file, bytes):
        return file
    return Path(file).read_bytes() if isinstance(file, str | os.PathLike) else file.read()


def _c_text(value: str | None) -> Any:
    return ffi.NULL if value is None else ffi.new("char[]", value.encode())
