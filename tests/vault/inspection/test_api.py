"""`/v1/inspection` over HTTP: what inspectors read, and that each use is in the log first."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from access_log.entry import EntryType
from access_log.payload import check_opening
from demo.client import OAuthError
from tests.vault.inspection.asking import asked, newest, recent, seen
from tests.vault.served import Served, problem
from vault.inspection.schemas import EntriesOut, InspectedEntryOut, OverdueOut

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG = {"from": "2020-01-01T00:00:00Z", "until": "2020-02-01T00:00:00.001Z"}


def ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


async def test_an_entry_is_opened_whole_with_proofs_of_it_and_of_the_use(shared: Served) -> None:
    index = await asked(shared, 1)
    before = await shared.size()
    inspector = await shared.inspector()
    answer = await inspector.used("entry", index=index)
    InspectedEntryOut.model_validate(answer)
    subject = str((await shared.world.person(1)).subject_id)
    assert (answer["index"], answer["kind"], answer["stream"]) == (index, "query permitted", "person")
    assert answer["attributes"]["subject"] == subject
    assert answer["attributes"]["officer"] == str(shared.world.cast["court"].officer_id)
    entry = shared.receipt(answer["receipt"])
    assert entry.index == index
    assert check_opening(entry.entry, answer["opening"]) == answer["attributes"]
    use = shared.receipt(answer["use_receipt"])
    assert (use.index, use.entry.type) == (before + 1, EntryType.INSPECTION)
    stated = await shared.payload(use.index)
    assert stated["event"] == "entry opened"
    assert stated["actor"] == f"officer:{shared.world.cast['inspectorate'].officer_id}"
    assert stated["actor_role"] == "case officer"
    assert stated["body"] == str(shared.world.cast["inspectorate"].body_id)
    assert stated["object"] == {"case_reference": "INSPECTION-7", "entry": index}
    assert stated["subject"] is None


async def test_the_person_reads_that_an_inspector_looked_and_not_who(shared: Served) -> None:
    index = await asked(shared, 1)
    await (await shared.inspector()).used("entry", index=index)
    looked = (await seen(shared, 1))[0]
    assert (looked.type, looked.details["event"]) == (EntryType.INSPECTION, "opened by an inspector")
    assert looked.details["object"] == index
    assert looked.body is not None
    assert looked.body.name == "Example Data Protection Inspectorate"
    told = str(looked.details) + str(looked.opening)
    assert str(shared.world.cast["inspectorate"].officer_id) not in told
    assert "INSPECTION-7" not in told


async def test_entries_of_nobodys_stream_tell_nobody(shared: Served) -> None:
    told = await seen(shared, 3)
    unknown = await asked(shared, 4711)
    inspector = await shared.inspector()
    use = (await inspector.used("entry", index=unknown))["use_receipt"]
    assert (await inspector.used("entry", index=unknown))["stream"] == "not found"
    opened = await inspector.used("entry", index=shared.receipt(use).index)
    assert opened["stream"] == "system"
    assert opened["attributes"]["event"] == "entry opened"
    assert await seen(shared, 3) == told


async def test_an_entry_there_is_not(shared: Served) -> None:
    inspector = await shared.inspector()
    before = await shared.size()
    problem(await inspector.use("entry", index=before + 7), 404, "not-found")
    assert (await newest(shared))["object"]["entry"] == before + 7
    assert await shared.size() == before + 1


async def test_lists_by_body_officer_case_and_time_name_no_person(shared: Served) -> None:
    since = ago(0)
    first = await asked(shared, 1)
    other = await asked(shared, 2)
    await (await shared.bank(1)).ask()
    recently = {**recent(), "from": since}
    court = shared.world.cast["court"]
    inspector = await shared.inspector()
    by_body = await inspector.used("entries", **recently, body=str(court.body_id))
    EntriesOut.model_validate(by_body)
    of_queries = [one for one in by_body["entries"] if one["kind"].startswith("query")]
    assert [one["index"] for one in of_queries] == [first, other]
    assert by_body["next"] is None
    by_officer = await inspector.used("entries", **recently, officer=str(court.officer_id))
    assert [one["index"] for one in by_officer["entries"]] == [first, other]
    by_case = await inspector.used("entries", **recently, case_reference="LOAN application 1")
    assert [one["purpose"] for one in by_case["entries"]] == ["credit-granting"]
    everything = await inspector.used("entries", **recently)
    assert [one["index"] for one in everything["entries"]] == list(
        range(first, first + len(everything["entries"]))
    )
    for n in (1, 2):
        subject = str((await shared.world.person(n)).subject_id)
        assert subject not in str((by_body, by_officer, by_case, everything))
    assert "record_versions" not in str(everything)
    nothing = {"from": ago(3), "until": ago(2)}
    assert (await inspector.used("entries", **nothing))["entries"] == []
    stated = await newest(shared)
    assert (stated["event"], stated["object"]["from"]) == ("entries listed", nothing["from"])


async def test_a_list_comes_page_by_page_and_loses_nothing(
    shared: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vault.rights.inspected.LONGEST_PAGE", 3)
    monkeypatch.setattr("vault.rights.inspected._LOOKED_THROUGH", 7)
    since = ago(0)
    indexes = [await asked(shared, 1 + n % 2) for n in range(8)]
    inspector = await shared.inspector()
    found: list[int] = []
    after: dict[str, int] = {}
    criteria = {**recent(), "from": since, "officer": str(shared.world.cast["court"].officer_id)}
    for _ in range(40):
        page = await inspector.used("entries", **criteria, **after)
        assert len(page["entries"]) <= 3
        found += [one["index"] for one in page["entries"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert found == indexes


async def test_what_is_too_long_is_refused_and_logged(shared: Served) -> None:
    before = await shared.size()
    refused = problem(await (await shared.inspector()).use("entries", **LONG), 403, "refused")
    assert refused["rule"] == "RULES 11.5"
    entry = shared.receipt(refused["receipt"])
    assert (entry.index, entry.entry.type) == (before, EntryType.INSPECTION)
    told = check_opening(entry.entry, refused["opening"])
    assert told["event"] == "inspection refused"
    assert told["object"] == (await newest(shared))["object"]
    assert (await newest(shared))["object"]["rule"] == "RULES 11.5"


async def test_other_tokens_and_other_requests(shared: Served) -> None:
    before = await shared.size()
    court = await shared.court(1)
    path = "/v1/inspection/entry"
    response = await shared.http.post(
        path, json={"index": 0}, headers=court.client.credentials(path, court.token)
    )
    problem(response, 403, "forbidden")
    inspector = await shared.inspector()
    problem(await shared.http.post(path, json={"index": 0}), 401, "unauthenticated")
    for wrong in ({}, {"index": -1}, {"index": 2**63}, {"index": "a"}, {"index": 0, "subject": "x"}):
        problem(await inspector.use("entry", **wrong), 400, "invalid-request")
    for dates in ({"from": ago(0), "until": ago(1)}, {"from": "2026-01-01", "until": "2026-01-02"}):
        problem(await inspector.use("entries", **dates), 400, "invalid-request")
    headers = {**inspector.client.credentials(path, inspector.token), "Content-Type": "text/plain"}
    problem(await shared.http.post(path, content=b"{}", headers=headers), 415, "media-type")
    assert await shared.size() == before


async def test_one_proof_serves_one_use(shared: Served) -> None:
    inspector = await shared.inspector()
    before = await shared.size()
    proof = inspector.client.proof("POST", "/v1/inspection/entry", inspector.token)
    answers = await asyncio.gather(*(inspector.use("entry", index=0, proof=proof) for _ in range(12)))
    assert sorted(one.status_code for one in answers) == [200, *[401] * 11]
    assert await shared.size() == before + 1


async def test_nobody_is_overdue(shared: Served) -> None:
    answer = await (await shared.inspector()).used("overdue-covert-cases")
    OverdueOut.model_validate(answer)
    assert answer["cases"] == []
    assert (await newest(shared))["event"] == "overdue covert cases read"


async def test_a_bank_that_may_not_inspect_gets_no_token(shared: Served) -> None:
    client = shared.world.client(shared.http, "bank")
    details = {"type": "inspection", "officer": str(uuid4()), "case_reference": "x"}
    with pytest.raises(OAuthError, match="unauthorized_client"):
        await client.statutory_token(details)
