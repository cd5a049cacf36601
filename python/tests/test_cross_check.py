"""libblindbox and a verifier written independently (second_verifier.py) must agree on every document: on published
ones, and on 2,000 random mutations of documents of our NSM emulator, made anew in the same way in each run.
"""

from __future__ import annotations

import csv
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import blindbox
import cbor2
import pytest
import second_verifier
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from emulator import PROTECTED, Emulator, Forger, Link, sha256, sign
from second_verifier import Demands, Refused
from support import SHARED

SEED = int(os.environ.get("BLINDBOX_SEED", "20261122"))
BYTES_MUTATIONS, PAYLOAD_MUTATIONS, CHAIN_MUTATIONS = 800, 700, 500
DEEP = {4: [[[[[[[[1]]]]]]]]}  # more levels than are read
TIME_STEPS_MS = (1, 299_000, 301_000, 3_599_000, 3_601_000, 10**12)
VECTORS = SHARED / "vectors"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    running = Emulator(tmp_path_factory.mktemp("nsm"))
    yield running
    running.close()


def policy_of(demands: Demands, roots: bytes | None) -> blindbox.Policy:
    return blindbox.Policy(
        pcrs=demands.pcrs, root=roots, max_age=demands.max_age_ms / 1000, clock_skew=demands.skew_ms / 1000,
        allow_debug=demands.allow_debug,
    )  # fmt: skip


def disagreement(document: bytes, demands: Demands, policy: blindbox.Policy) -> tuple[bool, str]:
    """Whether libblindbox accepts, and in what the two differ ("" when in nothing)."""
    try:
        fields: Any = second_verifier.judge(document, demands)
        theirs = "accepted"
    except Refused as refused:
        fields, theirs = None, f"refused ({refused})"
    try:
        ours = blindbox.verify_document(
            document, policy, time=demands.now_ms / 1000,
            public_key=demands.public_key, nonce=demands.nonce, user_data=demands.user_data,
        )  # fmt: skip
    except blindbox.AttestationError as error:
        return False, "" if fields is None else f"libblindbox {error} [{error.code}], the second verifier {theirs}"
    if fields is None:
        return True, f"libblindbox accepted, the second verifier {theirs}"
    same = (
        ours.module_id == fields["module_id"]
        and ours.timestamp_ms == fields["timestamp"]
        and ours.pcrs == fields["pcrs"]
        and (ours.public_key, ours.user_data, ours.nonce)
        == (fields.get("public_key"), fields.get("user_data"), fields.get("nonce"))
        and list(ours.certificates) == [*fields["cabundle"], fields["certificate"]]
    )
    return True, "" if same else f"other fields: {ours} and {fields}"


class Comparison:
    """Collects what was compared, and prints each disagreement."""

    def __init__(self) -> None:
        self.accepted = Counter[str]()
        self.compared = Counter[str]()
        self.failures: list[str] = []

    def add(self, kind: str, name: str, document: bytes, demands: Demands, policy: blindbox.Policy) -> None:
        accepted, difference = disagreement(document, demands, policy)
        self.compared[kind] += 1
        self.accepted[kind] += accepted
        if difference:
            print(f"{kind} {name}: {difference}\n    {document.hex()}")
            self.failures.append(f"{kind} {name}: {difference}")


# The published documents


def vectors() -> list[dict[str, str]]:
    if not (VECTORS / "MANIFEST.tsv").exists():
        return []
    with (VECTORS / "MANIFEST.tsv").open() as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    return [row for row in rows if row["path"].endswith(".cbor")]


def own_time_and_pcrs(document: bytes) -> tuple[int, dict[int, bytes]]:
    """What a document says of itself, as far as it can be read at all."""
    try:
        parts = cbor2.loads(document)
        fields = cbor2.loads((parts.value if isinstance(parts, cbor2.CBORTag) else parts)[2])
        return fields["timestamp"], {i: v for i, v in fields["pcrs"].items() if i in (0, 1, 2, 4, 8)}
    except Exception:  # noqa: BLE001  (whatever it is, it is no such document)
        return 1_700_000_000_000, {0: bytes(48)}


def test_every_vector() -> None:
    rows = vectors()
    if not rows:
        pytest.skip("skipped: the published vectors are not here")
    aws = bytes.fromhex("641A0321A3E244EFE456463195D606317ED7CDCC3C1756E09893F3C68F79BB5B")
    result, verdicts = Comparison(), Counter[str]()
    for row in rows:
        document = (VECTORS / row["path"]).read_bytes()
        made, pcrs = own_time_and_pcrs(document)
        for allow_debug in (False, True):
            for moment in (made, int(time.time() * 1000), made + 4 * 3600 * 1000, made - 3600 * 1000):
                for expected in (pcrs, {**pcrs, 0: bytes([1]) * 48}):
                    demands = Demands({aws}, expected, moment, allow_debug=allow_debug)
                    name = f"{row['path']} at {moment}, debug {allow_debug}"
                    result.add("vector", name, document, demands, policy_of(demands, None))
        demands = Demands({aws}, pcrs, made, allow_debug=row["expected"] == "VALID-DEBUG")
        accepted, _ = disagreement(document, demands, policy_of(demands, None))
        if row["kind"] == "nitro-doc":
            assert accepted == row["expected"].startswith("VALID"), row["path"]
            verdicts[row["expected"]] += 1
    print(dict(verdicts), f"{result.compared.total()} comparisons, {result.accepted.total()} accepted")
    assert not result.failures
    assert verdicts["VALID"] > 10 and verdicts["VALID-DEBUG"] > 10


# The mutations


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    """One to three random changes of single bytes or ranges."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if len(changed) < 200:
            break
        at = rng.randrange(len(changed))
        # Half of them in what the signature does not cover: the frame of the message, the unprotected header, the end.
        if rng.random() < 0.5:
            at = rng.choice((rng.randrange(12), len(changed) - 1 - rng.randrange(104)))
        length = rng.randrange(1, 9)
        match rng.randrange(7):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at] = rng.randrange(256)
            case 2:
                del changed[at : at + length]
            case 3:
                changed[at:at] = rng.randbytes(length)
            case 4:
                changed[at:at] = changed[at : at + length]
            case 5:
                del changed[at:]
            case 6:
                changed += rng.randbytes(length)
    return bytes(changed)


def reframe(rng: random.Random, document: bytes) -> bytes:
    """The same signed bytes in another frame: tags, lengths and the unprotected header, which is not signed."""
    protected, _, payload, signature = cbor2.loads(document)
    header = rng.choice(
        ({}, {4: b"11"}, {1: -35}, {1: -7}, {2: [4]}, {"x": 1}, {4: {5: [6]}}, {4.5: 1}, {b"k": 1}, [], None,
         {-1: cbor2.CBORTag(1, 2)}, {i + 10: i for i in range(rng.randrange(10, 20))}, {4: [[[[[[[[1]]]]]]]]})
    )  # fmt: skip
    parts = [protected, header, payload, signature]
    if rng.random() < 0.1:
        parts = rng.choice((parts[:3], [*parts, b""], [protected, header, None, signature], parts[::-1]))
    whole: Any = parts
    if rng.random() < 0.5:
        whole = cbor2.CBORTag(rng.choice((18, 18, 18, 17, 98, 61)), parts)
    data = cbor2.dumps(whole)
    if rng.random() < 0.2:
        data = b"\x9f" + b"".join(cbor2.dumps(part) for part in parts) + b"\xff"
    return data + (b"" if rng.random() < 0.9 else rng.randbytes(1))


def other_value(rng: random.Random) -> Any:
    return rng.choice((
        None, 0, 1, -1, 2**64 - 1, 1.5, True, False, "", "SHA384", "x\0y", b"", b"1", rng.randbytes(48),
        rng.randbytes(600), rng.randbytes(1025), [], [b"1"], {}, {0: b"1"}, {"a": 1}, cbor2.undefined,
        cbor2.CBORTag(18, b"1"),
        cbor2.CBORTag(2, b"1"), cbor2.CBORTag(0, "no date"), {1: {1: {1: {1: {1: {1: {1: {1: 1}}}}}}}},
    ))  # fmt: skip


def mutate_fields(rng: random.Random, fields: dict[Any, Any]) -> dict[Any, Any]:
    """One change of one field."""
    changed = dict(fields)
    name = rng.choice(list(changed))
    match rng.randrange(8):
        case 0:
            del changed[name]
        case 1:
            changed[name] = other_value(rng)
        case 2:
            changed[rng.choice(("unknown", "", 1, b"k", "nitrotpm_pcrs", None))] = other_value(rng)
        case 3:
            changed["timestamp"] += rng.choice((-1, 1)) * rng.choice(
                (1, 299_000, 301_000, 3_599_000, 3_601_000, 10**12)
            )
        case 4:
            pcrs = dict(changed["pcrs"])
            pcrs[rng.choice((0, 1, 2, 3, 16, 31, 32, -1, "0"))] = rng.choice((bytes(48), rng.randbytes(48), b"", None))
            changed["pcrs"] = pcrs
        case 5:
            changed["pcrs"] = {i: v for i, v in changed["pcrs"].items() if i != rng.choice((0, 1, 2, 3, 4, 8))}
        case 6:
            field = rng.choice(("public_key", "user_data", "nonce"))
            changed[field] = rng.choice((None, b"", b"1", rng.randbytes(rng.choice((64, 512, 513, 1024, 1025)))))
        case 7:
            changed |= {f"extra{i}": i for i in range(rng.choice((1, 22, 23, 24, 40)))}
    return changed


def encode(rng: random.Random, fields: dict[Any, Any]) -> bytes:
    """CBOR of a map, sometimes with indefinite length, a key twice, or a length in more bytes than it needs."""
    pairs = [cbor2.dumps(key) + cbor2.dumps(value) for key, value in fields.items()]
    choice = rng.random()
    if choice < 0.1:
        pairs.append(rng.choice(pairs))
    if choice < 0.3:
        return b"\xbf" + b"".join(pairs) + b"\xff"
    if choice < 0.4:
        return b"\xb9" + len(pairs).to_bytes(2) + b"".join(pairs)
    return cbor2.dumps(dict(fields))


def mutate_links(rng: random.Random) -> list[Link]:
    """A chain with at most one or two faults, sometimes none."""
    links = [Link() for _ in range(rng.randrange(1, 6))]
    links[-1].ca = rng.choice((False, None))
    for i, link in enumerate(links[:-1]):
        link.path_length = rng.choice((None, len(links) - 2 - i, len(links) - 1 - i))
    changes: list[dict[str, Any]] = [
        {}, {}, {}, {"ca": None}, {"ca": True}, {"ca": False}, {"usage": False}, {"usage_right": False},
        {"curve": ec.SECP256R1()}, {"issuer_name": "someone else"}, {"critical_unknown": True},
        {"harmless_unknown": True}, {"wrong_signer": True}, {"path_length": 0}, {"path_length": 1},
        {"from_s": rng.choice((-1, 0, 299, 300, 301, 302))}, {"to_s": rng.choice((-2, -1, 0, 1))},
    ]  # fmt: skip
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(links))
        links[at] = replace(links[at], **rng.choice(changes))
    return links


def report(result: Comparison, started: float) -> None:
    for kind, count in result.compared.items():
        print(f"{kind}: {count} compared, {result.accepted[kind]} accepted by both")
    print(f"{time.monotonic() - started:.1f} s, seed {SEED}, {len(result.failures)} disagreements")


def test_two_thousand_mutations(emulator: Emulator) -> None:
    rng, result, started = random.Random(SEED), Comparison(), time.monotonic()
    root = emulator.root_pem()
    roots = {sha256(x509.load_pem_x509_certificate(root).public_bytes(Encoding.DER))}
    documents = [
        emulator.document(None, None, None),
        emulator.document(b"k" * 91, b"u" * 104, b"n" * 32),
        emulator.document(b"k" * 1024, b"u" * 512, b"n" * 512),
    ]
    all_fields = [cbor2.loads(cbor2.loads(document)[2]) for document in documents]
    now = max(fields["timestamp"] for fields in all_fields)
    demands = Demands(roots, {i: all_fields[0]["pcrs"][i] for i in (0, 1, 2, 4)}, now)
    policy = policy_of(demands, root)
    for i, document in enumerate(documents):
        result.add("as it came", str(i), document, demands, policy)
    assert result.accepted["as it came"] == 3
    for i in range(BYTES_MUTATIONS):
        source = rng.choice(documents)
        changed = mutate_bytes(rng, source) if i % 4 else reframe(rng, source)
        result.add("bytes", str(i), changed, demands, policy)
    compare_forged(rng, result, emulator.forger(), all_fields, demands, policy)
    report(result, started)
    mutations = result.compared.total() - 3
    assert mutations == BYTES_MUTATIONS + PAYLOAD_MUTATIONS + CHAIN_MUTATIONS == 2000
    for kind in ("bytes", "payload", "chain"):
        assert 0 < result.accepted[kind] < result.compared[kind]
    assert not result.failures, f"{len(result.failures)} of {mutations}: {result.failures[:5]}"


def compare_forged(
    rng: random.Random,
    result: Comparison,
    forger: Forger,
    all_fields: list[dict[str, Any]],
    demands: Demands,
    policy: Any,
) -> None:
    """Payloads and chains that are changed and then signed properly: the signature hides none of these changes."""
    good, key = forger.chain([Link(), Link(), Link(ca=False)], demands.now_ms / 1000)
    for i in range(PAYLOAD_MUTATIONS):
        fields = rng.choice(all_fields) | {"cabundle": good[:-1], "certificate": good[-1]}
        mutated = encode(rng, mutate_fields(rng, fields)) if i % 3 else mutate_bytes(rng, cbor2.dumps(fields))
        protected = (
            PROTECTED if rng.random() < 0.9 else cbor2.dumps(rng.choice(({1: -7}, {}, {1: -35, 2: [1]}, {1: "-35"})))
        )
        result.add("payload", str(i), sign(mutated, key, protected), demands, policy)
    for i in range(CHAIN_MUTATIONS):
        ders, key = forger.chain(mutate_links(rng), demands.now_ms / 1000)
        if rng.random() < 0.1:
            ders = rng.choice((ders[1:], ders[::-1], [ders[0], *ders], [*ders[:1], *ders[2:]]))
        fields = rng.choice(all_fields) | {"cabundle": ders[:-1], "certificate": ders[-1] if ders else b""}
        wanted = replace(demands, now_ms=demands.now_ms + rng.choice((0, 0, 0, -1000, 1000)))
        result.add("chain", str(i), sign(cbor2.dumps(fields), key), wanted, policy)
