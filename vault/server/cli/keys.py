"""Commands about the vault's keys: list, rotate, destroy."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer

from vault.records import key_versions, rotating
from vault.records.key_versions import Held, KeyVersion
from vault.records.keys import ANNOUNCED, CONSENT_SIGNING, INDEX, PROOF_NONCE, ROOT
from vault.records.reindexing import reindex
from vault.records.resealing import Resealed, reseal
from vault.records.rewrapping import rewrap
from vault.records.rotating import Rotation
from vault.server.assembly import Vault
from vault.server.cli import announcing, ending_months, moving, passphrases
from vault.server.cli.acting import operator, with_vault
from vault.server.cli.output import AsJson, examples, print_json, print_table, progress

app = typer.Typer(
    no_args_is_help=True,
    help="The vault's keys: list them, rotate them, destroy what nothing needs any more.",
    epilog=examples(
        "creditvault keys list",
        "creditvault keys rotate --yes",
        "creditvault keys rotate consent-signing --yes",
        "creditvault keys destroy root 1 --yes",
        "creditvault keys expire --dry-run",
        "creditvault keys move --yes",
    ),
)
app.command()(ending_months.expire)
app.command()(moving.move)
app.command(name="passphrase")(passphrases.change)


class Rotated(StrEnum):
    """The keys that are rotated here."""

    ROOT = ROOT
    INDEX = INDEX
    CONSENT_SIGNING = CONSENT_SIGNING
    PROOF_NONCE = PROOF_NONCE


class Destroyed(StrEnum):
    """The keys whose former versions are destroyed here."""

    ROOT = ROOT
    INDEX = INDEX


@dataclass(frozen=True, slots=True)
class _Listed:
    """One version of a key, as it is listed."""

    key: str
    version: int
    state: str
    made_at: datetime
    holds: dict[str, int]
    destroy_after: datetime | None
    provider: str | None = None
    key_id: str | None = None


@app.command(name="list")
def list_keys(as_json: AsJson = False) -> None:
    """List the keys that can be rotated: their versions, and what each of them still holds.

    Example: `creditvault keys list --json`
    """

    async def work(vault: Vault) -> list[_Listed]:
        async with vault.engine.connect() as connection:
            known = await key_versions.every(connection)
            held = await key_versions.held(connection)
        there = {name: await vault.keys.provider.versions(name) for name in {one.name for one in known}}
        kept, named = timedelta(days=vault.settings.backup_days), vault.settings.key_providers
        return [
            *(_listed(one, held, kept, named, there=one.version in there[one.name]) for one in known),
            *(
                _Listed(one.name, one.version, one.state, one.made_at, {}, None, key_id=one.key_id)
                for one in await announcing.every(vault)
            ),
        ]

    found = with_vault(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("key", "version", "provider", "state", "made at", "holds", "destroy after"),
        [
            (
                one.key,
                one.version,
                one.provider,
                one.state,
                f"{one.made_at:%Y-%m-%d %H:%M}",
                [f"{count:,} {what}" for what, count in one.holds.items()],
                None if one.destroy_after is None else f"{one.destroy_after:%Y-%m-%d}",
            )
            for one in found
        ],
    )


@app.command()
def rotate(
    key: Annotated[Rotated, typer.Argument(help="Which key.")] = Rotated.ROOT,
    another: Annotated[
        bool, typer.Option("--another", help="Make a new version though the last rotation is not complete.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have a new version of a key make all that is new, and make anew what the versions before it made.

    Queries go on meanwhile. It may be stopped and run again: it goes on where it stopped. The version before
    stays until `creditvault keys destroy`: older backups need it. The rotation is an entry of the log.

    consent-signing and proof-nonce make nothing anew: a new version is announced, and every process uses it
    ten minutes later. Everything that a former one signed stays good.

    Example: `creditvault keys rotate --yes`
    """
    if not yes:
        typer.confirm(f"A new version of the key {key} will make everything new. Go on?", abort=True)
    if key in ANNOUNCED:
        announcing.tell(
            with_vault(lambda vault: announcing.rotate(vault, key, another=another)), as_json=as_json
        )
        return

    async def work(vault: Vault) -> tuple[Rotation, int, int]:
        rotation = await rotating.rotate(vault.log, vault.keys, key, operator(), another=another)
        with progress("making anew") as bar:
            task = bar.task_ids[0]

            def tell(done: int, of: int) -> None:
                bar.update(task, completed=done, total=of)

            if key is Rotated.ROOT:
                wrapped = await rewrap(vault.engine, vault.keys.provider, rotation.version, tell)
                return rotation, wrapped, 0
            found = await reindex(vault.keys, rotation.version, tell)
            return rotation, found.identifiers, found.left

    rotation, done, left = with_vault(work)
    if as_json:
        print_json({**asdict(rotation), "made_anew": done, "left": left})
        return
    if rotation.entry is None:
        typer.echo(f"version {rotation.version} of the key {key} was in use already; its rotation went on")
    else:
        typer.echo(
            f"version {rotation.version} of the key {key} is in use now; entry {rotation.entry} says so"
        )
    typer.echo(f"{done:,} {'keys were wrapped' if key is Rotated.ROOT else 'blind indexes were made'} anew")
    if left:
        typer.echo(f"{left:,} stay: their number is sealed when they are met next, then rotate again")


@app.command()
def destroy(
    key: Annotated[Destroyed, typer.Argument(help="Which key.")],
    version: Annotated[int, typer.Argument(min=1, help="A version that is retired and holds nothing.")],
    backups_too: Annotated[
        bool,
        typer.Option("--backups-too", help="Also while backups may be kept that need it: they are lost."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Destroy a version of a key that nothing needs any more; no backup made while it was needed opens then.

    Refused while anything in the database needs it, and as long after as CREDITVAULT_BACKUP_DAYS says that
    backups are kept. The destruction is an entry of the log.

    Example: `creditvault keys destroy root 1 --yes`
    """
    if not yes:
        typer.confirm(
            f"Version {version} of the key {key} will be destroyed, and cannot be brought back. Go on?",
            abort=True,
        )

    async def work(vault: Vault) -> int | None:
        kept = timedelta(days=0 if backups_too else vault.settings.backup_days)
        return await rotating.destroy(vault.log, vault.keys, key, version, operator(), backups_kept=kept)

    entry = with_vault(work)
    if as_json:
        print_json({"key": key, "version": version, "entry": entry})
    elif entry is None:
        typer.echo(f"version {version} of the key {key} was destroyed before; the provider was told again")
    else:
        typer.echo(f"version {version} of the key {key} is destroyed; entry {entry} says so")


@app.command(name="rotate-subject")
def rotate_subject(
    subject_id: Annotated[UUID, typer.Argument(help="The person, as entries of the log name them.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give a person a new key, and seal everything about them anew, where the old one may be known.

    It is one transaction: a query finds everything as it was right before, or right after. The person sees
    the entry in their log. Copies of the database made before still open with the old key.

    Example: `creditvault keys rotate-subject 01890a5d-ac96-774b-bcce-b302099a8057 --yes`
    """
    if not yes:
        typer.confirm("Everything about this person will be sealed anew. Go on?", abort=True)

    async def work(vault: Vault) -> Resealed:
        return await reseal(vault.log, vault.keys, subject_id, operator())

    found = with_vault(work)
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found.records:,} record versions are sealed anew; entry {found.entry} says so")
    if found.unreadable:
        typer.echo(f"{found.unreadable:,} stay as they are: their month has ended, and nothing opens them")


def _listed(
    one: KeyVersion, held: list[Held], backups_kept: timedelta, named: Collection[str], *, there: bool
) -> _Listed:
    destroy_after = None
    if one.emptied_at is not None and one.destroyed_at is None and one.provider not in named:
        state = f"retired, in {one.provider}, which the settings do not name"
        destroy_after = one.emptied_at + backups_kept
    elif one.destroyed_at is not None:
        state = "destroyed here, not yet at the provider: destroy it again" if there else "destroyed"
    elif not there:
        state = "MISSING at the provider"
    elif one.retired_at is None:
        state = "in use"
    elif one.emptied_at is None:
        state = "retired, still needed"
    else:
        state = "retired"
        destroy_after = one.emptied_at + backups_kept
    holds = {each.what: each.count for each in held if (each.name, each.version) == (one.name, one.version)}
    return _Listed(one.name, one.version, state, one.made_at, holds, destroy_after, one.provider)
