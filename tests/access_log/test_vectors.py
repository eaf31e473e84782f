"""The golden vectors: what the code writes, and the formulas of FORMAT.md computed anew from them."""

import base64
import json
from hashlib import sha256
from hmac import digest as hmac_digest
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from access_log.checkpoint import VerifierKey, open_note
from access_log.entry import Entry
from access_log.merkle import verify_consistency, verify_inclusion
from access_log.payload import Payload, check_opening
from access_log.prefix import verify_absence
from access_log.prefix import verify_inclusion as verify_label
from access_log.receipt import verify_receipt
from access_log.roots.leaf import PrefixRoot
from access_log.tiles import decode_bundle
from tests.vectors.access_log.generate import HERE, render, vectors

NAMES = sorted(vectors())


def read(name: str) -> Any:
    return json.loads((HERE / f"{name}.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_the_code_still_writes_the_vector(name: str) -> None:
    assert (HERE / f"{name}.json").read_text() == render(vectors()[name])


def test_every_file_is_a_vector() -> None:
    assert sorted(file.stem for file in Path(HERE).glob("*.json")) == NAMES


def test_the_label_of_the_design_is_among_them() -> None:
    assert read("label")["labels"]["1"] == "6b4824b86ec4f91402b0015a5d03674f7d65c1329de41b4c10df0bf5e25058ee"


def test_entries_are_laid_out_as_the_format_says() -> None:
    for case in read("entry"):
        raw = bytes([1, case["type"]]) + case["time"].to_bytes(8, "big")
        raw += bytes.fromhex(case["previous"] + case["label"] + case["commitment"])
        assert raw.hex() == case["entry"]
        assert sha256(b"\x00" + raw).hexdigest() == case["leaf"]
        assert Entry.decode(raw).encode() == raw


def test_commitments_follow_from_the_stored_payloads() -> None:
    for case in read("payload"):
        plain = json.loads(case["payload"])
        salts, blind = base64.b64decode(plain["salts"]), base64.b64decode(plain["blind"])
        opened = json.loads(case["openings"]["inspector"])["attributes"]
        digests = b""
        for at, (attribute, value) in enumerate(zip(opened, plain["values"], strict=True)):
            name, data = attribute["name"].encode(), value.encode()
            salted = b"\x20" + salts[32 * at : 32 * at + 32] + bytes([len(name)]) + name
            digests += sha256(salted + len(data).to_bytes(4, "big") + data).digest()
        assert digests.hex() == "".join(case["digests"])
        combined = sha256(b"\x21" + bytes([plain["type"], len(opened)]) + digests).digest()
        message = blind + bytes.fromhex(case["label"]) + b"\x01" + combined
        commitment = hmac_digest(b"creditvault access-log commitment v1", message, "sha256")
        assert commitment.hex() == case["commitment"]
        assert Payload.decode(case["payload"].encode()).encode().decode() == case["payload"]


def test_openings_open_their_commitments() -> None:
    for case in read("payload"):
        kind = json.loads(case["payload"])["type"]
        label, commitment = bytes.fromhex(case["label"]), bytes.fromhex(case["commitment"])
        raw = bytes([1, kind]) + bytes(8 + 32) + label + commitment
        for opening in case["openings"].values():
            check_opening(Entry.decode(raw), json.loads(opening))


def test_the_chain_runs_through_the_entries() -> None:
    case = read("chain")
    chain = sha256(b"\x11" + case["origin"].encode()).digest()
    assert chain.hex() == case["first"]
    for raw, value in zip(case["entries"], case["chain"], strict=True):
        assert bytes.fromhex(raw)[10:42] == chain
        chain = sha256(b"\x10" + chain + sha256(b"\x00" + bytes.fromhex(raw)).digest()).digest()
        assert chain.hex() == value


def test_proofs_lead_to_the_roots() -> None:
    cases = {case["size"]: case for case in read("tree")}
    for size, case in cases.items():
        root = bytes.fromhex(case["root"])
        for index, (leaf, proof) in enumerate(zip(case["leaves"], case["inclusion"], strict=True)):
            verify_inclusion(index, size, bytes.fromhex(leaf), list(map(bytes.fromhex, proof)), root)
        for older, proof in case["consistency"].items():
            if int(older) in cases:
                first = bytes.fromhex(cases[int(older)]["root"])
                verify_consistency(int(older), size, list(map(bytes.fromhex, proof)), first, root)


def test_note_receipt_and_bundle_verify() -> None:
    note, receipt, bundle = read("checkpoint"), read("receipt"), read("bundle")
    keys = [VerifierKey.parse(note["verifier_key"])]
    checkpoint = open_note(note["note"], keys)
    assert (checkpoint.origin, checkpoint.size, checkpoint.root.hex()) == (
        note["origin"],
        note["size"],
        note["root"],
    )
    verified = verify_receipt(receipt["receipt"], keys)
    assert (verified.index, verified.entry.encode().hex()) == (receipt["index"], receipt["entry"])
    entries = decode_bundle(bytes.fromhex(bundle["bundle"]))
    assert entries[5].hex() == receipt["entry"]
    assert b"".join(sha256(b"\x00" + raw).digest() for raw in entries).hex() == bundle["tile"]


def test_prefix_proofs_lead_to_the_roots() -> None:
    for case in read("prefix"):
        places = {each["label"]: (each["index"], each["commitment"]) for each in case["labels"]}
        root = bytes.fromhex(case["root"])
        for label, proof in case["proofs"].items():
            if label in places:
                place = verify_label(bytes.fromhex(label), bytes.fromhex(proof), root)
                assert (place.index, place.commitment.hex()) == places[label]
            else:
                verify_absence(bytes.fromhex(label), bytes.fromhex(proof), root)


def test_cosignatures_are_made_over_the_messages_of_the_format() -> None:
    for case in read("cosignature"):
        key = VerifierKey.parse(case["verifier_key"])
        origin, size, root, _ = case["checkpoint"].split("\n")
        time, name = case["time"].to_bytes(8, "big"), case["name"].encode()
        signature = base64.b64decode(case["line"].split(" ")[2])
        if case["type"] == 4:
            message = f"cosignature/v1\ntime {case['time']}\n{case['checkpoint']}".encode()
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature[12:], message)
        else:
            message = b"subtree/v1\n\0" + bytes([len(name)]) + name + time + bytes([len(origin)])
            message += origin.encode() + bytes(8) + int(size).to_bytes(8, "big") + base64.b64decode(root)
            MLDSA44PublicKey.from_public_bytes(key.public).verify(signature[12:], message)
        assert message.hex() == case["message"]
        material = name + b"\n" + bytes([case["type"]]) + key.public
        assert signature[:12] == sha256(material).digest()[:4] + time


def test_roots_are_laid_out_as_the_format_says() -> None:
    for case in read("root"):
        raw = bytes([1, case["kind"]]) + case["month"].to_bytes(4, "big")
        raw += case["first"].to_bytes(8, "big") + case["size"].to_bytes(8, "big")
        assert (raw + bytes.fromhex(case["log_root"] + case["prefix_root"])).hex() == case["root"]
        assert PrefixRoot.decode(bytes.fromhex(case["root"])).encode().hex() == case["root"]


def test_the_example_of_the_format_verifies() -> None:
    text = (Path(__file__).parents[2] / "access_log" / "FORMAT.md").read_text()
    receipt, key = text.split("```\n")[1:4:2]
    verified = verify_receipt(receipt, [VerifierKey.parse(key.strip())])
    raw = verified.entry.encode().hex()
    for start, end in ((20, 84), (84, 148), (148, 212)):
        assert f"`{raw[start : start + 8]}\u2026{raw[end - 8 : end]}`" in text
    assert f"`{raw[4:20]}`" in text
