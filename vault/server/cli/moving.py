"""The vault moved from one key provider to another."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.progress import Progress

from vault.crypto.provider import MAKERS
from vault.records import moving
from vault.records.keys import INDEX, ROOT
from vault.records.moving import Looked
from vault.records.reindexing import reindex
from vault.records.rewrapping import rewrap
from vault.records.rotating import Rotation
from vault.server.assembly import Vault
from vault.server.cli.acting import operator, with_vault
from vault.server.cli.output import AsJson, print_json, progress

_SAMPLE = 1_000


@dataclass(frozen=True, slots=True)
class _Moved:
    """What a run did.

    Attributes:
        wrapped: keys of persons and of the system.
        indexes: blind indexes that were made anew.
        months: whose key was wrapped anew.
        former_may_go: whether nothing in the database needs the former provider.
    """

    former: str
    new: str
    rotations: tuple[Rotation, ...]
    wrapped: int
    indexes: int
    months: int
    looked: Looked
    former_may_go: bool


def move(
    all_: Annotated[
        bool,
        typer.Option("--all", help=f"Look at every person at the end, not at {_SAMPLE:,} of them."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Move every key from the former key provider to the new one, and look whether all of it opens there.

    Both are named in the settings (CREDITVAULT_KEY_PROVIDER, CREDITVAULT_FORMER_KEY_PROVIDER) of every
    server and worker, which go on meanwhile. It may be stopped and run again: it goes on where it stopped.
    Nothing is destroyed: backups from before need the former, and `creditvault keys destroy` removes its keys
    later.

    Example: `creditvault keys move --yes`
    """

    async def work(vault: Vault) -> _Moved:
        provider = moving.both(vault.keys)
        former, new = MAKERS[provider.former.maker], MAKERS[provider.maker]
        await moving.require_known_everywhere(vault.engine, new)
        if not yes:
            typer.confirm(f"The keys in {former} will be replaced by keys in {new}. Go on?", abort=True)
        root = await moving.succeed(vault.log, vault.keys, ROOT, operator())
        index = await moving.succeed(vault.log, vault.keys, INDEX, operator())
        with progress("wrapping anew") as bar:
            wrapped = await rewrap(vault.engine, vault.keys.provider, root.version, _told_by(bar))
        with progress("blind indexes") as bar:
            indexes = await reindex(vault.keys, index.version, _told_by(bar))
        with progress("months") as bar:
            months = await moving.move_months(vault.engine, vault.keys, _told_by(bar))
        with progress("looking") as bar:
            most = None if all_ else _SAMPLE
            looked = await moving.look(vault.engine, vault.keys, most, _told_by(bar))
        return _Moved(
            former, new, (root, index), wrapped, indexes.identifiers, months, looked, looked.former_may_go
        )

    found = with_vault(work)
    if as_json:
        print_json(found)
    else:
        _say(found)
    if not found.former_may_go:
        raise typer.Exit(1)


def _told_by(bar: Progress) -> Callable[[int, int], None]:
    task = bar.task_ids[0]
    return lambda done, of: bar.update(task, completed=done, total=of)


def _say(found: _Moved) -> None:
    for one in found.rotations:
        says = "was in use already" if one.entry is None else f"is in use now; entry {one.entry} says so"
        typer.echo(f"version {one.version} of the key {one.name}, in {found.new}, {says}")
    typer.echo(
        f"{found.wrapped:,} keys of persons and of the system and {found.months:,} of months were wrapped "
        f"anew, {found.indexes:,} blind indexes made anew"
    )
    looked = found.looked
    typer.echo(
        f"{looked.persons:,} persons and {looked.records:,} of their record versions were looked at: all open"
    )
    if found.former_may_go:
        typer.echo(
            f"nothing in the database needs {found.former} any more: unset CREDITVAULT_FORMER_KEY_PROVIDER "
            "and restart everything. Backups from before need it: keep it as long as them"
        )
        return
    left = " and ".join(f"{count:,} {what}" for what, count in looked.left.items())
    typer.echo(f"{found.former} stays: {left} are left; see docs/operations.md, and run it again")
