"""An index key that was exchanged is told at the next start, whatever holds it."""

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.vault.crypto.places import MAKERS, place_of
from vault.crypto.provider import KeyKind
from vault.records.key_checks import KeyExchangedError, keep, require_same
from vault.records.keys import INDEX, VaultKeys
from vault.server.providers import open_provider


@pytest.mark.parametrize("kind", MAKERS)
async def test_another_key_is_told_whatever_holds_it(
    kind: str, request: pytest.FixtureRequest, database: AsyncEngine, tmp_path: Path
) -> None:
    folders = tmp_path / "one", tmp_path / "other"
    for folder in folders:
        folder.mkdir()
    one, other = (place_of(kind, request, folder).settings for folder in folders)
    async with open_provider(one) as mine, open_provider(other) as exchanged:
        await VaultKeys.create(database, mine)
        for _ in range(2):
            await VaultKeys.open(database, mine)
        await exchanged.create(INDEX, KeyKind.MAC)
        with pytest.raises(KeyExchangedError, match=r"version 1 of the key index .* Put back"):
            await require_same(database, exchanged, INDEX)
        # A version that is not in use yet is told apart too, and one that nothing needs is not asked for.
        for provider in (mine, exchanged):
            assert await provider.create(INDEX, KeyKind.MAC) == 2
        async with database.begin() as connection:
            await keep(connection, mine, INDEX, 2)
        async with database.connect() as connection:
            with pytest.raises(KeyExchangedError, match="version 2"):
                await keep(connection, exchanged, INDEX, 2)
        await require_same(database, mine, INDEX)
