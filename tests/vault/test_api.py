"""`/v1/queries` over HTTP: what is permitted, refused, turned away, and what nothing but a rule may tell."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from access_log.entry import EntryType
from tests.vault.served import Served, problem
from vault.schemas import QueryOut
from vault.server.portal.fictitious import fictitious_identity

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN = 4711


def answered(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    QueryOut.model_validate(response.json())
    return dict(response.json())


async def test_a_permitted_query(shared: Served) -> None:
    court = await shared.court(1)
    before = await shared.size()
    response = await court.ask()
    answer = answered(response)
    (record,) = answer["records"]
    assert record["fields"] == {"type": "vehicle", "status": "performing"}
    assert record["category"] == "FIN"
    assert record["source"] == {
        "body": "First Example Bank (furnishing)",
        "document": {"number": "C-1", "date": "2026-01-15", "sha256": "0" * 64},
    }
    assert record["annotations"] == answer["annotations"] == []
    assert record["display"]["first_day"] == "2026-01-15"
    assert answer["use_conditions"] == {
        "purpose": "court-enforcement",
        "onward_provision": False,
        "storable": True,
        "retention_days": None,
    }
    assert await shared.size() == before + 1
    receipt = shared.receipt(answer["receipt"])
    assert (receipt.index, receipt.entry.type) == (before, EntryType.QUERY_PERMITTED)
    assert receipt.checkpoint.size == before + 1
    told = shared.opened(answer)
    assert told == {
        "body": str(shared.world.cast["court"].body_id),
        "officer": court.query["officer"],
        "officer_role": "case officer",
        "purpose": "court-enforcement",
        "case_reference": court.query["case_reference"],
        "basis": str(court.grant_id),
        "decision": "permitted",
        "reason": None,
        "fields": court.query["fields"],
        "request_digest": hashlib.sha256(response.request.content).hexdigest(),
    }


async def test_an_inspector_reads_what_the_body_is_never_told(shared: Served) -> None:
    answer = answered(await (await shared.court(2)).ask())
    sealed = await shared.payload(shared.receipt(answer["receipt"]).index)
    (version,) = sealed["record_versions"]
    assert version[1:] == [1, ["type", "status", "_document"]]
    assert UUID(version[0])
    assert UUID(sealed["subject"]) == (await shared.world.person(2)).subject_id
    for hidden in (version[0], sealed["subject"], sealed["previous"]):
        assert hidden not in json.dumps(answer)


async def test_a_consented_query(shared: Served) -> None:
    bank = await shared.bank(1)
    answer = answered(await bank.ask())
    assert answer["records"][0]["fields"] == {"type": "vehicle", "status": "performing"}
    assert answer["use_conditions"]["storable"] is False
    assert answer["use_conditions"]["retention_days"] == 0
    assert shared.opened(answer)["basis"] == str(bank.grant_id)


async def test_headers_of_every_answer(shared: Served) -> None:
    court = await shared.court(1)
    for response in (
        await court.ask(),
        await court.ask(purpose="credit-granting"),
        await court.ask(purpose=7),
        await shared.http.post("/v1/queries", json={}),
        await shared.http.get("/nowhere"),
        await shared.http.get("/healthz"),
        await shared.http.post("/v1/queries", content=b"x" * 70_000),
    ):
        assert UUID(response.headers["x-request-id"]).version == 4
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"


async def test_nobody_and_nothing_are_the_same_answer(shared: Served) -> None:
    """An unknown person, one without records of that category, and one whose records are another's."""
    fields = ("TAX.breach", "JUD.performance")
    answers = [answered(await (await shared.court(n, *fields)).ask()) for n in (UNKNOWN, 1)]
    for answer in answers:
        assert answer["records"] == []
        assert shared.opened(answer)["decision"] == "permitted"
    assert len({json.dumps({**answer, "receipt": "", "opening": ""}) for answer in answers}) == 1
    assert len({len(json.dumps(answer["opening"])) for answer in answers}) == 1
    sealed = [await shared.payload(shared.receipt(answer["receipt"]).index) for answer in answers]
    assert [one["subject"] is None for one in sealed] == [True, False]
    assert [one["record_versions"] for one in sealed] == [[], []]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"officer": str(uuid4())}, "RULES 1.4"),
        ({"purpose": "credit-granting"}, "RULES 1.2"),
        ({"subject": {"scheme": "demo-id", "number": fictitious_identity(2)[0]}}, "RULES 4.1"),
        ({"subject": {"scheme": "demo-id", "number": fictitious_identity(UNKNOWN)[0]}}, "RULES 4.1"),
        ({"case_reference": "(2026) Demo Enforcement No. 18"}, "RULES 4.5"),
        ({"fields": ["FIN.type", "FIN.type"]}, "RULES 6.1"),
        ({"fields": ["FIN.type", "TAX.breach"]}, "RULES 6.2"),
        ({"fields": ["FIN.contract_end"]}, "RULES 6.2"),
        ({"fields": ["ZZZ.unknown"]}, "RULES 6.2"),
    ],
)
async def test_a_refusal_names_its_rule_and_is_logged(
    shared: Served, changes: Mapping[str, Any], rule: str
) -> None:
    court = await shared.court(1)
    before = await shared.size()
    response = await court.ask(**changes)
    refused = problem(response, 403, "refused")
    assert refused["rule"] == rule
    assert "records" not in refused
    assert await shared.size() == before + 1
    told = shared.opened(refused)
    assert (told["decision"], told["reason"]) == ("refused", rule)
    assert shared.receipt(refused["receipt"]).entry.type is EntryType.QUERY_REFUSED
    sealed = await shared.payload(before)
    assert sealed["record_versions"] == []
    assert fictitious_identity(2)[0] not in response.text


async def test_turned_away_without_an_entry(shared: Served) -> None:
    court = await shared.court(1)
    proof = court.client.proof("POST", "/v1/queries", court.token)
    answered(await court.ask(proof=proof))
    before = await shared.size()
    body, url = dict(court.query), "/v1/queries"
    good = court.client.credentials(url, court.token)
    for response in (
        await court.ask(proof=proof),
        await shared.http.post(url, json=body),
        await shared.http.post(url, json=body, headers={"Authorization": f"Bearer {court.token}"}),
        await shared.http.post(url, json=body, headers={"Authorization": f"DPoP {court.token}"}),
        await shared.http.post(url, json=body, headers={**good, "Authorization": "DPoP nonsense"}),
        await court.ask(proof=court.client.proof("POST", "/v1/records", court.token)),
        await court.ask(proof=court.client.proof("GET", "/v1/queries", court.token)),
        await court.ask(proof=court.client.proof("POST", "/v1/queries")),
    ):
        found = problem(response, 401, "unauthenticated")
        assert "DPoP" in response.headers["www-authenticate"]
        assert court.token not in response.text
        assert set(found) == {"type", "title", "status", "detail"}
    assert await shared.size() == before


async def test_of_many_uses_of_one_proof_one_succeeds(shared: Served) -> None:
    court = await shared.court(1)
    proof = court.client.proof("POST", "/v1/queries", court.token)
    before = await shared.size()
    responses = await asyncio.gather(*(court.ask(proof=proof) for _ in range(24)))
    assert sorted(response.status_code for response in responses) == [200, *[401] * 23]
    assert await shared.size() == before + 1


async def test_a_token_for_something_else(shared: Served) -> None:
    court, furnisher = await shared.court(1), await shared.furnisher()
    before = await shared.size()
    headers = furnisher.client.credentials("/v1/queries", furnisher.token)
    problem(await shared.http.post("/v1/queries", json=dict(court.query), headers=headers), 403, "forbidden")
    headers = court.client.credentials("/v1/records", court.token)
    response = await shared.http.post("/v1/records", json={}, headers=headers)
    problem(response, 403, "forbidden")
    assert await shared.size() == before


async def test_many_at_once_each_get_their_own_answer(shared: Served) -> None:
    grants = [await shared.court(n) for n in (1, 2, 3, UNKNOWN)]
    before = await shared.size()
    responses = await asyncio.gather(
        *(
            grants[at % 4].ask(purpose="credit-granting") if at % 5 == 4 else grants[at % 4].ask()
            for at in range(60)
        )
    )
    for at, response in enumerate(responses):
        if at % 5 == 4:
            problem(response, 403, "refused")
            continue
        numbers = [record["source"]["document"]["number"] for record in answered(response)["records"]]
        assert numbers == ([] if at % 4 == 3 else [f"C-{at % 4 + 1}"])
    indexes = [shared.receipt(response.json()["receipt"]).index for response in responses]
    assert sorted(indexes) == list(range(before, before + 60))


@pytest.mark.parametrize("text", ['"quoted" <b>', "贷款申请 2026 号", "a" * 200, "\U0001f600", "\\u0041"])
async def test_a_case_is_told_as_it_was_sent(shared: Served, text: str) -> None:
    answer = answered(await (await shared.bank(1)).ask(case_reference=text))
    assert shared.opened(answer)["case_reference"] == text


# ── Idempotency ──────────────────────────────────────────────────────────────────────────────────


async def test_a_repeat_opens_the_same_and_is_not_charged(shared: Served) -> None:
    bank = await shared.bank(1, max_uses=1)
    first = answered(await bank.ask(idempotency_key="one"))
    before = await shared.size()
    for _ in range(3):
        again = answered(await bank.ask(idempotency_key="one"))
        assert again["records"] == first["records"]
        assert again["opening"] == first["opening"]
        assert shared.receipt(again["receipt"]).index == shared.receipt(first["receipt"]).index
    assert await shared.size() == before
    refused = problem(await bank.ask(idempotency_key="another"), 403, "refused")
    assert refused["rule"] == "RULES 7.4"
    assert problem(await bank.ask(), 403, "refused")["rule"] == "RULES 7.4"


async def test_a_repeat_needs_a_fresh_proof(shared: Served) -> None:
    bank = await shared.bank(1)
    proof = bank.client.proof("POST", "/v1/queries", bank.token)
    answered(await bank.ask(idempotency_key="two", proof=proof))
    problem(await bank.ask(idempotency_key="two", proof=proof), 401, "unauthenticated")


async def test_another_body_under_the_same_key(shared: Served) -> None:
    bank = await shared.bank(1)
    answered(await bank.ask(idempotency_key="three"))
    another = await shared.bank(1)
    before = await shared.size()
    problem(await bank.ask(idempotency_key="three", fields=["FIN.type"]), 422, "idempotency-key-reused")
    # The same bytes, under another consent.
    problem(await another.ask(idempotency_key="three"), 422, "idempotency-key-reused")
    assert await shared.size() == before


async def test_a_key_belongs_to_its_client(shared: Served) -> None:
    bank, court = await shared.bank(1), await shared.court(1)
    before = await shared.size()
    answered(await bank.ask(idempotency_key="four"))
    answered(await court.ask(idempotency_key="four"))
    assert await shared.size() == before + 2


async def test_repeats_at_once_make_one_entry(shared: Served) -> None:
    bank = await shared.bank(1, max_uses=1)
    before = await shared.size()
    responses = await asyncio.gather(*(bank.ask(idempotency_key="five") for _ in range(12)))
    answers = [answered(response) for response in responses]
    assert await shared.size() == before + 1
    assert len({json.dumps(answer["opening"]) for answer in answers}) == 1


async def test_a_refused_query_may_be_repeated_and_is_decided_again(shared: Served) -> None:
    court = await shared.court(1)
    for _ in range(2):
        before = await shared.size()
        problem(await court.ask(idempotency_key="six", purpose="credit-granting"), 403, "refused")
        assert await shared.size() == before + 1


async def test_a_repeat_of_a_query_that_found_nobody(shared: Served) -> None:
    court = await shared.court(UNKNOWN)
    first = answered(await court.ask(idempotency_key="seven"))
    before = await shared.size()
    again = answered(await court.ask(idempotency_key="seven"))
    assert (again["records"], again["opening"]) == ([], first["opening"])
    assert await shared.size() == before
