"""A whole file: what was examined is what is enrolled, or the rest of it is not."""

from collections.abc import Iterator
from io import BytesIO

import pytest
from sqlalchemy import text

from tests.flows.world import contract
from tests.vault.records.test_enrol import FURNISHER, _Guard, counts, enrol, enrolment
from vault.records.enrol import CHUNK, Enrolled, Passed
from vault.records.readers import Row, read_ndjson
from vault.records.submission import Rejected
from vault.records.whole import WholeChangedError, WholeFile
from vault.server.assembly import Vault

ROWS = CHUNK + 10


def whole(vault: Vault) -> WholeFile:
    return WholeFile(vault.engine, vault.intake, enrolment(vault), FURNISHER)


def rows(*changed: tuple[int, str]) -> Iterator[Row | Rejected]:
    lines = [contract(n % 3 + 1, f"row-{n}") for n in range(ROWS)]
    for at, line in changed:
        lines[at] = line
    return read_ndjson(BytesIO("\n".join(lines).encode()))


async def test_examining_writes_nothing(vault: Vault) -> None:
    before = await counts(vault)
    results = [one async for one in whole(vault).examine(rows())]
    assert {type(one) for one in results} == {Passed}
    assert await counts(vault) == before
    async with vault.engine.connect() as connection:
        assert not await connection.scalar(text("SELECT count(*) FROM vault.examined"))


async def test_what_the_file_itself_supersedes_passes(vault: Vault) -> None:
    """Versions of one record, chunks apart."""
    file, later = whole(vault), contract(1, "row-0", supersedes=(1, "error"))
    results = [one async for one in file.examine(rows((ROWS - 1, later)))]
    assert {type(one) for one in results} == {Passed}
    done = [one async for one in file.enrol(rows((ROWS - 1, later)), _Guard())]
    assert all(isinstance(one, Enrolled) and one.new for one in done)


async def test_a_file_that_changed_is_not_enrolled_further(vault: Vault) -> None:
    file = whole(vault)
    assert len([one async for one in file.examine(rows())]) == ROWS
    taking = file.enrol(rows((ROWS - 1, contract(9, "another"))), _Guard())
    done = [await anext(taking) for _ in range(CHUNK)]
    with pytest.raises(WholeChangedError, match="changed while it was read"):
        await anext(taking)
    assert all(isinstance(one, Enrolled) for one in done)
    assert (await counts(vault))["access_log.entry"] == CHUNK


@pytest.mark.parametrize("more", ["", contract(9, "more")], ids=["shorter", "longer"])
async def test_nor_is_one_that_became_longer_or_shorter(vault: Vault, more: str) -> None:
    file = whole(vault)
    lines = [contract(1, "a"), contract(2, "b")]
    assert len([one async for one in file.examine(read_ndjson(BytesIO("\n".join(lines).encode())))]) == 2
    changed = [*lines, more] if more else lines[:1]
    with pytest.raises(WholeChangedError):
        [one async for one in file.enrol(read_ndjson(BytesIO("\n".join(changed).encode())), _Guard())]
    assert (await counts(vault))["access_log.entry"] == 0


async def test_who_hands_in_under_the_same_reference_meanwhile_stops_it(vault: Vault) -> None:
    file = whole(vault)
    assert len([one async for one in file.examine(rows())]) == ROWS
    await enrol(vault, contract(1, f"row-{ROWS - 1}", type="housing"))
    with pytest.raises(WholeChangedError, match="same references meanwhile"):
        [one async for one in file.enrol(rows(), _Guard())]
    # Nothing of the chunk that the other was in.
    assert (await counts(vault))["access_log.entry"] == CHUNK + 1
