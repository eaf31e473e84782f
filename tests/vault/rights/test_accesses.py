from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import create_engine

from access_log.checkpoint import VerifierKey
from access_log.entry import Entry, EntryType
from access_log.log import Event
from access_log.merkle import leaf_hash
from access_log.payload import Payload, check_opening
from access_log.receipt import verify_receipt
from consent import consents, statutes
from consent.bases import add_basis
from tests.consent.registers import OPERATOR, new_basis, new_consent, registrar, terms_for
from tests.vault.people import ENROLLED, OTHER, person
from tests.vault.rights.conftest import Known
from vault.crypto.errors import UnsealError
from vault.rights.accesses import Access, AccessBasis, accesses, receipt

CASE = "LOAN-2026-00042"


async def seen(known: Known, n: int = ENROLLED) -> list[Access]:
    subject_id = (await person(known.vault, n)).person.subject_id
    async with known.vault.engine.connect() as connection:
        return await accesses(connection, known.vault.logs, subject_id)


async def write(known: Known, kind: EntryType, n: int = ENROLLED, **values: Any) -> int:
    """Writes an entry into a person's stream, as the query path does."""
    row = await person(known.vault, n)
    async with known.vault.log.writing() as writing:
        position = writing.add(Event(row.person.stream_id, Payload.create(kind, values)))
    return writing.indexes[position]


async def query(known: Known, n: int = ENROLLED, **changes: Any) -> int:
    values = {
        "body": str(known.body_id),
        "officer": str(uuid4()),
        "officer_role": "loan officer",
        "purpose": "credit-granting",
        "case_reference": CASE,
        "basis": str(uuid4()),
        "decision": "permitted",
        "fields": ["FIN.type"],
        "record_versions": [[str(uuid4()), 1, ["type"]], [str(uuid4()), 1, "RULES 8.7"]],
    } | changes
    refused = values["decision"] == "refused"
    kind = EntryType.QUERY_REFUSED if refused else EntryType.QUERY_PERMITTED
    return await write(known, kind, n, **values)


async def test_a_query_is_shown_with_all_the_person_may_know(known: Known) -> None:
    index = await query(known)
    newest = (await seen(known))[0]
    assert (newest.index, newest.kind, newest.is_query, newest.released) == (
        index,
        "query permitted",
        True,
        True,
    )
    assert newest.body is not None
    assert (newest.body.name, newest.body.contact) == ("Fictitious Bank", "privacy@bank.example")
    assert newest.details["officer_role"] == "loan officer"
    assert newest.details["case_reference"] == CASE
    assert newest.details["fields"] == ["FIN.type"]
    assert newest.shown == 1
    assert newest.held_back == ["RULES 8.7"]


async def test_an_officer_is_shown_by_role_and_not_by_name(known: Known) -> None:
    await query(known)
    newest = (await seen(known))[0]
    assert "officer" not in newest.details
    assert "subject" not in newest.details
    assert "officer" not in {each.get("name") for each in newest.opening["attributes"]}  # type: ignore[index]


async def test_a_refusal_is_shown_with_its_rule(known: Known) -> None:
    await query(known, decision="refused", reason="RULES 5.1", record_versions=[])
    newest = (await seen(known))[0]
    assert (newest.kind, newest.details["reason"]) == ("query refused", "RULES 5.1")
    assert not newest.released
    assert newest.shown == 0


async def test_the_newest_comes_first_and_nothing_of_others(known: Known) -> None:
    mine = [await query(known), await query(known)]
    theirs = await query(known, OTHER)
    indexes = [one.index for one in await seen(known)]
    assert indexes[:2] == mine[::-1]
    assert theirs not in indexes
    assert indexes == sorted(indexes, reverse=True)
    assert (await seen(known))[-1].kind == "record"


async def test_an_answer_that_was_never_released_says_so_at_both_entries(known: Known) -> None:
    index = await query(known)
    (asked,) = (one for one in await seen(known) if one.index == index)
    await write(
        known, EntryType.NOT_RELEASED, query=leaf_hash(asked.raw).hex(), reason="could not be released"
    )
    notice, asked, *_ = await seen(known)
    assert (notice.kind, notice.concerns) == ("permitted but not released", index)
    assert (asked.index, asked.released) == (index, False)


async def test_a_consent_of_ones_own_is_named_as_the_basis(known: Known) -> None:
    row = await person(known.vault, ENROLLED)
    async with known.vault.log.writing() as writing:
        given = await consents.grant(writing, row.person, new_consent(known.body_id), known.vault.keeper)
    await query(known, basis=str(given.consent_id))
    newest = (await seen(known))[0]
    assert newest.basis is not None
    assert newest.basis.kind == "consent"
    assert newest.basis.since is not None


async def test_a_consent_of_somebody_else_is_no_basis_one_is_told_of(known: Known) -> None:
    row = await person(known.vault, OTHER)
    async with known.vault.log.writing() as writing:
        given = await consents.grant(writing, row.person, new_consent(known.body_id), known.vault.keeper)
    await query(
        known, basis=str(given.consent_id), decision="refused", reason="RULES 4.3", record_versions=[]
    )
    assert (await seen(known))[0].basis == AccessBasis("none")


async def test_an_authorization_is_named_by_its_law(known: Known) -> None:
    async with known.vault.log.writing() as writing:
        first, second = await registrar(writing, "Ada"), await registrar(writing, "Zoe")
        basis_id = await add_basis(writing, new_basis(), OPERATOR)
        terms = terms_for(known.body_id, basis_id, writing.now)
        authorization_id = await statutes.propose(writing, first.proposes(terms, writing.now))
        await statutes.approve(
            writing, authorization_id, second.approves(authorization_id, terms, writing.now)
        )
    await query(known, basis=str(authorization_id))
    assert (await seen(known))[0].basis == AccessBasis("authorization", "Civil Procedure Law", "253")


async def test_each_entry_can_be_proven_offline(known: Known) -> None:
    index = await query(known)
    newest = (await seen(known))[0]
    async with known.vault.engine.connect() as connection:
        text = await receipt(connection, newest)
    verified = verify_receipt(text, [VerifierKey.parse(known.vault.log.key.verifier_key())])
    assert verified.index == index
    assert newest.opening is not None
    assert check_opening(verified.entry, newest.opening)["case_reference"] == CASE
    assert Entry.decode(newest.raw) == verified.entry


async def test_whoever_the_vault_does_not_know_sees_nothing(known: Known) -> None:
    async with known.vault.engine.connect() as connection:
        assert await accesses(connection, known.vault.logs, uuid4()) == []


async def test_a_body_that_left_the_register_leaves_its_entry(known: Known) -> None:
    await query(known, body=str(uuid4()))
    assert (await seen(known))[0].body is None


async def test_an_entry_whose_content_is_gone_still_stands(known: Known) -> None:
    index = await query(known)
    async with known.vault.engine.begin() as connection:
        await connection.exec_driver_sql(f"DELETE FROM access_log.payload WHERE index = {index}")
    newest = (await seen(known))[0]
    assert newest.index == index
    assert (newest.details, newest.opening, newest.basis) == ({}, None, None)
    assert newest.shown == 0


async def test_an_altered_payload_is_an_error_and_not_a_story(known: Known, owner_url: str) -> None:
    index = await query(known)
    engine = create_engine(owner_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE access_log.payload SET sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1)"
            f" WHERE index = {index}"
        )
    engine.dispose()
    with pytest.raises(UnsealError):
        await seen(known)
