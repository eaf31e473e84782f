"""The fault table of sequencing: each write fails lost and persisted, with one worker and with two.

Afterwards, through the normal path: one chain, which the auditor and the examination find whole; nothing
released without an entry; no receipt for a lost entry; and type 10 for each permit whose commit had passed.
"""

import asyncio
from collections.abc import Sequence

import httpx
import pytest

from access_log.checkpoint import open_note
from access_log.entry import Entry, EntryType
from access_log.errors import LogUnavailableError
from access_log.fsck import examine_log
from access_log.lock import OutsideLock, Raised
from access_log.log import SYSTEM_STREAM, Appended, Log
from access_log.receipt import verify_receipt
from access_log.verify import audit_entries
from tests.access_log.logs import another_worker, append, keys_of, operated, root_of, stored_entries
from tests.crash.outcomes import Outcome
from tests.crash.test_outcomes import _asked, _of_type, _settled
from tests.faults.sequencing import AFTER_COMMIT, COMMIT, OUTCOMES, STEPS, failing, stands
from tests.flows.audit import check_answers, check_uses, check_whole
from tests.flows.serving import in_this_process
from tests.flows.world import World
from vault.server.embedded import EmbeddedDatabase

_BEFORE = 250  # so that the next entries fill a tile
_EACH = 3
_CALLERS = 4
# A signer in this process fails by a defect only, which the one who asked is told as such.
_UNRELEASED = dict.fromkeys(STEPS, httpx.codes.SERVICE_UNAVAILABLE) | {
    "signature": httpx.codes.INTERNAL_SERVER_ERROR
}


@pytest.fixture
def superuser(postgres: EmbeddedDatabase, database_name: str) -> str:
    """The test's database, as who may end its connections."""
    return postgres.url("postgres", database_name)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("step", STEPS)
async def test_a_write_of_sequencing_fails(
    log: Log, superuser: str, step: str, outcome: Outcome, workers: int
) -> None:
    await append(log, _BEFORE)
    running = [log, *(another_worker(log.engine, log.outside.path) for _ in range(1, workers))]
    for other in running[1:]:
        await other.start()
    with failing(superuser, step, outcome):
        tried = await _append_at_once(running)
    released = [one for one in tried if isinstance(one, Appended)]
    failed = [one for one in tried if not isinstance(one, Appended)]
    assert all(isinstance(one, Exception) for one in failed)
    assert len(failed) == _CALLERS, "one transaction fails, whole; another worker's does not"
    durable = len(released) + (len(failed) if stands(step, outcome) else 0)
    assert len(await stored_entries(log)) == _BEFORE + durable * _EACH
    # Recovery is the normal path.
    again = await _append_at_once(running)
    assert all(isinstance(one, Appended) for one in again)
    assert all(worker.running for worker in running)
    await _check(log, released + [one for one in again if isinstance(one, Appended)])


async def test_a_glance_at_the_lock_that_fails_stops_nothing(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The raise reads the lock again, under it: what the glance could not tell is met there."""
    await append(log, _BEFORE)

    def blind(_: OutsideLock) -> Raised:
        raise LogUnavailableError("the outside lock cannot be used")

    monkeypatch.setattr(OutsideLock, "glance", blind)
    appended = await _append_at_once([log])
    await _check(log, [one for one in appended if isinstance(one, Appended)])
    assert len(await stored_entries(log)) == _BEFORE + _CALLERS * _EACH


async def _append_at_once(workers: Sequence[Log]) -> list[Appended | BaseException]:
    asked = [
        worker.append([operated(SYSTEM_STREAM, f"act {number}") for number in range(_EACH)])
        for worker in workers
        for _ in range(_CALLERS)
    ]
    return await asyncio.gather(*asked, return_exceptions=True)


async def _check(log: Log, released: Sequence[Appended]) -> None:
    entries = await stored_entries(log)
    held = log.outside.read()
    assert (held.size, held.root) == (len(entries), root_of(entries))
    assert open_note(held.note, keys_of(log)).root == held.root
    audit_entries(log.origin, entries, root=held.root)
    report = await examine_log(log, altered=(), retention_years=10)
    assert report.sound, report
    indexes = [index for one in released for index in one.indexes]
    assert len(set(indexes)) == len(indexes) == len(released) * _EACH
    for one in released:
        for index, receipt in zip(one.indexes, one.receipts, strict=True):
            verified = verify_receipt(receipt, keys_of(log))
            assert (verified.index, verified.entry) == (index, Entry.decode(entries[index]))
            assert verified.checkpoint.root == root_of(entries[: verified.checkpoint.size])


@pytest.mark.slow
@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("step", ["payloads", "entries", COMMIT, *AFTER_COMMIT])
async def test_queries_whose_sequencing_fails(
    world: World, superuser: str, step: str, outcome: Outcome
) -> None:
    async with in_this_process(world.vault) as http:
        await world.enrol(http, [1, 2])
        court, bank = await world.statutory(http, 1), await world.consented(http, 2, 3)
        with failing(superuser, step, outcome):
            statuses = await _asked(court, court, bank, bank)
        lost = len(statuses) - statuses.count(httpx.codes.OK)
        assert lost, "nothing of it was released"
        assert set(statuses) <= {httpx.codes.OK, _UNRELEASED[step]}
        await _settled(world.vault)
        logged = await check_whole(world.vault)
        owed = lost if stands(step, outcome) else 0
        assert len(_of_type(logged, EntryType.NOT_RELEASED)) == owed
        assert len(_of_type(logged, EntryType.QUERY_PERMITTED)) == len(statuses) - lost + owed
        answer = await court.ask()
        assert answer.status_code == httpx.codes.OK
        logged = await check_whole(world.vault)
        check_answers(world.vault, [answer.json()], logged)
        await check_uses(world.vault, logged)
