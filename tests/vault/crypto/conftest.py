"""A keyring file in a folder of the test's own, at the least cost of Argon2id."""

from pathlib import Path

import pytest

from vault.crypto.keyfile import Argon2Cost
from vault.crypto.keyring import FileKeyring

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "keyring"


@pytest.fixture
def keyring(path: Path) -> FileKeyring:
    return FileKeyring.create_file(path, PASSPHRASE, Argon2Cost(memory_kib=8, iterations=1, lanes=1))
