"""Each kind of ending, kept by whoever writes it, and done once more in a database that lacks it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from access_log.endings import NOBODY, Ending
from access_log.errors import OutsideLockError
from consent import bodies, consents, freeze, mandates, merging, registrars, statutes
from consent.endings import Kind, standing
from consent.errors import StateError
from consent.journal import Actor
from consent.mandates import NewMandate, Relation, Right
from consent.merging import Grounds
from tests.consent.registers import OPERATOR, Registered, new_consent, register_all
from tests.vault.people import ENROLLED, OTHER, enrol, person
from vault.records.joining import JoinedSubjects
from vault.rights.own_consents import withdraw
from vault.rights.reapply import reapplier
from vault.server.assembly import Vault


@dataclass(frozen=True)
class Scene:
    """A vault with grants of every kind, and how they stand."""

    vault: Vault
    registered: Registered
    consent: UUID
    subject: UUID
    mandate: UUID

    async def status(self) -> dict[str, str]:
        async with self.vault.engine.connect() as connection:
            court = await bodies.read_body(connection, self.registered.court)
            clerk, *_ = await bodies.list_officers(connection, self.registered.bank)
            first = await registrars.read_registrar(connection, self.registered.first.registrar_id)
            authorization = await statutes.read_authorization(connection, self.registered.authorization)
            (consent,) = await consents.of_person(connection, self.subject)
            frozen = await freeze.stands(connection, self.subject)
            (mandate,) = await mandates.of_person(connection, self.subject)
        assert court is not None
        assert first is not None
        assert authorization is not None
        return {
            "body": court.status,
            "officer": clerk.status,
            "registrar": first.status,
            "authorization": authorization.state,
            "consent": consent.events[-1].event,
            "freeze": "begun" if frozen else "ended",
            "mandate": "stands" if mandate.ended_at is None else "ended",
        }

    def object_of(self, kind: Kind) -> tuple[UUID, UUID]:
        """What an ending of this kind is about here, and whose it is."""
        return {
            Kind.CONSENT_WITHDRAWN: (self.consent, self.subject),
            Kind.AUTHORIZATION_REVOKED: (self.registered.authorization, NOBODY),
            Kind.BODY_SUSPENDED: (self.registered.court, NOBODY),
            Kind.BODY_REINSTATED: (self.registered.court, NOBODY),
            Kind.BODY_STRUCK_OFF: (self.registered.court, NOBODY),
            Kind.OFFICER_STOOD_DOWN: (self.registered.clerk, NOBODY),
            Kind.REGISTRAR_STOOD_DOWN: (self.registered.first.registrar_id, NOBODY),
            Kind.FREEZE_BEGUN: (self.subject, self.subject),
            Kind.FREEZE_ENDED: (self.subject, self.subject),
            Kind.MANDATE_ENDED: (self.mandate, self.subject),
        }[kind]

    async def reapply(self, *endings: Ending) -> int:
        async with self.vault.log.writing() as writing:
            return await reapplier(self.vault.keeper.signer, self.vault.log)(writing, endings)

    def kept(self) -> Sequence[Ending]:
        assert self.vault.log.endings is not None
        return list(self.vault.log.endings.file.each())


@pytest.fixture
async def scene(vault: Vault) -> Scene:
    registered = await register_all(vault.log)
    await enrol(vault, registered.bank, ENROLLED, OTHER)
    row, other = await person(vault, ENROLLED), await person(vault, OTHER)
    async with vault.log.writing() as writing:
        granted = await consents.grant(writing, row.person, new_consent(registered.bank), vault.keeper)
        new = NewMandate(Relation.LAWYER, frozenset(Right), 30)
        given = await mandates.give(writing, row.person, other.person, new)
    return Scene(vault, registered, granted.consent_id, row.person.subject_id, given.mandate_id)


_ENDS = {
    Kind.CONSENT_WITHDRAWN: ("consent", "withdrawn"),
    Kind.AUTHORIZATION_REVOKED: ("authorization", "revoked"),
    Kind.BODY_SUSPENDED: ("body", "suspended"),
    Kind.BODY_STRUCK_OFF: ("body", "struck-off"),
    Kind.OFFICER_STOOD_DOWN: ("officer", "stood-down"),
    Kind.REGISTRAR_STOOD_DOWN: ("registrar", "stood-down"),
    Kind.FREEZE_BEGUN: ("freeze", "begun"),
    Kind.MANDATE_ENDED: ("mandate", "ended"),
}


@pytest.mark.parametrize("kind", _ENDS)
async def test_each_kind_is_done_once_more_and_only_once(scene: Scene, kind: Kind) -> None:
    of, subject = scene.object_of(kind)
    ending = Ending(kind, 0, 3, bytes(32), of, subject)
    what, state = _ENDS[kind]
    before = await scene.status()
    assert before[what] != state
    assert await scene.reapply(ending) == 1
    assert await scene.status() == {**before, what: state}
    # The way the act itself goes: it is an entry of the log, and kept again.
    (kept,) = scene.kept()
    assert (kept.kind, kept.object, kept.subject) == (kind, of, subject)
    assert await scene.reapply(ending) == 0
    assert len(scene.kept()) == 1


async def test_a_reinstatement_is_done_once_more_where_the_body_is_suspended(scene: Scene) -> None:
    of, _ = scene.object_of(Kind.BODY_REINSTATED)
    reinstated = Ending(Kind.BODY_REINSTATED, 0, 3, bytes(32), of)
    assert await scene.reapply(reinstated) == 0
    await scene.reapply(Ending(Kind.BODY_SUSPENDED, 0, 3, bytes(32), of))
    assert await scene.reapply(reinstated) == 1
    assert (await scene.status())["body"] == "active"
    await scene.reapply(Ending(Kind.BODY_STRUCK_OFF, 0, 3, bytes(32), of))
    assert await scene.reapply(reinstated) == 0
    assert (await scene.status())["body"] == "struck-off"


async def test_the_end_of_a_freeze_is_done_once_more_where_one_stands(scene: Scene) -> None:
    of, subject = scene.object_of(Kind.FREEZE_ENDED)
    ended = Ending(Kind.FREEZE_ENDED, 0, 3, bytes(32), of, subject)
    assert await scene.reapply(ended) == 0
    await scene.reapply(Ending(Kind.FREEZE_BEGUN, 0, 3, bytes(32), of, subject))
    assert await scene.reapply(ended) == 1
    assert (await scene.status())["freeze"] == "ended"


@pytest.mark.parametrize("kind", list(Kind))
async def test_what_was_lost_altogether_needs_nothing(scene: Scene, kind: Kind) -> None:
    before = await scene.status()
    assert await scene.reapply(Ending(kind, 0, 3, bytes(32), uuid4(), uuid4())) == 0
    assert await scene.status() == before


async def test_a_kind_that_is_not_known_stops_it(scene: Scene) -> None:
    with pytest.raises(OutsideLockError, match="kind 200"):
        await scene.reapply(Ending(200, 0, 3, bytes(32), uuid4()))


async def test_whoever_ends_something_has_it_kept(scene: Scene) -> None:
    registered, log = scene.registered, scene.vault.log
    await withdraw(log, scene.vault.keeper.signer, scene.subject, scene.consent)
    async with log.writing() as writing:
        await statutes.revoke_unsigned(writing, registered.authorization, "an order", OPERATOR)
        await bodies.suspend_body(writing, registered.court, "an audit", OPERATOR)
        await bodies.reinstate_body(writing, registered.court, "it passed", OPERATOR)
    async with log.writing() as writing:
        await bodies.strike_off_body(writing, registered.court, "it closed", OPERATOR)
        await bodies.stand_down_officer(writing, registered.clerk, "left", OPERATOR)
        await registrars.stand_down_registrar(writing, registered.first.registrar_id, "retired", OPERATOR)
        one = (await person(scene.vault, ENROLLED)).person
        await freeze.begin(writing, one)
        await freeze.end(writing, one)
        await mandates.end(writing, one, scene.mandate, Actor.subject(scene.subject))
    kept = scene.kept()
    # How persons are erased, merged and split, and have that kept, is tested where it is done.
    elsewhere = {Kind.PERSON_ERASED, Kind.PERSON_ERASED_WITH_LOG, Kind.PERSONS_MERGED, Kind.PERSON_SPLIT}
    assert [each.kind for each in kept] == [kind for kind in Kind if kind not in elsewhere]
    for each in kept:
        assert (each.object, each.subject) == scene.object_of(Kind(each.kind))
    async with scene.vault.engine.connect() as connection:
        known = await standing(connection)
    # A freeze that ended is nothing that stands.
    final = {each.object: (Kind(each.kind), each.object, each.subject) for each in kept}
    del final[scene.subject]
    assert sorted(known) == sorted(final.values())


async def test_a_refused_act_is_not_kept(scene: Scene) -> None:
    async def twice() -> None:
        async with scene.vault.log.writing() as writing:
            for _ in range(2):
                await bodies.suspend_body(writing, scene.registered.court, "an audit", OPERATOR)

    with pytest.raises(StateError):
        await twice()
    assert not scene.kept()
    assert (await scene.status())["body"] == "active"


async def test_a_split_is_done_once_more_and_a_merge_is_not(scene: Scene) -> None:
    """A restored database has them joined still, or lacks that they were joined again."""
    vault, joined = scene.vault, JoinedSubjects()
    other = (await person(vault, OTHER)).person.subject_id
    grounds = Grounds(OPERATOR, "number-replaced", "ab" * 32)
    async with vault.log.writing() as writing:
        one = (await person(vault, ENROLLED)).person
        await mandates.end(writing, one, scene.mandate, Actor.subject(scene.subject))
    before = len(scene.kept())
    async with vault.log.writing() as writing:
        await merging.merge(writing, joined, scene.subject, other, grounds)
    async with vault.log.writing() as writing:
        await merging.split(writing, joined, other, grounds)
    kept = scene.kept()[before:]
    assert [each.kind for each in kept] == [Kind.PERSONS_MERGED] * 2 + [Kind.PERSON_SPLIT] * 2
    assert {each.subject for each in kept} == {scene.subject, other}
    assert not {each.object for each in kept} & {scene.subject, other}, "or it would pass for their freeze"
    async with vault.engine.begin() as connection:
        await joined.join(connection, [scene.subject, other])
    assert await scene.reapply(*kept[:2]) == 0
    assert await scene.reapply(*kept[2:]) == 1
    async with vault.engine.connect() as connection:
        assert len(await joined.members(connection, other)) == 1
        told = await merging.history(connection, other)
    assert (told[-1].event, told[-1].reason, told[-1].document_sha256) == ("split", "restored", None)
