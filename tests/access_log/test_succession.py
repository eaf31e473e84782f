"""From a closed log to the next, offline: what verifies; what is malformed says so and does nothing else."""

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.checkpoint import Checkpoint, SigningKey, VerifierKey
from access_log.entry import Entry, EntryType, first_chain
from access_log.errors import AccessLogError, FormatError, VerificationError
from access_log.key_changes import published_opening
from access_log.merkle import EMPTY_ROOT, leaf_hash, node_hash
from access_log.payload import Payload
from access_log.receipt import write_receipt
from access_log.succession import (
    CLOSED,
    MAX_OPENINGS,
    MAX_REASON,
    OPENED,
    Opened,
    parse_succession,
    pass_over,
    write_succession,
)

OLD, NEW = "vault.example/log/2026", "vault.example/log/2027"
OLD_KEY, NEW_KEY = SigningKey.from_seed(OLD, bytes(32)), SigningKey.from_seed(NEW, bytes([1]) * 32)
KEYS = [VerifierKey.parse(key.verifier_key()) for key in (OLD_KEY, NEW_KEY)]
NOTE = OLD_KEY.sign(Checkpoint(OLD, 7, bytes([9]) * 32))
SAYS = Opened(NEW, OLD, NOTE, planned=True, held=7, reason="a new year")


def opened(
    says: Opened = SAYS,
    *,
    document: str | None = None,
    event: str = OPENED,
    kind: EntryType = EntryType.OPERATOR,
    index: int = 0,
) -> str:
    """A succession with one opening, its entry alone in the later log or the second of two."""
    text = says.write()
    payload = Payload.create(
        kind, {"event": event, "actor": "operator:x", "document": sha256(text.encode()).hexdigest()}
    ).with_place(1, bytes(32))
    label = bytes([5]) * 32
    entry = Entry(kind, 1_783_000_000_000, first_chain(NEW), label, payload.commitment(label)).encode()
    leaf = leaf_hash(entry)
    receipt = write_receipt(entry, 0, (), NEW_KEY.sign(Checkpoint(NEW, 1, leaf)))
    if index:
        root = node_hash(bytes(32), leaf)
        receipt = write_receipt(entry, 1, (bytes(32),), NEW_KEY.sign(Checkpoint(NEW, 2, root)))
    return write_succession([(receipt, published_opening(payload), document or text)])


def followed(raw: str, keys: list[VerifierKey] | None = None) -> Any:
    (opening,) = parse_succession(raw)
    return pass_over(opening, KEYS if keys is None else keys)


def test_the_later_log_vouches_for_where_the_closed_one_ends() -> None:
    passage = followed(opened())
    assert passage.says == SAYS
    assert (passage.closed.origin, passage.closed.size) == (OLD, 7)
    assert (passage.opened.origin, passage.opened.size) == (NEW, 1)
    assert (passage.says.size, passage.says.missing) == (7, 0)
    lost = Opened(NEW, OLD, NOTE, planned=False, held=4, reason=None)
    assert followed(opened(lost)).says.missing == 3


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (opened(index=1), "not of the log's first entry"),
        (opened(event=CLOSED), "does not open a log"),
        (opened(kind=EntryType.KEY), "does not open a log"),
        (opened(document=Opened(NEW, OLD, NOTE, planned=True, held=6, reason=None).write()), "not the one"),
        (opened(Opened(OLD, OLD, NOTE, planned=True, held=7, reason=None)), "."),
    ],
)
def test_what_does_not_verify_is_named(raw: str, reason: str) -> None:
    with pytest.raises(VerificationError, match=reason):
        followed(raw)


def test_keys_of_both_logs_are_needed_and_no_others_do() -> None:
    for keys in ([], KEYS[:1], KEYS[1:]):
        with pytest.raises(VerificationError, match="no key you trust is of the log"):
            followed(opened(), keys)
    forged = SigningKey.from_seed(OLD, bytes([2]) * 32)
    says = Opened(NEW, OLD, forged.sign(Checkpoint(OLD, 7, EMPTY_ROOT)), planned=True, held=7, reason=None)
    with pytest.raises(VerificationError, match="signed with another key"):
        followed(opened(says))


def _document(**changes: object) -> str:
    return json.dumps({**json.loads(SAYS.write()), **changes})


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"v":2,"openings":[]}',
        '{"v":1,"openings":{}}',
        json.dumps({"v": 1, "openings": [{}] * (MAX_OPENINGS + 1)}),
        '{"v":1,"openings":[{"receipt":"","opening":{},"document":"\\ud800"}]}',
    ],
)
def test_what_is_no_succession_is_refused(raw: str) -> None:
    with pytest.raises(FormatError):
        parse_succession(raw)


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"event": CLOSED},
        {"origin": None},
        {"closed": 3},
        {"closed": "vault.example/another"},
        {"checkpoint": "no note"},
        {"checkpoint": NOTE.replace("7", "x", 1)},
        {"planned": 1},
        {"held": -1},
        {"held": True},
        {"held": 1 << 63},
        {"reason": 3},
        {"reason": "x" * (MAX_REASON + 1)},
        {"reason": "\ud800"},
        {"more": 1},
    ],
)
def test_what_is_no_document_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        Opened.parse(_document(**changes))


@given(st.data())
def test_nothing_malformed_does_anything_but_say_so(data: st.DataObject) -> None:
    raw = opened()
    at = data.draw(st.integers(0, len(raw) - 1))
    instead = data.draw(st.sampled_from(["", "0", '"', "\\ud800", "\n", "[", "}", "\x00", "é"]))
    altered = raw[:at] + instead + raw[at + data.draw(st.integers(0, 3)) :]
    try:
        passages = [pass_over(each, KEYS) for each in parse_succession(altered)]
    except AccessLogError:
        return
    assert all(passage.says == SAYS for passage in passages)


@given(
    st.text(st.characters(codec="utf-8"), max_size=50) | st.none(),
    st.integers(0, (1 << 63) - 1),
    st.booleans(),
)
def test_what_is_written_is_read(reason: str | None, held: int, planned: bool) -> None:  # noqa: FBT001 -- drawn
    says = Opened(NEW, OLD, NOTE, planned=planned, held=held, reason=reason)
    assert Opened.parse(says.write()) == says
