"""Erasure: what it takes, what it leaves, what forbids it; and that the log says so and still verifies."""

import asyncio
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from access_log.fsck import Report, examine_log
from consent import acts, consents, mandates, merging
from consent.acts import ErasePerson
from consent.endings import Kind, standing
from consent.errors import StateError, UnknownError
from consent.handing_in import hand_in
from consent.mandates import Mandate, NewMandate, Relation, Right
from consent.merging import Grounds
from consent.oauth import jose
from consent.statements import Agreement, Order, content_digest
from tests.consent.registers import OPERATOR, Registered, new_consent, register_all
from tests.faults.dumps import dump, restored
from tests.faults.test_reimported import run
from tests.flows.serving import SERVE
from tests.vault.people import ENROLLED, OTHER, enrol, find, person
from tests.vault.rights.conftest import Known
from tests.vault.rights.test_accesses import query
from vault.crypto.errors import CryptoError
from vault.records.copy_keys import CopyKeys
from vault.records.covert import StreamOwners
from vault.records.joining import JoinedSubjects
from vault.rights import access_cases, holds
from vault.rights.accesses import accesses
from vault.rights.erasure import CERTIFICATE, Signers, erase
from vault.rights.own_records import own_records
from vault.server.assembly import Vault, certifier, open_vault
from vault.server.embedded import EmbeddedDatabase

FINAL = date(2030, 1, 31)


@dataclass(frozen=True)
class Scene:
    """A vault with two persons, of whom one is to be erased, and two registrars."""

    vault: Vault
    registered: Registered
    subject: UUID
    stream: bytes

    async def ordered(self, log: str = "kept") -> UUID:
        """The order of two registrars."""
        act = ErasePerson(person=self.subject, basis="PIPL 47", reason="asked for it", log=log)  # type: ignore[arg-type]
        order, content, vault = uuid4(), acts.write(act), self.vault
        first, second = self.registered.first, self.registered.second
        async with vault.log.writing() as writing:
            stated = Order.of(vault.profile.issuer, order, first.registrar_id, writing.now, content)
            done = await hand_in(writing, first.sign(stated), vault.profile.issuer, vault.nameable)
            assert done.state == "waiting"
        with pytest.raises(StateError, match="waits for another registrar"):
            await self.erase(order)
        async with vault.log.writing() as writing:
            agreed = Agreement(
                vault=vault.profile.issuer,
                order=order,
                registrar=second.registrar_id,
                at=writing.now,
                content_sha256=content_digest(content),
            )
            await hand_in(writing, second.sign(agreed), vault.profile.issuer, vault.nameable)
        return order

    async def erase(self, order: UUID) -> str:
        vault = self.vault
        return await erase(
            vault.log, vault.logs, Signers(vault.keeper.signer, certifier(vault)), order, FINAL
        )

    async def left(self) -> dict[str, int]:
        """Rows that lead to the person, by table."""
        async with self.vault.engine.connect() as connection:
            tables = ("vault.subject", "vault.identifier", "vault.record", "vault.erased_subject")
            found = {
                table: int(
                    await connection.scalar(
                        text(f"SELECT count(*) FROM {table} WHERE subject_id = :id"), {"id": self.subject}
                    )
                    or 0
                )
                for table in tables
            }
            streams = text("SELECT count(*) FROM access_log.stream WHERE stream_id = :stream")
            found["access_log.stream"] = int(await connection.scalar(streams, {"stream": self.stream}) or 0)
            return {table: count for table, count in found.items() if count}


async def examined(vault: Vault) -> Report:
    report = await examine_log(
        vault.log, altered=(CryptoError,), retention_years=10, owners=StreamOwners(), roots=vault.roots
    )
    assert report.sound, report.findings
    return report


@pytest.fixture
async def scene(vault: Vault) -> Scene:
    registered = await register_all(vault.log)
    await enrol(vault, registered.bank, ENROLLED, OTHER)
    row, other = await person(vault, ENROLLED), await person(vault, OTHER)
    async with vault.log.writing() as writing:
        await consents.grant(writing, row.person, new_consent(registered.bank), vault.keeper)
        await mandates.give(
            writing, row.person, other.person, NewMandate(Relation.LAWYER, frozenset(Right), 30)
        )
    await own_records(vault.log, vault.keys, row.person.subject_id)
    return Scene(vault, registered, row.person.subject_id, row.person.stream_id)


async def certified(scene: Scene, certificate: str) -> dict[str, Any]:
    """What a certificate says, after its signature verified under the published key."""
    unverified = jose.take_apart(certificate)
    assert unverified.header["typ"] == CERTIFICATE
    keys = jose.KeySet(await CopyKeys(scene.vault.keys.announced).published())
    return dict(keys.verify(unverified))


@pytest.mark.parametrize("log", ["kept", "erased"])
async def test_a_person_is_erased_and_the_log_still_verifies(scene: Scene, log: str) -> None:
    vault = scene.vault
    async with vault.engine.connect() as connection:
        seen = await accesses(connection, vault.logs, scene.subject)
    before = await examined(vault)
    order = await scene.ordered(log)
    certificate = await scene.erase(order)
    gone = {} if log == "erased" else {"vault.erased_subject": 1, "access_log.stream": 1}
    assert await scene.left() == gone
    assert await find(vault, ENROLLED) is None
    assert await find(vault, OTHER) is not None
    assert await own_records(vault.log, vault.keys, scene.subject) == ([], None)
    async with vault.engine.connect() as connection:
        assert await accesses(connection, vault.logs, scene.subject) == []
        (consent,) = await consents.of_person(connection, scene.subject)
        (mandate,) = await mandates.of_person(connection, scene.subject)
        assert mandate.ended_at is not None
        ended = {(kind, of) for kind, of, _ in await standing(connection)}
    assert consent.events[-1].event == "withdrawn"
    kind = Kind.PERSON_ERASED_WITH_LOG if log == "erased" else Kind.PERSON_ERASED
    assert (kind, scene.subject) in ended
    # Two entries more: the consent and the mandate were ended before.
    payloads = len(seen) + 2 if log == "erased" else 0
    report = await examined(vault)
    assert report.entries > before.entries
    assert (report.lost, report.unplaced) == (payloads, payloads)
    says = await certified(scene, certificate)
    assert (says["order"], says["person"], says["basis"]) == (str(order), str(scene.subject), "PIPL 47")
    assert says["erased"] == {"subject_key": True, "identifiers": 1, "records": 2, "payloads": payloads}
    assert says["log"] == {"origin": vault.log.origin, "payloads": log}
    assert len(says["kept"]) == (2 if log == "erased" else 3)
    assert says["final_on"] == FINAL.isoformat()
    # The same command gives the same certificate, and erases nobody twice.
    assert await scene.erase(order) == certificate
    async with vault.log.writing() as writing:
        assert writing.head.size == report.entries


async def test_a_legal_hold_forbids_it(scene: Scene) -> None:
    vault = scene.vault
    order = await scene.ordered()
    async with vault.log.writing() as writing:
        hold = await holds.place(writing, holds.Order("person", scene.subject, "a suit", "court 7"), OPERATOR)
    with pytest.raises(StateError, match="legal hold"):
        await scene.erase(order)
    assert (await scene.left())["vault.record"] == 2
    async with vault.log.writing() as writing:
        await holds.lift(writing, hold, OPERATOR)
    await scene.erase(order)
    assert "vault.record" not in await scene.left()


async def test_a_case_that_is_held_or_waits_for_its_answer_forbids_it(scene: Scene) -> None:
    vault = scene.vault
    await query(Known(vault, scene.registered.bank))
    async with vault.engine.connect() as connection:
        (asked, *_) = await accesses(connection, vault.logs, scene.subject)
    opened = await access_cases.open_case(vault.log, vault.keys, scene.subject, asked, None)
    order = await scene.ordered("erased")
    async with vault.log.writing() as writing:
        held = holds.Order("case", opened.case_id, "an appeal", "order 18")
        hold = await holds.place(writing, held, OPERATOR)
    with pytest.raises(StateError, match="legal hold stands on a case"):
        await scene.erase(order)
    async with vault.log.writing() as writing:
        await holds.lift(writing, hold, OPERATOR)
    with pytest.raises(StateError, match="not answered"):
        await scene.erase(order)
    assert (await scene.left())["vault.record"] == 2


async def test_only_an_order_to_erase_somebody_known_is_carried_out(scene: Scene) -> None:
    with pytest.raises(UnknownError):
        await scene.erase(uuid4())
    vault, first = scene.vault, scene.registered.first
    suspend = acts.SuspendBody(body=scene.registered.bank, reason="an audit")
    async with vault.log.writing() as writing:
        other = Order.of(vault.profile.issuer, uuid4(), first.registrar_id, writing.now, acts.write(suspend))
        await hand_in(writing, first.sign(other), vault.profile.issuer, vault.nameable)
    with pytest.raises(StateError, match="something else"):
        await scene.erase(other.order)
    order = await scene.ordered()
    await scene.erase(order)
    again = await scene.ordered()
    with pytest.raises(UnknownError, match="not known"):
        await scene.erase(again)


@pytest.mark.slow
@pytest.mark.parametrize("log", ["kept", "erased"])
async def test_a_restored_database_has_nobody_again_who_was_erased(
    scene: Scene, log: str, postgres: EmbeddedDatabase, database_name: str, tmp_path: Path
) -> None:
    vault = scene.vault
    backup = dump(postgres, database_name, tmp_path / "nightly.dump")
    await scene.erase(await scene.ordered(log))
    published = await asyncio.to_thread(
        run, vault.settings, SERVE[0], "log", "publish", str(tmp_path / "published")
    )
    assert published.returncode == 0, published.stderr
    with restored(postgres, backup, vault.settings) as older:
        command = (SERVE[0], "log", "reimport", str(tmp_path / "published"), "--json")
        done = await asyncio.to_thread(run, older, *command)
        assert done.returncode == 0, done.stderr
        async with open_vault(older, str(older.database_url)) as again:
            back = replace(scene, vault=again)
            assert (await back.left()).keys() == (
                set() if log == "erased" else {"vault.erased_subject", "access_log.stream"}
            )
            assert await find(again, ENROLLED) is None
            assert await find(again, OTHER) is not None
            await examined(again)


async def test_who_is_joined_with_others_is_not_erased_before_they_are_split(scene: Scene) -> None:
    """What was ordered is carried out for one identity; nothing of them is ended when it is refused."""
    vault, joined = scene.vault, JoinedSubjects()
    other = (await person(vault, OTHER)).person.subject_id
    grounds = Grounds(OPERATOR, "number-replaced", "ab" * 32)
    (mandate,) = await _mandates(scene)
    async with vault.log.writing() as writing:
        row = await person(vault, ENROLLED)
        await mandates.end(writing, row.person, mandate.mandate_id, OPERATOR)
        await merging.merge(writing, joined, scene.subject, other, grounds)
    order = await scene.ordered()
    with pytest.raises(StateError, match="have it split off first"):
        await scene.erase(order)
    async with vault.engine.connect() as connection:
        (consent,) = await consents.of_person(connection, scene.subject)
    assert consent.events[-1].event == "granted"
    async with vault.log.writing() as writing:
        await merging.split(writing, joined, scene.subject, grounds)
    await scene.erase(order)
    async with vault.log.writing() as writing:
        with pytest.raises(StateError, match="was erased"):
            await merging.merge(writing, joined, other, scene.subject, grounds)
    await examined(vault)


async def _mandates(scene: Scene) -> list[Mandate]:
    async with scene.vault.engine.connect() as connection:
        return await mandates.of_person(connection, scene.subject)
