"""Between the library's types and Python's."""
# ruff: noqa: ANN401 (the library's pointers and the HTTP libraries' objects are Any)

from __future__ import annotations

from typing import Any

from ._native import ffi, lib
from .errors import Check, Report

# What a caller may be told by a peer need not be UTF-8.


def text(pointer: Any) -> str:  # a char *
    """A C string."""
    return "" if pointer == ffi.NULL else ffi.string(pointer).decode(errors="replace")


def code_name(err: int) -> str:
    """The name of an error code."""
    return text(lib.bb_err_name(err))


def sentence(err: int) -> str:
    """The sentence of an error code."""
    return text(lib.bb_err_sentence(err))


def counted(getter: Any, *args: Any) -> bytes | None:
    """The bytes of a getter that also tells their length; None for NULL."""
    length = ffi.new("size_t *")
    pointer = getter(*args, length)
    return None if pointer == ffi.NULL else bytes(ffi.buffer(pointer, length[0]))


def checks(report: Any) -> Report:  # a struct bb_report *, may be NULL
    """The checks of a report; none for NULL."""
    if report == ffi.NULL:
        return ()
    return tuple(
        Check(
            text(lib.bb_report_name(report, i)),
            lib.bb_report_err(report, i) == lib.BB_OK,
            code_name(lib.bb_report_err(report, i)),
            text(lib.bb_report_sentence(report, i)),
        )
        for i in range(lib.bb_report_count(report))
    )
