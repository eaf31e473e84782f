"""kill -9 around an act that ends something: what is kept beside the lock and what happened are one."""

from uuid import UUID

import pytest

from access_log.merkle import leaf_hash
from consent.bodies import add_body, read_body
from tests.access_log.logs import append, check_chain
from tests.consent.registers import OPERATOR, new_body
from tests.crash.commands import killed, run
from vault.server.assembly import open_vault, set_up
from vault.server.settings import Settings

# The command starts the log first, which takes the head lock, signs and raises once, and writes nothing. The
# act then writes its record and the two slots that count it, and after the commit the outside lock.
BEFORE_COMMIT = [
    ("after-head-lock", 2),
    ("before-entries", 1),
    ("after-entries", 1),
    ("before-lock-write", 1),
    ("torn-lock-write", 1),
    ("between-lock-write-and-sync", 1),
    ("after-lock-sync", 1),
    ("before-lock-write", 2),
    ("torn-lock-write", 2),
    ("between-lock-write-and-sync", 2),
    ("after-lock-sync", 2),
    ("torn-lock-write", 3),
    ("after-lock-sync", 3),
    ("before-commit", 1),
]
AFTER_COMMIT = [
    ("after-commit", 1),
    ("after-sign", 2),
    ("before-lock-write", 4),
    ("torn-lock-write", 4),
    ("after-lock-sync", 4),
    ("after-raise", 2),
]


async def _registered(settings: Settings) -> UUID:
    url = str(settings.database_url)
    await set_up(settings, url)
    async with open_vault(settings, url) as vault, vault.log.writing() as writing:
        return await add_body(writing, new_body(), OPERATOR)


def _suspending(body: UUID) -> tuple[str, ...]:
    return ("body", "suspend", str(body), "--reason", "an audit")


async def _require_one(settings: Settings, body: UUID, *, suspended: bool) -> None:
    """After a start: the body stands as the log says, and what is kept bears that out."""
    async with open_vault(settings, str(settings.database_url)) as vault:
        async with vault.engine.connect() as connection:
            found = await read_body(connection, body)
        assert found is not None
        assert (found.status == "suspended") is suspended
        await append(vault.log)
        leaves = [leaf_hash(entry) for entry in await check_chain(vault.log)]
        assert vault.log.endings is not None
        kept = list(vault.log.endings.file.each())
        borne_out = [each for each in kept if leaves[each.index] == each.leaf]
        assert [each.object for each in borne_out] == [body] * suspended


@pytest.mark.slow
@pytest.mark.parametrize(("step", "nth"), [*BEFORE_COMMIT, *AFTER_COMMIT])
async def test_killed_anywhere_it_is_kept_if_and_only_if_it_happened(
    vault_settings: Settings, step: str, nth: int
) -> None:
    body = await _registered(vault_settings)
    await killed(vault_settings, step, nth, *_suspending(body))
    happened = (step, nth) in AFTER_COMMIT
    await _require_one(vault_settings, body, suspended=happened)
    if not happened:
        again = await run(vault_settings, *_suspending(body))
        assert again.returncode == 0, again.stderr
        await _require_one(vault_settings, body, suspended=True)


async def test_a_kill_right_before_the_commit_ends_nothing(vault_settings: Settings) -> None:
    body = await _registered(vault_settings)
    await killed(vault_settings, "before-commit", 1, *_suspending(body))
    await _require_one(vault_settings, body, suspended=False)
