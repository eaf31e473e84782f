"""What is a person's own under several identities: what reaches all of them, and what one alone."""

import pytest

from access_log.material import Kind
from consent import consents, freeze, mandates, merging
from consent.errors import InvalidError, UnknownError
from consent.mandates import Mandate, NewMandate, Relation, Right
from consent.merging import Grounds
from tests.consent.registers import OPERATOR, new_consent
from tests.vault.people import ENROLLED, OTHER, UNKNOWN, met, person
from tests.vault.rights.conftest import Known
from vault.records.joining import JoinedSubjects
from vault.records.store import SubjectRow
from vault.rights import holds, own_consents, own_freeze, own_mandates
from vault.rights.accesses import accesses
from vault.rights.material import give_material
from vault.rights.own_records import own_records
from vault.server.assembly import Vault

READ_AND_MORE = NewMandate(Relation.LAWYER, frozenset(Right), 30)


async def joined(vault: Vault) -> tuple[SubjectRow, SubjectRow]:
    one, other = await person(vault, ENROLLED), await person(vault, OTHER)
    async with vault.log.writing() as writing:
        await merging.merge(
            writing,
            JoinedSubjects(),
            one.person.subject_id,
            other.person.subject_id,
            Grounds(OPERATOR, "number-replaced", "ab" * 32),
        )
    return one, other


async def appointed(vault: Vault, giver: int, agent: int) -> Mandate:
    made, _ = await own_mandates.appoint(
        vault.log, vault.identities, await met(vault, giver), await met(vault, agent), READ_AND_MORE
    )
    return made


async def test_a_mandate_reaches_the_identity_that_gave_it_and_freezes_all(known: Known) -> None:
    vault = known.vault
    one, other = await joined(vault)
    ids = {one.person.subject_id, other.person.subject_id}
    made = await appointed(vault, ENROLLED, UNKNOWN)
    seen, _ = await own_records(vault.log, vault.keys, one.person.subject_id, made)
    assert {each.identity for each in seen} == {one.person.subject_id}
    async with vault.log.writing() as writing:
        consent = await consents.grant(writing, other.person, new_consent(known.body_id), vault.keeper)
    with pytest.raises(UnknownError):
        await own_consents.withdraw(
            vault.log, vault.keeper.signer, one.person.subject_id, consent.consent_id, made
        )
    await own_freeze.begin_for(vault.log, made)
    async with vault.engine.connect() as connection:
        assert [await freeze.stands(connection, each) for each in ids] == [True, True]
        found = await accesses(connection, vault.logs, one.person.subject_id, alone=True)
    assert {each.identity for each in found} == {one.person.subject_id}
    # The person themselves take back what they granted under the other number, and end the freeze.
    await own_consents.withdraw(vault.log, vault.keeper.signer, one.person.subject_id, consent.consent_id)
    await own_freeze.end(vault.log, one.person.subject_id)
    async with vault.engine.connect() as connection:
        assert [await freeze.stands(connection, each) for each in ids] == [False, False]
        newest = (await accesses(connection, vault.logs, other.person.subject_id))[0]
    assert (newest.identity, newest.details["event"], newest.details["actor_role"]) == (
        other.person.subject_id,
        "freeze.ended",
        "joined identity",
    )


async def test_nobody_represents_themselves_under_another_number(known: Known) -> None:
    vault = known.vault
    _, other = await joined(vault)
    with pytest.raises(InvalidError, match="under another number"):
        await appointed(vault, ENROLLED, OTHER)
    made = await appointed(vault, OTHER, UNKNOWN)
    held = await appointed(vault, UNKNOWN, OTHER)
    mine = (await person(vault, ENROLLED)).person.subject_id
    with pytest.raises(UnknownError):
        await own_mandates.begin(vault.log, mine, held.mandate_id)
    for mandate_id in (made.mandate_id, held.mandate_id):
        await own_mandates.end(vault.log, mine, mandate_id)
    async with vault.engine.connect() as connection:
        for found in (
            await mandates.of_person(connection, other.person.subject_id),
            await mandates.of_representative(connection, other.person.subject_id),
        ):
            assert [each.ended_at is None for each in found] == [False]


async def test_a_hold_on_one_holds_all_until_they_are_split(known: Known) -> None:
    vault = known.vault
    one, other = await joined(vault)
    ids = {one.person.subject_id, other.person.subject_id}
    order = holds.Order("person", one.person.subject_id, "a proceeding", "(2026) 17")
    async with vault.log.writing() as writing:
        await holds.place(writing, order, OPERATOR)
    async with vault.engine.connect() as connection:
        kept = await holds.held(connection, vault.logs)
        told = {
            each.identity
            for each in await accesses(connection, vault.logs, other.person.subject_id)
            if each.details.get("event") == holds.PLACED
        }
    assert (set(kept.persons), told) == (ids, ids)
    given = await give_material(vault.log, other.person.subject_id, 10)
    assert given is not None
    assert [each.kind for each in given.streams] == [Kind.PERSON] * 2
    async with vault.log.writing() as writing:
        await merging.split(
            writing, JoinedSubjects(), one.person.subject_id, Grounds(OPERATOR, "merged-wrongly", "cd" * 32)
        )
    async with vault.engine.connect() as connection:
        now = await holds.held(connection, vault.logs)
        free = await accesses(connection, vault.logs, other.person.subject_id)
    assert now.persons == (one.person.subject_id,)
    assert not set(now.payloads[vault.log.number]) & {each.index for each in free}
