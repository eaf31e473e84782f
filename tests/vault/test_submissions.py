"""`/v1/records` over HTTP: good lines are kept, bad ones named; only a furnisher in good standing writes."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from access_log.entry import EntryType
from consent import bodies
from demo.cast import OPERATOR
from tests.flows.world import contract
from tests.vault.served import JSON, NDJSON, Furnishing, Served, problem
from vault.records.intake import MOST_AT_ONCE
from vault.schemas import QualityOut, SubmissionsOut

MARK = "UNMISTAKABLE"


def counts(response: httpx.Response) -> tuple[int, int, int]:
    assert response.status_code == 200, response.text
    answer = SubmissionsOut.model_validate(response.json())
    return answer.enrolled, answer.standing, answer.rejected


async def test_one_record_as_json(served: Served) -> None:
    furnisher = await served.furnisher()
    before = await served.size()
    response = await furnisher.submit(contract(1).encode(), JSON)
    assert counts(response) == (1, 0, 0)
    assert await served.size() == before + 1
    (receipt,) = response.json()["receipts"]
    assert receipt["line"] == 1
    entry = served.receipt(receipt["receipt"])
    assert (entry.index, entry.entry.type) == (before, EntryType.RECORD)
    told = await served.payload(before)
    assert told["event"] == "record enrolled"
    assert told["actor_role"] == "furnisher"
    assert told["document"] == "0" * 64
    assert UUID(told["subject"]) == (await served.world.person(1)).subject_id
    assert sorted(category for _, _, category in told["object"]) == ["FIN", "IDN"]
    assert len(told["key_checks"]) == 2


async def test_the_same_again_is_no_second_record(served: Served) -> None:
    furnisher = await served.furnisher()
    await furnisher.lines(contract(1))
    before = await served.size()
    reordered = json.dumps(dict(reversed(json.loads(contract(1)).items())), indent=None, ensure_ascii=True)
    for line in (contract(1), reordered):
        answer = await furnisher.lines(line)
        assert (answer["enrolled"], answer["standing"], answer["receipts"]) == (0, 1, [])
    assert await served.size() == before


async def test_other_content_under_a_reference_is_turned_away(served: Served) -> None:
    furnisher = await served.furnisher()
    await furnisher.lines(contract(1))
    before = await served.size()
    answer = await furnisher.lines(contract(1, type="housing"), contract(2, "contract-1"))
    assert [(one["line"], one["column"], one["rule"]) for one in answer["rejects"]] == [
        (1, "furnisher_reference", "7.1"),
        (2, "furnisher_reference", "7.1"),
    ]
    assert await served.size() == before


async def test_within_one_batch_the_first_line_stands(served: Served) -> None:
    furnisher = await served.furnisher()
    answer = await furnisher.lines(
        contract(1), contract(1), contract(1, type="housing"), contract(1, "other")
    )
    assert (answer["enrolled"], answer["standing"], answer["rejected"]) == (2, 1, 1)
    assert answer["rejects"][0]["line"] == 3
    assert [one["line"] for one in answer["receipts"]] == [1, 4]
    court = await served.court(1)
    assert len((await court.ask()).json()["records"]) == 2


async def test_lines_come_back_by_their_number(served: Served) -> None:
    furnisher = await served.furnisher()
    lines = [
        contract(1),
        "",
        "{",
        "  ",
        contract(2),
        "[]",
        '"text"',
        contract(3, type=MARK),
        "null",
        contract(4),
    ]
    answer = await furnisher.lines(*lines)
    assert answer["enrolled"] == 3
    assert [one["line"] for one in answer["receipts"]] == [1, 5, 10]
    assert [one["line"] for one in answer["rejects"]] == [3, 6, 7, 8, 9]
    assert MARK not in json.dumps(answer)


async def test_more_than_one_chunk(served: Served) -> None:
    furnisher = await served.furnisher()
    before = await served.size()
    answer = await furnisher.lines(*(contract(n % 5 + 1, f"reference {n}") for n in range(600)))
    assert (answer["enrolled"], answer["rejected"]) == (600, 0)
    assert [one["line"] for one in answer["receipts"]] == list(range(1, 601))
    indexes = [served.receipt(one["receipt"]).index for one in answer["receipts"]]
    assert indexes == list(range(before, before + 600))


@pytest.mark.parametrize(
    ("content", "media_type", "status", "name"),
    [
        (b"{}", "text/csv", 415, "media-type"),
        (b"{}", "", 415, "media-type"),
        (b"{}", "application/jsonx", 415, "media-type"),
    ],
)
async def test_other_media_types(
    served: Served, content: bytes, media_type: str, status: int, name: str
) -> None:
    problem(await (await served.furnisher()).submit(content, media_type), status, name)


async def test_what_is_no_record_is_a_rejected_line(served: Served) -> None:
    furnisher = await served.furnisher()
    before = await served.size()
    for content in (
        b"",
        b"{",
        b"\xff\xfe{}",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        b'{"subject": 1}',
        b"NaN",
    ):
        for media_type in (JSON, f"{NDJSON}; charset=utf-8"):
            response = await furnisher.submit(content, media_type)
            expected = (0, 0, 0) if content == b"" and media_type != JSON else (0, 0, 1)
            assert counts(response) == expected, (content[:20], media_type)
    assert await served.size() == before


async def test_a_batch_that_is_too_large_is_refused_whole(served: Served) -> None:
    furnisher = await served.furnisher()
    before = await served.size()
    limit = served.world.settings.max_batch_body
    line = contract(1).encode() + b"\n"

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(limit // 65_536 + 2):
            yield (line * (65_536 // len(line) + 1))[:65_536]

    problem(await furnisher.submit(line * (limit // len(line) + 1)), 413, "too-large")
    problem(await furnisher.submit(endless()), 413, "too-large")
    assert await served.size() == before
    assert (await furnisher.lines(contract(1)))["enrolled"] == 1


async def test_a_category_the_token_does_not_cover(served: Served) -> None:
    furnisher = await served.furnisher("court", ["JUD"])
    answer = await furnisher.lines(contract(1))
    assert [(one["column"], one["rule"]) for one in answer["rejects"]] == [("category", "4.9")]


@pytest.mark.parametrize("line", [contract(1), "{", ""])
async def test_a_proof_serves_once_whatever_it_brings(served: Served, line: str) -> None:
    furnisher = await served.furnisher()
    proof = furnisher.client.proof("POST", "/v1/records", furnisher.token)
    assert (await furnisher.submit(line.encode(), proof=proof)).status_code == 200
    before = await served.size()
    problem(await furnisher.submit(contract(2).encode(), proof=proof), 401, "unauthenticated")
    problem(await furnisher.submit(line.encode(), proof=proof), 401, "unauthenticated")
    assert await served.size() == before


@pytest.mark.parametrize("line", [contract(1), "{", ""])
async def test_a_furnisher_that_was_suspended(served: Served, line: str) -> None:
    furnisher = await served.furnisher()
    async with served.world.log.writing() as writing:
        await bodies.suspend_body(writing, served.world.cast["furnisher"].body_id, "for a test", OPERATOR)
    before = await served.size()
    problem(await furnisher.submit(line.encode()), 403, "forbidden")
    assert await served.size() == before


async def test_furnishers_do_not_share_references(served: Served) -> None:
    """Each has its own; nobody learns of another's."""
    first, second = await served.furnisher(), await served.furnisher("court", ["FIN"])
    assert (await first.lines(contract(1)))["enrolled"] == 1
    assert (await second.lines(contract(1, type="housing")))["enrolled"] == 1


async def test_furnishers_of_the_same_persons_at_once(served: Served) -> None:
    first, second = await served.furnisher(), await served.furnisher("court", ["FIN"])
    answers: list[dict[str, Any]] = await asyncio.gather(
        *(
            who.lines(*(contract(n, f"{at}-{n}") for n in range(1, 30)))
            for at in range(2)
            for who in (first, second)
        )
    )
    assert [answer["enrolled"] for answer in answers] == [29] * 4
    court = await served.court(7)
    assert len((await court.ask()).json()["records"]) == 4
    async with served.world.vault.engine.connect() as connection:
        (known,) = (await connection.exec_driver_sql("SELECT count(*) FROM vault.subject")).one()
        (named,) = (
            await connection.exec_driver_sql("SELECT count(*) FROM vault.record WHERE category = 'IDN'")
        ).one()
    assert (known, named) == (29, 29)


async def test_all_or_nothing_keeps_none_where_one_is_bad(served: Served) -> None:
    furnisher = await served.furnisher()
    before = await served.size()
    lines = [contract(1), contract(2), contract(1, type="housing")]
    response = await furnisher.submit("\n".join(lines).encode(), query="all_or_nothing=true")
    answer = SubmissionsOut.model_validate(response.json())
    assert (answer.enrolled, answer.standing, answer.passed, answer.rejected) == (0, 0, 2, 1)
    assert (answer.rejects[0].line, answer.rejects[0].rule) == (3, "7.1")
    assert await served.size() == before
    response = await furnisher.submit("\n".join(lines[:2]).encode(), query="all_or_nothing=true")
    assert counts(response) == (2, 0, 0)
    response = await furnisher.submit("\n".join([*lines[:2], "{"]).encode(), query="all_or_nothing=true")
    assert counts(response) == (0, 2, 1)
    assert await served.size() == before + 2


async def test_what_is_kept_whole_has_a_bound(served: Served) -> None:
    furnisher = await served.furnisher()
    response = await furnisher.submit(b"{\n" * (MOST_AT_ONCE + 1), query="all_or_nothing=true")
    assert "4096 lines" in problem(response, 413, "too-large")["detail"]


async def test_a_furnisher_reads_its_own_quality(served: Served) -> None:
    furnisher = await served.furnisher()
    assert (await furnisher.quality()).json() == {"months": []}
    lines = [contract(1), contract(2), contract(1, supersedes=(1, "change"), status="settled"), "{"]
    await furnisher.lines(*lines)
    await furnisher.lines(*lines)
    (month,) = QualityOut.model_validate((await furnisher.quality()).json()).months
    assert (month.enrolled, month.corrected) == ({"FIN": 2}, {"change": 1})
    assert sum(month.late.values()) == 3
    assert month.rejected == {"1.3": 2}
    other = await served.furnisher("court", ["FIN"])
    assert (await other.quality()).json() == {"months": []}
    # A token for a query is none for this.
    grant = await served.court(1)
    asking = Furnishing(served.http, grant.client, grant.token)
    problem(await asking.quality(), 403, "forbidden")
