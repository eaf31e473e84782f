"""Where keys are kept in a test: each kind of provider, each test with keys of its own."""

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.openbao import OpenBao
from tests.prepared import CHEAP
from tests.softhsm import SoftToken
from vault.crypto.keyring import FileKeyring
from vault.server.settings import Settings

_NUMBERS = itertools.count(1)
PASSPHRASE = "correct horse battery staple"


@dataclass(frozen=True)
class Place:
    """Keys by the settings that open them; nothing is remembered, so that every call asks what holds them."""

    settings: Settings


def in_file(_request: pytest.FixtureRequest, folder: Path) -> dict[str, Any]:
    passphrase = folder / "passphrase"
    passphrase.write_text(PASSPHRASE)
    passphrase.chmod(0o600)
    FileKeyring.create_file(folder / "keyring", PASSPHRASE, CHEAP)
    return {"passphrase_file": passphrase}


def in_openbao(request: pytest.FixtureRequest, _folder: Path) -> dict[str, Any]:
    server: OpenBao = request.getfixturevalue("openbao")
    return server.settings(f"creditvault-{next(_NUMBERS)}")


def in_token(request: pytest.FixtureRequest, _folder: Path) -> dict[str, Any]:
    token: SoftToken = request.getfixturevalue("soft_token")
    return token.settings(f"creditvault-{next(_NUMBERS)}")


MAKERS: dict[str, Callable[[pytest.FixtureRequest, Path], dict[str, Any]]] = {
    "file": in_file,
    "openbao": in_openbao,
    "pkcs11": in_token,
}


def place_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> Place:
    return Place(Settings(home=folder, key_cache_seconds=0, **MAKERS[kind](request, folder)))


def environment(settings: Settings) -> dict[str, str]:
    """The same settings for a process of its own."""
    stated = settings.model_dump(include=settings.model_fields_set)
    ours = {f"CREDITVAULT_{name.upper()}": str(value) for name, value in stated.items()}
    # Where a module in software finds its tokens.
    return {name: os.environ[name] for name in ("SOFTHSM2_CONF",) if name in os.environ} | ours
