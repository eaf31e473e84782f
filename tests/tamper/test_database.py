"""The tamper campaign on a real database: what its owner can do to the rows, found by fsck.

Set `TAMPER_SEED` to repeat a run; the seed and the counts are printed.
"""

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from tests.access_log.test_fsck import FIRST, SECOND, SIZE, Filled, filled
from tests.tamper.test_published import seed

__all__ = ["filled"]  # The fixture: a log of `SIZE` entries on a database of its own.

_TABLES = ("head", "entry", "payload", "tile", "stream", "request")
_REQUESTS = tuple(range(0, SIZE, 7))

Alteration = Callable[[Random], tuple[str, int | None]]
"""Returns a statement that alters something, and the entry that must be named; None where any may be."""


def _flip(random: Random, table: str, column: str, size: int, where: str) -> str:
    byte, bit = random.randrange(size), 1 << random.randrange(8)
    return (
        f"UPDATE access_log.{table}"
        f" SET {column} = set_byte({column}, {byte}, get_byte({column}, {byte}) # {bit}) WHERE {where}"
    )


def entry_flipped(random: Random) -> tuple[str, int | None]:
    index = random.randrange(SIZE)
    return _flip(random, "entry", "entry", 106, f"index = {index}"), index


def entry_deleted(random: Random) -> tuple[str, int | None]:
    index = random.randrange(SIZE)
    return f"DELETE FROM access_log.entry WHERE index = {index}", index


def entries_exchanged(random: Random) -> tuple[str, int | None]:
    one, other = sorted(random.sample(range(SIZE), 2))
    return (
        "UPDATE access_log.entry AS e SET entry = k.entry FROM kept.entry AS k"
        f" WHERE e.index IN ({one}, {other}) AND k.index = {one + other} - e.index"
    ), None


def entries_cut(random: Random) -> tuple[str, int | None]:
    first = random.randrange(SIZE)
    return f"DELETE FROM access_log.entry WHERE index >= {first}", first


def payload_flipped(random: Random) -> tuple[str, int | None]:
    index = random.randrange(SIZE)
    return _flip(random, "payload", "sealed", 200, f"index = {index}"), index


def payload_deleted(random: Random) -> tuple[str, int | None]:
    index = random.randrange(SIZE)
    return f"DELETE FROM access_log.payload WHERE index = {index}", index


def payloads_exchanged(random: Random) -> tuple[str, int | None]:
    one, other = sorted(random.sample(range(SIZE), 2))
    return (
        "UPDATE access_log.payload AS p SET sealed = k.sealed FROM kept.payload AS k"
        f" WHERE p.index IN ({one}, {other}) AND k.index = {one + other} - p.index"
    ), one


def payload_of_no_entry(random: Random) -> tuple[str, int | None]:
    index = SIZE + random.randrange(1000)
    return (
        f"INSERT INTO access_log.payload (log, index, expiry_id, sealed) VALUES (1, {index}, 203601, '')",
        index,
    )


def tile_flipped(random: Random) -> tuple[str, int | None]:
    n, byte = random.randrange(2), random.randrange(256 * 32)
    bit = 1 << random.randrange(8)
    return (
        f"UPDATE access_log.tile SET hashes = set_byte(hashes, {byte}, get_byte(hashes, {byte}) # {bit})"
        f" WHERE index = {n}"
    ), n * 256 + byte // 32


def tile_root_flipped(random: Random) -> tuple[str, int | None]:
    n = random.randrange(2)
    return _flip(random, "tile", "root", 32, f"index = {n}"), n * 256


def stream_flipped(random: Random) -> tuple[str, int | None]:
    stream = random.choice((FIRST, SECOND)).hex()
    return _flip(random, "stream", "last_leaf", 32, f"stream_id = '\\x{stream}'"), None


def stream_set_back(random: Random) -> tuple[str, int | None]:
    stream = random.choice((FIRST, SECOND)).hex()
    by = random.randrange(1, 40)
    return f"UPDATE access_log.stream SET seq = seq - {by} WHERE stream_id = '\\x{stream}'", None


def stream_deleted(random: Random) -> tuple[str, int | None]:
    return (
        f"DELETE FROM access_log.stream WHERE stream_id = '\\x{random.choice((FIRST, SECOND)).hex()}'",
        None,
    )


def head_flipped(random: Random) -> tuple[str, int | None]:
    column, size = random.choice((("chain", 32), ("frontier", 4 * 32)))
    return _flip(random, "head", column, size, "true"), None


def head_moved(random: Random) -> tuple[str, int | None]:
    by = random.choice([each for each in range(-SIZE, SIZE) if each])
    return f"UPDATE access_log.head SET size = size + {by}", SIZE + min(by, 0)


def request_of_no_entry(random: Random) -> tuple[str, int | None]:
    index = SIZE + random.randrange(10_000)
    return f"UPDATE access_log.request SET index = {index} WHERE index = {random.choice(_REQUESTS)}", index


ALTERATIONS: dict[str, tuple[Alteration, int]] = {
    "a bit of an entry": (entry_flipped, 40),
    "an entry deleted": (entry_deleted, 20),
    "two entries exchanged": (entries_exchanged, 20),
    "the end cut off": (entries_cut, 20),
    "a bit of a sealed payload": (payload_flipped, 40),
    "a payload deleted": (payload_deleted, 20),
    "two payloads exchanged": (payloads_exchanged, 20),
    "a payload of no entry": (payload_of_no_entry, 10),
    "a bit of a tile": (tile_flipped, 20),
    "a bit of a tile's root": (tile_root_flipped, 10),
    "a bit of a stream's last leaf": (stream_flipped, 20),
    "a stream set back": (stream_set_back, 20),
    "a stream deleted": (stream_deleted, 4),
    "a bit of the head": (head_flipped, 20),
    "a head of another size": (head_moved, 20),
    "a request of no entry": (request_of_no_entry, 10),
}
"""Each alteration with the number of times the campaign makes it."""


def _keep(log: Filled) -> None:
    log.alter("CREATE SCHEMA kept")
    for table in _TABLES:
        log.alter(f"CREATE TABLE kept.{table} AS SELECT * FROM access_log.{table}")


def _put_back(log: Filled) -> None:
    log.alter(
        ";".join(
            f"DELETE FROM access_log.{table}; INSERT INTO access_log.{table} SELECT * FROM kept.{table}"
            for table in _TABLES
        )
    )


async def _campaign(log: Filled, times: Callable[[int], int], start: int | str) -> Counter[str]:
    """Make each alteration so many times; the log must be sound before each and at the end."""
    found: Counter[str] = Counter()
    _keep(log)
    assert (await log.examine()).sound
    for name, (alteration, most) in ALTERATIONS.items():
        random = Random(f"{start} {name}")
        for number in range(times(most)):
            statement, index = alteration(random)
            log.alter(statement)
            report = await log.examine()
            told = f"{name}, number {number}, TAMPER_SEED={start}: {statement}: {report.findings}"
            assert not report.sound, told
            assert report.findings, told
            if index is not None:
                assert index in [each.index for each in report.findings], told
            found[name] += 1
            _put_back(log)
        assert (await log.examine()).sound, name
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_hundreds_of_alterations_are_found(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    start = seed()
    with capsys.disabled():
        print(f"\ntamper campaign on a database, TAMPER_SEED={start}")
    found = await _campaign(filled, lambda most: most, start)
    with capsys.disabled():
        for name, count in found.items():
            print(f"  {count:5} {name}")
        print(f"  {found.total():5} alterations, each found")
    assert found == {name: most for name, (_, most) in ALTERATIONS.items()}
    assert found.total() >= 300
