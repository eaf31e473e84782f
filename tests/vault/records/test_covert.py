"""Covert cases from the registrars' terms to the person's page: over HTTP, on a real vault."""

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from access_log.completeness import Lookout, judge
from access_log.entry import Entry, EntryType
from access_log.fsck import Report, examine_log
from access_log.log import Event
from access_log.material import Kind, Material
from access_log.payload import Payload, check_opening
from consent import merging, statutes
from consent.bases import add_basis
from consent.merging import Grounds
from consent.statutes import Delay, NamedPersons
from tests.access_log.logs import stored_entries
from tests.consent.registers import OPERATOR, new_basis, registrar, terms_for
from tests.flows.world import Grant
from tests.vault.served import Served
from vault.crypto.blind import DEMO_ID, Identifier
from vault.crypto.errors import CryptoError
from vault.records import covert
from vault.records.covert import StreamOwners, disclose_due, overdue
from vault.records.covert_counts import count_last_month, publish_counts
from vault.records.joining import JoinedSubjects
from vault.rights.accesses import Access, accesses
from vault.rights.material import give_material
from vault.server.jobs import disclose_covert_cases
from vault.server.portal.fictitious import fictitious_identity

SUSPECT, OTHER = 1, 2
REFERENCE = "(2026) Example Court, order 17"


@dataclass(frozen=True)
class Covert:
    """A served vault in which the court may ask about one person without telling them for a week."""

    served: Served
    authorization: UUID
    until: datetime
    owner_url: str

    @property
    def log(self) -> Any:
        return self.served.world.log

    async def grant(self, n: int = SUSPECT) -> Grant:
        """The court's token under that authorization."""
        usual = await self.served.court(n)
        details = {
            "type": "statutory_query",
            "authorization": str(self.authorization),
            "actions": ["read"],
            **usual.query,
        }
        return Grant(
            self.authorization, usual.client, await usual.client.statutory_token(details), usual.query
        )

    async def ask(self, n: int = SUSPECT, **changes: Any) -> httpx.Response:
        return await (await self.grant(n)).ask(**changes)

    async def seen(self, n: int = SUSPECT) -> list[Access]:
        person = await self.served.world.person(n)
        async with self.log.engine.connect() as connection:
            return await accesses(connection, [self.log], person.subject_id)

    async def material(self, n: int = SUSPECT) -> Material:
        person = await self.served.world.person(n)
        given = await give_material(self.log, person.subject_id, 10)
        assert given is not None
        return given

    async def is_complete(self, material: Material) -> bool:
        entries = await stored_entries(self.log)
        lookout = Lookout(material.streams)
        lookout.see(0, entries)
        size = int(material.checkpoint.split("\n")[1])
        return judge(material, lookout.found, size, Entry.decode(entries[size - 1]).time).complete

    async def audit(self) -> Report:
        return await examine_log(self.log, altered=(CryptoError,), retention_years=10, owners=StreamOwners())

    def as_owner(self, statement: str) -> None:
        engine = create_engine(self.owner_url)
        try:
            with engine.begin() as connection:
                connection.execute(text(statement))
        finally:
            engine.dispose()

    def end(self) -> None:
        """Lets the week pass: the case and the terms it rests on ended a moment ago."""
        self.as_owner(
            "UPDATE vault.covert_case SET opened_at = opened_at - interval '1 day',"
            " ends_at = clock_timestamp() - interval '1 millisecond'"
        )
        self.as_owner(
            "UPDATE consent.authorization SET notice_until = clock_timestamp() WHERE notice_until IS NOT NULL"
        )


@pytest.fixture
async def case(served: Served, owner_url: str) -> Covert:
    await served.enrol(SUSPECT, OTHER)
    world = served.world
    numbers = [fictitious_identity(n)[0] for n in (SUSPECT,)]
    hashes = world.vault.keys.subject_hashes(
        [Identifier.parse(DEMO_ID, number, world.vault.schemes) for number in numbers]
    )
    async with world.log.writing() as writing:
        until = writing.now + timedelta(days=7)
        basis = await add_basis(
            writing,
            new_basis(code="covert-enquiry", notice_delay_days=30, categories=("FIN",)),
            OPERATOR,
        )
        first, second = await registrar(writing, "Ada"), await registrar(writing, "Zoe")
        terms = terms_for(
            world.cast["court"].body_id,
            basis,
            writing.now,
            fields=("FIN.type", "FIN.status"),
            scope=NamedPersons(subjects=tuple(each.hex() for each in hashes)),
            delayed_notice=Delay(REFERENCE, until),
        )
        proposed = await statutes.propose(writing, first.proposes(terms, writing.now))
        await statutes.approve(writing, proposed, second.approves(proposed, terms, writing.now))
    return Covert(served, proposed, until, owner_url)


async def test_a_covert_query_is_answered_and_its_person_sees_nothing(case: Covert) -> None:
    before = [one.index for one in await case.seen()]
    answer = await case.ask()
    assert answer.status_code == 200, answer.text
    assert answer.json()["records"]
    refused = await case.ask(purpose="credit-granting")
    assert refused.status_code == 403
    assert [one.index for one in await case.seen()] == before
    material = await case.material()
    assert [stream.kind for stream in material.streams] == [Kind.PERSON]
    # They took neither number nor previous from the person's stream: to the person nothing is missing.
    assert await case.is_complete(material)
    report = await case.audit()
    assert report.sound, report.findings


async def test_inspectors_see_a_covert_query_at_once_and_its_person_sees_neither(case: Covert) -> None:
    answer = (await case.ask()).json()
    index = case.served.receipt(answer["receipt"]).index
    before = [one.index for one in await case.seen()]
    inspector = await case.served.inspector()
    opened = await inspector.used("entry", index=index)
    assert opened["stream"] == "covert case"
    assert opened["attributes"]["subject"] == str((await case.served.world.person(SUSPECT)).subject_id)
    assert [one.index for one in await case.seen()] == before
    assert await case.is_complete(await case.material())
    report = await case.audit()
    assert report.sound, report.findings


async def test_inspectors_read_which_persons_should_have_been_told(case: Covert) -> None:
    await case.ask()
    inspector = await case.served.inspector()
    assert (await inspector.used("overdue-covert-cases"))["cases"] == []
    case.end()
    answer = await inspector.used("overdue-covert-cases")
    (found,) = answer["cases"]
    assert (found["authorization"], found["court_reference"]) == (str(case.authorization), REFERENCE)
    assert str((await case.served.world.person(SUSPECT)).subject_id) not in str(answer)
    await disclose_due(case.log)
    assert (await inspector.used("overdue-covert-cases"))["cases"] == []


async def test_a_query_about_somebody_else_or_by_the_usual_way_is_not_covert(case: Covert) -> None:
    await (await case.served.court(SUSPECT)).ask()
    assert (await case.ask(OTHER)).status_code == 403
    assert (await case.seen(SUSPECT))[0].details["decision"] == "permitted"
    assert (await case.seen(OTHER))[0].details["reason"] == "RULES 4.2"
    async with case.log.engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM vault.covert_case"))).scalar_one() == 0


async def test_what_only_one_registrar_signed_delays_nothing(case: Covert) -> None:
    grant = await case.grant()
    case.as_owner(
        "UPDATE consent.authorization SET state = 'proposed', approval = NULL, approver_id = NULL,"
        " approver_thumbprint = NULL, approved_at = NULL WHERE notice_until IS NOT NULL"
    )
    assert (await grant.ask()).status_code == 403
    assert (await case.seen())[0].details["reason"] == "RULES 3.2"


async def test_a_query_after_the_revocation_is_as_covert_as_those_before(case: Covert) -> None:
    grant = await case.grant()
    await grant.ask()
    before = [one.index for one in await case.seen()]
    async with case.log.writing() as writing:
        await statutes.revoke_unsigned(writing, case.authorization, "closed", OPERATOR)
    assert (await grant.ask()).status_code == 403
    assert [one.index for one in await case.seen()] == before


async def test_on_its_date_a_case_is_disclosed(case: Covert) -> None:
    asked = [(await case.ask()).json()["receipt"], (await case.ask()).json()["receipt"]]
    indexes = [case.served.receipt(each).index for each in asked]
    assert await disclose_due(case.log) == 0
    case.end()
    async with case.log.engine.connect() as connection:
        assert await overdue(connection) == 1
    assert await disclose_covert_cases(case.log) == 1
    assert await disclose_covert_cases(case.log) == 0
    async with case.log.engine.connect() as connection:
        assert await overdue(connection) == 0
    told, *others = await case.seen()
    assert (told.type, told.details["event"]) == (EntryType.RIGHTS, covert.DISCLOSED)
    assert told.details["object"] == REFERENCE
    assert [one.index for one in others if one.court_reference == REFERENCE] == indexes[::-1]
    material = await case.material()
    assert [(stream.kind, stream.court_reference) for stream in material.streams] == [
        (Kind.PERSON, None),
        (Kind.COVERT, REFERENCE),
    ]
    assert [one.index for one in material.streams[1].entries] == indexes
    assert await case.is_complete(material)


async def test_what_is_asked_after_the_date_is_seen_at_once(case: Covert) -> None:
    grant = await case.grant()
    await grant.ask()
    case.end()
    answer = await grant.ask()
    newest = (await case.seen())[0]
    assert newest.index == case.served.receipt(answer.json()["receipt"]).index
    assert newest.court_reference is None


async def test_two_workers_disclose_a_case_once(case: Covert) -> None:
    await case.ask()
    case.end()
    assert sorted(await asyncio.gather(disclose_due(case.log), disclose_due(case.log))) == [0, 1]
    assert [one.details.get("event") for one in await case.seen()].count(covert.DISCLOSED) == 1


async def test_an_entry_hidden_in_a_covert_stream_is_found(case: Covert) -> None:
    await case.ask()
    suspect = await case.served.world.person(SUSPECT)
    async with case.log.engine.connect() as connection:
        stream = (await connection.execute(text("SELECT stream_id FROM vault.covert_case"))).scalar_one()
    async with case.log.writing() as writing:
        payload = Payload.create(
            EntryType.QUERY_PERMITTED,
            {"subject": str(suspect.subject_id), "body": "another", "basis": str(case.authorization)},
        )
        position = writing.add(Event(stream, payload))
    (finding,) = (await case.audit()).findings
    assert finding.index == writing.indexes[position]
    assert "does not belong to" in finding.reason


@pytest.mark.parametrize(
    ("constraint", "column", "value"),
    [("covert_case_court_reference_check", "court_reference", "' '"), (None, "ends_at", "NULL")],
)
async def test_a_case_without_reference_or_end_is_refused_and_found(
    case: Covert, constraint: str | None, column: str, value: str
) -> None:
    await case.ask()
    with pytest.raises(IntegrityError):
        case.as_owner(f"UPDATE vault.covert_case SET {column} = {value}")
    if constraint is not None:
        case.as_owner(f"ALTER TABLE vault.covert_case DROP CONSTRAINT {constraint}")
    case.as_owner(f"ALTER TABLE vault.covert_case ALTER COLUMN {column} DROP NOT NULL")
    case.as_owner(f"UPDATE vault.covert_case SET {column} = {value}")
    reasons = [finding.reason for finding in (await case.audit()).findings]
    assert reasons[-1] in ("a covert stream has no court reference", "a covert stream has no end date")


async def test_a_covert_stream_of_no_case_is_found(case: Covert) -> None:
    await case.ask()
    case.as_owner("DELETE FROM vault.covert_case")
    reasons = {finding.reason for finding in (await case.audit()).findings}
    assert "a covert stream belongs to no case: who opened it hides queries" in reasons


async def test_how_many_cases_there_were_is_published_once_a_month(case: Covert, tmp_path: Path) -> None:
    await case.ask()
    case.as_owner(
        "UPDATE vault.covert_case SET opened_at = date_trunc('month', now() AT TIME ZONE 'UTC')"
        " AT TIME ZONE 'UTC' - interval '1 day'"
    )
    assert (await case.served.http.get("/log/covert")).json() == {"months": []}
    assert await count_last_month(case.log)
    assert not await count_last_month(case.log)
    (month,) = (await case.served.http.get("/log/covert")).json()["months"]
    assert (month["opened"], month["standing"], month["disclosed"]) == (1, 1, 0)
    assert month["origin"] == case.log.origin
    entry = Entry.decode((await stored_entries(case.log))[month["index"]])
    assert entry.type is EntryType.OPERATOR
    said = check_opening(entry, month["opening"])
    assert said["object"] == {name: month[name] for name in ("month", "opened", "standing", "disclosed")}
    assert "subject" not in said
    assert (await case.audit()).sound
    # Beside a static copy of the log it stands once that covers its entry.
    folder = tmp_path / "published"
    await publish_counts(case.log, folder, month["index"])
    assert json.loads((folder / "covert").read_bytes()) == {"months": []}
    for _ in range(2):
        await publish_counts(case.log, folder, month["index"] + 1)
        assert json.loads((folder / "covert").read_bytes()) == {"months": [month]}
    # One that a log before this one states does not wait for this one to grow.
    case.as_owner("UPDATE vault.covert_count SET origin = 'creditvault.test/closed', entry_index = 1000000")
    await publish_counts(case.log, folder, 1)
    assert [one["index"] for one in json.loads((folder / "covert").read_bytes())["months"]] == [1_000_000]


async def test_both_identities_of_a_suspect_are_told_later_and_neither_gives_it_away(case: Covert) -> None:
    served, joined = case.served, JoinedSubjects()
    ids = [(await served.world.person(n)).subject_id for n in (SUSPECT, OTHER)]
    grounds = Grounds(OPERATOR, "number-replaced", "ab" * 32)
    async with case.log.writing() as writing:
        await merging.merge(writing, joined, ids[0], ids[1], grounds)
    answer = (await case.ask()).json()
    assert (len(answer["records"]), len(answer["companions"])) == (2, 1)
    # The terms name the other number alone: refused, and told no earlier than the case itself.
    assert (await case.ask(OTHER)).json()["rule"] == "RULES 4.2"
    assert not [one for one in await case.seen(OTHER) if one.is_query]
    async with case.log.writing() as writing:
        await merging.split(writing, joined, ids[1], grounds)
    assert (await case.ask(OTHER)).json()["rule"] == "RULES 4.2"
    for n in (SUSPECT, OTHER):
        assert not [one for one in await case.seen(n) if one.is_query]
    report = await case.audit()
    assert report.sound, report.findings
    case.end()
    assert await disclose_due(case.log) == 2
    for n, queries in ((SUSPECT, 1), (OTHER, 3)):
        told = [one for one in await case.seen(n) if one.is_query]
        assert len(told) == queries
        assert {one.court_reference for one in told} == {REFERENCE}
        material = await case.material(n)
        assert [each.kind for each in material.streams] == [Kind.PERSON, Kind.COVERT]
        assert await case.is_complete(material)
