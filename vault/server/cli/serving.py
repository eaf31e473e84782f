"""Commands that run the vault: serve, migrate, worker, demo."""

import asyncio
from typing import Annotated, Any

import typer

from vault.server.database import check_schema, database_urls, migrate
from vault.server.settings import Settings


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
) -> int:
    """Serve the vault until it is stopped.

    Example: `creditvault serve --port 8440 --workers 2`
    """
    from vault.server.serve import serve as run  # noqa: PLC0415 -- imports every room; other commands need few

    given: dict[str, Any] = {"host": host, "port": port, "workers": workers}
    return run(Settings(**{name: value for name, value in given.items() if value is not None}))


def migrate_database() -> None:
    """Bring the database to this release; make keyring, first keys and log where there are none.

    Example: `creditvault migrate`
    """
    from vault.server.assembly import set_up  # noqa: PLC0415 -- the same

    settings = Settings()
    with database_urls(settings) as urls:
        if urls.owner is None:
            raise typer.BadParameter("set CREDITVAULT_OWNER_DATABASE_URL: migrations run as the owner")
        before, after = migrate(urls.owner)
        asyncio.run(set_up(settings, urls.application))
    typer.echo(f"schema {before or 'none'} -> {after}; keys and log are ready")


def worker() -> None:
    """Run background jobs until stopped: the heartbeat, partitions ahead, expired OAuth rows.

    Example: `creditvault worker`
    """
    from vault.server.worker import run_worker  # noqa: PLC0415 -- the same

    settings = Settings()
    with database_urls(settings) as urls:
        check_schema(urls.application)
        asyncio.run(run_worker(settings, urls.application))


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the story, also in a terminal.")] = False,
    port: Annotated[int | None, typer.Option(help="Port of the demo's server.")] = None,
) -> int:
    """Run the whole story on real input, then leave the server running.

    Example: `creditvault demo --once`
    """
    from demo.story import run  # noqa: PLC0415 -- the demo is no part of the product

    return run(once=once, port=port)
