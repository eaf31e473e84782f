"""Commands that act on an open vault, in the operator's name."""

import asyncio
import json
import os
import pwd
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
    """Whoever runs the command, as the system knows them: the environment could say anything."""
    user = os.getuid()
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:  # a container may run as a user without a name
        name = str(user)
    return Actor(f"operator:{name}", "operator")


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
    """A JSON file named on the command line; a JSON object."""
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{path} is not a JSON object")
    return found
