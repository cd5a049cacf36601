"""Policies, and documents judged without a network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import blindbox
import cbor2
import pytest
from emulator import Emulator
from support import Enclave


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    running = Emulator(tmp_path_factory.mktemp("nsm"))
    yield running
    running.close()


def fields_of(document: bytes) -> dict:
    return cbor2.loads(cbor2.loads(document)[2])


def test_all_fields(emulator: Emulator) -> None:
    data = emulator.document(b"the key", None, b"the nonce")
    fields = fields_of(data)
    policy = blindbox.Policy(pcrs={0: fields["pcrs"][0], 1: fields["pcrs"][1].hex()}, root=emulator.root_pem())
    document = blindbox.verify_document(data, policy, public_key=b"the key", nonce=b"the nonce")
    assert document.module_id == fields["module_id"]
    assert document.timestamp_ms == fields["timestamp"]
    assert abs(document.timestamp.timestamp() - fields["timestamp"] / 1000) < 0.001
    assert document.pcrs == fields["pcrs"]
    assert (document.public_key, document.user_data, document.nonce) == (b"the key", None, b"the nonce")
    assert list(document.cabundle) == fields["cabundle"] and document.certificate == fields["certificate"]
    assert document.digest == fields["digest"] == "SHA384"


def test_each_demand(emulator: Emulator) -> None:
    data = emulator.document(b"the key", b"data", None)
    pcr0 = fields_of(data)["pcrs"][0]
    policy = blindbox.Policy(pcrs={0: pcr0}, root=emulator.root_pem())
    made = blindbox.verify_document(data, policy).timestamp
    refused = {
        "BB_ERR_KEY_BINDING": {"public_key": b"another key"},
        "BB_ERR_NONCE": {"nonce": b""},
        "BB_ERR_USER_DATA": {"user_data": b"dat"},
        "BB_ERR_DOCUMENT_OLD": {"time": made + timedelta(seconds=3601)},
        "BB_ERR_CHAIN_NOT_YET_VALID": {"time": made.timestamp() - 3000},
        "BB_ERR_CHAIN_EXPIRED": {"time": int(time.time()) + 4 * 3600},
    }
    for code, arguments in refused.items():
        with pytest.raises(blindbox.AttestationError, match="^Attestation verification failed: ") as caught:
            blindbox.verify_document(data, policy, **arguments)
        assert caught.value.code == code
        assert code in {check.code for check in caught.value.report}
    other = blindbox.Policy(pcrs={0: pcr0, 2: b"\1" * 48}, root=emulator.root_pem())
    with pytest.raises(blindbox.AttestationError, match="PCR2 is .*, expected 0101"):
        blindbox.verify_document(data, other)
    with pytest.raises(blindbox.AttestationError, match="root"):
        blindbox.verify_document(data, blindbox.Policy(pcrs={0: pcr0}))
    with pytest.raises(blindbox.AttestationError) as caught:
        blindbox.verify_document(b"", policy)
    assert caught.value.code == "BB_ERR_TRUNCATED"


def test_certificates(enclave: Enclave) -> None:
    certificate = enclave.get("/enclave/cert").body
    policy = blindbox.Policy(enclave.info["measurements"], root=enclave.info["root"])
    document = blindbox.verify_certificate(certificate, policy)
    assert document.public_key is not None and document.public_key in certificate
    with pytest.raises(blindbox.AttestationError):
        blindbox.verify_certificate(certificate, policy, time=document.timestamp + timedelta(days=1))
    with pytest.raises(blindbox.AttestationError) as caught:
        blindbox.verify_certificate(certificate[:-1], policy)
    assert caught.value.code == "BB_ERR_CERTIFICATE"


def test_policies(enclave: Enclave, tmp_path: Path) -> None:
    text = Path(enclave.info["measurements"]).read_bytes()
    assert blindbox.Policy(text).pcrs == blindbox.Policy(enclave.info["measurements"]).pcrs
    assert {0, 1, 2, 16, 18} <= blindbox.Policy(text).pcrs.keys()
    assert not blindbox.Policy(text).simulated
    assert blindbox.Policy(text, root=Path(enclave.info["root"])).simulated
    bad = {
        "names no measurement": lambda: blindbox.Policy(),
        "names no measurement ": lambda: blindbox.Policy(pcrs={}),
        "measurements: ": lambda: blindbox.Policy(b"{}"),
        "measurements:": lambda: blindbox.Policy(text.replace(b"PCR0", b"PRC0")),
        "root: ": lambda: blindbox.Policy(text, root=b"no certificate"),
        "PCR32": lambda: blindbox.Policy(pcrs={32: bytes(48)}),
        "PCR3:": lambda: blindbox.Policy(pcrs={3: bytes(47)}),
        "PCR4: not hex": lambda: blindbox.Policy(pcrs={4: "zz" * 48}),
        "PCR0: ": lambda: blindbox.Policy(text, pcrs={0: bytes(48)}),
    }
    for words, make in bad.items():
        with pytest.raises(blindbox.PolicyError, match=words.strip()):
            make()
    with pytest.raises(FileNotFoundError):
        blindbox.Policy(tmp_path / "none.json")
