"""Programs of other people that run on Node (`tests/node/package.json`); a test needs them installed."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "node"
_WITHIN = 60.0


def needs(package: str) -> None:
    """Skips the test where Node or the package is absent, and says what to do."""
    if shutil.which("node") is None or not (FOLDER / "node_modules" / package).is_dir():
        pytest.skip(f"needs Node and npm {package}: apt-get install nodejs npm, then make test")


@asynccontextmanager
async def openid_provider(given: Mapping[str, Any]) -> AsyncIterator[str]:
    """The address of a running npm oidc-provider, configured as `openid_provider.mjs` says."""
    needs("oidc-provider")
    process = await asyncio.create_subprocess_exec(
        "node",
        str(FOLDER / "openid_provider.mjs"),
        json.dumps(given),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield (await asyncio.wait_for(process.stdout.readline(), _WITHIN)).decode().strip()
    finally:
        process.stdin.close()
        await process.stdin.wait_closed()
        await process.wait()
