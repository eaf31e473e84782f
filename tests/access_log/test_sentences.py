"""What an entry says, in words."""

from typing import Any

import pytest

from access_log.entry import Entry, EntryType
from access_log.payload import Party, Payload, attribute_names, check_opening
from access_log.sentences import sentence

TIME = 1_795_000_000_000  # 2026-11-18 11:06:40 UTC
VALUES: dict[str, Any] = {
    "body": "bank",
    "officer": "o-17",
    "officer_role": "loan officer",
    "purpose": "credit-granting",
    "case_reference": "LOAN-42",
    "basis": "consent-1",
    "decision": "permitted",
    "reason": None,
    "fields": ["FIN.type", "FIN.status"],
    "record_versions": [["r1", 1, ["type"]], ["r2", 1, "RULES 8.7"]],
    "subject": "ann",
    "event": "consent.granted",
    "actor": "ann",
    "actor_role": "subject",
    "object": "consent-1",
    "document": "00ff",
    "query": "ab12",
}


def said(entry_type: EntryType, party: Party, **changes: Any) -> str:
    names = set(attribute_names(entry_type)) - {"seq", "previous"}
    values = {name: value for name, value in {**VALUES, **changes}.items() if name in names}
    payload = Payload.create(entry_type, values).with_place(1, bytes(32))
    label = bytes(32)
    entry = Entry(entry_type, TIME, bytes(32), label, payload.commitment(label))
    return sentence(entry, check_opening(entry, payload.opening(party)))


def test_a_query_as_a_body_reads_it() -> None:
    assert said(EntryType.QUERY_PERMITTED, Party.BODY) == (
        "Body bank asked on 2026-11-18 at 11:06:40 UTC as loan officer, officer o-17, for credit-granting, "
        "in its case LOAN-42, on the basis consent-1, about fields FIN.type, FIN.status; permitted."
    )


def test_the_same_as_its_person_reads_it() -> None:
    assert said(EntryType.QUERY_PERMITTED, Party.PERSON) == (
        "Body bank asked on 2026-11-18 at 11:06:40 UTC as loan officer, for credit-granting, in its case "
        "LOAN-42, on the basis consent-1, about fields FIN.type, FIN.status; permitted, with 1 record opened "
        "and 1 held back."
    )


def test_the_same_as_an_inspector_reads_it() -> None:
    words = said(EntryType.QUERY_PERMITTED, Party.INSPECTOR)
    assert "officer o-17" in words
    assert "about person ann, about fields" in words


def test_a_refusal_names_its_rule() -> None:
    words = said(EntryType.QUERY_REFUSED, Party.PERSON, decision="refused", reason="RULES 5.1", fields=[])
    assert words.endswith("about fields (not stated); refused by RULES 5.1.")


def test_an_answer_that_was_not_released() -> None:
    words = said(EntryType.NOT_RELEASED, Party.PERSON, reason="the answer could not be released")
    assert words == (
        "On 2026-11-18 at 11:06:40 UTC it was written down that the answer to the permitted query with the "
        "hash ab12 never left the vault, because the answer could not be released."
    )
    assert "(withheld)" in said(EntryType.NOT_RELEASED, Party.BODY)


def test_an_event() -> None:
    assert said(EntryType.CONSENT, Party.INSPECTOR) == (
        "On 2026-11-18 at 11:06:40 UTC there was an event of a consent: consent.granted, by ann as subject, "
        "body bank, about person ann, concerning consent-1, on the basis consent-1, with the document of "
        "SHA-256 00ff."
    )


@pytest.mark.parametrize("entry_type", list(EntryType))
@pytest.mark.parametrize("party", list(Party))
def test_every_type_has_its_sentence_for_everybody(entry_type: EntryType, party: Party) -> None:
    words = said(entry_type, party)
    assert "2026-11-18" in words
    assert words.endswith(".")
    assert ("ann" in words and "about person" in words) is (
        party is Party.INSPECTOR
        and "subject" in attribute_names(entry_type)
        and entry_type is not EntryType.NOT_RELEASED
    )


def test_a_value_that_is_no_text_is_shown_as_json() -> None:
    assert 'concerning [["r1",1]]'.replace(",1", ", 1") in said(
        EntryType.RECORD, Party.PERSON, object=[["r1", 1]]
    )
