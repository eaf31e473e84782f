"""The keyring's journal: a line for every key before the key, and whatever is no line is told apart."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vault.crypto.errors import ProviderUnavailableError, UnsealError
from vault.crypto.journal import MONTH, START, UNNAMED, BadLine, Journal, Use, for_entry, for_job, handle
from vault.crypto.keyfile import Argon2Cost
from vault.crypto.keyring import FileKeyring

CHEAP = Argon2Cost(8, 1, 1)
PURPOSES = (UNNAMED, START, MONTH, for_entry(0), for_entry(2**62), for_job("enrol.17"))


@pytest.fixture
def keyring(tmp_path: Path) -> FileKeyring:
    return FileKeyring.create_file(tmp_path / "keyring", "passphrase", CHEAP)


def uses(journal: Journal) -> list[Use]:
    found = list(journal.read())
    assert all(isinstance(one, Use) for one in found)
    return [one for one in found if isinstance(one, Use)]


async def test_every_unwrap_states_its_purpose(keyring: FileKeyring) -> None:
    await keyring.create("root")
    items = [(await keyring.wrap("root", b"s" * 32, aad), aad) for aad in (b"one", b"two")]
    assert list(keyring.journal.read()) == []
    await keyring.unwrap_many("root", items, [for_entry(7), for_job("a")])
    await keyring.unwrap("root", *items[0])
    await keyring.used("root", [(b"one", for_entry(8))])
    assert [(one.cached, one.name, one.handle, one.purpose) for one in uses(keyring.journal)] == [
        (False, "root", handle(b"one"), "entry:7"),
        (False, "root", handle(b"two"), "job:a"),
        (False, "root", handle(b"one"), UNNAMED),
        (True, "root", handle(b"one"), "entry:8"),
    ]
    assert [one.entry for one in uses(keyring.journal)] == [7, None, None, 8]


async def test_what_does_not_open_has_no_line(keyring: FileKeyring) -> None:
    await keyring.create("root")
    wrapped = await keyring.wrap("root", b"s" * 32, b"one")
    with pytest.raises(UnsealError):
        await keyring.unwrap("root", wrapped, b"another", for_entry(1))
    assert list(keyring.journal.read()) == []


async def test_no_key_without_its_line(keyring: FileKeyring, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk stops the keys: an unwrap nobody could count is none."""
    await keyring.create("root")
    wrapped = await keyring.wrap("root", b"s" * 32, b"one")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda _descriptor, content: len(content) - 1)
        with pytest.raises(ProviderUnavailableError, match="no key is used without a line there"):
            await keyring.unwrap("root", wrapped, b"one", for_entry(1))
    assert await keyring.unwrap("root", wrapped, b"one", for_entry(1)) == b"s" * 32


def test_it_is_private_and_a_file_a_month(keyring: FileKeyring, tmp_path: Path) -> None:
    keyring.journal.write("root", [(b"a", START)])
    (file,) = keyring.journal.files()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    older = tmp_path / "keyring.journal-202001"
    older.write_text(f"1 5 unwrap root {handle(b'b')} start\n")
    (tmp_path / "keyring.journal-2020").write_text("no journal\n")
    (tmp_path / "another.journal-202001").write_text("no journal\n")
    assert keyring.journal.files() == [older, file]
    assert uses(keyring.journal)[0].time == 5


def test_a_torn_line_stays_alone(keyring: FileKeyring, tmp_path: Path) -> None:
    keyring.journal.write("root", [(b"a", START)])
    (file,) = keyring.journal.files()
    with file.open("ab") as stream:
        stream.write(b"1 17 unwrap ro")
    Journal.of(tmp_path / "keyring").write("root", [(b"b", for_entry(3))])
    first, torn, second = keyring.journal.read()
    assert torn == BadLine(file.name, 2)
    assert isinstance(first, Use)
    assert isinstance(second, Use)
    assert second.purpose == "entry:3"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=st.lists(st.tuples(st.binary(max_size=9), st.sampled_from(PURPOSES)), max_size=9))
def test_what_is_written_is_read(tmp_path: Path, written: list[tuple[bytes, str]]) -> None:
    for old in tmp_path.glob("ring*"):
        old.unlink()
    (tmp_path / "ring").touch()
    journal = Journal(tmp_path / "ring")
    journal.write("expiry-203601", written)
    assert [(one.handle, one.purpose) for one in uses(journal)] == [(handle(a), p) for a, p in written]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"2 5 unwrap root " + b"0" * 32 + b" start",
        b"1 5 opened root " + b"0" * 32 + b" start",
        b"1 5 unwrap root " + b"0" * 31 + b" start",
        b"1 5 unwrap root " + b"0" * 32 + b" entry:01",
        b"1 5 unwrap root " + b"0" * 32 + b" entry:" + b"9" * 400,
        b"1 5 unwrap root " + b"0" * 32 + b" start ",
        b"\xff\x00",
    ],
)
def test_what_is_no_line(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "ring.journal-202601").write_bytes(line + b"\n")
    found = list(Journal(tmp_path / "ring").read())
    assert found
    assert all(isinstance(one, BadLine) for one in found)
