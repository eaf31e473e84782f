"""Commands that act on an open vault, in the operator's name."""

import asyncio
import getpass
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import typer

from access_log.log import Writing
from consent.journal import Actor
from vault.server.assembly import Vault, open_vault
from vault.server.database import check_schema, database_urls
from vault.server.settings import Settings

Result = TypeVar("Result")


def operator() -> Actor:
    """Whoever runs the command, as the log names them."""
    return Actor(f"operator:{getpass.getuser()}", "operator")


def with_vault(work: Callable[[Vault], Awaitable[Result]]) -> Result:
    """Opens the vault, does the work, closes it.

    Raises:
        VaultError, CryptoError, AccessLogError, ConsentError: what is wrong, and what to do.
    """
    settings = Settings()

    async def opened(url: str) -> Result:
        async with open_vault(settings, url) as vault:
            return await work(vault)

    with database_urls(settings) as urls:
        check_schema(urls.application)
        return asyncio.run(opened(urls.application))


def change(act: Callable[[Writing], Awaitable[Result]]) -> Result:
    """Changes a register in one transaction of the log; nothing stands unless its entry does."""

    async def work(vault: Vault) -> Result:
        async with vault.log.writing() as writing:
            return await act(writing)

    return with_vault(work)


def read_json(path: Path) -> Any:  # noqa: ANN401 -- whoever reads it checks it
    """A JSON file named on the command line."""
    try:
        return json.loads(path.read_text())
    except ValueError:
        raise typer.BadParameter(f"{path} is not JSON") from None
