"""Versions: a furnisher mends its own record, and says which version it supersedes and why."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from access_log.entry import EntryType
from access_log.streams import entries_of
from tests.flows.world import contract
from tests.vault.people import find
from tests.vault.records.test_enrol import counts, enrol, own_records
from vault.records.enrol import Enrolled, RowResult
from vault.records.references import Held, Refusal, take
from vault.records.submission import Rejected, Submission, Supersedes
from vault.server.assembly import Vault

LATER = contract(1, supersedes=(1, "change"), status="settled")


def rules(results: list[RowResult]) -> list[str]:
    return [one.rule if isinstance(one, Rejected) else str(getattr(one, "new", "")) for one in results]


async def versions(vault: Vault) -> list[tuple[int, bool]]:
    """Of every contract: version, and whether it is superseded."""
    found = text("SELECT version, superseded FROM vault.record WHERE category = 'FIN' ORDER BY version")
    async with vault.engine.connect() as connection:
        return [(row[0], row[1]) for row in await connection.execute(found)]


async def test_a_later_version_takes_the_place_of_the_one_before(vault: Vault) -> None:
    await enrol(vault, contract(1))
    assert rules(await enrol(vault, LATER)) == ["True"]
    (values,) = [values for category, values in await own_records(vault, 1) if category == "FIN"]
    assert values["status"] == "settled"
    assert values["_supersedes"] == {"version": 1, "reason": "change"}
    assert await versions(vault) == [(1, True), (2, False)]
    row = await find(vault, 1)
    assert row is not None
    async with vault.engine.connect() as connection:
        newest, oldest = await entries_of(connection, vault.log, row.person.stream_id, row.created_at)
    assert newest.payload is not None
    assert oldest.payload is not None
    told: dict[str, Any] = dict(newest.payload.values())
    before: dict[str, Any] = dict(oldest.payload.values())
    assert newest.entry.type is EntryType.RECORD
    assert told["event"] == "record superseded"
    assert told["object"] == [[before["object"][0][0], 2, "FIN"]]


async def test_the_same_again_changes_nothing_whichever_version_it_is(vault: Vault) -> None:
    await enrol(vault, contract(1), LATER)  # both in one chunk
    before = await counts(vault)
    assert rules(await enrol(vault, contract(1), LATER)) == ["False", "False"]
    assert await counts(vault) == before
    assert await versions(vault) == [(1, True), (2, False)]
    third = contract(1, supersedes=(2, "error"))
    assert rules(await enrol(vault, third, contract(1), LATER)) == ["True", "False", "False"]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (contract(1, status="settled"), "7.1"),
        (contract(2, "nothing here", supersedes=(1, "error")), "7.2"),
        (contract(1, supersedes=(2, "error")), "7.2"),
        (contract(2, "contract-1", supersedes=(1, "error")), "7.2"),  # another person, not known yet
        (contract(3, "contract-1", supersedes=(1, "error")), "7.2"),  # and one who is
    ],
)
async def test_what_supersedes_nothing_is_turned_away(vault: Vault, line: str, rule: str) -> None:
    await enrol(vault, contract(1), contract(3))
    (rejected,) = await enrol(vault, line)
    assert isinstance(rejected, Rejected)
    assert rejected.rule == rule
    assert await versions(vault) == [(1, False), (1, False)]


async def test_a_record_that_was_repaired_is_not_brought_back(vault: Vault) -> None:
    await enrol(vault, contract(1))
    async with vault.engine.begin() as connection:
        await connection.execute(text("UPDATE vault.record SET state = 'repaired'"))
    assert rules(await enrol(vault, LATER)) == ["7.2"]


class _Opened:
    def __init__(self, vault: Vault) -> None:
        self.vault = vault


@pytest.fixture
def opened(vault: Vault) -> _Opened:
    return _Opened(vault)


OWNERS = (b"one", b"other")
ROW = st.tuples(
    st.sampled_from(OWNERS), st.sampled_from(["FIN", "LAB"]), st.integers(0, 2), st.integers(0, 4)
)


@given(st.lists(ROW, max_size=30))
def test_whatever_comes_versions_run_from_one_and_keep_person_and_category(
    rows: list[tuple[bytes, str, int, int]],
) -> None:
    """Against a naive model: the list of contents that were taken."""
    held: Held | None = None
    taken: list[bytes] = []
    for owner, category, kind, superseded in rows:
        supersedes = Supersedes(superseded, "error") if superseded else None
        content = repr((owner, category, kind, superseded)).encode()
        result = take(_submission(category, supersedes), content, owner, held)
        expected = (
            "stands"
            if content in taken
            else "taken"
            if superseded == len(taken) and (held is None or (held.owner, held.category) == (owner, category))
            else "refused"
        )
        told = "stands" if result is None else "refused" if isinstance(result, Refusal) else "taken"
        assert told == expected
        if isinstance(result, Held):
            taken.append(content)
            assert result.version == len(taken)
            assert held is None or result.record_id == held.record_id
            held = result


def _submission(category: str, supersedes: Supersedes | None) -> Submission:
    identifier = object()
    return Submission(identifier, None, category, "r", "b", None, None, None, supersedes, {})  # type: ignore[arg-type]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(1, 3))
async def test_however_versions_are_cut_into_chunks_one_is_current(
    opened: _Opened, sizes: list[int], seed: int
) -> None:
    vault, reference = opened.vault, "-".join(map(str, (*sizes, seed)))
    lines = [contract(seed, reference)]
    for version in range(1, sum(sizes)):
        status = "settled" if version % 2 else "performing"
        lines.append(contract(seed, reference, supersedes=(version, "change"), status=status))
    for size in sizes:
        chunk, lines = lines[:size], lines[size:]
        results = await enrol(vault, *chunk)
        assert all(isinstance(one, Enrolled) for one in results)
    async with vault.engine.connect() as connection:
        current = await connection.execute(
            text(
                "SELECT count(*) FILTER (WHERE NOT superseded), max(version), min(version), count(*)"
                " FROM vault.record WHERE category = 'FIN' GROUP BY record_id"
            )
        )
        assert {row[0] for row in current} == {1}
