"""`creditvault log archive`: entries leave the database, and every command goes on."""

import asyncio
from pathlib import Path

import pytest

from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event
from access_log.payload import Payload
from tests.access_log.logs import narrow_partitions
from tests.vault.server.commands import CommandLine
from vault.server.assembly import open_vault
from vault.server.settings import Settings

WIDTH = 256


@pytest.fixture
def filled(creditvault: CommandLine) -> CommandLine:
    """One closed partition, and an open one."""
    assert creditvault.settings.owner_database_url is not None
    narrow_partitions(creditvault.settings.owner_database_url, WIDTH, 2 * WIDTH)
    asyncio.run(_append(creditvault.settings, WIDTH + 20))
    return creditvault


async def _append(settings: Settings, count: int) -> None:
    assert settings.database_url is not None
    async with open_vault(settings, settings.database_url) as vault, vault.log.writing() as writing:
        for _ in range(count):
            writing.add(Event(SYSTEM_STREAM, Payload.create(EntryType.HEARTBEAT, {})))


def test_archived_dropped_and_still_there(filled: CommandLine, tmp_path: Path) -> None:
    place = tmp_path / "archive"
    shown = filled.good("log", "show", "--index", "7")
    assert filled("log", "archive", str(place)).out == "no closed partition older than 365 days\n"
    filled.set(archive_dir=place)
    done = filled.good("log", "archive", "--older-than", "0")
    assert (done["ranges"], done["entries"], done["dropped"]) == ([[0, WIDTH]], WIDTH, False)
    assert filled("log", "archive", "--older-than", "0").out == "entries 0 to 255 archived, and read back\n"
    assert filled("log", "archive", "--drop").out == "no archived partition to take out\n"
    ran = filled("log", "archive", "--drop", "--older-than", "0")
    assert ran.out == "entries 0 to 255 taken out of the database\n"
    assert filled.good("log", "show", "--index", "7") == shown
    assert filled.good("log", "fsck")["sound"]
    assert filled.good("log", "publish", str(tmp_path / "published"))["size"] == WIDTH + 20
    filled.set(archive_dir=None)
    assert "set CREDITVAULT_ARCHIVE_DIR" in filled("log", "fsck").out


def test_what_keeps_it_from_archiving(filled: CommandLine, tmp_path: Path) -> None:
    assert "set CREDITVAULT_ARCHIVE_DIR" in filled.refused("log", "archive")
    assert "cannot be used" in filled.refused("log", "archive", "/dev/null/x", "--older-than", "0")
    place = str(tmp_path / "archive")
    filled.good("log", "archive", place, "--older-than", "0")
    (tmp_path / "archive/tile/entries/000").write_bytes(b"")
    ran = filled("log", "archive", place, "--drop", "--older-than", "0")
    assert (ran.code, ran.out) == (1, "")
    assert "000 is missing or does not hold together: nothing was dropped" in ran.err
    filled.good("log", "archive", place, "--older-than", "0")
    filled.set(owner_database_url=filled.settings.database_url)
    refused = filled.refused("log", "archive", place, "--drop", "--older-than", "0")
    assert "the database role lacks a right it needs" in refused
    filled.set(owner_database_url=None)
    refused = filled.refused("log", "archive", place, "--drop", "--older-than", "0")
    assert "entries are taken out by the owner" in refused
