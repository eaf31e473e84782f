"""Looks at everything a vault stands on and says of each thing whether it is in place, and what to do."""

import asyncio
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from access_log.endings import EndingsFile
from access_log.errors import AccessLogError
from access_log.lock import OutsideLock
from vault.catalogue import load_catalogue
from vault.crypto.errors import CryptoError
from vault.errors import VaultError
from vault.records.keys import ROOT
from vault.server.assembly import open_vault
from vault.server.database import check_schema, database_urls
from vault.server.providers import open_provider
from vault.server.settings import Settings, is_loopback

OK, WARN, FAIL = "ok", "warn", "fail"
_SKEW_WARNED, _SKEW_FAILED = 1.0, 10.0
_AHEAD_SECONDS: Final = 60
_FREE_WARNED, _FREE_FAILED = 5_000_000_000, 500_000_000
_LEFT_WARNED: Final = 1_000_000
_SILENT_SECONDS: Final = 60

_NOW = text("SELECT extract(epoch FROM clock_timestamp())::float8")
_NEWEST = text("SELECT size, time / 1000.0 AS time FROM access_log.head WHERE successor IS NULL")
_ROLE = text(
    "SELECT current_user AS name, bool_or(r.rolsuper) AS super,"
    " bool_or(pg_has_role(current_user, c.relowner, 'MEMBER')) AS owns,"
    " bool_or(has_table_privilege(c.oid, 'UPDATE') OR has_any_column_privilege(c.oid, 'UPDATE')"
    " OR has_table_privilege(c.oid, 'DELETE') OR has_table_privilege(c.oid, 'TRUNCATE')) AS changes,"
    " bool_and(c.relkind <> 'p' OR has_table_privilege(c.oid, 'INSERT')"
    " AND has_table_privilege(c.oid, 'SELECT')) AS appends"
    " FROM pg_class c JOIN pg_roles r ON r.rolname = current_user"
    " WHERE c.oid = 'access_log.entry'::regclass"
    " OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'access_log.entry'::regclass)"
)
_TRIGGERS = text(
    "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'access_log.entry'::regclass AND NOT tgisinternal"
    " AND tgenabled IN ('O', 'A') AND tgname IN ('entry_is_append_only', 'entry_is_never_truncated')"
)
_PARTITIONS = text(
    "SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid"
    " WHERE i.inhparent = 'access_log.entry'::regclass"
)
_UPPER = re.compile(r"TO \('?(\d+)'?\)")
_OVERDUE = text(
    # The worker tells within minutes; an hour later something keeps it from it.
    "SELECT count(*) FROM vault.covert_case"
    " WHERE disclosed_at IS NULL AND ends_at <= clock_timestamp() - interval '1 hour'"
)
_LATE_MONTHS = text(
    "SELECT count(*) FROM vault.expiry_key WHERE destroyed_at IS NULL AND expiry_id < :before"
)
_ROTATIONS = text(
    # One that is complete, or under way: the command takes some hours for a nation, not a day.
    "SELECT DISTINCT name FROM vault.key_version WHERE emptied_at IS NULL"
    " AND retired_at <= clock_timestamp() - interval '1 day' ORDER BY name"
)
_WORKER = text(
    "SELECT extract(epoch FROM clock_timestamp() - max(last_heartbeat))::float8"
    " FROM jobs.procrastinate_workers"
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    Attributes:
        name: What it is.
        state: `ok`, `warn` or `fail`; with a `fail` the vault cannot run, or should not.
        says: What was found, and unless it is ok, what to do.
    """

    name: str
    state: str
    says: str


def examine(settings: Settings) -> Iterator[Check]:
    """Looks at one thing after the other; none that is wrong keeps the next from being looked at."""
    yield _catalogue(settings)
    yield _issuer(settings)
    yield _keys(settings)
    yield _secrets(settings)
    yield _outside_lock(settings)
    yield _endings(settings)
    yield _disk(settings)
    yield from _mode(settings)
    if settings.database_url is None and not (settings.home / "postgresql" / "PG_VERSION").exists():
        yield Check(
            "database", FAIL, "none is named and no embedded one was made yet: run `creditvault migrate`"
        )
        return
    try:
        with database_urls(settings) as urls:
            yield from _database(urls.application, settings)
            yield _whole(settings, urls.application)
    except VaultError as error:
        yield Check("database", FAIL, str(error))
    except SQLAlchemyError as error:
        yield _refused("database", error)


def _refused(name: str, error: SQLAlchemyError) -> Check:
    return Check(name, FAIL, f"the database refused ({type(error).__name__}): see its own log")


def _catalogue(settings: Settings) -> Check:
    try:
        return Check("catalogue", OK, load_catalogue(settings.pack).version)
    except VaultError as error:
        return Check("catalogue", FAIL, str(error))


def _issuer(settings: Settings) -> Check:
    parts = urlsplit(settings.issuer)
    if parts.scheme == "https":
        return Check("issuer", OK, settings.issuer)
    if not is_loopback(parts.hostname or ""):
        return Check("issuer", FAIL, "plain http outside loopback: set CREDITVAULT_ISSUER to https")
    return Check(
        "issuer", WARN, "plain http, on loopback alone: for others set CREDITVAULT_ISSUER, behind a TLS proxy"
    )


def _secrets(settings: Settings) -> Check:
    found = settings.secrets_in_environment
    if not found:
        return Check("secrets", OK, "none stands in the environment")
    return Check(
        "secrets",
        WARN,
        f"{', '.join(found)} hold one, and an environment is easily read: use files of mode 0600, PGPASSFILE "
        "for passwords of the database",
    )


def _keys(settings: Settings) -> Check:
    """The key provider answers, and has the root key if there is a vault already."""

    async def look() -> tuple[int, ...]:
        async with open_provider(settings) as provider:
            await provider.health()
            return await provider.versions(ROOT)

    name = "keyring" if settings.key_provider == "file" else settings.key_provider
    try:
        versions = asyncio.run(look())
    except (VaultError, CryptoError) as error:
        return Check(name, FAIL, str(error))
    if settings.key_provider != "file":
        held = f"version {versions[-1]} of its root key" if versions else "no root key yet"
        return Check(name, OK, f"the key provider answers, and has {held}")
    folder = settings.keyring_path.resolve().parent
    if stat.S_IMODE(folder.stat().st_mode) & 0o022:
        return Check(name, WARN, f"opens, but others may replace it: chmod go-w {folder}")
    return Check(name, OK, f"{settings.keyring_path} opens, and is private")


def _outside_lock(settings: Settings) -> Check:
    later = OutsideLock(settings.outside_lock_of(2, settings.log_origin))
    lock = later if later.exists() else OutsideLock(settings.outside_lock_path)
    try:
        raised = lock.read()
    except AccessLogError as error:
        return Check("outside lock", FAIL, str(error))
    return Check("outside lock", OK, f"{raised.size:,} entries raised, {lock.path}")


def _endings(settings: Settings) -> Check:
    later = settings.endings_of(2, settings.log_origin)
    path = later if later.exists() else settings.endings_of(1, settings.log_origin)
    file = EndingsFile(path, settings.log_origin)
    try:
        kept = sum(1 for _ in file.each())
    except AccessLogError as error:
        return Check("endings", FAIL, str(error))
    return Check("endings", OK, f"{kept:,} withdrawals, revocations and the like, {path}")


def _disk(settings: Settings) -> Check:
    folder = _existing(settings.home)
    free = shutil.disk_usage(folder).free
    says = f"{free // 1_000_000:,} MB free under {folder}"
    if free < _FREE_FAILED:
        return Check("disk", FAIL, f"{says}: make room before the database stops")
    return Check("disk", WARN, f"{says}: make room") if free < _FREE_WARNED else Check("disk", OK, says)


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _mode(settings: Settings) -> Iterator[Check]:
    if settings.demo:
        yield Check("mode", WARN, "demo mode: fictitious people may sign in; never use it with real data")
    elif settings.sign_in_issuer is None:
        yield Check("sign-in", WARN, "nobody can sign in: set CREDITVAULT_SIGN_IN_ISSUER")
    if os.geteuid() == 0 and settings.database_url is not None:
        yield Check("user", WARN, "running as root: run the vault as a user of its own")


def _database(url: str, settings: Settings) -> Iterator[Check]:
    try:
        check_schema(url)
        yield Check("schema", OK, "of this release")
    except VaultError as error:
        yield Check("schema", FAIL, str(error))
        return
    engine = create_engine(url, hide_parameters=True)
    try:
        with engine.connect() as connection:
            for look in (_role, _append_only, _clock, _newest, _partitions, _worker, _covert, _rotations):
                yield look(connection)
            yield _months(connection, settings)
    except SQLAlchemyError as error:
        yield _refused("database", error)
    finally:
        engine.dispose()


def _role(connection: Connection) -> Check:
    """The application's role may add to the log and change nothing of it."""
    role = connection.execute(_ROLE).one()
    if role.super or role.owns or role.changes:
        return Check(
            "role",
            FAIL,
            f"the role {role.name} could change the log: name one in CREDITVAULT_DATABASE_URL that is neither"
            " superuser nor owner, and that has only the rights `creditvault migrate` grants",
        )
    if not role.appends:
        return Check(
            "role",
            FAIL,
            f"the role {role.name} may not add to the log: run `creditvault migrate` as the owner",
        )
    return Check("role", OK, f"{role.name} may add to the log, and change nothing of it")


def _append_only(connection: Connection) -> Check:
    if connection.scalar(_TRIGGERS) == 2:  # noqa: PLR2004 -- the two named in the query
        return Check("append-only", OK, "the database refuses changes of entries to everybody")
    return Check(
        "append-only",
        FAIL,
        "somebody disabled the triggers that refuse changes: run `creditvault log fsck`, then enable them",
    )


def _clock(connection: Connection) -> Check:
    before = time.time()
    there = float(connection.scalar(_NOW) or 0)
    skew = there - (before + time.time()) / 2
    if abs(skew) > _SKEW_WARNED:
        state = FAIL if abs(skew) > _SKEW_FAILED else WARN
        return Check("clock", state, f"the database's clock differs by {skew:+.1f} s: set both by NTP")
    return Check("clock", OK, f"differs from the database's by {abs(skew) * 1000:.0f} ms")


def _newest(connection: Connection) -> Check:
    head = connection.execute(_NEWEST).one_or_none()
    if head is None:
        return Check("log", FAIL, "the database holds no log yet: run `creditvault migrate`")
    ahead = float(head.time) - float(connection.scalar(_NOW) or 0)
    if ahead > _AHEAD_SECONDS:
        return Check("log", FAIL, f"its newest entry lies {ahead:.0f} s in the future: set the clock right")
    return Check("log", OK, f"{head.size:,} entries")


def _covert(connection: Connection) -> Check:
    """Nobody is told later than a court allowed."""
    left = connection.scalar(_OVERDUE) or 0
    if left:
        return Check(
            "delayed notice",
            FAIL,
            f"{left} covert cases have ended and their persons were not told: run `creditvault worker`",
        )
    return Check("delayed notice", OK, "nobody is told later than a court allowed")


def _rotations(connection: Connection) -> Check:
    """No rotation of a key was left half done."""
    names = list(connection.scalars(_ROTATIONS))
    if names:
        return Check(
            "rotations",
            WARN,
            f"older versions of {' and '.join(names)} still hold something: run `creditvault keys list`, then"
            " `creditvault keys rotate` for each, or `creditvault keys move`, which go on where they stopped",
        )
    return Check("rotations", OK, "none is left half done")


def _months(connection: Connection, settings: Settings) -> Check:
    """Months that are over lose their keys in time."""
    zone = load_catalogue(settings.pack).timezone
    today = datetime.now(UTC).astimezone(zone).date()
    # The worker looks once a day; two days later something keeps it from it.
    before = today - timedelta(days=settings.expiry_grace_days + 2)
    late = connection.scalar(_LATE_MONTHS, {"before": before.year * 100 + before.month}) or 0
    if late:
        return Check(
            "expired months",
            FAIL,
            f"{late} months are over and their keys stand: run `creditvault worker`, or `creditvault keys "
            "expire`, which says what holds them up",
        )
    return Check("expired months", OK, "the key of every month that is over was destroyed")


def _partitions(connection: Connection) -> Check:
    bounds = [_UPPER.search(bound) for bound in connection.scalars(_PARTITIONS)]
    end = max((int(found[1]) for found in bounds if found), default=0)
    size = connection.scalar(text("SELECT max(size) FROM access_log.head")) or 0
    if size >= end:
        return Check("partitions", FAIL, "the log has no room for its next entry: run `creditvault migrate`")
    says = f"room for {end - size:,} more entries"
    if end - size < _LEFT_WARNED:
        return Check(
            "partitions", WARN, f"{says}: start `creditvault worker`, which makes the next partition"
        )
    return Check("partitions", OK, says)


def _worker(connection: Connection) -> Check:
    silent = connection.scalar(_WORKER)
    if silent is None or silent > _SILENT_SECONDS:
        return Check("worker", WARN, "none is running: start `creditvault worker`")
    return Check("worker", OK, f"was heard {silent:.0f} s ago")


def _whole(settings: Settings, url: str) -> Check:
    """Opens everything as a server would, which compares the database with the outside lock."""

    async def open_and_close() -> None:
        async with open_vault(settings, url):
            pass

    try:
        asyncio.run(open_and_close())
    except (VaultError, CryptoError, AccessLogError) as error:
        return Check("vault", FAIL, str(error))
    except SQLAlchemyError as error:
        return _refused("vault", error)
    return Check("vault", OK, "opens: keys, database and outside lock belong together")
