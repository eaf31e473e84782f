"""Commands that run the vault: serve, migrate, worker, demo."""

import asyncio
import shlex
from typing import Annotated, Any

import typer

from vault.errors import VaultError
from vault.server.assembly import open_vault, set_up
from vault.server.cli.output import AsJson, print_json
from vault.server.database import check_schema, database_urls
from vault.server.endings import bring_up
from vault.server.providers import keyring, open_provider
from vault.server.settings import Settings


class NoPassphraseError(VaultError):
    """A keyring is to be made, and nothing says what shall open it."""


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command(name="serve")(serve)
    app.command(name="migrate")(migrate_database)
    app.command(name="worker")(worker)
    app.command(name="demo")(demo)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(help="Server processes.")] = None,
    fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve the vault until SIGTERM or Ctrl-C. Its log goes to standard error, one JSON object a line.

    Example: `creditvault serve --port 8440 --workers 2`
    """
    from vault.server.serve import (  # noqa: PLC0415 -- imports the web server; no other command needs it
        serve as run,
    )
    from vault.server.serve import serve_inherited  # noqa: PLC0415 -- the same

    given: dict[str, Any] = {"host": host, "port": port, "workers": workers}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    if "issuer" not in settings.model_fields_set:
        # Proofs name the address they are made for: without another one it is the port listened on.
        settings = settings.model_copy(update={"issuer": f"http://127.0.0.1:{settings.port}"})
    if fd is None:
        run(settings)
    else:
        serve_inherited(settings, fd)


def migrate_database(as_json: AsJson = False) -> None:
    """Bring the database to this release; make keyring, first keys and log where there are none.

    Harmless when repeated; one that was killed goes on from where it stopped. Prints the log's verifier key,
    which inspectors need.

    Example: `creditvault migrate`
    """
    settings = Settings()
    _require_keys(settings)

    async def make(url: str) -> str:
        await set_up(settings, url)
        async with open_vault(settings, url) as vault:
            return vault.log.key.verifier_key()

    with database_urls(settings) as urls:
        if urls.owner is None:
            raise typer.BadParameter("set CREDITVAULT_OWNER_DATABASE_URL: migrations run as the owner")
        before, after = bring_up(settings, urls.owner)
        key = asyncio.run(make(urls.application))
    if as_json:
        keys = {"provider": settings.key_provider, "keyring": None}
        if settings.key_provider == "file":
            keys["keyring"] = str(settings.keyring_path)
        print_json({"before": before, "after": after, **keys, "log_key": key})
        return
    typer.echo(f"schema {before or 'none'} -> {after}; keys and log are ready")
    if settings.key_provider == "file":
        typer.echo(f"keyring  {settings.keyring_path}: keep a copy apart from the database and its backups")
    else:
        typer.echo(f"keys     held by {settings.key_provider}: without it every record is lost")
    typer.echo(f"log key  {key}")


def worker() -> None:
    """Run background jobs until stopped: heartbeat, partitions ahead, expired OAuth rows, publishing.

    Example: `creditvault worker`
    """
    from vault.server.worker import run_worker  # noqa: PLC0415 -- imports every room

    settings = Settings()
    with database_urls(settings) as urls:
        check_schema(urls.application)
        asyncio.run(run_worker(settings, urls.application))


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the story, also in a terminal.")] = False,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the demo's server.")] = None,
) -> None:
    """Run the whole story on real input; on a terminal, leave the server running.

    Example: `creditvault demo --once`
    """
    from demo.story import run  # noqa: PLC0415 -- the demo is no part of the product

    raise typer.Exit(run(once=once, port=port))


def _require_keys(settings: Settings) -> None:
    """Before anything is made: the provider answers; a keyring opens, and for a new one is a passphrase."""
    if "file" in settings.key_providers:
        _require_keyring(settings)
    if settings.key_provider != "file":
        asyncio.run(_require_answer(settings))


def _require_keyring(settings: Settings) -> None:
    if settings.keyring_path.exists():
        keyring(settings)
        return
    if settings.read_passphrase():
        return
    home = shlex.quote(str(settings.home))
    file = shlex.quote(str(settings.home / "passphrase"))
    raise NoPassphraseError(
        f"no passphrase for the new keyring is named. Make one: `mkdir -p {home} && "
        f"(umask 077 && head -c 32 /dev/urandom | base64 > {file})`, then "
        f"`export CREDITVAULT_PASSPHRASE_FILE={file}` and run it again"
    )


async def _require_answer(settings: Settings) -> None:
    async with open_provider(settings) as provider:
        await provider.health()
