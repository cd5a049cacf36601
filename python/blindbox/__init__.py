"""Attested connections to services in hardware enclaves.

Whoever answers is judged by libblindbox before a byte of a request leaves this machine: by a signed document that
names the code, the settings and the model that will see the data. README.md says what is verified and what is not.
"""

from . import ai
from ._native import lib as _lib
from ._text import text as _text
from .ai.connection import connect
from .clients import async_httpx_client, async_openai_client, httpx_client, openai_client
from .connection import Connection
from .document import Document, verify_certificate, verify_document
from .errors import (
    AttestationError,
    BlindboxError,
    Check,
    ModelError,
    PolicyError,
    ServerError,
    SimulatedWarning,
    TransportError,
)
from .policy import Policy
from .tunnel import TunnelSocket, open_tunnel

__version__ = _text(_lib.bb_version())

__all__ = [
    "AttestationError",
    "BlindboxError",
    "Check",
    "Connection",
    "Document",
    "ModelError",
    "Policy",
    "PolicyError",
    "ServerError",
    "SimulatedWarning",
    "TransportError",
    "TunnelSocket",
    "ai",
    "async_httpx_client",
    "async_openai_client",
    "connect",
    "httpx_client",
    "open_tunnel",
    "openai_client",
    "verify_certificate",
    "verify_document",
]
