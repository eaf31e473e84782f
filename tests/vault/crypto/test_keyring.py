"""The file provider: versions, kinds, batches, and what other processes do to the same file."""

from pathlib import Path

import pytest

from vault.crypto.errors import KeyringError, UnsealError
from vault.crypto.keyfile import Argon2Cost
from vault.crypto.keyring import FileKeyring
from vault.crypto.provider import KeyKind, KeyProvider

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


async def test_keys_outlive_the_process(keyring: FileKeyring, path: Path) -> None:
    await keyring.create("root")
    await keyring.create("index", KeyKind.MAC)
    wrapped = await keyring.wrap("root", SECRET, b"aad")
    mac = await keyring.mac("index", b"message")
    again = FileKeyring.open(path, PASSPHRASE)
    assert await again.unwrap("root", wrapped, b"aad") == SECRET
    assert await again.mac("index", b"message") == mac


async def test_wraps_use_the_newest_version_and_open_under_any(keyring: FileKeyring) -> None:
    await keyring.create("root")
    first = await keyring.wrap("root", SECRET, b"")
    await keyring.create("root")
    second = await keyring.wrap("root", SECRET, b"")
    assert (first[2:6], second[2:6]) == (b"\0\0\0\1", b"\0\0\0\2")
    assert await keyring.unwrap_many("root", [(first, b""), (second, b"")]) == [SECRET, SECRET]
    await keyring.destroy("root", 1)
    assert await keyring.versions("root") == (2,)
    with pytest.raises(KeyringError, match="no version 1 of key root") as caught:
        await keyring.unwrap_many("root", [(second, b""), (first, b"")])
    assert caught.value.position == 1


async def test_old_wraps_are_wrapped_anew_with_the_newest_version(keyring: FileKeyring) -> None:
    await keyring.create("root")
    items = [(bytes([number]) * 32, bytes([number])) for number in range(5)]
    old = await keyring.wrap_many("root", items)
    await keyring.create("root")
    new = await keyring.rewrap_many("root", [(text, aad) for text, (_, aad) in zip(old, items, strict=True)])
    assert ({*map(keyring.version_of, old)}, {*map(keyring.version_of, new)}) == ({1}, {2})
    # Nothing was handed out, so the journal has nothing to say.
    assert list(keyring.journal.read()) == []
    await keyring.destroy("root", 1)
    for text, (secret, aad) in zip(new, items, strict=True):
        assert await keyring.unwrap("root", text, aad) == secret
    with pytest.raises(KeyringError, match="no version 1 of key root"):
        await keyring.rewrap_many("root", [(old[0], items[0][1])])
    with pytest.raises(UnsealError) as caught:
        await keyring.rewrap_many("root", [(new[0], items[0][1]), (new[1], items[0][1])])
    assert caught.value.position == 1
    with pytest.raises(UnsealError):
        keyring.version_of(new[0][:17])


async def test_a_batch_is_in_order_and_its_nonces_differ(keyring: FileKeyring) -> None:
    await keyring.create("root")
    items = [(bytes([number]) * 32, bytes([number])) for number in range(20)]
    wrapped = await keyring.wrap_many("root", items)
    assert len({text[6:18] for text in wrapped}) == 20
    opened = await keyring.unwrap_many(
        "root", [(text, aad) for text, (_, aad) in zip(wrapped, items, strict=True)]
    )
    assert opened == [secret for secret, _ in items]
    assert await keyring.wrap_many("root", []) == []
    assert await keyring.unwrap_many("root", []) == []


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


async def test_a_wrap_key_is_no_mac_key(keyring: FileKeyring) -> None:
    await keyring.create("root")
    await keyring.create("index", KeyKind.MAC)
    with pytest.raises(KeyringError, match="no key root for this use"):
        await keyring.mac("root", b"")
    with pytest.raises(KeyringError, match="no key index for this use"):
        await keyring.wrap("index", SECRET, b"")
    with pytest.raises(KeyringError, match="for mac, not for wrap"):
        await keyring.create("index", KeyKind.WRAP)


async def test_a_mac_names_its_version(keyring: FileKeyring) -> None:
    await keyring.create("index", KeyKind.MAC)
    old = await keyring.mac("index", b"message")
    await keyring.create("index", KeyKind.MAC)
    new = await keyring.mac("index", b"message")
    assert (old.version, new.version) == (1, 2)
    assert old.value != new.value
    assert await keyring.mac("index", b"message", version=1) == old
    assert await keyring.mac_many("index", [b"message", b"other"], version=1) == [
        old,
        await keyring.mac("index", b"other", version=1),
    ]
    with pytest.raises(KeyringError, match="no version 3"):
        await keyring.mac("index", b"message", version=3)


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


async def test_a_version_number_is_never_used_twice(keyring: FileKeyring) -> None:
    assert await keyring.create("expiry/203207") == 1
    await keyring.destroy("expiry/203207")
    assert await keyring.create("expiry/203207") == 2
    await keyring.destroy("expiry/203207", 2)
    assert await keyring.create("expiry/203207") == 3


async def test_a_key_of_another_process_is_found_at_the_next_call(keyring: FileKeyring, path: Path) -> None:
    other = FileKeyring.open(path, PASSPHRASE)
    await other.create("root")
    wrapped = await other.wrap("root", SECRET, b"")
    assert await keyring.unwrap("root", wrapped, b"") == SECRET
    await keyring.create("root")
    assert (await other.wrap("root", SECRET, b""))[2:6] == b"\0\0\0\2"


@pytest.mark.parametrize("name", ["", "Root", "a b", "../x", "x" * 101, "naïve", "a\n"])
async def test_a_name_that_is_none_is_refused(keyring: FileKeyring, name: str) -> None:
    with pytest.raises(KeyringError, match="a key's name"):
        await keyring.create(name)


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
