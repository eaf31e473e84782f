"""The prefix tree and its proofs (FORMAT 4.1, 4.2) against the definition, word for word."""

from collections.abc import Mapping
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.errors import AccessLogError, FormatError, VerificationError
from access_log.prefix import (
    MAX_PROOF,
    MISSING,
    OtherLeaf,
    Place,
    Proof,
    leaf_hash,
    node_hash,
    value_hash,
    verify_absence,
    verify_inclusion,
)
from access_log.prefix_tree import PrefixTree

LABELS = st.one_of(
    st.binary(min_size=32, max_size=32),
    # Labels that share long prefixes, as only an adversary would make them.
    st.tuples(st.integers(0, 255), st.integers(0, 7)).map(
        lambda parts: (parts[1] << max(0, parts[0] - 3)).to_bytes(33, "big")[-32:]
    ),
    st.integers(0, 40).map(lambda number: bytes(31) + bytes([number])),
)
SETS = st.lists(LABELS, unique=True, max_size=60)


def places_of(labels: list[bytes]) -> dict[bytes, Place]:
    return {label: Place(7 * at, sha256(label).digest()) for at, label in enumerate(labels)}


def tree_of(places: Mapping[bytes, Place]) -> PrefixTree:
    tree = PrefixTree()
    tree.extend((label, place.encode()) for label, place in places.items())
    return tree


def bit(label: bytes, depth: int) -> int:
    return label[depth // 8] >> (7 - depth % 8) & 1


def naive_root(places: Mapping[bytes, Place], depth: int = 0) -> bytes:
    """The root as FORMAT 4.1 defines it."""
    if not places:
        return MISSING
    if len(places) == 1:
        (label, place), *_ = places.items()
        value = sha256(b"\x04" + place.index.to_bytes(8, "big") + place.commitment).digest()
        return sha256(b"\x02" + label + value).digest()
    left, right = (
        naive_root({label: place for label, place in places.items() if bit(label, depth) == side}, depth + 1)
        for side in (0, 1)
    )
    return sha256(b"\x03" + left + right).digest()


def naive_proof(places: Mapping[bytes, Place], sought: bytes, depth: int = 0) -> Proof:
    if len(places) <= 1:
        for label, place in places.items():
            return Proof((), place if label == sought else OtherLeaf(label, value_hash(place.encode())))
        return Proof((), None)
    sides = [
        {label: place for label, place in places.items() if bit(label, depth) == side} for side in (0, 1)
    ]
    below = naive_proof(sides[bit(sought, depth)], sought, depth + 1)
    return Proof((naive_root(sides[1 - bit(sought, depth)], depth + 1), *below.siblings), below.end)


@given(SETS, SETS, st.lists(LABELS, max_size=5))
def test_root_and_proofs_are_those_of_the_definition(
    first: list[bytes], more: list[bytes], others: list[bytes]
) -> None:
    places = places_of(first)
    tree = tree_of(places)
    assert tree.root() == naive_root(places)
    added = {label: place for label, place in places_of(more).items() if label not in places}
    tree.extend((label, place.encode()) for label, place in added.items())
    places |= added
    root = tree.root()
    assert root == naive_root(places) == tree_of(dict(reversed(places.items()))).root()
    assert len(tree) == len(places)
    assert list(tree) == [label + places[label].encode() for label in sorted(places)]
    for label in {*places, *others}:
        proof = tree.prove(label)
        assert proof == naive_proof(places, label)
        raw = proof.encode()
        assert Proof.decode(raw) == proof
        assert len(raw) <= MAX_PROOF
        if label in places:
            assert verify_inclusion(label, raw, root) == places[label]
            with pytest.raises(VerificationError, match=f"entry {places[label].index} carries it"):
                verify_absence(label, raw, root)
        else:
            verify_absence(label, raw, root)
            with pytest.raises(VerificationError, match="absent"):
                verify_inclusion(label, raw, root)


@given(st.data(), SETS.filter(bool), LABELS)
def test_any_flipped_bit_of_a_proof_is_found(data: st.DataObject, labels: list[bytes], other: bytes) -> None:
    tree = tree_of(places_of(labels))
    sought = data.draw(st.sampled_from([*labels, other]))
    raw = bytearray(tree.prove(sought).encode())
    at = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[at // 8] ^= 1 << at % 8
    for verify in (verify_inclusion, verify_absence):
        with pytest.raises(AccessLogError):
            verify(sought, bytes(raw), tree.root())


@given(SETS.filter(bool), st.data())
def test_a_proof_is_of_one_label_and_one_tree(labels: list[bytes], data: st.DataObject) -> None:
    places = places_of(labels)
    hidden = data.draw(st.sampled_from(labels))
    whole, cut = (
        tree_of(places),
        tree_of({label: place for label, place in places.items() if label != hidden}),
    )
    for verify, proof in (
        (verify_absence, cut.prove(hidden)),
        (verify_inclusion, tree_of({hidden: Place(1, MISSING)}).prove(hidden)),
    ):
        with pytest.raises(VerificationError):
            verify(hidden, proof.encode(), whole.root())


@given(st.binary(max_size=200))
def test_whatever_parses_re_encodes(raw: bytes) -> None:
    for candidate in (raw, b"\x01" + raw, b"\x01\x00\x00\x00" + raw):
        try:
            proof = Proof.decode(candidate)
        except FormatError:
            continue
        assert proof.encode() == candidate


def test_second_spellings_are_refused() -> None:
    hashed = bytes([1]) * 32
    for raw, words in (
        (b"", "bytes"),
        (b"\x01" + bytes(MAX_PROOF), "bytes"),
        (b"\x02\x00\x00\x00", "not known"),
        (b"\x01\x03\x00\x00", "not known"),
        (b"\x01\x00\x01\x01" + bytes(33), "not known"),  # depth 257
        (b"\x01\x00\x00\x00\x00", "hashes it says"),
        (b"\x01\x00\x00\x01\x81" + hashed, "hashes it says"),  # an unused bit is set
        (b"\x01\x00\x00\x01\x80" + hashed[:31], "hashes it says"),
        (b"\x01\x00\x00\x01\x00", "missing sibling"),  # nothing is a subtree's only child
        (b"\x01\x00\x00\x02\xc0" + MISSING + hashed, "missing sibling"),
        (b"\x01\x02\x00\x00" + b"\x80" + bytes(39), "index below 2"),
    ):
        with pytest.raises(FormatError, match=words):
            Proof.decode(raw)


def test_a_leaf_elsewhere_shows_nothing() -> None:
    """An honest leaf of another path, and one that is the label itself, are refused as ends."""
    here, there = bytes(32), b"\xff" * 32
    place = Place(0, MISSING)
    tree = tree_of({here: place, there: place})
    value = value_hash(place.encode())
    for other in (there, here):
        proof = Proof((leaf_hash(there, value),), OtherLeaf(other, value))
        with pytest.raises(VerificationError, match="does not stand where"):
            verify_absence(here, proof.encode(), tree.root())


def test_a_label_stands_once() -> None:
    tree = tree_of(places_of([bytes([at]) * 32 for at in range(100)]))
    root = tree.root()
    with pytest.raises(VerificationError, match="repeats the label") as caught:
        tree.add(bytes([42]) * 32, Place(99, MISSING).encode())
    assert caught.value.index == 99
    assert tree.root() == root


def test_bytes_of_another_record_are_no_label() -> None:
    label, commitment = bytes([1]) * 32, bytes([2]) * 32
    tree = tree_of({label: Place(3, commitment)})
    tree.add(commitment, Place(4, label).encode())
    assert len(tree) == 2
    assert verify_inclusion(commitment, tree.prove(commitment).encode(), tree.root()).index == 4


def test_the_longest_proof_is_as_long_as_the_limit_allows() -> None:
    twin = bytes(31) + b"\x01"
    labels = [bytes(32), twin, *((1 << at).to_bytes(32, "big") for at in range(1, 256))]
    tree = tree_of(places_of(labels))
    raw = tree.prove(bytes(32)).encode()
    assert (
        len(raw) == MAX_PROOF - 24
    )  # A place is 24 bytes shorter than another leaf, which no depth 256 has.
    assert verify_inclusion(bytes(32), raw, tree.root()).index == 0


def test_small_trees() -> None:
    assert PrefixTree().root() == MISSING == bytes(32)
    assert PrefixTree().prove(bytes(32)).encode() == b"\x01\x00\x00\x00"
    verify_absence(bytes(32), b"\x01\x00\x00\x00", MISSING)
    place = Place(5, bytes(32))
    assert tree_of({MISSING: place}).root() == place.leaf(MISSING)
    assert node_hash(MISSING, MISSING) != MISSING
    for label, root in ((bytes(31), MISSING), (MISSING, bytes(33))):
        with pytest.raises(FormatError, match="32 bytes each"):
            verify_absence(label, b"\x01\x00\x00\x00", root)
