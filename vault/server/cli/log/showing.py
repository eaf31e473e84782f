"""`creditvault log show`: entries as they are published."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from access_log import reading
from access_log.entry import Entry
from vault.server.assembly import open_log
from vault.server.cli.output import AsJson, print_json, print_table
from vault.server.database import check_schema, database_urls
from vault.server.settings import Settings

_LAST = 10


def show(
    index: Annotated[int | None, typer.Option(min=0, help="Show this entry alone.")] = None,
    last: Annotated[int, typer.Option(min=1, max=10_000, help="Show this many of the newest.")] = _LAST,
    as_json: AsJson = False,
) -> None:
    """Show entries as they are published: they name nobody.

    Example: `creditvault log show --last 20`
    """
    found = asyncio.run(_entries(index, last))
    rows = [(at, Entry.decode(raw), raw) for at, raw in found]
    if as_json:
        print_json(
            [
                {
                    "index": at,
                    "time": _moment(entry),
                    "type": entry.type.name.lower(),
                    "label": entry.label,
                    "commitment": entry.commitment,
                    "entry": raw,
                }
                for at, entry, raw in rows
            ]
        )
        return
    print_table(
        ("index", "time (UTC)", "type", "commitment"),
        [
            (at, f"{_moment(entry):%Y-%m-%d %H:%M:%S}", entry.type.name.lower(), entry.commitment.hex()[:16])
            for at, entry, _ in rows
        ],
    )


async def _entries(index: int | None, last: int) -> list[tuple[int, bytes]]:
    settings = Settings()
    with database_urls(settings) as urls:
        check_schema(urls.application)
        async with open_log(settings, urls.application) as log, log.engine.connect() as connection:
            size = log.outside.read().size
            if index is not None and index >= size:
                raise typer.BadParameter(f"the log has {size} entries", param_hint="--index")
            first = max(0, size - last) if index is None else index
            end = size if index is None else index + 1
            return await reading.entries(connection, log.number, log.archive, first, end)


def _moment(entry: Entry) -> datetime:
    return datetime.fromtimestamp(entry.time / 1000, UTC)
