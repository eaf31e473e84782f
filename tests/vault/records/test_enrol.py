"""The door in: all rows of a chunk stand with their entries, or none; and a retry changes nothing."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from access_log import streams
from access_log.errors import LogUnavailableError
from access_log.fsck import examine_log
from access_log.log import Writing
from tests.flows.world import contract
from tests.vault.people import blind, find, met
from vault.crypto.blind import DEMO_ID
from vault.crypto.envelopes import RecordKey
from vault.crypto.errors import CryptoError
from vault.crypto.journal import UNNAMED
from vault.records import store, subjects
from vault.records.enrol import CHUNK, Enrolled, Enrolment, Furnisher, RowResult
from vault.records.readers import Row, read_ndjson
from vault.records.submission import Accepted, Rejected
from vault.server.assembly import Vault

FURNISHER = Furnisher(uuid4(), "somebody", "furnisher")
Act = Callable[[Writing], Awaitable[None]]


@dataclass
class _Guard:
    """Counts what it is asked; may act under the lock."""

    act: Act | None = None
    asked: int = 0
    stood: int = 0

    async def __call__(self, writing: Writing) -> None:
        self.asked += 1
        if self.act is not None:
            await self.act(writing)

    def committed(self) -> None:
        self.stood += 1


class _RefusedError(Exception):
    """A guard's."""


def accepted(vault: Vault, *lines: str) -> list[Accepted]:
    rows = [row for row in read_ndjson(BytesIO("\n".join(lines).encode())) if isinstance(row, Row)]
    checked = [vault.intake.check(row) for row in rows]
    assert not [one for one in checked if isinstance(one, Rejected)]
    return [one for one in checked if isinstance(one, Accepted)]


def enrolment(vault: Vault) -> Enrolment:
    return Enrolment(vault.log, vault.keys, vault.catalogue)


async def enrol(vault: Vault, *lines: str, guard: _Guard | None = None) -> list[RowResult]:
    return await enrolment(vault).enrol(accepted(vault, *lines), FURNISHER, guard)


async def counts(vault: Vault) -> dict[str, int]:
    """What stands in the tables."""
    tables = ("vault.subject", "vault.identifier", "vault.record", "access_log.entry", "access_log.stream")
    async with vault.engine.connect() as connection:
        return {
            table: int(await connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)
            for table in tables
        }


async def own_records(vault: Vault, n: int) -> list[tuple[str, dict[str, Any]]]:
    """Every record of a person, opened whole."""
    row = await find(vault, n)
    assert row is not None
    (key,) = await vault.keys.subject_keys([(row.person.subject_id, row.wrapped_key)], [UNNAMED])
    async with vault.engine.connect() as connection:
        records = await store.own(connection, row.person.subject_id)
    months = await vault.keys.expiry.load({one.expiry_id for one in records})
    opened = []
    for one in records:
        record_key = RecordKey.unwrap(
            key,
            one.record_id,
            one.version,
            expiry_key=months[one.expiry_id],
            wrapped=one.wrapped_key,
            key_check=one.key_check,
        )
        sealer = record_key.fields(one.category)
        values = {name: json.loads(sealer.open(name, sealed)) for name, sealed in one.sealed.items()}
        opened.append((one.category, values))
    return opened


def new(results: Sequence[RowResult]) -> list[bool]:
    assert all(isinstance(one, Enrolled) for one in results), results
    return [one.new for one in results if isinstance(one, Enrolled)]


async def test_what_is_sealed_is_what_was_submitted(vault: Vault) -> None:
    line = json.loads(contract(1))
    await enrol(vault, contract(1))
    identity, credit = sorted(await own_records(vault, 1), reverse=True)
    assert identity == (
        "IDN",
        {"number": line["subject"]["number"], "_scheme": DEMO_ID, "name": line["subject"]["name"]},
    )
    assert credit == (
        "FIN",
        {**line["fields"], "_reference": line["furnisher_reference"], "_document": line["document"]},
    )


async def test_nothing_of_it_stands_in_the_tables(vault: Vault) -> None:
    await enrol(vault, contract(1))
    line = json.loads(contract(1))
    async with vault.engine.connect() as connection:
        rows = [
            tuple(row)
            for table in ("vault.subject", "vault.identifier", "vault.record", "access_log.payload")
            for row in await connection.execute(text(f"SELECT * FROM {table}"))
        ]
    stored = b"".join(_bytes_in(rows))
    assert b"FIN" in stored
    for value in (*line["subject"].values(), "vehicle", "C-1", "10k-50k", "contract-1"):
        assert value == DEMO_ID or value.encode() not in stored


def _bytes_in(value: object) -> Iterator[bytes]:
    """Every byte of whatever the database gave, texts and arrays too."""
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _bytes_in(each)
    else:
        yield str(value).encode()


async def test_the_identity_is_recorded_once(vault: Vault) -> None:
    await enrol(vault, contract(1), contract(1, "second"))
    await enrol(vault, contract(1, "third"))
    assert sorted(category for category, _ in await own_records(vault, 1)) == ["FIN", "FIN", "FIN", "IDN"]
    assert await counts(vault) == {
        "vault.subject": 1,
        "vault.identifier": 1,
        "vault.record": 4,
        "access_log.entry": 3,
        "access_log.stream": 3,
    }


async def test_a_person_made_by_a_consent_gets_no_second_row(vault: Vault) -> None:
    """Known by their own coming: their first record finds them, and their identity stands once."""
    async with vault.log.writing() as writing:
        made = await vault.identities.find_or_add(writing, await met(vault, 1))
    await enrol(vault, contract(1))
    row = await find(vault, 1)
    assert row is not None
    assert row.person == made
    assert (await counts(vault))["vault.subject"] == 1
    assert sorted(category for category, _ in await own_records(vault, 1)) == ["FIN", "IDN"]


async def test_who_was_made_without_an_identity_gets_one_with_their_next_record(vault: Vault) -> None:
    """Earlier releases made persons who came by themselves so."""
    place = (DEMO_ID, await blind(vault, 1))
    ((one, _),) = (await subjects.introduce(vault.keys, [place])).values()
    async with vault.log.writing() as writing:
        await subjects.add(vault.log, writing.connection, [one])
    await enrol(vault, contract(1), contract(1, "second"))
    records = dict(await own_records(vault, 1))
    assert records["IDN"]["number"] == json.loads(contract(1))["subject"]["number"]
    assert (await counts(vault))["vault.record"] == 3


async def test_a_retry_changes_nothing(vault: Vault) -> None:
    lines = [contract(n) for n in (1, 2, 3)]
    assert new(await enrol(vault, *lines)) == [True] * 3
    before = await counts(vault)
    for _ in range(2):
        results = await enrol(vault, *lines)
        assert new(results) == [False] * 3
        assert [one.receipt for one in results if isinstance(one, Enrolled)] == [None] * 3
    assert await counts(vault) == before
    assert new(await enrol(vault, *lines, contract(4))) == [False, False, False, True]


class _Opened:
    """A vault whose representation is short enough for Hypothesis."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault


@pytest.fixture
def opened(vault: Vault) -> _Opened:
    return _Opened(vault)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 3), st.sampled_from(["a", "b", "c"]), st.sampled_from(["vehicle", "housing"])
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 8),
)
async def test_each_reference_stands_with_the_first_content(
    opened: _Opened, rows: list[tuple[int, str, str]], split: int
) -> None:
    """Whatever the order, and however the rows are cut into chunks; each example has its own furnisher."""
    vault, furnisher = opened.vault, Furnisher(uuid4(), "somebody", "furnisher")
    lines = [contract(n, reference, type=kind) for n, reference, kind in rows]
    results: list[RowResult] = []
    for chunk in (lines[:split], lines[split:]):
        if chunk:
            results += await enrolment(vault).enrol(accepted(vault, *chunk), furnisher)
    standing: dict[str, tuple[int, str]] = {}
    for (n, reference, kind), result in zip(rows, results, strict=True):
        first = standing.setdefault(reference, (n, kind))
        if first != (n, kind):
            assert isinstance(result, Rejected)
            assert (result.column, result.rule) == ("furnisher_reference", "7.1")
        else:
            assert isinstance(result, Enrolled)
    assert sum(isinstance(one, Enrolled) and one.new for one in results) == len(standing)


# ── Guards ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_guard_that_refuses_leaves_nothing(vault: Vault) -> None:
    async def refuse(writing: Writing) -> None:
        await writing.connection.execute(text("DELETE FROM access_log.stream"))
        raise _RefusedError

    before = await counts(vault)
    guard = _Guard(refuse)
    with pytest.raises(_RefusedError):
        await enrol(vault, contract(1), guard=guard)
    assert await counts(vault) == before
    assert (guard.asked, guard.stood) == (1, 0)
    assert await find(vault, 1) is None
    assert new(await enrol(vault, contract(1), guard=_Guard())) == [True]


async def test_a_guard_is_asked_for_each_chunk_and_told_when_it_stands(vault: Vault) -> None:
    guard = _Guard()
    rows = read_ndjson(BytesIO("\n".join(contract(1, f"{n}") for n in range(CHUNK + 3)).encode()))
    results = [one async for one in vault.intake.take_in(rows, FURNISHER, guard=guard)]
    assert new(results) == [True] * (CHUNK + 3)
    assert (guard.asked, guard.stood) == (2, 2)


@pytest.mark.parametrize("lines", [[], ["{"], ["{", "[]"]])
async def test_a_guard_is_asked_even_for_nothing(vault: Vault, lines: list[str]) -> None:
    guard = _Guard()
    rows = list(read_ndjson(BytesIO("\n".join(lines).encode())))
    results = [one async for one in vault.intake.take_in(rows, FURNISHER, guard=guard)]
    assert len(results) == len(lines)
    assert (guard.asked, guard.stood) == (1, 1)


# ── Races ────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Racing:
    """Enrols something else just before a chunk takes the lock, so that it must seal again."""

    vault: Vault
    lines: list[list[str]]
    results: list[list[RowResult]] = field(default_factory=list)

    async def first(self) -> None:
        if self.lines:
            self.results.append(await enrol(self.vault, *self.lines.pop(0)))


async def raced(vault: Vault, others: _Racing, *lines: str, guard: _Guard | None = None) -> list[RowResult]:
    """Enrols while `others` are always faster, between the look-up and the lock."""
    slow = enrolment(vault)
    seal = slow._seal

    async def seal_then_lose(*given: Any, whole: bool) -> Any:
        sealed = await seal(*given, whole=whole)
        await others.first()
        return sealed

    slow._seal = seal_then_lose  # type: ignore[method-assign, assignment]  # the moment between the two steps
    return await slow.enrol(accepted(vault, *lines), FURNISHER, guard)


async def test_another_was_faster_with_the_same_person(vault: Vault) -> None:
    others = _Racing(vault, [[contract(1, "theirs")]])
    guard = _Guard()
    assert new(await raced(vault, others, contract(1, "ours"), contract(2), guard=guard)) == [True, True]
    assert (guard.asked, guard.stood) == (2, 1)
    assert sorted(category for category, _ in await own_records(vault, 1)) == ["FIN", "FIN", "IDN"]
    assert (await counts(vault))["vault.subject"] == 2


async def test_another_was_faster_with_the_same_row(vault: Vault) -> None:
    others = _Racing(vault, [[contract(1)]])
    assert new(await raced(vault, others, contract(1), contract(2))) == [False, True]
    assert (await counts(vault))["access_log.entry"] == 2


async def test_another_was_faster_with_other_content(vault: Vault) -> None:
    others = _Racing(vault, [[contract(1, type="housing")]])
    rejected, enrolled = await raced(vault, others, contract(1), contract(2))
    assert isinstance(rejected, Rejected)
    assert rejected.rule == "7.1"
    assert isinstance(enrolled, Enrolled)


async def test_whoever_always_loses_is_told_to_try_again(vault: Vault) -> None:
    others = _Racing(vault, [[contract(n)] for n in range(1, 9)])
    guard = _Guard()
    with pytest.raises(LogUnavailableError, match="try again"):
        await raced(vault, others, *(contract(n, f"ours-{n}") for n in range(1, 9)), guard=guard)
    assert guard.stood == 0
    assert others.lines == []
    assert new([one for each in others.results for one in each]) == [True] * 8


async def test_two_workers_enrol_the_same_at_once(vault: Vault) -> None:
    lines = [contract(n) for n in range(1, 20)]
    results = await asyncio.gather(*(enrol(vault, *lines[at:], *lines[:at]) for at in (0, 3, 11)))
    assert sum(sum(new(each)) for each in results) == len(lines)
    assert (await counts(vault))["access_log.entry"] == len(lines)


# ── The log ──────────────────────────────────────────────────────────────────────────────────────


async def test_each_person_finds_their_own_entries(vault: Vault) -> None:
    await enrol(vault, contract(1), contract(2), contract(1, "second"))
    row = await find(vault, 1)
    assert row is not None
    async with vault.engine.connect() as connection:
        found = await streams.entries_of(connection, vault.log, row.person.stream_id, row.created_at)
    assert [one.index for one in found] == [2, 0]
    told = [one.payload.values() for one in found if one.payload is not None]
    assert {one["subject"] for one in told} == {str(row.person.subject_id)}


async def test_the_log_is_sound_after_all_that(vault: Vault) -> None:
    await enrol(vault, *(contract(n % 7 + 1, f"{n}") for n in range(40)))
    with pytest.raises(_RefusedError):
        await enrol(vault, contract(50), guard=_Guard(_refuse))
    await enrol(vault, contract(50))
    report = await examine_log(vault.log, altered=(CryptoError,), retention_years=10)
    assert report.findings == ()
    assert report.entries == 41


async def _refuse(_writing: Writing) -> None:
    raise _RefusedError


async def test_nothing_is_enrolled_without_keys(vault: Vault) -> None:
    before = await counts(vault)
    path = vault.settings.keyring_path
    away = path.rename(path.with_suffix(".away"))
    with pytest.raises(CryptoError):
        await enrol(vault, contract(1))
    assert await counts(vault) == before
    away.rename(path)
    assert new(await enrol(vault, contract(1))) == [True]
