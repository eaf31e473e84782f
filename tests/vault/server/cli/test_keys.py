"""`creditvault keys`: a root key is rotated and destroyed while the vault goes on."""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from sqlalchemy import text

from access_log import stored
from access_log.entry import Entry, EntryType
from tests.vault.people import ENROLLED, OTHER, enrol, person
from tests.vault.server.commands import CommandLine
from vault.crypto.journal import UNNAMED
from vault.crypto.keyfile import StoredKey
from vault.records.keys import INDEX
from vault.server.assembly import Vault, open_vault
from vault.server.providers import keyring

Result = TypeVar("Result")


@pytest.fixture
def vault_of(creditvault: CommandLine) -> Callable[[Callable[[Vault], Awaitable[Any]]], Any]:
    """Does something with the vault that the commands are about."""
    settings = creditvault.settings

    async def opened(work: Callable[[Vault], Awaitable[Result]]) -> Result:
        assert settings.database_url is not None
        async with open_vault(settings, settings.database_url) as vault:
            return await work(vault)

    return lambda work: asyncio.run(opened(work))


async def _enrol(vault: Vault) -> None:
    await enrol(vault, uuid4(), ENROLLED, OTHER)


async def _keys(vault: Vault) -> list[bytes]:
    """The persons' own keys, which no rotation of the root key changes."""
    rows = [await person(vault, n) for n in (ENROLLED, OTHER)]
    opened = await vault.keys.subject_keys(
        [(row.person.subject_id, row.wrapped_key) for row in rows], [UNNAMED] * len(rows)
    )
    return [one.key for one in opened]


async def _entries_about_keys(vault: Vault) -> list[int]:
    async with vault.engine.connect() as connection:
        rows = await stored.entries(connection, vault.log.number, 0, 1 << 40)
    return [index for index, entry in rows if Entry.decode(entry).type is EntryType.KEY]


def listed(creditvault: CommandLine, key: str) -> dict[int, tuple[str, dict[str, int]]]:
    return {
        one["version"]: (one["state"], one["holds"])
        for one in creditvault.good("keys", "list")
        if one["key"] == key
    }


def test_a_root_key_is_rotated_and_the_old_one_destroyed(
    creditvault: CommandLine, vault_of: Callable[..., Any]
) -> None:
    vault_of(_enrol)
    before = vault_of(_keys)
    ((state, holds),) = listed(creditvault, "root").values()
    assert (state, holds["subject keys"], holds["system keys"] > 0) == ("in use", 2, True)

    rotated = creditvault.good("keys", "rotate", "--yes")
    assert (rotated["name"], rotated["version"]) == ("root", 2)
    assert rotated["made_anew"] == sum(holds.values())
    assert listed(creditvault, "root") == {1: ("retired", {}), 2: ("in use", holds)}
    assert vault_of(_keys) == before

    refused = creditvault.refused("keys", "destroy", "root", "1", "--yes")
    assert "backups of the database made before" in refused
    assert "is in use" in creditvault.refused("keys", "destroy", "root", "2", "--yes")
    assert "there is no version 7" in creditvault.refused("keys", "destroy", "root", "7", "--yes")

    destroyed = creditvault.good("keys", "destroy", "root", "1", "--backups-too", "--yes")
    assert asyncio.run(keyring(creditvault.settings).versions("root")) == (2,)
    assert listed(creditvault, "root")[1] == ("destroyed", {})
    assert vault_of(_keys) == before
    assert creditvault.good("keys", "destroy", "root", "1", "--yes")["entry"] is None
    assert vault_of(_entries_about_keys) == [rotated["entry"], destroyed["entry"]]
    assert creditvault("log", "fsck").code == 0
    assert creditvault("log", "audit-streams").code == 0


def test_a_version_that_still_holds_something_is_not_destroyed(
    creditvault: CommandLine, vault_of: Callable[..., Any]
) -> None:
    vault_of(_enrol)
    creditvault.good("keys", "rotate", "--yes")

    async def take_back(vault: Vault) -> None:
        """A person as an interrupted job leaves them."""
        async with vault.engine.begin() as connection:
            await connection.execute(
                text(
                    "UPDATE vault.key_version SET emptied_at = NULL, made_at = made_at - interval '2 days',"
                    " retired_at = retired_at - interval '2 days'"
                )
            )
            await connection.execute(
                text(
                    "UPDATE vault.subject SET root_version = 1"
                    " WHERE subject_id = (SELECT min(subject_id::text)::uuid FROM vault.subject)"
                )
            )

    vault_of(take_back)
    refused = creditvault.refused("keys", "destroy", "root", "1", "--backups-too", "--yes")
    assert "still holds 1 subject keys" in refused
    (told,) = [one for one in creditvault.good("doctor") if one["name"] == "rotations"]
    assert told["state"] == "warn"
    assert "older versions of root still hold something" in told["says"]
    again = creditvault.good("keys", "rotate", "--yes")
    assert (again["version"], again["entry"], again["made_anew"]) == (2, None, 1)
    another = creditvault.good("keys", "rotate", "--yes")
    assert (another["version"], another["made_anew"] > 2) == (3, True)


def test_a_version_that_the_provider_made_before_a_crash_is_taken_into_use(
    creditvault: CommandLine, vault_of: Callable[..., Any]
) -> None:
    assert asyncio.run(keyring(creditvault.settings).create("root")) == 2
    vault_of(_enrol)  # with a key the database does not know yet
    assert listed(creditvault, "root")[1][0] == "in use"
    rotated = creditvault.good("keys", "rotate", "--yes")
    assert rotated["version"] == 2
    assert asyncio.run(keyring(creditvault.settings).versions("root")) == (1, 2)
    assert listed(creditvault, "root")[1] == ("retired", {})


def test_what_it_says(creditvault: CommandLine) -> None:
    ran = creditvault("keys", "rotate", "--yes")
    assert ran.out.startswith("version 2 of the key root is in use now; entry 0 says so\n10 keys were")
    table = creditvault("keys", "list").out
    assert re.search("^root +1 +file +retired", table, re.MULTILINE)
    assert "10 system keys" in table
    ran = creditvault("keys", "destroy", "root", "1", "--backups-too", "--yes")
    assert ran.out == "version 1 of the key root is destroyed; entry 1 says so\n"
    ran = creditvault("keys", "destroy", "root", "1", "--yes")
    assert ran.out.endswith("the provider was told again\n")


def test_a_signing_key_is_announced_and_listed(creditvault: CommandLine) -> None:
    ((state, holds),) = listed(creditvault, "consent-signing").values()
    assert (state, holds) == ("in use", {})
    announced = creditvault.good("keys", "rotate", "consent-signing", "--yes")
    assert (announced["name"], announced["version"], announced["entry"]) == ("consent-signing", 2, 0)
    again = creditvault.good("keys", "rotate", "consent-signing", "--yes")
    assert again == {**announced, "entry": None}
    both = [one for one in creditvault.good("keys", "list") if one["key"] == "consent-signing"]
    assert [one["key_id"] for one in both] == announced["key_ids"][::-1]
    assert both[0]["state"] == "in use"
    assert both[1]["state"].startswith("announced, in use from 20")
    said = creditvault("keys", "rotate", "consent-signing", "--yes", "--another").out
    assert "version 3 of the key consent-signing is announced; entry 1 says so" in said
    assert said.count("\npublished  ") == 3
    assert creditvault.good("keys", "rotate", "proof-nonce", "--yes")["key_ids"] == []
    assert "announced" in listed(creditvault, "proof-nonce")[2][0]
    assert creditvault("keys", "destroy", "consent-signing", "1", "--yes").code == 2


def test_a_keyring_whose_index_key_was_exchanged_starts_nothing(creditvault: CommandLine) -> None:
    file = keyring(creditvault.settings)

    def exchange(keys: dict[str, StoredKey]) -> bytes:
        (before,) = keys[INDEX].versions.values()
        keys[INDEX].versions[1] = os.urandom(32)
        return before

    before = file._rewrite(exchange)
    for command in (["keys", "list"], ["migrate"]):
        assert "version 1 of the key index is another key" in creditvault.refused(*command)

    def put_back(keys: dict[str, StoredKey]) -> None:
        keys[INDEX].versions[1] = before

    file._rewrite(put_back)
    older = creditvault.settings.keyring_path.read_bytes()
    creditvault.good("keys", "rotate", "index", "--yes")
    creditvault.settings.keyring_path.write_bytes(older)
    assert "version 2 of the key index is not there" in creditvault.refused("keys", "list")
