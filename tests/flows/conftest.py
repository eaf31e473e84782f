"""A served vault for every test here."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests import prepared
from tests.flows.serving import at_port, free_port
from tests.flows.world import World, joined
from vault.server.settings import Settings


@pytest.fixture
async def world(vault_settings: Settings, tmp_path: Path) -> AsyncIterator[World]:
    """A vault with its cast; nobody serves it yet."""
    await prepared.copy(vault_settings, cast=True)
    async with joined(at_port(vault_settings, free_port()), tmp_path) as world:
        yield world
