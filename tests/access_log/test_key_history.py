"""Following a log from keys one trusts to those in force (FORMAT 5.2), without a database."""

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.checkpoint import Checkpoint
from access_log.encoding import to_base64
from access_log.entry import Entry, EntryType, first_chain, next_chain
from access_log.errors import AccessLogError, FormatError, VerificationError
from access_log.key_history import (
    CHANGED,
    MAX_CHANGES,
    MAX_HISTORY,
    Period,
    follow,
    parse_history,
    write_document,
    write_history,
)
from access_log.merkle import Frontier, leaf_hash
from access_log.payload import FIRST_PREVIOUS, Party, Payload
from access_log.receipt import write_receipt
from access_log.signing_keys import CosigningKey, SigningKey, sign_note
from access_log.verifier_keys import ML_DSA_44, VerifierKey
from tests.access_log.simulator import ORIGIN, START, naive_inclusion

Change = tuple[str, dict[str, Any], str]


def keys(epoch: int) -> list[SigningKey | CosigningKey]:
    """Later epochs have a post-quantum key too."""
    seed = bytes([epoch]) * 32
    ed25519 = SigningKey.from_seed(ORIGIN, seed)
    return [ed25519, CosigningKey.from_seed(ORIGIN, ML_DSA_44, seed)] if epoch > 1 else [ed25519]


def public(epoch: int) -> list[VerifierKey]:
    return [key.key for key in keys(epoch)]


def document(epoch: int) -> str:
    return write_document(ORIGIN, epoch, public(epoch - 1), public(epoch))


def log_with(*said: tuple[EntryType, dict[str, Any]]) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Entries that say this, and what opens them."""
    chain, entries, openings = first_chain(ORIGIN), [], []
    for index, (entry_type, values) in enumerate(said):
        label = sha256(index.to_bytes(8, "big")).digest()
        payload = Payload.create(entry_type, values).with_place(index + 1, FIRST_PREVIOUS)
        raw = Entry(entry_type, START + index, chain, label, payload.commitment(label)).encode()
        entries.append(raw)
        openings.append(payload.opening(Party.INSPECTOR))
        chain = next_chain(chain, leaf_hash(raw))
    return entries, openings


def sign(entries: list[bytes], *epochs: int) -> str:
    frontier = Frontier.empty().extend([leaf_hash(raw) for raw in entries])
    return sign_note(
        Checkpoint(ORIGIN, frontier.size, frontier.root()), [key for each in epochs for key in keys(each)], 7
    )


def change(
    epoch: int,
    *,
    text: str | None = None,
    kind: EntryType = EntryType.KEY,
    event: str = CHANGED,
    digest: str | None = None,
    signed_by: tuple[int, ...] | None = None,
) -> Change:
    """The change to an epoch, logged as entry 2 * epoch - 3, in a log of one entry more."""
    text = document(epoch) if text is None else text
    digest = sha256(text.encode()).hexdigest() if digest is None else digest
    other = (EntryType.HEARTBEAT, dict[str, Any]())
    said = [other] * (2 * epoch - 3) + [(kind, {"event": event, "document": digest}), other]
    entries, openings = log_with(*said)
    index = 2 * epoch - 3
    proof = naive_inclusion(index, [leaf_hash(raw) for raw in entries])
    note = sign(entries, *((epoch - 1, epoch) if signed_by is None else signed_by))
    return write_receipt(entries[index], index, proof, note), openings[index], text


CHANGES = [change(epoch) for epoch in (2, 3, 4)]
HISTORY = write_history(CHANGES)


def test_every_epoch_leads_to_the_newest() -> None:
    for epoch in (1, 2, 3, 4):
        succession = follow(parse_history(HISTORY), public(epoch))
        assert list(succession.keys) == public(4)
        assert len(succession.periods) == 5 - epoch
    assert follow(parse_history(HISTORY), public(1)).periods[:2] == (
        Period(tuple(public(1)), 0, 1),
        Period(tuple(public(2)), 2, 3),
    )


def test_one_key_of_an_epoch_is_enough() -> None:
    for key in public(2):
        assert list(follow(parse_history(HISTORY), [key]).keys) == public(4)


def test_keys_the_history_does_not_retire_stay() -> None:
    strange = [SigningKey.from_seed(ORIGIN, bytes([99]) * 32).key]
    assert follow(parse_history(HISTORY), strange).periods == (Period(tuple(strange), 0, None),)
    assert follow((), public(1)).periods == (Period(tuple(public(1)), 0, None),)


def test_retired_keys_sign_no_later_tree() -> None:
    succession = follow(parse_history(HISTORY), public(1))
    entries, _ = log_with(*[(EntryType.HEARTBEAT, dict[str, Any]())] * 9)
    for size in range(10):
        for epoch in (1, 2, 3, 4):
            note = sign(entries[:size], epoch)
            # Entries 1, 3 and 5 change the keys: trees that hold them are signed by the next.
            in_force = 1 + (size > 1) + (size > 3) + (size > 5)
            if epoch == in_force:
                assert succession.open_note(note).size == size
            else:
                with pytest.raises(VerificationError):
                    succession.open_note(note)


FORGERIES = {
    "the old keys did not sign": change(2, signed_by=(2,)),
    "a new key did not sign": change(2, signed_by=(1,)),
    "one of two new keys did not sign": (
        CHANGES[0][0].replace(CHANGES[0][0].split("\n")[-2] + "\n", ""),
        *CHANGES[0][1:],
    ),
    "the entry commits to another document": change(2, digest="00" * 32),
    "the entry is of another type": change(2, kind=EntryType.OPERATOR),
    "the entry records another event": change(2, event="key.destroyed"),
    "the document was altered": (*CHANGES[0][:2], document(2).replace('"v":1', '"v": 1')),
    "the opening is of another entry": (CHANGES[0][0], CHANGES[1][1], CHANGES[0][2]),
    "the document names other keys": (
        *CHANGES[0][:2],
        write_document(ORIGIN, 2, public(1), public(3)),
    ),
}


@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES)
def test_a_change_that_does_not_verify_is_refused(forged: Change) -> None:
    with pytest.raises(VerificationError):
        follow(parse_history(write_history([forged, *CHANGES[1:]])), public(1))


def test_a_line_added_to_an_old_checkpoint_makes_no_new_key() -> None:
    """Signature lines are not signed: only the entry binds the new key."""
    mallory = CosigningKey.from_seed(ORIGIN, ML_DSA_44, bytes([66]) * 32)
    text = write_document(ORIGIN, 2, public(1), [mallory.key])
    entries, openings = log_with(
        (EntryType.HEARTBEAT, {}),
        (EntryType.KEY, {"event": "key.destroyed", "document": sha256(text.encode()).hexdigest()}),
    )
    frontier = Frontier.empty().extend([leaf_hash(raw) for raw in entries])
    checkpoint = Checkpoint(ORIGIN, frontier.size, frontier.root())
    proof = naive_inclusion(1, [leaf_hash(raw) for raw in entries])
    receipt = write_receipt(entries[1], 1, proof, sign(entries, 1) + mallory.line(checkpoint, 7))
    with pytest.raises(VerificationError, match="does not record a change of the log's keys"):
        follow(parse_history(write_history([(receipt, openings[1], text)])), public(1))


def test_a_broken_succession_is_refused() -> None:
    with pytest.raises(VerificationError, match="epoch 4 does not retire those it should"):
        follow(parse_history(write_history([CHANGES[0], CHANGES[2]])), public(1))


def test_changes_out_of_order_are_refused() -> None:
    """The change to epoch 3 is logged before that to epoch 2: no log of ours would."""
    later = change(3)
    early = change(2, text=write_document(ORIGIN, 2, public(3), public(4)), signed_by=(3, 4))
    with pytest.raises(VerificationError, match="out of order"):
        follow(parse_history(write_history([later, early])), public(2))


def test_another_logs_document_is_refused() -> None:
    found = replace(parse_history(HISTORY)[0], origin="other.example/log")
    with pytest.raises(VerificationError, match="another log"):
        follow([found], public(1))


def altered(**members: object) -> str:
    return json.dumps({**json.loads(document(2)), **members})


WITNESS = CosigningKey.from_seed("witness.example/w1", ML_DSA_44, bytes(32)).verifier_key()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        "[]",
        "{}",
        '{"v":2,"changes":[]}',
        '{"v":true,"changes":[]}',
        '{"v":1,"changes":{}}',
        '{"v":1,"changes":[],"more":1}',
        '{"v":1,"changes":[1]}',
        "[" * 100_000,
        json.dumps({"v": 1, "changes": [{}] * (MAX_CHANGES + 1)}),
        "x" * (MAX_HISTORY + 1),
    ],
    ids=range(12),
)
def test_what_is_no_history_is_refused(raw: str | bytes) -> None:
    with pytest.raises(FormatError):
        parse_history(raw)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        altered(v=2),
        altered(event="other"),
        altered(origin=1),
        altered(epoch="2"),
        altered(epoch=True),
        altered(keys=[]),
        altered(keys=[1]),
        altered(keys="x"),
        altered(keys=[str(key) for key in public(1)] * 9),
        altered(keys=[str(key) for key in public(1)] * 2),
        altered(keys=["nonsense"]),
        altered(keys=[WITNESS]),
        altered(retired=[]),
        altered(origin="other.example"),
        altered(more=1),
    ],
    ids=range(17),
)
def test_what_is_no_document_is_refused_and_its_change_named(text: str) -> None:
    receipt, opening, _ = CHANGES[0]
    with pytest.raises(FormatError, match="change 2 of the key history"):
        parse_history(write_history([CHANGES[0], (receipt, opening, text)]))


def test_parts_of_another_kind_are_refused() -> None:
    receipt, opening, text = CHANGES[0]
    cases: tuple[Any, ...] = ((1, opening, text), (receipt, [], text), (receipt, opening, None))
    for parts in cases:
        with pytest.raises(FormatError, match="change 1 of the key history"):
            parse_history(write_history([parts]))


def test_half_a_character_is_refused_before_anything_is_hashed() -> None:
    receipt, opening, text = CHANGES[0]
    for parts in ((receipt + "\ud800", opening, text), (receipt, opening, altered(origin="\ud800"))):
        with pytest.raises(FormatError, match="change 1 of the key history: a text has half a character"):
            parse_history(write_history([parts]))


@given(st.data())
def test_any_altered_letter_leads_to_no_other_keys(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(HISTORY) - 1))
    letter = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    raw = HISTORY[:at] + letter + HISTORY[at + 1 :]
    try:
        found = follow(parse_history(raw), public(1)).keys
    except AccessLogError:
        found = ()
    assert found in ((), tuple(public(1)), tuple(public(2)), tuple(public(3)), tuple(public(4)))


def test_the_base64_of_receipts_is_that_of_the_format() -> None:
    """Guards the tests above against passing on a malformed receipt."""
    assert CHANGES[0][0].startswith(f"c2sp.org/tlog-proof@v1\nextra {to_base64(bytes([1, 7]))[:2]}")
