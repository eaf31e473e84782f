"""Payloads, commitments and openings (FORMAT 2)."""

import base64
import json
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.entry import Entry, EntryType
from access_log.errors import FormatError, VerificationError
from access_log.payload import JSON, Party, Payload, attribute_names, check_opening

LABEL = bytes(range(32))
QUERY: dict[str, JSON] = {
    "body": "bank",
    "officer": "officer-7",
    "officer_role": "clerk",
    "purpose": "loan",
    "fields": ["FIN.type", "FIN.end"],
    "decision": "permitted",
    "record_versions": [["r", 1, "FIN.type"]],
    "subject": "person-9",
}
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def payloads(draw: st.DrawFn) -> Payload:
    kind = draw(st.sampled_from(EntryType))
    given_names = [name for name in attribute_names(kind) if name not in {"seq", "previous"}]
    values: dict[str, JSON] = {name: draw(VALUES) for name in given_names if draw(st.booleans())}
    previous = draw(st.binary(min_size=32, max_size=32))
    return Payload.create(kind, values).with_place(draw(st.integers(1, 2**64 - 1)), previous)


def entry_for(payload: Payload) -> Entry:
    return Entry(payload.type, 1, bytes(32), LABEL, payload.commitment(LABEL))


def placed(**values: JSON) -> Payload:
    return Payload.create(EntryType.QUERY_PERMITTED, {**QUERY, **values}).with_place(3, bytes(32))


def test_the_commitment_follows_the_formula() -> None:
    payload = placed()
    digests = b""
    for at, name in enumerate(attribute_names(payload.type)):
        salt, value = payload.salts[at * 32 : at * 32 + 32], payload.texts[at].encode()
        digests += sha256(
            b"\x20" + salt + bytes([len(name)]) + name.encode() + len(value).to_bytes(4, "big") + value
        ).digest()
    combined = sha256(b"\x21" + bytes([1, 14]) + digests).digest()
    message = payload.blind + LABEL + b"\x01" + combined
    assert len(message) == 97
    key = b"creditvault access-log commitment v1"
    assert payload.commitment(LABEL) == hmac_digest(key, message, "sha256")


@given(payloads())
def test_what_is_encoded_decodes_to_itself(payload: Payload) -> None:
    again = Payload.decode(payload.encode())
    assert again == payload
    assert again.commitment(LABEL) == payload.commitment(LABEL)


@given(VALUES)
def test_values_are_written_as_the_library_writes_json(value: JSON) -> None:
    """In one spelling, whatever they are made of: the stored text is what is hashed."""
    written = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    payload = Payload.create(EntryType.OPERATOR, {"object": value})
    assert payload.texts[attribute_names(EntryType.OPERATOR).index("object")] == written


@given(payloads(), st.sampled_from(Party), st.booleans())
def test_every_opening_leads_to_the_commitment(payload: Payload, party: Party, by_name: bool) -> None:  # noqa: FBT001 - drawn
    opening = json.loads(json.dumps(payload.opening(party, officer_by_name=by_name)))
    opened = check_opening(entry_for(payload), opening)
    values = payload.values()
    assert all(values[name] == value for name, value in opened.items())
    if party is Party.INSPECTOR:
        assert opened == values


@given(payloads(), st.data())
def test_any_subset_of_attributes_can_be_opened(payload: Payload, data: st.DataObject) -> None:
    opening: Any = payload.opening(Party.INSPECTOR)
    shown = []
    for at, name in enumerate(attribute_names(payload.type)):
        if data.draw(st.booleans()):
            shown.append(name)
        else:
            opening["attributes"][at] = {"d": base64.b64encode(payload.digests[at]).decode()}
    assert list(check_opening(entry_for(payload), opening)) == shown


@given(payloads(), st.data())
def test_any_altered_part_of_an_opening_is_found(payload: Payload, data: st.DataObject) -> None:
    party = data.draw(st.sampled_from(Party))
    opening: Any = payload.opening(party)
    attributes = opening["attributes"]
    at = data.draw(st.integers(0, len(attributes) - 1))
    part = data.draw(st.sampled_from(sorted(attributes[at])))
    if data.draw(st.booleans()):
        attributes[at][part] = data.draw(st.text().filter(lambda text: text != attributes[at][part]))
    elif part == "value":
        attributes[at][part] = json.dumps(data.draw(st.text()) + "!") + " "
    elif part == "name":
        attributes[at][part] += "x"
    else:
        raw = bytearray(base64.b64decode(attributes[at][part]))
        raw[data.draw(st.integers(0, 31))] ^= 1 << data.draw(st.integers(0, 7))
        attributes[at][part] = base64.b64encode(raw).decode()
    with pytest.raises(VerificationError):
        check_opening(entry_for(payload), opening)


def test_an_opening_opens_its_own_entry_only() -> None:
    payload, other = placed(), placed()
    opening = payload.opening(Party.PERSON)
    with pytest.raises(VerificationError, match="altered"):
        check_opening(entry_for(other), opening)
    swapped = {**opening, "blind": base64.b64encode(other.blind).decode()}
    with pytest.raises(VerificationError, match="altered"):
        check_opening(entry_for(payload), swapped)


def opened_by(payload: Payload, party: Party, **options: bool) -> set[str]:
    return set(check_opening(entry_for(payload), payload.opening(party, **options)))


def test_each_party_opens_its_groups_of_a_query() -> None:
    body = set(attribute_names(EntryType.QUERY_REFUSED)[:10])
    assert "request_digest" in body
    person = body | {"record_versions", "seq", "previous"}
    assert opened_by(placed(), Party.BODY) == body
    assert opened_by(placed(), Party.PERSON) == person - {"officer"}
    assert opened_by(placed(), Party.PERSON, officer_by_name=True) == person
    assert opened_by(placed(), Party.INSPECTOR) == person | {"subject"}


@pytest.mark.parametrize("kind", [each for each in EntryType if each > EntryType.QUERY_REFUSED])
def test_each_party_opens_its_groups_of_other_entries(kind: EntryType) -> None:
    payload = Payload.create(kind, {}).with_place(1, bytes(32))
    names = set(attribute_names(kind))
    assert opened_by(payload, Party.BODY) == set()
    assert opened_by(payload, Party.PERSON) == names - {"subject"}
    assert opened_by(payload, Party.INSPECTOR) == names


def test_absent_attributes_are_null_and_the_place_is_stored() -> None:
    payload = Payload.create(EntryType.NOT_RELEASED, {"reason": "the key provider was down"})
    values = payload.with_place(2, b"\x01" * 32).values()
    assert values == {
        "query": None,
        "reason": "the key provider was down",
        "seq": 2,
        "previous": base64.b64encode(b"\x01" * 32).decode(),
        "subject": None,
    }


@pytest.mark.parametrize("name", ["seq", "previous", "colour", "event"])
def test_only_the_types_own_attributes_can_be_given(name: str) -> None:
    with pytest.raises(FormatError, match=name):
        Payload.create(EntryType.QUERY_PERMITTED, {name: 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", b"bytes", {1, 2}])
def test_values_without_a_json_form_are_refused_without_showing_them(value: Any) -> None:
    with pytest.raises(FormatError) as caught:
        Payload.create(EntryType.QUERY_PERMITTED, {"purpose": value})
    assert repr(value) not in str(caught.value)


def test_a_value_nested_without_end_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(FormatError):
        Payload.create(EntryType.QUERY_PERMITTED, {"purpose": value})
    with pytest.raises(VerificationError):
        check_opening(entry_for(placed()), _with_value("[" * 100_000))


def _with_value(text: Any) -> dict[str, Any]:
    opening: Any = placed().opening(Party.INSPECTOR)
    opening["attributes"][0]["value"] = text
    return dict(opening)


def test_without_a_place_nothing_can_be_committed_to() -> None:
    payload = Payload.create(EntryType.QUERY_PERMITTED, QUERY)
    for call in (lambda: payload.commitment(LABEL), payload.encode, lambda: payload.opening(Party.BODY)):
        with pytest.raises(FormatError, match="place"):
            call()
    for seq, previous in ((0, bytes(32)), (2**64, bytes(32)), (1, bytes(31))):
        with pytest.raises(FormatError):
            payload.with_place(seq, previous)
    with pytest.raises(FormatError, match="label"):
        payload.with_place(1, bytes(32)).commitment(b"short")


def test_salts_and_blind_are_fresh_and_repr_hides_everything() -> None:
    one, two = placed(), placed()
    assert one.blind != two.blind
    salts = {one.salts[at : at + 32] for at in range(0, len(one.salts), 32)}
    assert len(salts) == 14
    assert one.blind not in salts
    assert "bank" not in repr(one)


def _plain(**changes: Any) -> bytes:
    plain = {**json.loads(placed().encode()), **changes}
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"v":NaN}',
        _plain(v=2),
        _plain(v=True),
        _plain(v="1"),
        _plain(type=0),
        _plain(type=True),
        _plain(type=255),
        _plain(type="1"),
        _plain(blind=None),
        _plain(blind="AAAA"),
        _plain(salts="AA=="),
        _plain(values=None),
        _plain(values=["null"]),
        _plain(values=[1] * 14),
        _plain(more=1),
        placed().encode() + b" ",
        b" " + placed().encode(),
    ],
)
def test_what_this_format_does_not_write_is_no_payload(raw: bytes) -> None:
    with pytest.raises(FormatError):
        Payload.decode(raw)


def test_a_payload_with_half_a_character_is_refused() -> None:
    raw = json.dumps({**json.loads(placed().encode()), "values": ["\ud800"] * 14}).encode()
    with pytest.raises(FormatError, match="Unicode"):
        Payload.decode(raw)


def test_a_stored_text_that_is_no_json_is_named_as_such() -> None:
    payload = Payload.decode(_plain(values=["nothing"] * 14))
    with pytest.raises(FormatError, match="not JSON"):
        payload.values()


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"type": 2},
        {"type": 99},
        {"blind": "AA=="},
        {"blind": 5},
        {"attributes": None},
        {"attributes": []},
        {"attributes": [None] * 14},
        {"attributes": [{}] * 14},
        {"attributes": [{"d": "AA=="}] * 14},
        {"extra": 1},
    ],
)
def test_malformed_openings_are_refused(change: dict[str, Any]) -> None:
    payload = placed()
    with pytest.raises(VerificationError, match="malformed"):
        check_opening(entry_for(payload), {**payload.opening(Party.BODY), **change})


@pytest.mark.parametrize("text", [None, 1, "nothing", "NaN", "[1", '"\ud800"'])
def test_openings_with_values_that_are_no_json_text_are_refused(text: Any) -> None:
    with pytest.raises(VerificationError, match="malformed"):
        check_opening(entry_for(placed()), _with_value(text))
