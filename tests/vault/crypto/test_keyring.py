"""The file provider: what is its own beside what `test_providers.py` asks of each."""

from pathlib import Path

import pytest

from vault.crypto.errors import KeyringError, UnsealError
from vault.crypto.keyfile import Argon2Cost
from vault.crypto.keyring import FileKeyring
from vault.crypto.provider import KeyProvider

PASSPHRASE = "correct horse battery staple"
CHEAP = Argon2Cost(memory_kib=8, iterations=1, lanes=1)
SECRET = bytes(range(32))


async def test_a_file_keyring_is_a_key_provider(keyring: FileKeyring) -> None:
    provider: KeyProvider = keyring
    assert provider.destroy_policy == "now"
    await provider.health()
    assert await provider.versions("root") == ()
    assert await provider.create("root") == 1
    wrapped = await provider.wrap("root", SECRET, b"aad")
    assert await provider.unwrap("root", wrapped, b"aad") == SECRET


async def test_a_moved_or_altered_wrap_does_not_open(keyring: FileKeyring) -> None:
    await keyring.create("root")
    await keyring.create("roo")
    wrapped = await keyring.wrap("root", SECRET, b"aad")
    with pytest.raises(UnsealError):
        await keyring.unwrap("root", wrapped, b"other")
    with pytest.raises(UnsealError):
        await keyring.unwrap("roo", wrapped, b"taad")
    for at in range(len(wrapped) * 8):
        altered = bytearray(wrapped)
        altered[at // 8] ^= 1 << at % 8
        with pytest.raises((UnsealError, KeyringError)):
            await keyring.unwrap("root", bytes(altered), b"aad")
    for length in range(len(wrapped)):
        with pytest.raises(UnsealError):
            await keyring.unwrap("root", wrapped[:length], b"aad")
    with pytest.raises(UnsealError) as caught:
        await keyring.unwrap_many("root", [(wrapped, b"aad"), (wrapped, b"other")])
    assert caught.value.position == 1


async def test_a_destroyed_key_is_gone_everywhere_at_once(keyring: FileKeyring, path: Path) -> None:
    other = FileKeyring.open(path, PASSPHRASE)
    await keyring.create("expiry/203207")
    wrapped = await other.wrap("expiry/203207", SECRET, b"")
    await keyring.destroy("expiry/203207")
    for holder in (keyring, other, FileKeyring.open(path, PASSPHRASE)):
        assert await holder.versions("expiry/203207") == ()
        with pytest.raises(KeyringError, match="holds no key expiry/203207"):
            await holder.unwrap("expiry/203207", wrapped, b"")
    await keyring.destroy("expiry/203207")
    await keyring.destroy("expiry/203207", 9)
    await keyring.destroy("never-made")


async def test_a_key_of_another_process_is_found_at_the_next_call(keyring: FileKeyring, path: Path) -> None:
    other = FileKeyring.open(path, PASSPHRASE)
    await other.create("root")
    wrapped = await other.wrap("root", SECRET, b"")
    assert await keyring.unwrap("root", wrapped, b"") == SECRET
    await keyring.create("root")
    assert (await other.wrap("root", SECRET, b""))[2:6] == b"\0\0\0\2"


def move(path: Path, to: Path) -> None:
    path.replace(to)


async def test_a_running_keyring_says_that_its_file_went_away(keyring: FileKeyring, path: Path) -> None:
    await keyring.create("root")
    wrapped = await keyring.wrap("root", SECRET, b"")
    aside = path.with_name("aside")
    move(path, aside)
    for call in (
        keyring.health(),
        keyring.unwrap("root", wrapped, b""),
        keyring.wrap("root", SECRET, b""),
        keyring.create("other"),
        keyring.destroy("root"),
        keyring.versions("root"),
    ):
        with pytest.raises(KeyringError, match="is missing"):
            await call
    move(aside, path)
    await keyring.health()
    assert await keyring.unwrap("root", wrapped, b"") == SECRET


async def test_another_keyring_in_its_place_is_named(
    keyring: FileKeyring, path: Path, tmp_path: Path
) -> None:
    await keyring.create("root")
    other = tmp_path / "other"
    await FileKeyring.create_file(other, PASSPHRASE, CHEAP).create("root")
    move(other, path)
    for call in (keyring.health(), keyring.create("root")):
        with pytest.raises(KeyringError, match="another keyring took the place"):
            await call
