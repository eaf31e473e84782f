"""A keyring in a folder, and the vault's keys on a database, cheap to derive."""

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from vault.crypto.keyfile import Argon2Cost
from vault.crypto.keyring import FileKeyring
from vault.records.keys import VaultKeys

PASSPHRASE = "correct horse battery staple"
CHEAP = Argon2Cost(memory_kib=8, iterations=1, lanes=1)


def new_keyring(path: Path) -> FileKeyring:
    return FileKeyring.create_file(path, PASSPHRASE, CHEAP)


@pytest.fixture
def keyring(tmp_path: Path) -> FileKeyring:
    return new_keyring(tmp_path / "keyring")


@pytest.fixture
def second(keyring: FileKeyring, tmp_path: Path) -> FileKeyring:
    """The same file, as another worker process opens it."""
    assert keyring.destroy_policy == "now"
    return FileKeyring.open(tmp_path / "keyring", PASSPHRASE)


@pytest.fixture
async def keys(database: AsyncEngine, keyring: FileKeyring) -> VaultKeys:
    await VaultKeys.create(database, keyring)
    return await VaultKeys.open(database, keyring)
