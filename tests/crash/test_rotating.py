"""kill -9 while the log's keys are changed: nothing changed, or the next start completes the change."""

import pytest

from access_log.checkpoint import VerifierKey
from access_log.key_history import Succession, follow, parse_history
from access_log.roots import key_history as roots_history
from access_log.rotate import key_history
from tests.access_log.logs import append, check_chain
from tests.crash.commands import killed, run
from vault.server.assembly import open_vault, set_up
from vault.server.settings import Settings

_CHANGE = ("log", "rotate-key", "--yes", "--json")

# The command starts the log first, so it takes the head lock, signs and raises once before the change. The
# change signs with two keys; so does its completion.
BEFORE_COMMIT = [
    ("before-seeds", 1),
    ("after-seeds", 1),
    ("before-head-lock", 2),
    ("after-head-lock", 2),
    ("after-change-begun", 1),
    ("before-entries", 1),
    ("after-entries", 1),
    ("before-commit", 1),
]
AFTER_COMMIT = [
    ("after-commit", 1),
    ("before-sign", 2),
    ("before-sign", 3),
    ("after-sign", 3),
    ("before-raise", 2),
    ("torn-lock-write", 1),
    ("between-lock-write-and-sync", 1),
    ("after-lock-sync", 1),
    ("after-raise", 2),
    ("before-sign", 4),
    ("after-raise", 3),
    ("before-change-is-completed", 1),
    ("after-change-is-completed", 1),
    ("after-change", 1),
]


async def _first_key(settings: Settings, url: str) -> VerifierKey:
    await set_up(settings, url)
    async with open_vault(settings, url) as vault:
        await append(vault.log, 2)
        (key,) = await vault.log.verifier_keys()
        return key


async def _after_a_start(settings: Settings, url: str, first: VerifierKey) -> Succession:
    """What a start leaves: one chain, one set of keys in force, and a way to them from the first."""
    async with open_vault(settings, url) as vault:
        in_force = await vault.log.verifier_keys()
        succession = follow(parse_history(await key_history(vault.log)), [first])
        assert succession.keys == in_force
        assert len(in_force) == 1
        succession.open_note(vault.log.outside.read().note)
        await append(vault.log)
        await check_chain(vault.log)
        assert succession.open_note(vault.log.outside.read().note).size > succession.periods[-1].first
        return succession


@pytest.mark.slow
@pytest.mark.parametrize(("step", "nth"), BEFORE_COMMIT)
async def test_killed_before_the_commit_nothing_changed(
    vault_settings: Settings, step: str, nth: int
) -> None:
    url = str(vault_settings.database_url)
    first = await _first_key(vault_settings, url)
    await killed(vault_settings, step, nth, *_CHANGE)
    assert (await _after_a_start(vault_settings, url, first)).keys == (first,)


@pytest.mark.slow
@pytest.mark.parametrize(("step", "nth"), AFTER_COMMIT)
async def test_killed_after_the_commit_the_next_start_completes_the_change(
    vault_settings: Settings, step: str, nth: int
) -> None:
    url = str(vault_settings.database_url)
    first = await _first_key(vault_settings, url)
    await killed(vault_settings, step, nth, *_CHANGE)
    succession = await _after_a_start(vault_settings, url, first)
    assert succession.keys != (first,)
    assert len(succession.periods) == 2


@pytest.mark.slow
async def test_a_change_of_the_key_of_roots_is_completed_by_whoever_appends_roots(
    vault_settings: Settings,
) -> None:
    url = str(vault_settings.database_url)
    await _first_key(vault_settings, url)
    async with open_vault(vault_settings, url) as vault:
        (first,) = await vault.roots.verifier_keys()
    for changes, step in enumerate(("after-commit", "before-roots-change-is-complete"), start=1):
        await killed(vault_settings, step, 1, *_CHANGE, "--roots")
        async with open_vault(vault_settings, url) as vault:
            await vault.roots.catch_up()  # as the worker does
            async with vault.engine.connect() as connection:
                succession = roots_history.follow(
                    roots_history.parse_history(await vault.roots.key_history(connection)), [first]
                )
                note = await vault.roots.checkpoint(connection)
            assert len(succession.periods) == changes + 1, step
            assert succession.keys == (await vault.roots.verifier_keys())[-1:], step
            succession.open_note(note)


async def test_a_change_is_repeated_after_a_kill_and_made_once(
    vault_settings: Settings,
) -> None:
    url = str(vault_settings.database_url)
    first = await _first_key(vault_settings, url)
    await killed(vault_settings, "after-commit", 1, *_CHANGE)
    again = await run(vault_settings, *_CHANGE)
    assert '"epoch": 2' in again.stdout
    assert '"resumed": true' in again.stdout
    assert len((await _after_a_start(vault_settings, url, first)).periods) == 2
