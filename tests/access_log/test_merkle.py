"""The Merkle tree (FORMAT 1): outside vectors, and properties against RFC 6962 word for word."""

import base64
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.errors import FormatError, VerificationError
from access_log.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    grow,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from tests.access_log.simulator import naive_consistency, naive_inclusion, naive_root

VECTORS = Path(__file__).parents[1] / "vectors" / "merkle"
SIZES = st.integers(0, 300)


def leaves_of(size: int, seed: int = 0) -> list[bytes]:
    return [sha256(f"{seed} {index}".encode()).digest() for index in range(size)]


def case_files(kind: str) -> list[Any]:
    files = sorted((VECTORS / kind).rglob("*.json"))
    return [pytest.param(file, id=str(file.relative_to(VECTORS).with_suffix(""))) for file in files]


def read_case(file: Path) -> tuple[dict[str, Any], list[bytes]]:
    case = json.loads(file.read_text())
    return case, [base64.b64decode(each) for each in case["proof"] or ()]


@pytest.mark.parametrize("file", case_files("inclusion"))
def test_inclusion_vectors(file: Path) -> None:
    case, proof = read_case(file)
    leaf, root = base64.b64decode(case["leafHash"] or ""), base64.b64decode(case["root"] or "")
    arguments = (case["leafIdx"], case["treeSize"], leaf, proof, root)
    if case["wantErr"]:
        with pytest.raises(VerificationError):
            verify_inclusion(*arguments)
    else:
        verify_inclusion(*arguments)


@pytest.mark.parametrize("file", case_files("consistency"))
def test_consistency_vectors(file: Path) -> None:
    case, proof = read_case(file)
    root1, root2 = base64.b64decode(case["root1"] or ""), base64.b64decode(case["root2"] or "")
    arguments = (case["size1"], case["size2"], proof, root1, root2)
    if case["wantErr"]:
        with pytest.raises(VerificationError):
            verify_consistency(*arguments)
    else:
        verify_consistency(*arguments)


def test_all_vectors_are_there() -> None:
    assert (len(case_files("inclusion")), len(case_files("consistency"))) == (98, 98)


@given(SIZES, SIZES)
def test_a_frontier_knows_the_root_however_it_grew(first: int, more: int) -> None:
    leaves = leaves_of(first + more)
    grown = Frontier.empty().extend(leaves[:first]).extend(leaves[first:])
    assert grown.root() == naive_root(leaves)
    one_by_one = Frontier.empty()
    for leaf in leaves:
        one_by_one = one_by_one.append(leaf)
    assert one_by_one == grown
    assert Frontier.decode(grown.size, grown.encode()) == grown


@given(SIZES, st.integers(0, 80))
def test_batch_proofs_are_those_of_the_standard(before: int, batch: int) -> None:
    leaves = leaves_of(before + batch)
    frontier = Frontier.empty().extend(leaves[:before])
    growth = grow(frontier, leaves[before:])
    assert (growth.first, growth.frontier) == (before, frontier.extend(leaves[before:]))
    proofs = growth.proofs()
    assert [list(proof) for proof in proofs] == [
        naive_inclusion(index, leaves) for index in range(before, len(leaves))
    ]
    for index, proof in enumerate(proofs, before):
        verify_inclusion(index, len(leaves), leaves[index], proof, growth.frontier.root())


def node_of(leaves: list[bytes]) -> Any:
    def node(level: int, index: int) -> bytes:
        part = leaves[index << level : (index + 1) << level]
        assert len(part) == 1 << level, "only full subtrees may be asked for"
        return naive_root(part)

    return node


@given(st.data(), st.integers(1, 200))
def test_stored_hashes_give_the_proofs_of_the_standard(data: st.DataObject, size: int) -> None:
    leaves = leaves_of(size)
    node = node_of(leaves)
    index, older = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    assert root_of(size, node) == naive_root(leaves)
    included = inclusion_proof(index, size, node)
    assert list(included) == naive_inclusion(index, leaves)
    verify_inclusion(index, size, leaves[index], included, naive_root(leaves))
    consistent = consistency_proof(older, size, node)
    assert list(consistent) == naive_consistency(older, leaves)
    verify_consistency(older, size, consistent, naive_root(leaves[:older]), naive_root(leaves))


@given(st.data(), st.integers(2, 120))
def test_any_flipped_bit_is_found(data: st.DataObject, size: int) -> None:
    leaves = leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, node_of(leaves))
    parts = [leaves[index], *proof, naive_root(leaves)]
    hit = data.draw(st.integers(0, len(parts) - 1))
    bit = data.draw(st.integers(0, 255))
    parts[hit] = (int.from_bytes(parts[hit], "big") ^ 1 << bit).to_bytes(32, "big")
    with pytest.raises(VerificationError):
        verify_inclusion(index, size, parts[0], parts[1:-1], parts[-1])


@given(st.data(), st.integers(2, 120))
def test_another_history_is_not_consistent(data: st.DataObject, size: int) -> None:
    leaves = leaves_of(size)
    older = data.draw(st.integers(1, size - 1))
    other = leaves[:older]
    other[data.draw(st.integers(0, older - 1))] = bytes(32)
    proof = consistency_proof(older, size, node_of(leaves))
    with pytest.raises(VerificationError):
        verify_consistency(older, size, proof, naive_root(other), naive_root(leaves))
    with pytest.raises(VerificationError):
        verify_consistency(older, size, proof, naive_root(leaves[:older]), naive_root(other))


def test_bytes_cannot_move_between_the_halves_of_a_node() -> None:
    left, right = leaves_of(2)
    root = naive_root([left, right])
    with pytest.raises(VerificationError, match="32 bytes"):
        verify_inclusion(0, 2, left + right[:1], (right[1:],), root)
    with pytest.raises(VerificationError, match="32 bytes"):
        verify_consistency(1, 2, (right[1:],), left + right[:1], root)


def test_subtrees_join_only_where_they_are_aligned() -> None:
    leaves = leaves_of(8)
    joined = (
        Frontier.empty().append_subtree(2, naive_root(leaves[:4])).append_subtree(1, naive_root(leaves[4:6]))
    )
    assert joined == Frontier.empty().extend(leaves[:6])
    with pytest.raises(FormatError):
        joined.append_subtree(2, bytes(32))


def test_what_is_out_of_bounds_is_refused() -> None:
    node = node_of(leaves_of(4))
    for call in (
        lambda: Frontier(3, (bytes(32),)),
        lambda: Frontier(1, (bytes(31),)),
        lambda: Frontier(-1, ()),
        lambda: Frontier.decode(1, bytes(33)),
        lambda: inclusion_proof(4, 4, node),
        lambda: consistency_proof(0, 4, node),
        lambda: consistency_proof(5, 4, node),
    ):
        with pytest.raises(FormatError):
            call()


def test_the_empty_tree() -> None:
    assert EMPTY_ROOT == sha256(b"").digest() == Frontier.empty().root() == root_of(0, node_of([]))
    assert Frontier.empty().extend([]) == Frontier.empty()
    assert grow(Frontier.empty(), []).proofs() == []
    assert leaf_hash(b"x") == sha256(b"\x00x").digest()
