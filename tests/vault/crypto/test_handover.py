"""The passphrase of a keyring changed under processes that go on."""

import os
from pathlib import Path

import pytest

from tests.vault.crypto.conftest import PASSPHRASE
from vault.crypto import handover
from vault.crypto.errors import KeyringError, ProviderUnavailableError
from vault.crypto.keyring import FileKeyring

NEW = "another passphrase"
SECRET = bytes(range(32))


def beside(path: Path) -> Path:
    return path.with_name("keyring.handover")


def past_its_life(path: Path) -> None:
    then = beside(path).stat().st_mtime - handover.LIFE - 1
    os.utime(beside(path), (then, then))


async def test_who_has_it_open_goes_on_and_who_comes_later_needs_the_new_one(
    keyring: FileKeyring, path: Path
) -> None:
    await keyring.create("root")
    wrapped = await keyring.wrap("root", SECRET, b"")
    running, late = FileKeyring.open(path, PASSPHRASE), FileKeyring.open(path, PASSPHRASE)
    keyring.change_passphrase(NEW)
    assert await keyring.unwrap("root", wrapped, b"") == SECRET
    assert await running.unwrap("root", wrapped, b"") == SECRET
    assert await running.create("root") == 2
    keyring.end_handover()
    # Each of them has the new key, and sees what the other does.
    await keyring.destroy("root", 1)
    assert await running.versions("root") == (2,)
    with pytest.raises(KeyringError, match="does not open the keyring"):
        FileKeyring.open(path, PASSPHRASE)
    assert await FileKeyring.open(path, NEW).versions("root") == (2,)
    with pytest.raises(KeyringError, match="restart with the passphrase"):
        await late.versions("root")


async def test_a_write_is_the_first_look_too(keyring: FileKeyring, path: Path) -> None:
    running = FileKeyring.open(path, PASSPHRASE)
    keyring.change_passphrase(NEW)
    assert await running.create("root") == 1
    assert await FileKeyring.open(path, NEW).versions("root") == (1,)


def test_a_second_change_waits_for_the_first(keyring: FileKeyring, path: Path) -> None:
    keyring.change_passphrase(NEW)
    with pytest.raises(KeyringError, match="wait a minute"):
        keyring.change_passphrase("a third")
    past_its_life(path)
    keyring.change_passphrase("a third")
    assert FileKeyring.open(path, "a third")


async def test_a_handover_ends_by_itself(keyring: FileKeyring, path: Path) -> None:
    keyring.change_passphrase(NEW)
    await keyring.health()
    assert beside(path).exists()
    assert beside(path).stat().st_mode & 0o777 == 0o600
    past_its_life(path)
    await keyring.health()
    assert not beside(path).exists()


@pytest.mark.parametrize(
    ("passphrase", "says"), [("", "is empty"), (PASSPHRASE, "choose another"), ("\ud800", "not UTF-8")]
)
def test_what_is_no_new_passphrase_changes_nothing(
    keyring: FileKeyring, path: Path, passphrase: str, says: str
) -> None:
    before = path.read_bytes()
    with pytest.raises(KeyringError, match=says):
        keyring.change_passphrase(passphrase)
    assert path.read_bytes() == before
    assert not beside(path).exists()


async def test_a_handover_of_another_change_or_an_altered_one_leads_nowhere(
    keyring: FileKeyring, path: Path
) -> None:
    running = FileKeyring.open(path, PASSPHRASE)
    keyring.change_passphrase(NEW)
    handed = beside(path).read_bytes()
    for altered in (
        b"",
        handed[:-1],
        handed + b"x",
        handed[:-1] + bytes([handed[-1] ^ 1]),
        b"x" + handed[1:],
    ):
        beside(path).write_bytes(altered)
        with pytest.raises(KeyringError, match="restart with the passphrase"):
            await running.versions("root")
    past_its_life(path)
    keyring.change_passphrase("a third")
    beside(path).write_bytes(handed)
    with pytest.raises(KeyringError, match="restart with the passphrase"):
        await running.versions("root")


async def test_a_disk_that_is_full_leaves_the_one_before(
    keyring: FileKeyring, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keyring.create("root")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vault.crypto.keyring.replace", full)
    with pytest.raises(ProviderUnavailableError, match="No space left"):
        keyring.change_passphrase(NEW)
    for holder in (keyring, FileKeyring.open(path, PASSPHRASE)):
        assert await holder.versions("root") == (1,)
    with pytest.raises(KeyringError, match="does not open the keyring"):
        FileKeyring.open(path, NEW)
