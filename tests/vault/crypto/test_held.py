"""Keys held elsewhere: what is remembered and for how long, and a holder that lies in one way at a time."""

import hmac
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto.errors import ProviderError, ProviderUnavailableError, UnsealError
from vault.crypto.held import HeldKeys, Sealed
from vault.crypto.journal import Journal, Purpose, Use, for_entry
from vault.crypto.provider import DestroyPolicy, KeyKind, Mac

SECRET = bytes(range(32))


class Holder:
    """One key for everything, which does what it is told, counted, until a test has it lie."""

    maker = 2
    where = "the key server of this test"
    destroy_policy: DestroyPolicy = "now"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.key = os.urandom(32)
        self.answers_first = False
        self.forgets = False
        self.seals_badly = False
        self.version = 1
        self.down = False

    def ask(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise ProviderUnavailableError("down")

    async def create(self, name: str, kind: KeyKind) -> int:
        return 1

    async def seal(self, name: str, items: Sequence[tuple[bytes, bytes]]) -> list[Sealed]:
        self.ask("seal")
        sealed = []
        for plaintext, associated in items:
            nonce = os.urandom(12)
            key = os.urandom(32) if self.seals_badly else self.key
            sealed.append(Sealed(1, nonce + AESGCM(key).encrypt(nonce, plaintext, associated)))
        return sealed

    async def open(
        self, name: str, items: Sequence[tuple[Sealed, bytes]], uses: Sequence[tuple[bytes, Purpose]]
    ) -> list[bytes]:
        self.ask("open")
        opened = []
        for at, (sealed, associated) in enumerate(items):
            try:
                opened.append(AESGCM(self.key).decrypt(sealed.body[:12], sealed.body[12:], associated))
            except InvalidTag:
                raise UnsealError("altered", at) from None
        return [opened[0]] * len(opened) if self.answers_first else opened

    async def mac(self, name: str, messages: Sequence[bytes], version: int | None) -> list[Mac]:
        self.ask("mac")
        key = os.urandom(32) if self.forgets else self.key
        return [Mac(self.version, hmac.digest(key, message, "sha256")) for message in messages]

    async def destroy(self, name: str, version: int | None) -> None:
        self.ask("destroy")

    async def versions(self, name: str) -> tuple[int, ...]:
        return (1,)

    async def health(self) -> None:
        self.ask("health")

    async def close(self) -> None:
        pass


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def holder() -> Holder:
    return Holder()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(holder: Holder, clock: Clock, tmp_path: Path) -> HeldKeys:
    return HeldKeys(holder, Journal(tmp_path / "keyring"), 5, clock)


def uses(keys: HeldKeys) -> list[tuple[bool, str]]:
    return [(line.cached, line.purpose) for line in keys.journal.read() if isinstance(line, Use)]


async def test_what_was_opened_serves_again_for_seconds_and_each_use_has_its_line(
    keys: HeldKeys, holder: Holder, clock: Clock
) -> None:
    one, two = await keys.wrap_many("root", [(SECRET, b"one"), (SECRET, b"two")])
    holder.asked.clear()
    assert await keys.unwrap("root", one, b"one", for_entry(1)) == SECRET
    assert await keys.unwrap_many("root", [(two, b"two"), (one, b"one")], [for_entry(2), for_entry(3)]) == [
        SECRET,
        SECRET,
    ]
    assert holder.asked == ["open", "open"]
    assert uses(keys) == [(False, "entry:1"), (False, "entry:2"), (True, "entry:3")]
    assert keys.lag == 5
    clock.now += 5
    await keys.unwrap("root", one, b"one", for_entry(4))
    assert holder.asked == ["open", "open", "open"]
    await keys.destroy("root")
    await keys.unwrap("root", one, b"one", for_entry(5))
    assert holder.asked[-1] == "open", "what was destroyed here is remembered no longer"
    with pytest.raises(UnsealError) as caught:
        await keys.unwrap_many("root", [(one, b"one"), (two, b"other")])
    assert caught.value.position == 1


async def test_macs_are_remembered_by_version_too(keys: HeldKeys, holder: Holder, clock: Clock) -> None:
    first = await keys.mac("index", b"message")
    assert await keys.mac_many("index", [b"message", b"message"]) == [first, first]
    assert holder.asked == ["mac"]
    await keys.mac("index", b"message", 1)
    assert holder.asked == ["mac", "mac"]
    clock.now += 5
    await keys.mac("index", b"message")
    assert holder.asked == ["mac"] * 3


async def test_a_batch_of_macs_never_holds_two_versions(keys: HeldKeys, holder: Holder) -> None:
    await keys.mac("index", b"before")
    holder.version = 2
    macs = await keys.mac_many("index", [b"before", b"after"])
    assert [mac.version for mac in macs] == [2, 2]


async def test_nothing_is_remembered_for_ever_nor_without_end(
    keys: HeldKeys, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vault.crypto.held._MOST_REMEMBERED", 10)
    await keys.mac_many("index", [bytes([number]) for number in range(30)])
    assert len(keys._macs._held) == 10
    clock.now += 6
    await keys.health()
    assert len(keys._macs._held) == 0


async def test_health_is_asked_once_a_second_and_a_failure_is_not_remembered(
    keys: HeldKeys, holder: Holder, clock: Clock
) -> None:
    await keys.health()
    await keys.health()
    assert holder.asked == ["health"]
    clock.now += 1
    holder.down = True
    for _ in range(2):
        with pytest.raises(ProviderUnavailableError):
            await keys.health()
    holder.down = False
    await keys.health()


async def test_an_answer_of_another_key_is_told_and_not_taken_for_a_damaged_row(
    keys: HeldKeys, holder: Holder
) -> None:
    wrapped = await keys.wrap_many("root", [(b"a" * 32, b"one"), (b"b" * 32, b"two")])
    items = list(zip(wrapped, [b"one", b"two"], strict=True))
    holder.answers_first = True
    with pytest.raises(ProviderUnavailableError, match="belongs to another key"):
        await keys.unwrap_many("root", items)
    assert uses(keys) == []
    holder.answers_first = False
    assert await keys.unwrap_many("root", items) == [b"a" * 32, b"b" * 32]


async def test_a_wrap_that_would_never_open_is_not_handed_out(keys: HeldKeys, holder: Holder) -> None:
    holder.seals_badly = True
    with pytest.raises(ProviderUnavailableError, match="does not open what it wrapped"):
        await keys.wrap("root", SECRET, b"")
    holder.seals_badly, holder.answers_first = False, True
    with pytest.raises(ProviderUnavailableError, match="does not open what it wrapped"):
        await keys.wrap_many("root", [(b"a" * 32, b"one"), (b"b" * 32, b"two")])


async def test_a_mac_of_another_key_or_version_is_told(keys: HeldKeys, holder: Holder) -> None:
    await keys.mac("index", b"message")
    holder.forgets = True
    with pytest.raises(ProviderUnavailableError, match="another key than before"):
        await keys.mac("index", b"other")
    holder.forgets, holder.version = False, 2
    with pytest.raises(ProviderUnavailableError, match="another version"):
        await keys.mac("index", b"message", 1)


async def test_without_a_line_no_key(keys: HeldKeys, tmp_path: Path) -> None:
    wrapped = await keys.wrap("root", SECRET, b"")
    month = next(iter(keys.journal.files()), None)
    assert month is None
    keys.journal._keyring = tmp_path / "gone" / "keyring"
    with pytest.raises(ProviderError, match="no key is used without a line"):
        await keys.unwrap("root", wrapped, b"")
