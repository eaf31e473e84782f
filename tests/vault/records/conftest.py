"""A keyring in a folder with the vault's keys on a database; and a vault that knows persons 1 and 2."""

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from consent.bodies import add_body
from tests.consent.registers import OPERATOR, new_body
from tests.vault.people import enrol
from vault.crypto.keyfile import Argon2Cost
from vault.crypto.keyring import FileKeyring
from vault.records.keys import VaultKeys
from vault.server.assembly import Vault

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


@pytest.fixture
async def enrolled(vault: Vault) -> Vault:
    """A vault with a credit contract of each of persons 1 and 2."""
    async with vault.log.writing() as writing:
        body_id = await add_body(writing, new_body(), OPERATOR)
    await enrol(vault, body_id, 1, 2)
    return vault
