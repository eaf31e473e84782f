"""Vaults set up once and copied: for tests that begin where setting up has ended.

What is set up is the product's own work, done by the product, once for each test process. A test then gets a
copy of that database and of the files beside it, as an operator would restore both.
"""

import functools
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, make_url, text

from demo.cast import gather
from vault.crypto.keyfile import Argon2Cost
from vault.crypto.keyring import FileKeyring
from vault.server.assembly import open_vault, set_up
from vault.server.embedded import DATABASE, OWNER
from vault.server.providers import passphrase
from vault.server.settings import Settings

CHEAP = Argon2Cost(memory_kib=8, iterations=1, lanes=1)
"""A keyring is opened again and again here; what Argon2id costs is tested where the keyring is."""


@dataclass(frozen=True)
class _Original:
    """A database that nobody writes any more, and the content and mode of the files of its vault."""

    database: str
    files: Mapping[Path, tuple[int, bytes]]


_ORIGINALS: dict[tuple[str, bool], _Original] = {}


def administrator(url: str) -> Engine:
    """The superuser of the server of any of its databases: one engine and one connection for a whole run."""
    return _administrator(make_url(url).set(username="postgres", database="postgres"))


@functools.cache
def _administrator(url: URL) -> Engine:
    return create_engine(url, isolation_level="AUTOCOMMIT")


def copying(original: str, name: str) -> str:
    """The statement that copies a database: by its files, of which each is small."""
    return f"CREATE DATABASE {name} TEMPLATE {original} STRATEGY file_copy OWNER {OWNER}"


async def set_up_cheaply(settings: Settings) -> None:
    """Sets a vault up on its migrated database, with a keyring that opens at once."""
    assert settings.database_url is not None
    FileKeyring.create_file(settings.keyring_path, passphrase(settings), CHEAP)
    await set_up(settings, settings.database_url)


async def copy(settings: Settings, *, cast: bool = False) -> None:
    """Puts a copy of a set-up vault in the place of a fresh database and an empty home.

    Args:
        settings: plain ones: those of `settings_in`, and where it is served.
        cast: whether the bodies and registrars of the cast are registered in it.
    """
    assert settings.database_url is not None
    name, admin = make_url(settings.database_url).database, administrator(settings.database_url)
    key = (str(admin.url), cast)
    if key not in _ORIGINALS:
        _ORIGINALS[key] = await _make(settings, f"prepared_{'cast' if cast else 'bare'}", cast=cast)
    original = _ORIGINALS[key]
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name}"))
        connection.execute(text(copying(original.database, str(name))))
    for path, (mode, content) in original.files.items():
        target = settings.home / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


async def _make(settings: Settings, name: str, *, cast: bool) -> _Original:
    url = make_url(str(settings.database_url))
    with administrator(str(settings.database_url)).connect() as connection:
        connection.execute(text(copying(DATABASE, name)))
    application = url.set(database=name).render_as_string(hide_password=False)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        first = settings.model_copy(update={"home": home, "database_url": application})
        await set_up_cheaply(first)
        if cast:
            async with open_vault(first, application) as vault:
                await gather(vault.log, home / "cast.json")
        found = [path for path in home.rglob("*") if path.is_file()]
        files = {path.relative_to(home): (path.stat().st_mode & 0o777, path.read_bytes()) for path in found}
    return _Original(name, files)
