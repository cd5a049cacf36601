"""Nitro attestation documents as clients outside this project judge them: python3-cbor2 and python3-cryptography.

Nothing here comes from libblindbox, so that the two can disagree. Checks the COSE signature and the certificate chain
(signatures, names, validity) up to a given root; what the fields must say is the client's business.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils


class AttestationError(Exception):
    """The evidence is not good enough; says why."""


def require(condition: object, reason: str) -> None:
    """Raises AttestationError with the reason unless the condition holds."""
    if not condition:
        raise AttestationError(reason)


def check_chain(chain: list[x509.Certificate], root: x509.Certificate) -> None:
    """Root first, leaf last: each one signs the next, and all are valid now (whole seconds)."""
    require(chain[0] == root, "the chain does not start at the trusted root")
    now = datetime.datetime.now(datetime.UTC)
    for certificate in chain:
        require(now >= certificate.not_valid_before_utc - datetime.timedelta(minutes=5), "not valid yet")
        require(now <= certificate.not_valid_after_utc, "a certificate has expired")
    for issuer, issued in zip(chain, chain[1:], strict=False):
        issued.verify_directly_issued_by(issuer)


def check_signature(leaf: x509.Certificate, protected: bytes, payload: bytes, signature: bytes) -> None:
    """ES384 over the Sig_structure of RFC 9052 section 4.4."""
    require(cbor2.loads(protected) == {1: -35}, "the algorithm is not ES384")
    require(len(signature) == 96, "the signature is not 96 bytes long")
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    der = utils.encode_dss_signature(int.from_bytes(signature[:48]), int.from_bytes(signature[48:]))
    leaf.public_key().verify(der, signed, ec.ECDSA(hashes.SHA384()))


def verified_document(cose: bytes, root_pem: bytes) -> dict:
    """The fields of a genuine document. Raises AttestationError."""
    return _refusing(lambda: _verified_document(cose, x509.load_pem_x509_certificate(root_pem)))


def _verified_document(cose: bytes, root: x509.Certificate) -> dict:
    message = cbor2.loads(cose)
    protected, _, payload, signature = message.value if isinstance(message, cbor2.CBORTag) else message
    document = cbor2.loads(payload)
    chain = [x509.load_der_x509_certificate(der) for der in (*document["cabundle"], document["certificate"])]
    check_chain(chain, root)
    check_signature(chain[-1], protected, payload, signature)
    return document


def _refusing(judge: Callable[[], dict]) -> dict:
    """Every way in which the libraries say no is one kind of refusal."""
    try:
        return judge()
    except AttestationError:
        raise
    except Exception as error:  # noqa: BLE001
        raise AttestationError(f"{type(error).__name__}: {error}") from error
