"""kill -9 while a log is closed: the old log goes on as if nothing was, or closing it again goes on."""

import json

import pytest

from access_log import closing, writes
from access_log.errors import LogClosedError
from access_log.fsck import examine_log
from access_log.succession import parse_succession, pass_over
from tests.access_log.logs import append, check_chain
from tests.crash.commands import killed, run
from vault.crypto.errors import CryptoError
from vault.server.assembly import open_log, open_vault, set_up
from vault.server.settings import Settings

NEXT = "creditvault.test/log/next"
_CLOSE = ("log", "close", "--new-origin", NEXT, "--yes", "--json")

# The command starts the old log first, so it takes the head lock, signs and raises once before it closes it;
# the empty tree of the next log is signed before that log's lock is made. Its file of endings comes first,
# with three writes at an offset and a link.
WHILE_OPEN = [
    ("before-seeds", 1),
    ("after-seeds", 3),
    ("after-head-lock", 1),
    ("before-lock", 1),
    ("torn-lock", 1),
    ("torn-lock", 4),
    ("before-lock-is-placed", 1),
    ("before-lock-is-placed", 2),
    ("after-lock-is-placed", 2),
    ("after-lock", 1),
    ("after-entries", 1),
    ("before-head-is-closed", 1),
    ("after-head-is-closed", 1),
    ("before-commit", 1),
]
BETWEEN = [
    ("after-commit", 1),
    ("before-sign", 3),
    ("before-raise", 2),
    ("torn-lock-write", 5),
    ("after-raise", 2),
    ("before-next-head", 1),
    ("after-head", 1),
    ("after-entries", 2),
    ("before-commit", 2),
]
WHEN_OPENED = [
    ("after-commit", 2),
    ("before-lock-is-ended", 1),
    ("torn-lock-write", 6),
    ("after-lock-is-ended", 1),
    ("before-raise", 3),
    ("after-raise", 3),
    ("before-succession", 1),
    ("after-succession", 1),
]


async def _filled(settings: Settings, url: str) -> list[str]:
    """A vault whose log has three entries; returns their receipts."""
    await set_up(settings, url)
    async with open_vault(settings, url) as vault:
        return list((await append(vault.log, 3)).receipts)


async def _logs(settings: Settings, url: str) -> list[writes.Named]:
    async with open_log(settings, url) as log, log.engine.connect() as connection:
        return await writes.logs(connection)


async def _closed_again(settings: Settings, url: str) -> None:
    """Closing it once more leaves two sound logs, of which the next is open, and a way to it."""
    ran = await run(settings, *_CLOSE)
    assert ran.returncode == 0, ran.stderr
    done = json.loads(ran.stdout)
    assert (done["opened"], done["planned"], done["missing"]) == (NEXT, True, 0)
    with pytest.raises(LogClosedError, match=f"CREDITVAULT_LOG_ORIGIN={NEXT}"):
        async with open_vault(settings, url):
            pass
    moved = settings.model_copy(update={"log_origin": NEXT})
    async with open_vault(moved, url) as vault:
        await append(vault.log)
        keys = [key for log in vault.logs for key in await log.every_verifier_key()]
        (opening,) = parse_succession(await closing.succession(vault.log))
        assert pass_over(opening, keys).closed.size == vault.logs[0].outside.read().size
    for each in (settings, moved):
        async with open_log(each, url) as log:
            await check_chain(log)
            report = await examine_log(log, altered=(CryptoError,), retention_years=10)
            assert report.sound, report.findings


async def _after_a_kill(settings: Settings, step: str, nth: int) -> list[writes.Named]:
    url = str(settings.database_url)
    receipts = await _filled(settings, url)
    await killed(settings, step, nth, *_CLOSE)
    logs = await _logs(settings, url)
    if logs[0].successor is None:
        async with open_vault(settings, url) as vault:
            await append(vault.log)
    await _closed_again(settings, url)
    async with open_log(settings, url) as log:
        entries = await check_chain(log)
    assert len(receipts) == 3
    assert len(entries) == 4 + (logs[0].successor is None)
    return logs


@pytest.mark.slow
@pytest.mark.parametrize(("step", "nth"), WHILE_OPEN)
async def test_killed_before_it_is_closed_the_log_goes_on(
    vault_settings: Settings, step: str, nth: int
) -> None:
    assert [one.successor for one in await _after_a_kill(vault_settings, step, nth)] == [None]


@pytest.mark.slow
@pytest.mark.parametrize(("step", "nth"), BETWEEN)
async def test_killed_between_no_log_is_open(vault_settings: Settings, step: str, nth: int) -> None:
    assert [one.successor for one in await _after_a_kill(vault_settings, step, nth)] == [NEXT]


@pytest.mark.slow
@pytest.mark.parametrize(("step", "nth"), WHEN_OPENED)
async def test_killed_after_the_next_was_opened_it_is_completed(
    vault_settings: Settings, step: str, nth: int
) -> None:
    logs = await _after_a_kill(vault_settings, step, nth)
    assert [one.successor for one in logs] == [NEXT, None]
