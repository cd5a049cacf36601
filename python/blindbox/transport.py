"""Transports for httpx and its successor httpx2 (the same interface under another name): HTTP by their own httpcore,
over tunnels and nothing else.

A transport belongs to one enclave and refuses every other origin, so that neither a redirect nor a URL leads
elsewhere. An enclave that fails raises the AttestationError of the tunnel; other failures are the library's own
exceptions.
"""
# ruff: noqa: ANN401 (the library's pointers and the HTTP libraries' objects are Any)

from __future__ import annotations

import contextlib
import importlib
import inspect
import select
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from types import ModuleType
from typing import Any

from .enclave import Enclave
from .errors import AttestationError, TransportError
from .tunnel import TunnelSocket, full_address, open_tunnel

Wrap = Callable[[AttestationError], Exception]
"""What is raised in place of an AttestationError."""


class Dialer:
    """Opens tunnels to one enclave; `core` is the httpcore whose exceptions the caller understands."""

    def __init__(self, enclave: Enclave, core: Any, wrap: Wrap) -> None:
        self.enclave = enclave
        self.origin = full_address(enclave.address, enclave.policy)
        self._core = core
        self._wrap = wrap

    @property
    def url(self) -> str:
        """The enclave's URL, without a path."""
        host, port = self.origin
        host = f"[{host}]" if ":" in host else host
        return f"https://{host}" if port == 443 else f"https://{host}:{port}"

    def dial(self, timeout: float | None) -> TunnelSocket:
        """A new attested connection."""
        try:
            return open_tunnel(self.enclave.address, self.enclave.policy, timeout=timeout)
        except AttestationError as error:
            raise self._wrap(error) from None
        except TransportError as error:
            kind = self._core.ConnectTimeout if error.code == "BB_ERR_TIMEOUT" else self._core.ConnectError
            raise kind(str(error)) from error

    def check(self, request: Any) -> None:
        """Refuses what does not go to this enclave."""
        url = request.url
        if url.scheme != "https":
            raise self._core.UnsupportedProtocol("only https:// URLs lead to an enclave")
        if (url.host.strip("[]"), url.port or 443) != self.origin:
            raise self._core.UnsupportedProtocol(f"this client talks to {self.url} only; nothing was sent")


@contextlib.contextmanager
def mapped(http: ModuleType, core: ModuleType) -> Iterator[None]:
    """Turns httpcore's exceptions into httpx's of the same name."""
    try:
        yield
    except (core.TimeoutException, core.NetworkError, core.ProtocolError, core.UnsupportedProtocol) as error:
        raise getattr(http, type(error).__name__)(str(error)) from error


def _core_request(core: ModuleType, request: Any) -> Any:
    url = request.url
    return core.Request(
        method=request.method,
        url=core.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


def _extra_info(sock: socket.socket, name: str) -> Any:
    """What httpcore asks of a stream; "is_readable" tells it that an idle connection was closed by the peer."""
    if name == "is_readable":
        return _is_readable(sock)
    return sock if name == "socket" else None


def _is_readable(sock: socket.socket) -> bool:
    if sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _base(core: ModuleType, name: str) -> Any:
    """A base class of httpcore; before 0.17 it was elsewhere."""
    return getattr(core if hasattr(core, name) else importlib.import_module(f"{core.__name__}.backends.base"), name)


@cache
def sync_transport(http: ModuleType, core: ModuleType) -> type:
    """The blocking transport class for httpx and httpcore, or their successors."""

    class Stream(_base(core, "NetworkStream")):  # type: ignore[misc]
        def __init__(self, sock: TunnelSocket) -> None:
            self._sock = sock

        def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            data: bytes = self._do(core.ReadTimeout, core.ReadError, timeout, lambda: self._sock.recv(max_bytes))
            return data

        def write(self, buffer: bytes, timeout: float | None = None) -> None:
            self._do(core.WriteTimeout, core.WriteError, timeout, lambda: self._sock.sendall(buffer))

        def _do(self, late: type, failed: type, timeout: float | None, action: Callable[[], Any]) -> Any:
            try:
                self._sock.settimeout(timeout)
                return action()
            except TimeoutError as error:
                raise late(str(error)) from error
            except OSError as error:
                raise failed(str(error)) from error

        def start_tls(self, *_: Any, **__: Any) -> Stream:
            return self  # TLS is what the tunnel is made of, and its evidence has been verified

        def close(self) -> None:
            self._sock.close()

        def get_extra_info(self, info: str) -> Any:
            return _extra_info(self._sock, info)

    class Backend(_base(core, "NetworkBackend")):  # type: ignore[misc]
        def __init__(self, dialer: Dialer) -> None:
            self._dialer = dialer

        def connect_tcp(self, host: str, port: int, timeout: float | None = None, *_: Any, **__: Any) -> Stream:
            return Stream(self._dialer.dial(timeout))

    class Body(http.SyncByteStream):  # type: ignore[name-defined,misc]
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            with mapped(http, core):
                yield from self._stream

        def close(self) -> None:
            self._stream.close()

    class AttestedTransport(http.BaseTransport):  # type: ignore[name-defined,misc]
        """Requests to one enclave, over attested connections."""

        def __init__(self, dialer: Dialer) -> None:
            self._dialer = dialer
            self._connections = core.ConnectionPool(
                network_backend=Backend(dialer), max_connections=100, max_keepalive_connections=20, keepalive_expiry=5.0
            )

        def handle_request(self, request: Any) -> Any:
            with mapped(http, core):
                self._dialer.check(request)
                answer = self._connections.handle_request(_core_request(core, request))
            return http.Response(
                answer.status, headers=answer.headers, stream=Body(answer.stream), extensions=answer.extensions
            )

        def close(self) -> None:
            self._connections.close()

    return AttestedTransport


@cache
def async_transport(http: ModuleType, core: ModuleType) -> type:
    """The same for async programs (asyncio or trio). Tunnels are opened in a worker thread."""
    import anyio
    import anyio.to_thread

    wait_readable: Any = getattr(anyio, "wait_readable", None) or anyio.wait_socket_readable
    wait_writable: Any = getattr(anyio, "wait_writable", None) or anyio.wait_socket_writable
    # A cancelled request does not wait for its tunnel; anyio before 4.1 has another word for that.
    known = inspect.signature(anyio.to_thread.run_sync).parameters
    abandon: Any = {"abandon_on_cancel" if "abandon_on_cancel" in known else "cancellable": True}

    class Stream(_base(core, "AsyncNetworkStream")):  # type: ignore[misc]
        def __init__(self, sock: TunnelSocket) -> None:
            self._sock = sock
            sock.setblocking(False)

        async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            with self._limits(core.ReadTimeout, core.ReadError):
                with anyio.fail_after(timeout):
                    while True:
                        try:
                            return self._sock.recv(max_bytes)
                        except BlockingIOError:
                            await wait_readable(self._sock)

        async def write(self, buffer: bytes, timeout: float | None = None) -> None:
            left = memoryview(buffer)
            with self._limits(core.WriteTimeout, core.WriteError):
                with anyio.fail_after(timeout):
                    while left:
                        try:
                            left = left[self._sock.send(left) :]
                        except BlockingIOError:
                            await wait_writable(self._sock)

        @contextlib.contextmanager
        def _limits(self, late: type, failed: type) -> Iterator[None]:
            try:
                yield
            except TimeoutError as error:
                raise late(str(error)) from error
            except (OSError, anyio.ClosedResourceError) as error:
                raise failed(str(error)) from error

        async def start_tls(self, *_: Any, **__: Any) -> Stream:
            return self

        async def aclose(self) -> None:
            self._sock.close()

        def get_extra_info(self, info: str) -> Any:
            return _extra_info(self._sock, info)

    class Backend(_base(core, "AsyncNetworkBackend")):  # type: ignore[misc]
        def __init__(self, dialer: Dialer) -> None:
            self._dialer = dialer

        async def connect_tcp(
            self, host: str, port: int, timeout: float | None = None, *_: Any, **__: Any
        ) -> Stream:  # fmt: skip
            return Stream(await anyio.to_thread.run_sync(self._dialer.dial, timeout, **abandon))

        async def sleep(self, seconds: float) -> None:
            await anyio.sleep(seconds)

    class Body(http.AsyncByteStream):  # type: ignore[name-defined,misc]
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            with mapped(http, core):
                async for part in self._stream:
                    yield part

        async def aclose(self) -> None:
            await self._stream.aclose()

    class AsyncAttestedTransport(http.AsyncBaseTransport):  # type: ignore[name-defined,misc]
        """Requests to one enclave, over attested connections."""

        def __init__(self, dialer: Dialer) -> None:
            self._dialer = dialer
            self._connections = core.AsyncConnectionPool(
                network_backend=Backend(dialer), max_connections=100, max_keepalive_connections=20, keepalive_expiry=5.0
            )

        async def handle_async_request(self, request: Any) -> Any:
            with mapped(http, core):
                self._dialer.check(request)
                answer = await self._connections.handle_async_request(_core_request(core, request))
            return http.Response(
                answer.status, headers=answer.headers, stream=Body(answer.stream), extensions=answer.extensions
            )

        async def aclose(self) -> None:
            await self._connections.aclose()

    return AsyncAttestedTransport
