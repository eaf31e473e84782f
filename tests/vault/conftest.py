"""Served vaults: one of a test's own, and one that the tests of a module share where they leave no trace."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conftest import fresh_database, settings_in
from tests.vault.served import Served, copied_site
from vault.server.embedded import EmbeddedDatabase
from vault.server.settings import Settings


@pytest.fixture
async def served(vault_settings: Settings, tmp_path: Path) -> AsyncIterator[Served]:
    """A vault of this test's own, served."""
    async with copied_site(vault_settings, tmp_path) as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    postgres: EmbeddedDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    """A vault that knows persons 1 to 3, served to the tests of one module."""
    folder = tmp_path_factory.mktemp("shared")
    with fresh_database(postgres) as name:
        async with copied_site(settings_in(folder, postgres, name), folder) as one:
            await one.enrol(1, 2, 3)
            yield one
