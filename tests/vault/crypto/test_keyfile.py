"""The keyring file: who may read it, what is damaged, and what the operator is told."""

import asyncio
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.crypto.errors import KeyringError, ProviderError, ProviderRefusedError
from vault.crypto.keyfile import DEFAULT_COST, HEADER_SIZE, Argon2Cost
from vault.crypto.keyring import FileKeyring

PASSPHRASE = "correct horse battery staple"
CHEAP = Argon2Cost(memory_kib=8, iterations=1, lanes=1)
NONCE_AT = HEADER_SIZE - 12


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def header_of(path: Path) -> bytes:
    return path.read_bytes()[:HEADER_SIZE]


def test_the_file_is_private(keyring: FileKeyring, path: Path) -> None:
    assert keyring is not None
    assert mode_of(path) == mode_of(path.with_name("keyring.lock")) == 0o600
    assert mode_of(path.parent) == 0o700


async def test_the_file_stays_private(keyring: FileKeyring, path: Path) -> None:
    before = os.umask(0)
    try:
        await keyring.create("root")
    finally:
        os.umask(before)
    assert mode_of(path) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o644])
def test_a_file_others_can_read_is_refused_with_the_fix(keyring: FileKeyring, path: Path, mode: int) -> None:
    assert keyring is not None
    path.chmod(mode)
    with pytest.raises(KeyringError, match=f"chmod 600 {path}"):
        FileKeyring.open(path, PASSPHRASE)


async def test_a_rewrite_by_root_leaves_the_file_to_its_owner(
    keyring: FileKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_to: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda _descriptor, user, group: given_to.append((user, group)))
    await keyring.create("root")
    assert given_to == [(os.getuid(), os.getgid())] * 2  # the lock and the new file


def test_a_second_keyring_does_not_take_the_place_of_the_first(keyring: FileKeyring, path: Path) -> None:
    assert keyring is not None
    content = path.read_bytes()
    with pytest.raises(KeyringError, match="already"):
        FileKeyring.create_file(path, PASSPHRASE, CHEAP)
    assert path.read_bytes() == content


async def test_a_link_stays_a_link(keyring: FileKeyring, path: Path, tmp_path: Path) -> None:
    assert keyring is not None
    link = tmp_path / "link"
    link.symlink_to(path)
    await FileKeyring.open(link, PASSPHRASE).create("root")
    assert link.is_symlink()
    assert await FileKeyring.open(path, PASSPHRASE).versions("root") == (1,)


def refuses(path: Path, words: str, passphrase: str = PASSPHRASE) -> None:
    with pytest.raises(KeyringError, match=words) as caught:
        FileKeyring.open(path, passphrase)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, ProviderRefusedError)
    assert not caught.value.retryable


def test_a_wrong_passphrase_is_named(keyring: FileKeyring, path: Path) -> None:
    assert keyring is not None
    refuses(path, "passphrase does not open", "correct horse battery stable")
    refuses(path, "is empty", "")
    refuses(path, "not UTF-8", "\udcff")


def test_a_keyring_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProviderError, match=r"file/keyring cannot be written now: File exists"):
        FileKeyring.create_file(tmp_path / "file" / "keyring", PASSPHRASE, CHEAP)


def test_a_missing_file_is_named(path: Path) -> None:
    refuses(path, "is missing")


def test_a_folder_is_no_keyring(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="cannot be read now: Is a directory"):
        FileKeyring.open(tmp_path, PASSPHRASE)


def test_an_unreadable_file_is_named(
    keyring: FileKeyring, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keyring is not None

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    refuses(path, "may not be read by this user")


def test_a_file_cut_at_any_length_is_refused(keyring: FileKeyring, path: Path) -> None:
    assert keyring is not None
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        refuses(path, "is no keyring|is damaged")


def test_any_altered_byte_is_refused(keyring: FileKeyring, path: Path) -> None:
    assert keyring is not None
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        refuses(path, "is no keyring|is of another version" if at < 21 else "is damaged")


def resealed(keyring: FileKeyring, change: Callable[[bytes], bytes]) -> bytes:
    """The file again with another plaintext inside, sealed and whole."""
    keyfile = keyring._keyfile
    content = keyfile.encode({})
    header = content[:HEADER_SIZE]
    plaintext = keyfile._cipher.decrypt(header[-12:], content[HEADER_SIZE:-32], header)
    body = header + keyfile._cipher.encrypt(header[-12:], change(plaintext), header)
    return body + hashlib.sha256(body).digest()


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"keys":[]}',
        b'{"keys":{"root":{}}}',
        b'{"keys":{"root":{"kind":"sign","following":1,"versions":{}}}}',
        b'{"keys":{"root":{"kind":"wrap","following":1,"versions":{"x":""}}}}',
        b'{"keys":{"root":{"kind":"wrap","following":1,"versions":{"1":"AAAA"}}}}',
        b'{"keys":{"root":{"kind":"wrap","following":1,"versions":{"1":7}}}}',
    ],
)
def test_an_unknown_content_is_refused(keyring: FileKeyring, path: Path, plaintext: bytes) -> None:
    path.write_bytes(resealed(keyring, lambda _: plaintext))
    refuses(path, "this release cannot read")


def test_a_forged_cost_does_not_stop_the_machine(keyring: FileKeyring, path: Path) -> None:
    assert keyring is not None
    content = path.read_bytes()
    for at in (21, 25, 29):
        forged = content[:at] + b"\xff\xff\xff\xff" + content[at + 4 : -32]
        path.write_bytes(forged + hashlib.sha256(forged).digest())
        refuses(path, "out of bounds")


@given(memory_kib=st.integers(-1, 2**32), iterations=st.integers(-1, 2**32), lanes=st.integers(-1, 2**32))
def test_a_cost_is_in_bounds_or_none(memory_kib: int, iterations: int, lanes: int) -> None:
    try:
        cost = Argon2Cost(memory_kib, iterations, lanes)
    except ValueError:
        return
    assert cost.memory_kib <= 2**20


async def test_the_cost_and_the_salt_stay_with_the_file(path: Path) -> None:
    keyring = FileKeyring.create_file(path, PASSPHRASE, Argon2Cost(memory_kib=64, iterations=2, lanes=2))
    before = header_of(path)
    await keyring.create("root")
    after = header_of(path)
    assert before[:NONCE_AT] == after[:NONCE_AT]
    assert before[NONCE_AT:] != after[NONCE_AT:]


def test_the_default_cost_is_that_of_rfc_9106() -> None:
    assert (DEFAULT_COST.memory_kib, DEFAULT_COST.iterations, DEFAULT_COST.lanes) == (65536, 3, 4)


def test_no_representation_shows_a_key(keyring: FileKeyring, path: Path) -> None:
    asyncio.run(keyring.create("root"))
    keys = keyring._keyfile.decode(path.read_bytes())
    secret = keys["root"].versions[1]
    shown = repr(keyring) + repr(keyring._loaded) + repr(keys)
    assert repr(secret) not in shown
    assert secret.hex() not in shown
    assert secret not in path.read_bytes()
