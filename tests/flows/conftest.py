"""A served vault for every test here."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows.serving import at_port, free_port
from tests.flows.world import World, opened
from vault.server.settings import Settings


@pytest.fixture
async def world(vault_settings: Settings, tmp_path: Path) -> AsyncIterator[World]:
    """A vault with its cast; nobody serves it yet."""
    async with opened(at_port(vault_settings, free_port()), tmp_path) as opened_world:
        yield opened_world
