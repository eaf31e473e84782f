"""A keyring file in a folder of the test's own, at the least cost of Argon2id; and every other provider."""

from pathlib import Path

import pytest

from tests.vault.crypto.places import MAKERS, Place, place_of
from vault.crypto.keyfile import Argon2Cost
from vault.crypto.keyring import FileKeyring

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "keyring"


@pytest.fixture
def keyring(path: Path) -> FileKeyring:
    return FileKeyring.create_file(path, PASSPHRASE, Argon2Cost(memory_kib=8, iterations=1, lanes=1))


@pytest.fixture(params=MAKERS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return place_of(request.param, request, tmp_path)
