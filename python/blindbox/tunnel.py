"""Sockets into an enclave: each is an attested TLS connection whose bytes are written and read in the clear.

libblindbox makes the connection, judges the evidence of that very connection and only then hands the socket out; TLS
never passes through Python.
"""
# ruff: noqa: ANN401 (the library's pointers and the HTTP libraries' objects are Any)

from __future__ import annotations

import socket
from typing import Any

from ._native import ffi, lib
from ._text import checks, code_name, text
from .document import Document, copy_document
from .errors import AttestationError, Report, TransportError
from .policy import Policy


class TunnelSocket(socket.socket):
    """A connected stream socket (AF_UNIX) into an enclave that satisfied the policy when it was opened.

    Closing it ends the connection. `address` is "HOST:PORT" as used, `document` the one of the handshake, and `report`
    says what was checked, of the handshake and of the fresh evidence for this connection.
    """

    address: str
    document: Document
    report: Report
    _tunnel: Any  # freed with this object; the library's thread ends as soon as the socket is closed
    _policy: Policy


def open_tunnel(address: str, policy: Policy, *, timeout: float | None = None) -> TunnelSocket:
    """Connects to the enclave at "HOST", "HOST:PORT" or "[V6]:PORT" (443 unless named) and verifies its evidence.

    timeout: seconds for all of it, the library's default (15) unless given. Raises AttestationError (nothing was sent),
    TransportError, ValueError for what is not an address.
    """
    tunnel = _new(address, policy)
    if timeout is not None:
        lib.bb_tunnel_set_connect_timeout_ms(tunnel, max(1, round(timeout * 1000)))
    fd = ffi.new("int *", -1)
    err = lib.bb_tunnel_open(tunnel, fd)
    if err != lib.BB_OK:
        raise _failure(tunnel, err)
    opened = TunnelSocket(fileno=fd[0])
    opened._tunnel = tunnel
    opened._policy = policy  # borrowed by the tunnel
    opened.address = text(lib.bb_tunnel_address(tunnel))
    opened.document = copy_document(lib.bb_tunnel_document(tunnel))
    opened.report = checks(lib.bb_tunnel_report(tunnel))
    return opened


def full_address(address: str, policy: Policy) -> tuple[str, int]:
    """Host in lower case and port of an address, 443 unless named. Raises ValueError for what is not an address."""
    tunnel = _new(address, policy)  # the text lives as long as it does
    host, _, port = text(lib.bb_tunnel_address(tunnel)).rpartition(":")
    return host.strip("[]").lower(), int(port)


def _new(address: str, policy: Policy) -> Any:  # a struct bb_tunnel *
    out = ffi.new("struct bb_tunnel **")
    err = lib.bb_tunnel_new(address.encode(), policy._policy, out)
    if err == lib.BB_ERR_NO_MEMORY:
        raise MemoryError
    if err != lib.BB_OK:
        raise ValueError(f"{address}: not an address (HOST, HOST:PORT, [IPV6]:PORT)")
    return ffi.gc(out[0], lib.bb_tunnel_free)


def _failure(tunnel: Any, err: int) -> Exception:
    if err == lib.BB_ERR_NO_MEMORY:
        return MemoryError()
    message = text(lib.bb_tunnel_error_text(tunnel))
    if lib.bb_tunnel_attestation_failed(tunnel):
        return AttestationError(message, code_name(err), checks(lib.bb_tunnel_report(tunnel)))
    return TransportError(message, code_name(err))
