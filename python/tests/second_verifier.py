"""A second verifier of attestation documents, for comparison with libblindbox in tests only.

Written from AWS's attestation_process.md, RFC 8949, 9052 and 5280 with cbor2 and cryptography; shares no code with the
library. Where the specifications leave a choice, the stricter reading that the library documents is taken: documents of
at most 16384 bytes, SHA-384 registers only, the order root to leaf as given, a start tolerance for clocks.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

DOCUMENT_MAX = 16384
DEPTH_MAX = 8
FIELDS_MAX = 32
LABELS_MAX = 16
SIGN1_TAG = 18
ES384 = -35
SIMPLE_TAGS = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)
TIME_MAX_MS = 253402300799999  # the end of the year 9999


class Refused(Exception):
    """Why a document is not accepted."""


@dataclass
class Demands:
    """What the verifier is told; times in milliseconds."""

    roots: set[bytes]  # SHA-256 of each trusted root's DER
    pcrs: dict[int, bytes]
    now_ms: int
    max_age_ms: int = 3600 * 1000
    skew_ms: int = 300 * 1000
    allow_debug: bool = False
    public_key: bytes | None = None
    nonce: bytes | None = None
    user_data: bytes | None = None


def need(condition: object, reason: str) -> None:
    if not condition:
        raise Refused(reason)


def plain_tag(number: int) -> Any:
    """Leaves a tag as it is, where cbor2 would make a date, a big number or a reference of it."""
    return lambda value, immutable: cbor2.CBORTag(number, value)


def read_cbor(data: bytes, what: str) -> Any:
    """One well-formed item and nothing after it, without duplicate keys."""
    stream = io.BytesIO(data)
    decoder = cbor2.CBORDecoder(
        stream,
        allow_duplicate_keys=False,
        max_depth=DEPTH_MAX,
        semantic_decoders={number: plain_tag(number) for number in SIMPLE_TAGS},
    )
    try:
        item = decoder.decode()
    except (cbor2.CBORDecodeError, UnicodeDecodeError, ValueError, TypeError, RecursionError) as error:
        raise Refused(f"{what}: {error}") from None
    need(stream.tell() == len(data), f"{what}: bytes follow its end")
    return item


def is_integer(item: object) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


def read_labels(header: Any, what: str) -> None:
    need(isinstance(header, Mapping), f"{what} is not a map")
    need(all(is_integer(label) or isinstance(label, str) for label in header), f"{what}: a label of another type")
    need(2 not in header, f"{what}: crit")


def read_sign1(document: bytes) -> tuple[bytes, bytes, bytes]:
    """The protected header, the payload and the signature (RFC 9052 section 4.2)."""
    need(len(document) <= DOCUMENT_MAX, "too large")
    parts = read_cbor(document, "COSE")
    if isinstance(parts, cbor2.CBORTag):
        need(parts.tag == SIGN1_TAG, "another tag")
        parts = parts.value
    need(isinstance(parts, list | tuple) and len(parts) == 4, "not an array of four")
    protected, unprotected, payload, signature = parts
    need(isinstance(protected, bytes), "protected header")
    inner = read_cbor(protected, "protected header") if protected else {}
    read_labels(inner, "protected header")
    read_labels(unprotected, "unprotected header")
    need(not inner.keys() & unprotected.keys(), "a label in both headers")
    need(len(inner) + len(unprotected) <= LABELS_MAX, "too many labels")
    need(is_integer(inner.get(1)) and inner[1] == ES384, "algorithm")
    need(isinstance(payload, bytes) and isinstance(signature, bytes), "payload or signature")
    need(len(signature) == 96, "signature length")
    return protected, payload, signature


def read_bytes(fields: dict[str, Any], name: str, least: int, most: int) -> bytes | None:
    value = fields.get(name)
    need(value is None or (isinstance(value, bytes) and least <= len(value) <= most), name)
    return value


def read_payload(payload: bytes) -> dict[str, Any]:
    """The fields of the document (attestation_process.md, section 3.2.2)."""
    fields = read_cbor(payload, "payload")
    need(isinstance(fields, Mapping) and len(fields) <= FIELDS_MAX, "payload is not a small map")
    need(all(isinstance(key, str) for key in fields), "payload: a key that is not text")
    need(fields.get("nitrotpm_pcrs") is None, "of a NitroTPM, not of an enclave")
    need(isinstance(fields.get("module_id"), str) and fields["module_id"], "module_id")
    need("\0" not in fields["module_id"], "module_id")
    need(fields.get("digest") == "SHA384", "digest")
    need(is_integer(fields.get("timestamp")) and 0 < fields["timestamp"] <= TIME_MAX_MS, "timestamp")
    pcrs = fields.get("pcrs")
    need(isinstance(pcrs, Mapping) and 1 <= len(pcrs) <= 32, "pcrs")
    for index, value in pcrs.items():
        need(is_integer(index) and 0 <= index < 32, "pcrs: index")
        need(isinstance(value, bytes) and len(value) == 48, "pcrs: value")
    need(read_bytes(fields, "certificate", 1, 1024) is not None, "certificate")
    bundle = fields.get("cabundle")
    need(isinstance(bundle, list | tuple) and 1 <= len(bundle) <= 8, "cabundle")
    need(all(isinstance(der, bytes) and 1 <= len(der) <= 1024 for der in bundle), "cabundle: certificate")
    for name, most in {"public_key": 1024, "user_data": 512, "nonce": 512}.items():
        read_bytes(fields, name, 0, most)
    return fields


def parse(der: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.extensions  # noqa: B018  (parsed on access)
        certificate.public_key()
        return certificate
    except Exception as error:  # noqa: BLE001  (of many kinds)
        raise Refused(f"certificate: {error}") from None


def extension(certificate: x509.Certificate, kind: type) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def check_certificate(certificate: x509.Certificate, below: int | None, demands: Demands) -> None:
    """below: how many CA certificates follow; None for the leaf (RFC 5280 section 4.2 and 6.1)."""
    key = certificate.public_key()
    need(isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp384r1", "curve")
    known = (x509.BasicConstraints, x509.KeyUsage)
    need(all(isinstance(e.value, known) or not e.critical for e in certificate.extensions), "critical extension")
    constraints, usage = extension(certificate, x509.BasicConstraints), extension(certificate, x509.KeyUsage)
    is_ca = constraints is not None and constraints.ca
    if below is None:
        need(not is_ca, "the leaf is a CA")
        need(usage is None or usage.digital_signature, "key usage of the leaf")
    else:
        need(is_ca, "not a CA")
        need(usage is not None and usage.key_cert_sign, "key usage of a CA")
        need(constraints.path_length is None or constraints.path_length >= below, "path length")
    now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=demands.now_ms)
    need(now.replace(microsecond=0) <= certificate.not_valid_after_utc, "expired")
    need(now + timedelta(milliseconds=demands.skew_ms) >= certificate.not_valid_before_utc, "not valid yet")


def check_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception as error:  # noqa: BLE001  (of many kinds)
        raise Refused(f"issuer: {error}") from None


def check_chain(fields: dict[str, Any], demands: Demands) -> x509.Certificate:
    """The chain as given: root first, each the issuer of the next, the leaf last."""
    ders = [*fields["cabundle"], fields["certificate"]]
    need(hashlib.sha256(ders[0]).digest() in demands.roots, "root")
    chain = [parse(der) for der in ders]
    last = len(chain) - 1
    for i, certificate in enumerate(chain):
        check_certificate(certificate, None if i == last else last - 1 - i, demands)
        check_signed_by(certificate, chain[max(i - 1, 0)])
    return chain[-1]


def check_signature(leaf: x509.Certificate, protected: bytes, payload: bytes, signature: bytes) -> None:
    message = cbor2.dumps(["Signature1", protected, b"", payload])
    r, s = int.from_bytes(signature[:48]), int.from_bytes(signature[48:])
    try:
        leaf.public_key().verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA384()))
    except InvalidSignature:
        raise Refused("signature") from None


def check_demands(fields: dict[str, Any], demands: Demands) -> None:
    need(demands.pcrs and demands.roots, "empty policy")
    age = demands.now_ms - fields["timestamp"]
    need(-demands.skew_ms <= age <= demands.max_age_ms, "age")
    pcrs = fields["pcrs"]
    if not demands.allow_debug:
        need(any(pcrs.get(0, b"")) and any(pcrs.get(1, b"")), "debug mode")
    for index, value in demands.pcrs.items():
        need(pcrs.get(index) == value, f"PCR{index}")
    for name in ("public_key", "nonce", "user_data"):
        wanted = getattr(demands, name)
        need(wanted is None or fields.get(name) == wanted, name)


def judge(document: bytes, demands: Demands) -> dict[str, Any]:
    """The document's fields, or Refused."""
    protected, payload, signature = read_sign1(document)
    fields = read_payload(payload)
    leaf = check_chain(fields, demands)
    check_signature(leaf, protected, payload, signature)
    check_demands(fields, demands)
    return fields
