"""Write the golden vectors of the access log, or return them for comparison."""

import json
from hashlib import shake_256
from pathlib import Path
from typing import TypeAlias

from access_log.checkpoint import Checkpoint
from access_log.encoding import to_base64
from access_log.entry import Entry, EntryType, first_chain, next_chain
from access_log.errors import AccessLogError
from access_log.labels import label, month_key, month_of, stream_key
from access_log.merkle import Frontier, consistency_proof, grow, leaf_hash
from access_log.note import verify_note
from access_log.payload import Party, Payload, attribute_names
from access_log.receipt import write_receipt
from access_log.signing_keys import CosigningKey, SigningKey
from access_log.tiles import encode_bundle, entries_path, node_reader, tile_path
from access_log.verifier_keys import (
    ED25519_COSIGNATURE,
    ML_DSA_44,
    ed25519_cosigned,
    ml_dsa_cosigned,
)
from tests.vectors.access_log.prefixes import prefix_vectors, root_vectors

HERE = Path(__file__).parent
ORIGIN = "vault.example/log/2026"
SEED = bytes(range(32))
MASTER = bytes(32)
STREAM = bytes(range(16))
TIME = 1_782_909_296_789
SIZES = (1, 2, 3, 7, 8)

Vector: TypeAlias = "str | int | list[Vector] | dict[str, Vector]"


def secret(name: str, size: int) -> bytes:
    """Fixed bytes in place of random ones."""
    return shake_256(f"creditvault vector {name}".encode()).digest(size)


def payload(entry_type: EntryType, texts: dict[str, str]) -> Payload:
    """A payload as it is stored, with fixed salts and blind."""
    names = attribute_names(entry_type)
    plain = {
        "v": 1,
        "type": int(entry_type),
        "blind": to_base64(secret(f"blind {entry_type}", 32)),
        "salts": to_base64(secret(f"salts {entry_type}", 32 * len(names))),
        "values": [texts.get(name, "null") for name in names],
    }
    return Payload.decode(json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode())


PREVIOUS = f'"{to_base64(bytes(32))}"'
PAYLOADS = (
    payload(
        EntryType.QUERY_PERMITTED,
        {
            "body": '"b6f1c0de-0000-4000-8000-000000000001"',
            "officer": '"b6f1c0de-0000-4000-8000-000000000002"',
            "officer_role": '"\u4fe1\u8d37\u5458"',
            "purpose": '"loan"',
            "case_reference": '"LN-2026-17"',
            "basis": '"consent:b6f1c0de-0000-4000-8000-000000000003"',
            "decision": '"permitted"',
            "fields": '["FIN.type","FIN.end"]',
            "request_digest": '"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="',
            "record_versions": '[["b6f1c0de-0000-4000-8000-000000000004",1,"FIN.type"]]',
            "seq": "1",
            "previous": PREVIOUS,
            "subject": '"b6f1c0de-0000-4000-8000-000000000005"',
        },
    ),
    payload(
        EntryType.RECORD,
        {
            "event": '"enrolled"',
            "actor_role": '"furnisher"',
            "body": '"b6f1c0de-0000-4000-8000-000000000001"',
            "key_checks": '["00"]',
            "seq": "2",
            "previous": PREVIOUS,
            "subject": '"b6f1c0de-0000-4000-8000-000000000005"',
        },
    ),
    payload(
        EntryType.NOT_RELEASED, {"reason": '"the key provider was down"', "seq": "3", "previous": PREVIOUS}
    ),
    payload(EntryType.HEARTBEAT, {"seq": "18446744073709551615", "previous": PREVIOUS}),
)


def labels_of(count: int) -> list[bytes]:
    """The first labels of the stream in the month of `TIME`."""
    key = month_key(stream_key(MASTER, STREAM), ORIGIN, month_of(TIME))
    return [label(key, seq) for seq in range(1, count + 1)]


def entries() -> list[bytes]:
    """A log of eight entries."""
    chain, log = first_chain(ORIGIN), []
    for index, place in enumerate(labels_of(max(SIZES))):
        source = PAYLOADS[index % len(PAYLOADS)]
        raw = Entry(source.type, TIME + index, chain, place, source.commitment(place)).encode()
        log.append(raw)
        chain = next_chain(chain, leaf_hash(raw))
    return log


def vectors() -> dict[str, Vector]:
    """Every vector by the name of its file."""
    log = entries()
    leaves = [leaf_hash(raw) for raw in log]
    signer = SigningKey.from_seed(ORIGIN, SEED)
    checkpoint = Checkpoint(ORIGIN, len(log), Frontier.empty().extend(leaves).root())
    note = signer.sign(checkpoint)
    proof = grow(Frontier.empty(), leaves).proofs()[5]
    return {
        "entry": [_entry(raw) for raw in log[: len(PAYLOADS)]],
        "payload": [_payload(each, place) for each, place in zip(PAYLOADS, labels_of(4), strict=True)],
        "label": _label(),
        "chain": _chain(log),
        "tree": [_tree(leaves, size) for size in SIZES],
        "checkpoint": {
            "seed": SEED.hex(),
            "verifier_key": signer.verifier_key(),
            "origin": ORIGIN,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "note": note,
        },
        "cosignature": [
            _cosignature("witness.example/w1", ED25519_COSIGNATURE, checkpoint),
            _cosignature("witness.example/w1", ML_DSA_44, checkpoint),
            _cosignature(ORIGIN, ML_DSA_44, checkpoint),
        ],
        "receipt": {
            "index": 5,
            "entry": log[5].hex(),
            "proof": [each.hex() for each in proof],
            "receipt": write_receipt(log[5], 5, proof, note),
        },
        "bundle": {
            "bundle_path": entries_path(0, len(log)),
            "bundle": encode_bundle(log).hex(),
            "tile_path": tile_path(0, 0, len(log)),
            "tile": b"".join(leaves).hex(),
        },
        "prefix": prefix_vectors(),
        "root": root_vectors(),
    }


def _cosignature(name: str, kind: int, checkpoint: Checkpoint) -> Vector:
    key, time = CosigningKey.from_seed(name, kind, SEED), TIME // 1000
    message = (
        ml_dsa_cosigned(name, time, checkpoint)
        if kind == ML_DSA_44
        else ed25519_cosigned(time, checkpoint.text())
    )
    return {
        "name": name,
        "type": kind,
        "seed": SEED.hex(),
        "verifier_key": key.verifier_key(),
        "time": time,
        "checkpoint": checkpoint.text(),
        "message": message.hex(),
        "line": _recorded_line(key, time, checkpoint),
    }


def _recorded_line(key: CosigningKey, time: int, checkpoint: Checkpoint) -> str:
    """The line the file holds if it verifies as it stands: ML-DSA signs differently each time."""
    file = HERE / "cosignature.json"
    for case in json.loads(file.read_text()) if file.exists() else []:
        if case["verifier_key"] == key.verifier_key():
            line = str(case["line"])
            try:
                _, (signature,) = verify_note(f"{checkpoint.text()}\n{line}", [key.key])
            except AccessLogError:
                break
            if signature.time == time:
                return line
    return key.line(checkpoint, time)


def _entry(raw: bytes) -> Vector:
    entry = Entry.decode(raw)
    return {
        "type": int(entry.type),
        "time": entry.time,
        "previous": entry.previous.hex(),
        "label": entry.label.hex(),
        "commitment": entry.commitment.hex(),
        "entry": raw.hex(),
        "leaf": leaf_hash(raw).hex(),
    }


def _payload(source: Payload, place: bytes) -> Vector:
    return {
        "payload": source.encode().decode(),
        "digests": [digest.hex() for digest in source.digests],
        "label": place.hex(),
        "commitment": source.commitment(place).hex(),
        "openings": {party.value: json.dumps(source.opening(party), ensure_ascii=False) for party in Party},
    }


def _label() -> Vector:
    key = stream_key(MASTER, STREAM)
    month = month_key(key, ORIGIN, 202607)
    return {
        "master": MASTER.hex(),
        "stream_id": STREAM.hex(),
        "origin": ORIGIN,
        "month": 202607,
        "stream_key": key.hex(),
        "month_key": month.hex(),
        "labels": {str(seq): label(month, seq).hex() for seq in (1, 2, 2**64 - 1)},
    }


def _chain(log: list[bytes]) -> Vector:
    chain = first_chain(ORIGIN)
    values: list[Vector] = []
    for raw in log:
        chain = next_chain(chain, leaf_hash(raw))
        values.append(chain.hex())
    return {
        "origin": ORIGIN,
        "first": first_chain(ORIGIN).hex(),
        "entries": [raw.hex() for raw in log],
        "chain": values,
    }


def _tree(leaves: list[bytes], size: int) -> Vector:
    frontier = Frontier.empty().extend(leaves[:size])
    node = node_reader(lambda _level, _n: b"".join(leaves[:size]))
    return {
        "size": size,
        "leaves": [leaf.hex() for leaf in leaves[:size]],
        "root": frontier.root().hex(),
        "frontier": [each.hex() for each in frontier.hashes],
        "inclusion": [
            [each.hex() for each in proof] for proof in grow(Frontier.empty(), leaves[:size]).proofs()
        ],
        "consistency": {
            str(older): [each.hex() for each in consistency_proof(older, size, node)]
            for older in range(1, size + 1)
        },
    }


def main() -> None:
    """Write every file."""
    for name, vector in vectors().items():
        (HERE / f"{name}.json").write_text(render(vector))


def render(vector: Vector) -> str:
    """A vector as its file holds it."""
    return json.dumps(vector, ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    main()
