"""`/v1/registers` over HTTP: what registrars sign is done, no one of them does alone what two must."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from consent import statutes
from consent.errors import StatementError
from consent.statements import Asking, Revocation
from consent.statutes import PersonsOfCases, Terms
from tests.consent.registers import Signatory
from tests.vault.registers.asking import JsonObject, agreed, hand_in, issuer, ordered, read, registrar
from tests.vault.served import Served, problem
from tests.vault.server.commands import CommandLine
from vault.crypto.blind import Identifier
from vault.rights.naming import named_persons
from vault.server.cli.signing import Signing
from vault.server.portal.fictitious import fictitious_identity


async def test_a_suspension_counts_from_the_next_query_and_two_take_it_back(served: Served) -> None:
    await served.enrol(1)
    court = await served.court(1)
    assert (await court.ask()).status_code == httpx.codes.OK
    body = str(served.world.cast["court"].body_id)
    done = await ordered(served, {"do": "suspend-body", "body": body, "reason": "an audit"})
    assert done.status_code == httpx.codes.OK, done.text
    assert (done.json()["state"], done.json()["object_id"]) == ("done", body)
    assert problem(await court.ask(), 403, "refused")["rule"] == "RULES 1.1"
    (receipt,) = done.json()["receipts"]
    stated = await served.payload(served.receipt(receipt).index)
    assert (stated["event"], stated["actor_role"]) == ("body.suspended", "registrar")

    back = {"do": "reinstate-body", "body": body, "reason": "it passed"}
    waiting = await ordered(served, back)
    assert waiting.status_code == httpx.codes.ACCEPTED
    assert [one["order_id"] for one in await read(served, "waiting", 1)] == [waiting.json()["id"]]
    problem(await agreed(served, waiting.json()["id"], 0), 403, "statement-refused")
    assert problem(await court.ask(), 403, "refused")["rule"] == "RULES 1.1"
    # Of many agreements at once one counts.
    answers = await asyncio.gather(*(agreed(served, waiting.json()["id"]) for _ in range(6)))
    assert Counter(one.status_code for one in answers) == {200: 1, 409: 5}
    assert (await court.ask()).status_code == httpx.codes.OK


async def test_an_authorization_is_proposed_approved_and_revoked(served: Served) -> None:
    first, second = (
        Signatory(one.registrar_id, dict(one.private)) for one in (registrar(served, 0), registrar(served, 1))
    )
    now = datetime.now(UTC)
    (basis,) = await read(served, "bases")
    values: JsonObject = {
        "body": served.world.cast["court"].body_id,
        "basis": UUID(basis["basis_id"]),
        "purposes": ("court-enforcement",),
        "fields": ("FIN.type",),
        "scope": PersonsOfCases(pattern="(2026) No. *"),
        "per_day": 3,
        "valid_from": now,
        "valid_until": now + timedelta(days=1),
    }
    terms, made = Terms(**values), uuid4()
    assert (await hand_in(served, first.proposes(terms, now, made))).json()["state"] == "proposed"
    problem(await hand_in(served, first.proposes(terms, now, made)), 409, "conflict")
    problem(await hand_in(served, first.approves(made, terms, now)), 403, "statement-refused")
    other = Terms(**{**values, "per_day": 1_000})
    problem(await hand_in(served, second.approves(made, other, now)), 403, "statement-refused")
    # What was proposed over HTTP its proposer does not approve from the command line's side either.
    with pytest.raises(StatementError, match="who proposed an authorization cannot approve it"):
        async with served.world.log.writing() as writing:
            await statutes.approve(writing, made, first.approves(made, terms, now))
    assert (await hand_in(served, second.approves(made, terms, now))).json()["state"] == "approved"
    problem(await hand_in(served, second.approves(made, terms, now)), 409, "conflict")
    stop = Revocation(authorization=made, registrar=first.registrar_id, at=now, reason="closed")
    assert (await hand_in(served, first.sign(stop))).json()["state"] == "revoked"
    listed = {one["authorization_id"]: one["state"] for one in await read(served, "authorizations")}
    assert listed[str(made)] == "revoked"
    unknown = Terms(**{**values, "fields": ("FIN.typo",)})
    problem(await hand_in(served, first.proposes(unknown, now)), 400, "invalid-request")


async def test_an_authorization_names_persons_alike_whether_known_or_not_and_tells_none(
    served: Served,
) -> None:
    await served.enrol(1)
    size = await served.size()
    persons = [("demo-id", fictitious_identity(n)[0]) for n in (1, 999)]
    question = registrar(served, 0).scope(issuer(served), persons)
    answer = await served.http.post("/v1/registers/scope", json={"statement": question})
    identifiers = [Identifier.parse(scheme, number, ["demo-id"]) for scheme, number in persons]
    expected = named_persons(served.world.vault.keys, identifiers)
    assert answer.json() == {"subjects": list(expected.subjects)}
    assert await served.size() == size
    again = await served.http.post("/v1/registers/scope", json={"statement": question})
    assert "answered before" in problem(again, 403, "statement-refused")["detail"]
    number = persons[0][1]
    for wrong in (
        registrar(served, 0).scope(issuer(served), [("demo-id", number[:-1])]),
        registrar(served, 0).scope(issuer(served), [("no-scheme", number)]),
    ):
        refused = await served.http.post("/v1/registers/scope", json={"statement": wrong})
        assert refused.status_code == httpx.codes.BAD_REQUEST
        assert number[:-1] not in refused.text
    named = registrar(served, 0).name(issuer(served), *persons[0])
    other = await served.http.post("/v1/registers/scope", json={"statement": named})
    problem(other, 403, "statement-refused")


async def test_what_is_not_public_is_read_by_registrars_alone_and_once(served: Served) -> None:
    court = served.world.cast["court"]
    officers = await read(served, "officers", of=court.body_id)
    assert [one["officer_id"] for one in officers] == [str(court.officer_id)]
    (registered,) = await read(served, "conduct", of=court.body_id)
    assert registered["event"] == "body.registered"
    question = registrar(served, 0).ask(issuer(served), "registrars")
    assert len((await _read(served, question)).json()["found"]) == 2
    assert "answered before" in problem(await _read(served, question), 403, "statement-refused")["detail"]
    problem(
        await _read(served, registrar(served, 0).ask("https://other.example", "bodies")),
        403,
        "statement-refused",
    )
    problem(await _read(served, registrar(served, 0).ask(issuer(served), "secrets")), 400, "invalid-request")
    problem(await _read(served, registrar(served, 0).ask(issuer(served), "order", uuid4())), 404, "not-found")
    mixed = Signing(registrar(served, 0).registrar_id, registrar(served, 1).private)
    problem(await _read(served, mixed.ask(issuer(served), "bodies")), 403, "statement-refused")
    nobody = Signing(uuid4(), registrar(served, 1).private)
    problem(await _read(served, nobody.ask(issuer(served), "bodies")), 403, "statement-refused")
    old = registrar(served, 0).sign(
        Asking(
            vault=issuer(served),
            id=uuid4(),
            registrar=registrar(served, 0).registrar_id,
            at=datetime.now(UTC) - timedelta(minutes=6),
            what="bodies",
        )
    )
    assert "too old" in problem(await _read(served, old), 403, "statement-refused")["detail"]
    order = registrar(served, 0).order(issuer(served), "{}")
    problem(await _read(served, order), 403, "statement-refused")


async def _read(served: Served, compact: str) -> httpx.Response:
    return await served.http.post("/v1/registers/read", json={"statement": compact})


async def test_what_is_no_statement_changes_nothing(served: Served) -> None:
    size = await served.size()
    problem(await hand_in(served, "a.b.c"), 403, "statement-refused")
    problem(
        await served.http.post("/v1/registers/statements", json={"statement": "x"}), 400, "invalid-request"
    )
    problem(await served.http.post("/v1/registers/statements", content=b"x"), 415, "media-type")
    good = registrar(served, 0).order(
        issuer(served),
        json.dumps({"do": "mark-body", "body": str(served.world.cast["court"].body_id), "reason": "late"}),
    )
    head, _, signature = good.split(".")
    other = registrar(served, 0).order(issuer(served), '{"do":"x"}').split(".")[1]
    problem(await hand_in(served, f"{head}.{other}.{signature}"), 403, "statement-refused")
    problem(await ordered(served, {"do": "x"}), 400, "invalid-request")
    problem(
        await ordered(served, {"do": "suspend-body", "body": str(uuid4()), "reason": "x"}), 404, "not-found"
    )
    assert await served.size() == size
    answers = await asyncio.gather(*(hand_in(served, good) for _ in range(8)))
    assert Counter(one.status_code for one in answers) == {200: 1, 409: 7}
    assert await served.size() == size + 1


async def test_a_registrars_own_machine_orders_over_http_and_the_vaults_shell_agrees(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = CommandLine(served.world.settings, monkeypatch, capsys)
    body = str(served.world.cast["bank"].body_id)
    signing = []
    for number in (0, 1):
        key = tmp_path / f"{number}.jwk"
        key.write_text(json.dumps(registrar(served, number).private))
        key.chmod(0o600)
        signing.append(("--registrar", str(registrar(served, number).registrar_id), "--key", str(key)))
    act = tmp_path / "act.json"
    act.write_text(json.dumps({"do": "strike-off-body", "body": body, "reason": "sold data"}))
    at = ("--server", issuer(served))

    async def good(*arguments: str) -> Any:
        ran = await asyncio.to_thread(command, *arguments)
        assert ran.code == 0, ran.err
        # The server of this process writes lines of its log to the same place.
        lines = (line for line in ran.out.splitlines() if not line.startswith("20"))
        return json.loads("\n".join(lines))

    async def refused(*arguments: str) -> str:
        return (await asyncio.to_thread(command, *arguments)).err

    ordered = await good("registrar", "sign", str(act), *signing[0], *at, "--json")
    assert ordered["state"] == "waiting"
    order = str(ordered["id"])
    for where in (at, ()):
        assert "ho ordered an act cannot agree" in await refused(
            "registrar", "agree", order, *signing[0], *where
        )
    assert (await good("registrar", "agree", order, *signing[1], "--json"))["state"] == "done"
    assert "does not wait" in await refused("registrar", "agree", order, *signing[1], *at)
    found = await good("registrar", "read", "conduct", "--of", body, *signing[1], *at)
    assert [one["event"] for one in found] == ["body.registered", "body.struck_off"]


async def test_persons_are_named_from_a_registrars_own_machine(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = CommandLine(served.world.settings, monkeypatch, capsys)
    who = registrar(served, 0)
    key, persons = tmp_path / "registrar.jwk", tmp_path / "persons.txt"
    key.write_text(json.dumps(who.private))
    key.chmod(0o600)
    number = fictitious_identity(5)[0]
    persons.write_text(f"demo-id {number}\n")
    (basis,) = await read(served, "bases")
    arguments = [
        "authorization", "propose", "--registrar", str(who.registrar_id), "--key", str(key),
        "--body", str(served.world.cast["court"].body_id), "--basis", basis["basis_id"],
        "--purpose", "court-enforcement", "--field", "FIN.type", "--per-day", "3",
        "--persons", str(persons), "--server", issuer(served),
    ]  # fmt: skip
    ran = await asyncio.to_thread(command, *arguments)
    assert ran.code == 0, ran.err
    expected = named_persons(served.world.vault.keys, [Identifier.parse("demo-id", number, ["demo-id"])])
    (proposed,) = [one for one in await read(served, "authorizations") if one["state"] == "proposed"]
    assert proposed["terms"]["scope"] == {"kind": "named", "subjects": list(expected.subjects)}
    persons.write_text(f"demo-id {number}\n" * 101)
    assert "names 100 persons at most" in (await asyncio.to_thread(command, *arguments)).err
