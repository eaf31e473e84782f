"""`/v1/desk` over HTTP: a clerk opens one person's own views, and each use is in their log first."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from access_log.entry import EntryType
from consent.bodies import stand_down_officer
from consent.journal import Actor
from demo.client import BodyClient, OAuthError
from tests.vault.served import Served, problem
from vault.rights.accesses import Access, accesses
from vault.server.desk.schemas import DeskAccessesOut, DeskConsentsOut, DeskRecordsOut
from vault.server.portal.fictitious import fictitious_identity

OPERATOR = Actor("operator:test", "operator")


@dataclass(frozen=True)
class Clerk:
    """The desk's clerk with a token for one person."""

    served: Served
    client: BodyClient
    token: str
    person: int

    async def use(self, what: str, *, person: int | None = None, **asked: Any) -> httpx.Response:
        path = f"/v1/desk/{what}"
        subject = identified(self.person if person is None else person)
        credentials = self.client.credentials(path, self.token)
        return await self.served.http.post(path, json={"subject": subject, **asked}, headers=credentials)

    async def used(self, what: str, **asked: Any) -> dict[str, Any]:
        response = await self.use(what, **asked)
        assert response.status_code == httpx.codes.OK, response.text
        return dict(response.json())


def identified(n: int) -> dict[str, str]:
    return {"scheme": "demo-id", "number": fictitious_identity(n)[0]}


async def clerk(served: Served, n: int, code: str = "desk", **changes: Any) -> Clerk:
    client = served.world.client(served.http, code)
    details = {
        "type": "assistance",
        "officer": str(served.world.cast[code].officer_id),
        "visit": "VISIT-2026-17",
        "document": "identity-card",
        "subject": identified(n),
        **changes,
    }
    return Clerk(served, client, await client.statutory_token(details), n)


async def seen(served: Served, n: int) -> list[Access]:
    """What person `n` reads of themselves."""
    person = await served.world.person(n)
    async with served.world.vault.engine.connect() as connection:
        return await accesses(connection, served.world.vault.logs, person.subject_id)


async def test_the_persons_own_views_are_opened_and_each_use_is_in_their_log(served: Served) -> None:
    await served.enrol(1)
    asked = served.receipt((await (await served.court(1)).ask()).json()["receipt"]).index
    await served.bank(1)
    at_the_desk = await clerk(served, 1)

    answer = await at_the_desk.used("accesses")
    DeskAccessesOut.model_validate(answer)
    newest = answer["accesses"][0]
    use = served.receipt(answer["use_receipt"])
    assert (newest["index"], newest["details"]["event"]) == (use.index, "assisted at a desk")
    assert asked in [one["index"] for one in answer["accesses"]]
    desk = served.world.cast["desk"]
    stated = await served.payload(use.index)
    assert stated["actor"] == f"officer:{desk.officer_id}"  # the clerk is the requester
    assert stated["subject"] == str((await served.world.person(1)).subject_id)  # the person the subject
    assert stated["body"] == str(desk.body_id)
    assert stated["object"] == {"visit": "VISIT-2026-17", "document": "identity-card", "what": "accesses"}

    records = await at_the_desk.used("records")
    DeskRecordsOut.model_validate(records)
    assert "performing" in [one["fields"].get("status") for one in records["records"]]
    consents = await at_the_desk.used("consents")
    DeskConsentsOut.model_validate(consents)
    assert [one["state"] for one in consents["consents"]] == ["active"]
    events = [(one.details["event"], one.details["actor_role"]) for one in (await seen(served, 1))[:4]]
    assert events == [
        ("assisted at a desk", "case officer"),
        ("own records viewed", "clerk"),
        ("assisted at a desk", "case officer"),
        ("assisted at a desk", "case officer"),
    ]
    # Inspectors see it, too.
    inspected = await (await served.inspector()).used("entry", index=use.index)
    assert (inspected["stream"], inspected["attributes"]["event"]) == ("person", "assisted at a desk")


async def test_what_the_person_decides_is_done(served: Served) -> None:
    await served.enrol(1)
    query = served.receipt((await (await served.court(1)).ask()).json()["receipt"]).index
    bank = await served.bank(1)
    assert (await bank.ask()).status_code == httpx.codes.OK
    at_the_desk = await clerk(served, 1)
    consent = (await at_the_desk.used("consents"))["consents"][0]["consent_id"]

    assert (await at_the_desk.used("withdraw", consent=consent))["object"] == consent
    assert problem(await bank.ask(), 403, "refused")["rule"] == "RULES 3.5"
    again = problem(await at_the_desk.use("withdraw", consent=consent), 409, "conflict")
    assert "in the person's log" in again["detail"]
    problem(await at_the_desk.use("withdraw", consent=str(uuid4())), 404, "not-found")

    case = (await at_the_desk.used("not-recognised", entry=query, words="I never was there"))["object"]
    problem(await at_the_desk.use("not-recognised", entry=query), 409, "conflict")
    problem(await at_the_desk.use("not-recognised", entry=10_000), 404, "not-found")
    problem(await at_the_desk.use("not-recognised", entry=query, words="\x01"), 400, "invalid-request")
    found = await (await served.inspector()).used("cases/read", case=case)
    assert (found["state"], found["words"]) == ("open", "I never was there")

    await at_the_desk.used("freeze")
    problem(await at_the_desk.use("freeze"), 409, "conflict")
    told = Counter(one.details.get("event") for one in await seen(served, 1))
    assert told["assisted at a desk"] == 10  # one for each use, those that changed nothing among them
    assert (told["consent.withdrawn"], told["freeze.begun"], told["query not recognised"]) == (1, 1, 1)


async def test_a_copy_for_the_person_is_fit_for_print_and_names_no_clerk(served: Served) -> None:
    await served.enrol(1)
    await (await served.court(1)).ask()
    page = await (await clerk(served, 1)).use("print")
    assert page.status_code == httpx.codes.OK
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for words in (
        "VISIT-2026-17",
        "identity card",
        "Example District Court asked about you",
        "Enforcing a judgment",
        "Who asked about you",
        "helped you at a desk",
        "c2sp.org/tlog-proof@v1",
        "on no day; never shown",
        "15 January 2026 to 15 January 2034; shown until",
    ):
        assert words in page.text
    assert "9999" not in page.text
    assert str(served.world.cast["desk"].officer_id) not in page.text


async def test_a_token_opens_one_person_and_nobody_else(served: Served) -> None:
    await served.enrol(1, 2)
    at_the_desk = await clerk(served, 1)
    refused = problem(await at_the_desk.use("records", person=2), 403, "refused")
    assert refused["rule"] == "RULES 12.5"
    (told, *_) = await seen(served, 2)
    assert (told.details["event"], told.details["object"]["rule"]) == ("assistance refused", "RULES 12.5")
    # Somebody the vault does not know: refused alike, and in nobody's stream.
    unknown = problem(await at_the_desk.use("records", person=4711), 403, "refused")
    assert unknown["detail"] == refused["detail"]
    stated = await served.payload(await served.size() - 1)
    assert (stated["event"], stated["subject"]) == ("assistance refused", None)
    for other in (await served.court(1), await served.inspector()):
        credentials = other.client.credentials("/v1/desk/records", other.token)
        response = await served.http.post(
            "/v1/desk/records", json={"subject": identified(1)}, headers=credentials
        )
        problem(response, 403, "forbidden")


async def test_words_that_cannot_be_tell_nothing_of_another_person(served: Served) -> None:
    await served.enrol(1, 2)
    query = served.receipt((await (await served.court(2)).ask()).json()["receipt"]).index
    at_the_desk = await clerk(served, 1)
    size = await served.size()
    for entry in (query, 10_000):
        response = await at_the_desk.use("not-recognised", person=2, entry=entry, words="\x01")
        assert problem(response, 403, "refused")["rule"] == "RULES 12.5"
    assert await served.size() == size + 2


async def test_somebody_the_vault_never_met_has_their_visit_to_see(served: Served) -> None:
    at_the_desk = await clerk(served, 3)
    (identity,) = (await at_the_desk.used("records"))["records"]
    assert identity["category"]["code"] == "IDN"
    await at_the_desk.used("freeze")
    assert "assisted at a desk" in [one.details.get("event") for one in await seen(served, 3)]


async def test_rules_of_body_clerk_and_day_refuse_and_are_in_the_log(served: Served) -> None:
    await served.enrol(1)
    at_the_desk = await clerk(served, 1)
    desk = served.world.cast["desk"]
    await at_the_desk.used("accesses")
    engine = served.world.vault.engine
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE consent.assisted SET uses = 60"))
    assert problem(await at_the_desk.use("accesses"), 403, "refused")["rule"] == "RULES 12.7"
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO consent.assisted SELECT officer_id, day, sha256(n::text::bytea), 1, expires_at"
                " FROM consent.assisted, generate_series(1, 40) n"
            )
        )
    other = await clerk(served, 2)
    assert problem(await other.use("accesses"), 403, "refused")["rule"] == "RULES 12.6"
    async with served.world.log.writing() as writing:
        await stand_down_officer(writing, desk.officer_id, "left", OPERATOR)
    assert problem(await at_the_desk.use("accesses"), 403, "refused")["rule"] == "RULES 12.3"
    events = [one.details["event"] for one in await seen(served, 1)][:2]
    assert events == ["assistance refused"] * 2


async def test_a_token_is_issued_for_what_the_schema_knows_alone(served: Served) -> None:
    nobody = {"scheme": "demo-id", "number": "1"}
    for changes in ({"document": "fingerprint"}, {"visit": ""}, {"extra": 1}, {"subject": nobody}):
        with pytest.raises(OAuthError):
            await clerk(served, 1, **changes)
    with pytest.raises(OAuthError):
        await clerk(served, 1, "bank")


async def test_a_proof_serves_one_use(served: Served) -> None:
    await served.enrol(1)
    at_the_desk = await clerk(served, 1)
    before = await served.size()
    credentials = at_the_desk.client.credentials("/v1/desk/accesses", at_the_desk.token)
    answers = await asyncio.gather(
        *(
            served.http.post("/v1/desk/accesses", json={"subject": identified(1)}, headers=credentials)
            for _ in range(8)
        )
    )
    assert Counter(one.status_code for one in answers) == {200: 1, 401: 7}
    assert await served.size() == before + 1
    entry = served.receipt(next(one for one in answers if one.is_success).json()["use_receipt"])
    assert entry.entry.type is EntryType.RIGHTS
    problem(await at_the_desk.use("withdraw"), 400, "invalid-request")
