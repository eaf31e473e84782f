"""`creditvault expiring`: what will end by itself soon."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from consent.expiring import Expiring, expiring
from vault.server.assembly import Vault
from vault.server.cli.acting import with_vault
from vault.server.cli.output import AsJson, print_json, print_table


def list_expiring(
    days: Annotated[int, typer.Option(min=1, max=3660, help="Within how many days.")] = 30,
    as_json: AsJson = False,
) -> None:
    """List authorizations and legal bases that will end soon; queries that rest on them are then refused.

    Example: `creditvault expiring --days 60 --json`
    """

    async def work(vault: Vault) -> list[Expiring]:
        now = datetime.now(UTC)
        async with vault.engine.connect() as connection:
            return await expiring(connection, timedelta(days=days), now=now, today=vault.catalogue.today(now))

    found = with_vault(work)
    if as_json:
        print_json(found)
        return
    print_table(("what", "id", "of", "ends"), [(one.kind, one.id, one.what, one.ends) for one in found])
