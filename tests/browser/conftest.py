"""A real browser on a running server: Debian's Chromium, driven by Playwright."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, async_playwright

from tests.browser.watched import Watched
from tests.flows.conftest import world
from tests.flows.serving import Server, serving
from tests.flows.world import World

__all__ = ["world"]

_WIDTH, _HEIGHT = 390, 844
"""A telephone's: what most citizens hold."""


@pytest.fixture
async def server(world: World, tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(world.settings, tmp_path / "server.log") as one:
        yield one


@pytest.fixture
async def visitor(server: Server) -> AsyncIterator[Watched]:
    """A page of a browser in which nobody has signed in; at the end, nothing was wrong on any page."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs a browser: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium)
        context: BrowserContext = await browser.new_context(
            base_url=server.url, viewport={"width": _WIDTH, "height": _HEIGHT}
        )
        watched = Watched(await context.new_page(), server.url)
        yield watched
        await browser.close()
    watched.require_nothing_wrong()
