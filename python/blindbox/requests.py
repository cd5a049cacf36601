"""The requests library over attested connections.

    from blindbox import requests

    requests.configure(measurements="measurements.json")
    requests.post("https://enclave.example.com/whisper/predict", files={"audio": open("taunt.wav", "rb")})

Sessions here are real requests sessions whose only adapter takes its sockets from libblindbox: the evidence of the
very connection is verified before the first byte of a request is written, also when a kept-alive connection had to be
replaced.

What is demanded comes from Session(policy=…), configure() or the environment (BLINDBOX_MEASUREMENTS, BLINDBOX_ROOT:
paths); without any of them PolicyError is raised. `verify` has no meaning here and cannot switch anything off. Not
possible: plain http, proxies, client certificates, adapters that do not attest, redirects to another host (the
redirect itself is then the answer). An enclave that fails raises blindbox.AttestationError; other failures are
requests' own exceptions.
"""
# ruff: noqa: ANN401 (the library's pointers and the HTTP libraries' objects are Any)

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import requests as _requests
import urllib3
from requests import (
    ConnectionError,
    ConnectTimeout,
    HTTPError,
    JSONDecodeError,
    PreparedRequest,
    ReadTimeout,
    Request,
    RequestException,
    Response,
    Timeout,
    TooManyRedirects,
    URLRequired,
    codes,
    exceptions,
)
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.utils import select_proxy

from .errors import PolicyError, TransportError
from .policy import Policy, Source
from .tunnel import open_tunnel

__all__ = [
    "AttestedAdapter",
    "ConnectTimeout",
    "ConnectionError",
    "HTTPError",
    "JSONDecodeError",
    "PreparedRequest",
    "ReadTimeout",
    "Request",
    "RequestException",
    "Response",
    "Session",
    "Timeout",
    "TooManyRedirects",
    "URLRequired",
    "codes",
    "configure",
    "delete",
    "exceptions",
    "get",
    "head",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "session",
]

_configured: Policy | None = None


def configure(
    measurements: Source | Mapping[str, object] | None = None,
    root: Source | None = None,
    *,
    policy: Policy | None = None,
    **more: Any,
) -> None:
    """Sets what sessions and functions of this module demand from now on.

    measurements, root and more (max_age, clock_skew, allow_debug, pcrs) as in blindbox.Policy, or a policy. Raises
    PolicyError, OSError.
    """
    global _configured
    if policy is not None and (measurements is not None or root is not None or more):
        raise ValueError("a policy and its parts exclude each other")
    _configured = policy if policy is not None else Policy(measurements, root=root, **more)


def _default_policy() -> Policy:
    if _configured is not None:
        return _configured
    measurements = os.environ.get("BLINDBOX_MEASUREMENTS")
    if not measurements:
        raise PolicyError("no policy: call blindbox.requests.configure(), give Session(policy=…), or set "
                          "BLINDBOX_MEASUREMENTS (and BLINDBOX_ROOT)", "BB_ERR_POLICY_EMPTY")  # fmt: skip
    return Policy(measurements, root=os.environ.get("BLINDBOX_ROOT") or None)


class _AttestedConnection(urllib3.connection.HTTPConnection):
    """HTTP over a tunnel: there is no other way in which this class gets a socket."""

    default_port = 443  # type: ignore[misc,unused-ignore]
    is_verified = True  # type: ignore[misc,unused-ignore]
    policy: Policy

    def connect(self) -> None:
        """Opens the tunnel; AttestationError passes through urllib3 and requests as it is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        limit = self.timeout if isinstance(self.timeout, int | float) else None
        try:
            self.sock = open_tunnel(f"{host}:{self.port}", self.policy, timeout=limit)
        except TransportError as error:
            if error.code == "BB_ERR_TIMEOUT":
                raise urllib3.exceptions.ConnectTimeoutError(self, str(error)) from error
            raise urllib3.exceptions.NewConnectionError(self, str(error)) from error
        self.sock.settimeout(limit)


class _AttestedPool(urllib3.HTTPConnectionPool):
    """Connections to one host and port under one policy."""

    scheme = "https"

    def __init__(self, policy: Policy, host: str, port: int, *, maxsize: int, block: bool) -> None:
        self.ConnectionCls = type("_BoundConnection", (_AttestedConnection,), {"policy": policy})
        super().__init__(host, port, maxsize=maxsize, block=block)


class AttestedAdapter(HTTPAdapter):
    """requests' adapter whose connections are tunnels to enclaves that satisfy the policy."""

    def __init__(self, policy: Policy, **options: Any) -> None:
        self._policy = policy
        self._pools: OrderedDict[tuple[str, int], _AttestedPool] = OrderedDict()
        self._lock = threading.Lock()
        super().__init__(**options)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **_: Any) -> None:
        """Called by HTTPAdapter; keeps as many pools and connections as that says."""
        self._limit, self._maxsize, self._block = max(1, connections), maxsize, block

    def _pool(self, url: str, proxies: Mapping[str, str] | None) -> _AttestedPool:
        parts = urlsplit(url)
        if parts.scheme.lower() != "https" or not parts.hostname:
            raise exceptions.InvalidSchema(f"only https:// URLs lead to an enclave, not {url!r}")
        if select_proxy(url, dict(proxies or {})):
            raise exceptions.InvalidProxyURL("attested connections do not pass through proxies")
        key = (parts.hostname, parts.port or 443)
        with self._lock:
            pool = self._pools.pop(key, None)
            if pool is None:
                pool = _AttestedPool(self._policy, *key, maxsize=self._maxsize, block=self._block)
            self._pools[key] = pool  # the latest used is last
            if len(self._pools) > self._limit:
                self._pools.popitem(last=False)[1].close()
            return pool

    def get_connection_with_tls_context(
        self,
        request: PreparedRequest,
        verify: Any,
        proxies: Mapping[str, str] | None = None,
        cert: Any = None,
    ) -> Any:
        """The pool for a request (requests 2.32 and later)."""
        return self._pool(request.url or "", proxies)

    def get_connection(self, url: str | bytes, proxies: Mapping[str, str] | None = None) -> Any:
        """The pool for a URL (requests before 2.32)."""
        return self._pool(url.decode() if isinstance(url, bytes) else url, proxies)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Certificate authorities play no part; a certificate of the client's own cannot be shown."""
        if cert:
            raise ValueError("attested connections show no client certificate")

    def proxy_manager_for(self, proxy: str, **_: Any) -> Any:
        """There is none."""
        raise exceptions.InvalidProxyURL("attested connections do not pass through proxies")

    def close(self) -> None:
        """Ends all connections."""
        with self._lock:
            while self._pools:
                self._pools.popitem()[1].close()


class Session(_requests.Session):
    """requests.Session over attested connections; policy as in blindbox.Policy, else what configure() or the
    environment say. Proxies, .netrc and certificate settings of the environment are not looked at.
    """

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy if policy is not None else _default_policy()
        self._made = False  # until then requests mounts adapters of its own
        super().__init__()
        self.trust_env = False
        self.policy._warn_if_simulated()
        self.adapters.clear()
        self._made = True
        self.mount("https://", AttestedAdapter(self.policy))

    def mount(self, prefix: str | bytes, adapter: BaseAdapter) -> None:
        """Registers another attesting adapter. Raises TypeError for any other: it would take the check away."""
        if self._made and not isinstance(adapter, AttestedAdapter):
            raise TypeError(f"{type(adapter).__name__} does not attest: only AttestedAdapter can be mounted here")
        super().mount(cast(str, prefix), adapter)  # what requests says it takes differs between its versions

    def get_adapter(self, url: str) -> AttestedAdapter:
        """The adapter for a URL. Raises InvalidSchema for anything but https, TypeError for what does not attest."""
        if not url.lower().startswith("https://"):
            raise exceptions.InvalidSchema(f"only https:// URLs lead to an enclave, not {url!r}")
        adapter = super().get_adapter(url)
        if not isinstance(adapter, AttestedAdapter):
            raise TypeError(f"{type(adapter).__name__} does not attest, so nothing is sent through it")
        return adapter

    def get_redirect_target(self, resp: Response) -> str | None:
        """Where a redirect leads, when that is the same host and port; else None: it is not followed."""
        target = super().get_redirect_target(resp)
        if target is None or _origin(urljoin(resp.url, target)) != _origin(resp.url):
            return None
        return target


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.hostname, parts.port or (443 if parts.scheme.lower() == "https" else None)


def session() -> Session:
    """A new Session."""
    return Session()


def request(method: str, url: str, **arguments: Any) -> Response:
    """requests.request() over an attested connection of its own. Raises blindbox.AttestationError."""
    with Session() as own:
        return own.request(method=method, url=url, **arguments)


def get(url: str, params: Any = None, **arguments: Any) -> Response:
    """requests.get() over an attested connection."""
    return request("get", url, params=params, **arguments)


def options(url: str, **arguments: Any) -> Response:
    """requests.options() over an attested connection."""
    return request("options", url, **arguments)


def head(url: str, **arguments: Any) -> Response:
    """requests.head() over an attested connection."""
    arguments.setdefault("allow_redirects", False)
    return request("head", url, **arguments)


def post(url: str, data: Any = None, json: Any = None, **arguments: Any) -> Response:
    """requests.post() over an attested connection."""
    return request("post", url, data=data, json=json, **arguments)


def put(url: str, data: Any = None, **arguments: Any) -> Response:
    """requests.put() over an attested connection."""
    return request("put", url, data=data, **arguments)


def patch(url: str, data: Any = None, **arguments: Any) -> Response:
    """requests.patch() over an attested connection."""
    return request("patch", url, data=data, **arguments)


def delete(url: str, **arguments: Any) -> Response:
    """requests.delete() over an attested connection."""
    return request("delete", url, **arguments)
