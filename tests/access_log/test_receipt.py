"""Receipts (FORMAT 7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.checkpoint import Checkpoint
from access_log.encoding import to_base64
from access_log.entry import Entry
from access_log.errors import AccessLogError, FormatError, VerificationError
from access_log.merkle import Frontier, grow, leaf_hash
from access_log.receipt import MAX_RECEIPT, Receipt, parse_receipt, verify_receipt, write_receipt
from tests.access_log.simulator import KEYS, ORIGIN, SIGNER, make_entries

ENTRIES = make_entries(70)
GROWTH = grow(Frontier.empty(), [leaf_hash(entry) for entry in ENTRIES])
PROOFS = GROWTH.proofs()
CHECKPOINT = Checkpoint(ORIGIN, len(ENTRIES), GROWTH.frontier.root())
NOTE = SIGNER.sign(CHECKPOINT)
RECEIPTS = [
    write_receipt(entry, index, proof, NOTE)
    for index, (entry, proof) in enumerate(zip(ENTRIES, PROOFS, strict=True))
]


@pytest.mark.parametrize("index", range(len(ENTRIES)))
def test_every_entry_of_a_batch_has_a_receipt_that_verifies(index: int) -> None:
    verified = verify_receipt(RECEIPTS[index], KEYS)
    assert verified.entry == Entry.decode(ENTRIES[index])
    assert (verified.index, verified.checkpoint) == (index, CHECKPOINT)


@given(st.data())
def test_any_flipped_bit_is_found(data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from(RECEIPTS)).encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((AccessLogError, UnicodeDecodeError)):
        verify_receipt(raw.decode(), KEYS)


HASHES = st.lists(st.binary(min_size=32, max_size=32), max_size=63)


@given(st.binary(min_size=106, max_size=106), st.integers(0, 2**63 - 1), HASHES, st.text(max_size=50))
def test_what_is_written_reads_back(entry: bytes, index: int, proof: list[bytes], note: str) -> None:
    text = write_receipt(entry, index, proof, note)
    assert parse_receipt(text) == Receipt(entry, index, tuple(proof), note)


@given(st.text())
def test_whatever_parses_is_written_the_same_way(tail: str) -> None:
    text = f"c2sp.org/tlog-proof@v1\nextra {to_base64(bytes(106))}\nindex 5\n{tail}"
    try:
        receipt = parse_receipt(text)
    except FormatError:
        return
    assert write_receipt(receipt.entry, receipt.index, receipt.proof, receipt.note) == text


def test_a_receipt_of_one_entry_has_no_hashes() -> None:
    root = leaf_hash(ENTRIES[0])
    text = write_receipt(ENTRIES[0], 0, (), SIGNER.sign(Checkpoint(ORIGIN, 1, root)))
    assert "index 0\n\nvault.example" in text
    assert verify_receipt(text, KEYS).index == 0


def test_a_receipt_proves_its_own_entry_index_and_tree_only() -> None:
    with pytest.raises(VerificationError):
        verify_receipt(write_receipt(ENTRIES[6], 5, PROOFS[5], NOTE), KEYS)
    with pytest.raises(VerificationError):
        verify_receipt(write_receipt(ENTRIES[5], 6, PROOFS[5], NOTE), KEYS)
    smaller = SIGNER.sign(Checkpoint(ORIGIN, 69, GROWTH.frontier.root()))
    with pytest.raises(VerificationError):
        verify_receipt(write_receipt(ENTRIES[69], 69, PROOFS[69], smaller), KEYS)


def test_a_logged_leaf_that_is_no_entry_is_refused() -> None:
    raw = b"\x02" + ENTRIES[0][1:]
    note = SIGNER.sign(Checkpoint(ORIGIN, 1, leaf_hash(raw)))
    with pytest.raises(FormatError, match="version 2"):
        verify_receipt(write_receipt(raw, 0, (), note), KEYS)


GOOD = RECEIPTS[5]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        GOOD.replace("@v1", "@v2"),
        GOOD.replace("extra ", "extra  "),
        GOOD.replace("extra ", "Extra "),
        GOOD.replace("index 5", "index 05"),
        GOOD.replace("index 5", "index"),
        GOOD.replace("index 5\n", "index 5\nAAAA\n"),
        GOOD.replace("index 5\n", "index 5\n" + to_base64(bytes(32)) * 64),
        GOOD.replace("\n", "\r\n"),
        "\n".join([*GOOD.split("\n")[:3], *[to_base64(bytes(32))] * 64, "", NOTE]),
        GOOD.split("\n\n", maxsplit=1)[0] + "\n",
        GOOD + "x" * MAX_RECEIPT,
    ],
)
def test_what_is_no_receipt_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        verify_receipt(text, KEYS)


def test_parts_out_of_bounds_make_no_receipt() -> None:
    for entry, index, proof in (
        (bytes(105), 0, ()),
        (bytes(106), -1, ()),
        (bytes(106), 2**63, ()),
        (bytes(106), 0, (bytes(32),) * 64),
        (bytes(106), 0, (bytes(31),)),
    ):
        with pytest.raises(FormatError):
            write_receipt(entry, index, proof, NOTE)
