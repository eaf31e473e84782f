"""Guardians over HTTP: named, ordered by one registrar, agreed to by another; and what they may then do."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from consent import mandates
from consent.errors import InvalidError, StateError
from consent.mandates import Mandate, NewMandate, Relation, Right
from tests.vault.registers.asking import agreed, issuer, ordered, registrar
from tests.vault.served import Served, problem
from vault.records import subjects
from vault.rights import own_freeze, own_mandates
from vault.rights.accesses import accesses
from vault.rights.own_records import own_records
from vault.server.cli.signing import Signing
from vault.server.portal.fictitious import fictitious_identity

WARD, GUARDIAN, UNKNOWN = 1, 2, 3


async def name(served: Served, n: int, by: Signing | None = None) -> httpx.Response:
    who = by or registrar(served, 0)
    compact = who.name(issuer(served), "demo-id", fictitious_identity(n)[0])
    return await served.http.post("/v1/registers/person", json={"statement": compact})


async def named(served: Served, n: int) -> str:
    response = await name(served, n)
    assert response.status_code == httpx.codes.OK, response.text
    return str(response.json()["person"])


def act(person: str, guardian: str, **changes: Any) -> dict[str, Any]:
    values = {
        "do": "appoint-guardian",
        "person": person,
        "guardian": guardian,
        "ground": "incapacity",
        "until": (datetime.now(UTC) + timedelta(days=365)).isoformat(),
        "document_sha256": "ab" * 32,
    }
    return {**values, **changes}


async def registered(served: Served, **changes: Any) -> tuple[UUID, Mandate]:
    """The ward's id, and the guardian's mandate."""
    ward, guardian = await named(served, WARD), await named(served, GUARDIAN)
    waiting = await ordered(served, act(ward, guardian, **changes))
    problem(await agreed(served, waiting.json()["id"], 0), 403, "statement-refused")
    done = await agreed(served, waiting.json()["id"])
    assert done.status_code == httpx.codes.OK, done.text
    async with served.world.vault.engine.connect() as connection:
        found = await mandates.find(connection, UUID(guardian), UUID(done.json()["object_id"]))
    assert found is not None
    return UUID(ward), found


async def seen(served: Served, ward: UUID) -> list[tuple[str, str]]:
    """Events of the ward's stream, the newest first, with who caused them."""
    vault = served.world.vault
    async with vault.engine.connect() as connection:
        listed = await accesses(connection, vault.logs, ward)
    return [(str(one.details["event"]), str(one.details["actor_role"])) for one in listed]


async def test_a_guardian_sees_what_a_mandate_allows_until_a_registrar_ends_it(served: Served) -> None:
    await served.enrol(WARD)
    ward, mandate = await registered(served, rights=["read", "freeze"])
    vault = served.world.vault
    assert (mandate.kind, mandate.rights) == (Relation.GUARDIAN, frozenset({Right.READ, Right.FREEZE}))
    assert mandate.document_sha256 == bytes.fromhex("ab" * 32)
    await own_mandates.begin(vault.log, mandate.representative_id, mandate.mandate_id)
    records, _ = await own_records(vault.log, vault.keys, ward, mandate)
    assert records
    await own_freeze.begin_for(vault.log, mandate)
    assert (await seen(served, ward))[:4] == [
        ("freeze.begun", "representative"),
        ("own records viewed", "representative"),
        ("mandate.used", "representative"),
        ("guardian.appointed", "registrar"),
    ]
    # Neither of the two ends what registrars gave.
    for one in (ward, mandate.representative_id):
        with pytest.raises(StateError, match="registrars gave this mandate"):
            await own_mandates.end(vault.log, one, mandate.mandate_id)
    end = {"do": "end-guardian", "person": str(ward), "mandate": str(mandate.mandate_id), "reason": "of age"}
    assert (await ordered(served, end)).json()["state"] == "done"
    with pytest.raises(StateError, match="does not stand"):
        await own_records(vault.log, vault.keys, ward, mandate)
    problem(await ordered(served, end), 409, "conflict")
    assert (await seen(served, ward))[0] == ("guardian.ended", "registrar")


async def test_it_ends_at_its_date_by_itself(served: Served) -> None:
    soon = datetime.now(UTC) + timedelta(days=30)
    _, mandate = await registered(served, ground="minor", until=soon.isoformat())
    assert mandate.expires_at == soon
    assert mandate.stands(soon - timedelta(microseconds=1))
    assert not mandate.stands(soon)


async def test_a_person_is_named_alike_whether_known_or_not_and_reads_that(served: Served) -> None:
    await served.enrol(WARD)
    for n in (WARD, UNKNOWN):
        first, again = await name(served, n), await name(served, n)
        assert first.json()["person"] == again.json()["person"]
        assert set(first.json()) == {"person", "of_age_from", "receipt"}
        stated = await seen(served, UUID(first.json()["person"]))
        assert stated[:2] == [("named by a registrar", "registrar")] * 2
    born = fictitious_identity(WARD)[0][6:14]
    assert (await name(served, WARD)).json()["of_age_from"].startswith(str(int(born[:4]) + 18))
    problem(
        await name(served, WARD, Signing(uuid4(), registrar(served, 0).private)), 403, "statement-refused"
    )
    other = registrar(served, 0).name(issuer(served), "demo-id", "1")
    response = await served.http.post("/v1/registers/person", json={"statement": other})
    problem(response, 400, "invalid-request")
    question = registrar(served, 0).name(issuer(served), "demo-id", fictitious_identity(WARD)[0])
    for status in (httpx.codes.OK, httpx.codes.FORBIDDEN):
        response = await served.http.post("/v1/registers/person", json={"statement": question})
        assert response.status_code == status


async def test_what_breaks_a_rule_registers_nobody(served: Served) -> None:
    ward, guardian = await named(served, WARD), await named(served, GUARDIAN)
    far = (datetime.now(UTC) + timedelta(days=1830)).isoformat()
    for changes, status, kind in (
        ({"until": far}, 400, "invalid-request"),
        ({"until": "2020-01-01T00:00:00Z"}, 400, "invalid-request"),
        ({"guardian": ward}, 400, "invalid-request"),
        ({"person": str(uuid4())}, 404, "not-found"),
        ({"guardian": str(uuid4())}, 404, "not-found"),
    ):
        waiting = await ordered(served, {**act(ward, guardian), **changes})
        problem(await agreed(served, waiting.json()["id"]), status, kind)
    wrong: list[dict[str, Any]] = [
        {"rights": []},
        {"rights": ["grant"]},
        {"ground": "old"},
        {"document_sha256": "x"},
    ]
    for each in wrong:
        problem(await ordered(served, act(ward, guardian, **each)), 400, "invalid-request")
    vault = served.world.vault
    async with vault.log.writing() as writing:
        one = await subjects.read(writing.connection, UUID(ward))
        other = await subjects.read(writing.connection, UUID(guardian))
        assert one is not None
        assert other is not None
        new = NewMandate(Relation.GUARDIAN, frozenset({Right.READ}), 30)
        with pytest.raises(InvalidError, match="registered by registrars"):
            await mandates.give(writing, one, other, new)
        own = await mandates.give(writing, one, other, NewMandate(Relation.LAWYER, frozenset(Right), 30))
    end = {"do": "end-guardian", "person": ward, "mandate": str(own.mandate_id), "reason": "x"}
    problem(await ordered(served, end), 409, "conflict")
