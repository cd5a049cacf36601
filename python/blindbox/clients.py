"""Ready-made clients of well-known libraries over attested connections: httpx and the OpenAI SDK, blocking and async.

Each takes the enclave as blindbox.connect() does (addr, measurements, root, policy, name, max_age, clock_skew,
allow_debug); further arguments go to the library. The first request connects and verifies. Every connection is
verified, and no request goes anywhere but to the enclave named.
"""
# ruff: noqa: ANN401 (the library's pointers and the HTTP libraries' objects are Any)

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import enclave
from .errors import AttestationError
from .policy import Source
from .transport import Dialer, Wrap, async_transport, sync_transport

if TYPE_CHECKING:
    import httpx
    import openai

ENCLAVE_OPTIONS = set(inspect.signature(enclave.find).parameters)
# Each of these would make a way around the attested transport, or has no meaning with it.
REFUSED = {"transport", "mounts", "proxy", "proxies", "verify", "cert", "trust_env", "http1", "http2", "limits", "app"}


def httpx_client(
    addr: str | None = None,
    measurements: Source | Mapping[str, object] | None = None,
    root: Source | None = None,
    **options: Any,
) -> httpx.Client:
    """An httpx.Client whose base URL is the enclave.

    Requests raise blindbox.AttestationError when the enclave fails (nothing was sent), httpx's exceptions otherwise.
    Raises what blindbox.connect() raises about its arguments, TypeError for an httpx option that would lead around the
    attestation.
    """
    http, core = _import("httpx"), _import("httpcore")
    dialer, rest = _dialer(core, _unchanged, addr, measurements, root, options)
    transport = sync_transport(http, core)(dialer)
    return http.Client(**_httpx_options(dialer, rest), transport=transport)  # type: ignore[no-any-return]


def async_httpx_client(
    addr: str | None = None,
    measurements: Source | Mapping[str, object] | None = None,
    root: Source | None = None,
    **options: Any,
) -> httpx.AsyncClient:
    """An httpx.AsyncClient; otherwise as httpx_client()."""
    http, core = _import("httpx"), _import("httpcore")
    dialer, rest = _dialer(core, _unchanged, addr, measurements, root, options)
    transport = async_transport(http, core)(dialer)
    return http.AsyncClient(**_httpx_options(dialer, rest), transport=transport)  # type: ignore[no-any-return]


def openai_client(
    addr: str | None = None,
    measurements: Source | Mapping[str, object] | None = None,
    root: Source | None = None,
    **options: Any,
) -> openai.OpenAI:
    """An openai.OpenAI that talks to the enclave.

    Requests raise an exception that is both blindbox.AttestationError and openai.OpenAIError when the enclave fails
    (nothing was sent, nothing is tried again). The API key is "unused" unless api_key is given: one that the
    environment holds for another service is not sent.
    """
    sdk = _import("openai")
    http, core = _libraries_of(sdk)
    dialer, rest = _dialer(core, _for_openai(), addr, measurements, root, options)
    own = http.Client(transport=sync_transport(http, core)(dialer), trust_env=False, follow_redirects=True)
    return sdk.OpenAI(**_openai_options(dialer, rest), http_client=own)  # type: ignore[no-any-return]


def async_openai_client(
    addr: str | None = None,
    measurements: Source | Mapping[str, object] | None = None,
    root: Source | None = None,
    **options: Any,
) -> openai.AsyncOpenAI:
    """An openai.AsyncOpenAI; otherwise as openai_client()."""
    sdk = _import("openai")
    http, core = _libraries_of(sdk)
    dialer, rest = _dialer(core, _for_openai(), addr, measurements, root, options)
    own = http.AsyncClient(transport=async_transport(http, core)(dialer), trust_env=False, follow_redirects=True)
    return sdk.AsyncOpenAI(**_openai_options(dialer, rest), http_client=own)  # type: ignore[no-any-return]


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(f"this client needs the Python package {name}") from error


def _libraries_of(sdk: ModuleType) -> tuple[ModuleType, ModuleType]:
    """The httpx and httpcore that the installed OpenAI SDK is made for: since version 3 their successors."""
    successor = "2" if hasattr(sdk, "DefaultHttpx2Client") else ""
    return _import(f"httpx{successor}"), _import(f"httpcore{successor}")


def _dialer(
    core: ModuleType,
    wrap: Wrap,
    addr: str | None,
    measurements: Source | Mapping[str, object] | None,
    root: Source | None,
    options: dict[str, Any],
) -> tuple[Dialer, dict[str, Any]]:
    """The way to the enclave, and the options that are not about it."""
    about = {key: value for key, value in options.items() if key in ENCLAVE_OPTIONS}
    rest = {key: value for key, value in options.items() if key not in ENCLAVE_OPTIONS}
    return Dialer(enclave.find(addr, measurements, root, **about), core, wrap), rest


def _httpx_options(dialer: Dialer, options: dict[str, Any]) -> dict[str, Any]:
    for name in sorted(REFUSED & options.keys()):
        raise TypeError(f"{name} would lead around the attested connection, or has no meaning with it")
    return {"base_url": dialer.url, **options, "trust_env": False}


def _openai_options(dialer: Dialer, options: dict[str, Any]) -> dict[str, Any]:
    for name in ("http_client", "base_url"):
        if name in options:
            raise TypeError(f"{name} would lead around the attested connection")
    return {"api_key": "unused", **options, "base_url": f"{dialer.url}/v1"}


def _unchanged(error: AttestationError) -> Exception:
    return error


@cache
def _for_openai() -> Wrap:
    """An OpenAIError passes through the SDK as it is; anything else would be tried again and then wrapped."""
    base: Any = _import("openai").OpenAIError

    class OpenAIAttestationError(AttestationError, base):  # type: ignore[misc]
        """The evidence does not satisfy the policy: nothing was sent."""

    return lambda error: OpenAIAttestationError(str(error), error.code, error.report)
