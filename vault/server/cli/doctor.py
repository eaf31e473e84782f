"""`creditvault doctor`: is everything in place, and if not, what to do."""

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass

import typer
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from access_log.errors import AccessLogError
from access_log.lock import OutsideLock
from vault.catalogue import load_catalogue
from vault.crypto.errors import CryptoError
from vault.errors import VaultError
from vault.server.assembly import keyring, open_vault
from vault.server.cli.output import AsJson, print_json
from vault.server.database import check_schema, database_urls
from vault.server.settings import Settings

OK, WARN, FAIL = "ok", "warn", "fail"
_CLOCK_SECONDS = 2.0
_FREE_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: ok, warn or fail, and what to do."""

    name: str
    state: str
    says: str


def doctor(as_json: AsJson = False) -> None:
    """Look at database, keys, clock, outside lock and permissions; each line says what to do.

    Exit code 2 means that the vault cannot run as it is.

    Example: `creditvault doctor`
    """
    settings = Settings()
    checks = list(_examine(settings))
    if as_json:
        print_json(checks)
    else:
        for check in checks:
            typer.echo(f"{check.state:<5} {check.name:<16} {check.says}")
    raise typer.Exit(2 if any(check.state == FAIL for check in checks) else 0)


def _examine(settings: Settings) -> Iterator[Check]:
    yield from _files(settings)
    try:
        with database_urls(settings) as urls:
            yield from _database(urls.application)
            yield from _whole(settings, urls.application)
    except VaultError as error:
        yield Check("database", FAIL, str(error))


def _files(settings: Settings) -> Iterator[Check]:
    try:
        yield Check("catalogue", OK, load_catalogue(settings.pack).version)
    except VaultError as error:
        yield Check("catalogue", FAIL, str(error))
    try:
        asyncio.run(keyring(settings).health())
        yield Check("keyring", OK, str(settings.keyring_path))
    except (VaultError, CryptoError) as error:
        yield Check("keyring", FAIL, str(error))
    try:
        yield Check(
            "outside lock", OK, f"{OutsideLock(settings.outside_lock_path).read().size} entries raised"
        )
    except AccessLogError as error:
        yield Check("outside lock", FAIL, str(error))
    free = shutil.disk_usage(settings.home if settings.home.exists() else "/").free
    yield Check(
        "disk",
        OK if free > _FREE_BYTES else WARN,
        f"{free // 1_000_000:,} MB free under {settings.home}",
    )
    if settings.demo:
        yield Check("mode", WARN, "demo mode: fictitious people may sign in; never with real data")
    if settings.issuer.startswith("http://"):
        yield Check("issuer", WARN, "plain http, on loopback alone: put a TLS proxy in front for others")
    if os.geteuid() == 0 and settings.database_url is not None:
        yield Check("user", WARN, "running as root: run the vault as a user of its own")


def _database(url: str) -> Iterator[Check]:
    try:
        check_schema(url)
        yield Check("schema", OK, "of this release")
    except VaultError as error:
        yield Check("schema", FAIL, str(error))
        return
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            yield _clock(connection)
            yield _role(connection)
            yield _partitions(connection)
    except SQLAlchemyError as error:
        yield Check("database", FAIL, f"it refused ({type(error).__name__}): see its own log")
    finally:
        engine.dispose()


def _clock(connection: Connection) -> Check:
    before = time.time()
    there = float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0)
    skew = there - (before + time.time()) / 2
    if abs(skew) > _CLOCK_SECONDS:
        return Check("clock", FAIL, f"the database's clock differs by {skew:.1f} s: set both by NTP")
    return Check("clock", OK, f"differs from the database's by {abs(skew) * 1000:.0f} ms")


def _role(connection: Connection) -> Check:
    may = connection.execute(
        text(
            "SELECT has_table_privilege('access_log.entry', 'UPDATE')"
            " OR has_table_privilege('access_log.entry', 'DELETE')"
            " OR has_table_privilege('access_log.entry', 'TRUNCATE'),"
            " (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
        )
    ).one()
    if may[0] or may[1]:
        return Check(
            "role",
            FAIL,
            "the application role could change the log: use one that is neither owner nor superuser",
        )
    return Check("role", OK, "may add to the log, and change nothing of it")


def _partitions(connection: Connection) -> Check:
    ahead = connection.scalar(
        text(
            "SELECT to_regclass(format('access_log.entry_%s', (size / 8388608) + 1)) IS NOT NULL"
            " FROM access_log.head"
        )
    )
    if ahead:
        return Check("partitions", OK, "the next one is made")
    return Check("partitions", WARN, "the next one is not made yet: run `creditvault worker`")


def _whole(settings: Settings, url: str) -> Iterator[Check]:
    async def opened() -> int:
        async with open_vault(settings, url) as vault:
            return vault.log.outside.read().size

    try:
        yield Check(
            "vault", OK, f"opens; its log has {asyncio.run(opened())} entries and fits the outside lock"
        )
    except (VaultError, CryptoError, AccessLogError) as error:
        yield Check("vault", FAIL, str(error))
    except SQLAlchemyError as error:
        yield Check("vault", FAIL, f"the database refused ({type(error).__name__}): see its own log")
