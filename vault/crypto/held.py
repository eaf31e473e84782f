"""Keys that something outside this host holds and computes with, as one `KeyProvider` (FORMAT 8).

What holds the keys is a `KeyHolder`: a key server, a hardware module. It is believed as little as possible:
1. Every wrap names inside its plaintext what it is bound to. An answer that belongs to another key, or to
   another wrap, is told before anybody uses it.
2. A wrap is opened once before it is handed out: what the holder could not open again is never stored. The
   holder is told that it is for this (`CHECK`), and what is opened to be wrapped anew is for that (`REWRAP`);
   neither is handed to anybody, so the journal has no line of them.
3. Each batch of MACs carries one whose value is known. A key that was exchanged behind its name is told.

What was opened is remembered for some seconds, so that a person who is asked about again costs no round
trip; each use of it has its line in the journal, as each opening has.
"""

import asyncio
import hashlib
import hmac
import os
import struct
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from vault.crypto.errors import ProviderRefusedError, ProviderUnavailableError, UnsealError
from vault.crypto.fields import named
from vault.crypto.journal import UNNAMED, Journal, Purpose, for_job
from vault.crypto.provider import NAME, NAME_RULE, DestroyPolicy, KeyKind, Mac, made_elsewhere
from vault.crypto.suites import ENABLED, NONCE_SIZE, SUITE, TAG_SIZE

CHECK: Final = for_job("wrap-check")
REWRAP: Final = for_job("rewrap")

_HEADER: Final = struct.Struct(">BBI")
_BINDING: Final = b"creditvault bound wrap v1"
_BINDING_SIZE: Final = 32
_SMALLEST: Final = _HEADER.size + NONCE_SIZE + _BINDING_SIZE + TAG_SIZE
_CANARY: Final = b"creditvault canary v1"
_MOST_REMEMBERED: Final = 20_000
_HEALTHY_SECONDS: Final = 1.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a holder sealed: under which version of a key, and nonce, ciphertext and tag."""

    version: int
    body: bytes


class KeyHolder(Protocol):
    """What holds the keys: it seals, opens and authenticates, and no key ever leaves it.

    Errors are those of `KeyProvider`; where one item of a batch is at fault, `position` names it. What may
    pass by itself is a `ProviderUnavailableError`: a refusal is taken for a key that was destroyed.
    """

    @property
    def maker(self) -> int:
        """Which of `provider.MAKERS` it is."""
        ...

    @property
    def where(self) -> str:
        """What it is called in messages, such as `the key server https://…`."""
        ...

    @property
    def destroy_policy(self) -> DestroyPolicy:
        """See `KeyProvider.destroy_policy`."""
        ...

    async def create(self, name: str, kind: KeyKind) -> int:
        """See `KeyProvider.create`."""
        ...

    async def seal(self, name: str, items: Sequence[tuple[bytes, bytes]]) -> list[Sealed]:
        """Seal many (plaintext, associated data) under the newest version, AES-256-GCM."""
        ...

    async def open(
        self, name: str, items: Sequence[tuple[Sealed, bytes]], uses: Sequence[tuple[bytes, Purpose]]
    ) -> list[bytes]:
        """Open many (sealed, associated data); uses, as the journal has them, for the holder's own record."""
        ...

    async def mac(self, name: str, messages: Sequence[bytes], version: int | None) -> list[Mac]:
        """See `KeyProvider.mac_many`."""
        ...

    async def destroy(self, name: str, version: int | None) -> None:
        """See `KeyProvider.destroy`."""
        ...

    async def versions(self, name: str) -> tuple[int, ...]:
        """See `KeyProvider.versions`."""
        ...

    async def health(self) -> None:
        """See `KeyProvider.health`."""
        ...

    async def close(self) -> None:
        """See `KeyProvider.close`."""
        ...


class HeldKeys:
    """A `KeyProvider` over a holder.

    Args:
        holder: What holds the keys.
        journal: Takes a line for each key that is handed out.
        seconds: How long what was opened or authenticated is remembered; 0: not at all.
        clock: Seconds that only increase.
    """

    def __init__(
        self,
        holder: KeyHolder,
        journal: Journal,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.journal = journal
        self._holder = holder
        self._seconds = seconds
        self._clock = clock
        self._opened: _Remembered[bytes] = _Remembered(seconds, clock)
        self._macs: _Remembered[Mac] = _Remembered(seconds, clock)
        # Messages are identity numbers: what remembers their MACs need not remember them.
        self._blur = os.urandom(32)
        self._canaries: dict[tuple[str, int], bytes] = {}
        self._healthy_until = -1.0
        self._asking = asyncio.Lock()

    @property
    def maker(self) -> int:
        """The holder's."""
        return self._holder.maker

    @property
    def makers(self) -> frozenset[int]:
        """The holder's alone."""
        return frozenset({self._holder.maker})

    @property
    def destroy_policy(self) -> DestroyPolicy:
        """As the holder declares it."""
        return self._holder.destroy_policy

    @property
    def lag(self) -> float:
        """As long as something is remembered."""
        return self._seconds

    async def create(self, name: str, kind: KeyKind = KeyKind.WRAP) -> int:
        """Make a new version of a key. See `KeyProvider.create`."""
        if not NAME.fullmatch(name):
            raise ProviderRefusedError(NAME_RULE)
        version = await self._holder.create(name, kind)
        self._forget(name)
        return version

    async def wrap(self, name: str, secret: bytes, aad: bytes) -> bytes:
        """Wrap with the newest version. See `KeyProvider.wrap`."""
        return (await self.wrap_many(name, [(secret, aad)]))[0]

    async def wrap_many(self, name: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Wrap many (secret, aad). See `KeyProvider.wrap_many`."""
        bound = [self._binding(name, aad) for _, aad in items]
        plain = [binding + secret for (secret, _), (binding, _) in zip(items, bound, strict=True)]
        with self._heeding():
            sealed = await self._holder.seal(
                name, [(each, associated) for each, (_, associated) in zip(plain, bound, strict=True)]
            )
        await self._opens(name, sealed, bound, plain, [(aad, CHECK) for _, aad in items])
        return [_HEADER.pack(self._holder.maker, SUITE, one.version) + one.body for one in sealed]

    async def _opens(
        self,
        name: str,
        sealed: Sequence[Sealed],
        bound: Sequence[tuple[bytes, bytes]],
        plain: Sequence[bytes],
        uses: Sequence[tuple[bytes, Purpose]],
    ) -> None:
        """What was sealed just now opens again (2)."""
        if not sealed:
            return
        items = [(one, associated) for one, (_, associated) in zip(sealed, bound, strict=True)]
        try:
            with self._heeding():
                opened = await self._holder.open(name, items, uses)
        except (UnsealError, ProviderRefusedError):
            raise self._lied(name, "does not open what it wrapped a moment ago") from None
        if not hmac.compare_digest(b"".join(opened), b"".join(plain)):
            raise self._lied(name, "does not open what it wrapped a moment ago")

    async def unwrap(self, name: str, wrapped: bytes, aad: bytes, purpose: Purpose = UNNAMED) -> bytes:
        """Open what `wrap` made. See `KeyProvider.unwrap`."""
        return (await self.unwrap_many(name, [(wrapped, aad)], [purpose]))[0]

    async def unwrap_many(
        self, name: str, items: Sequence[tuple[bytes, bytes]], purposes: Sequence[Purpose] = ()
    ) -> list[bytes]:
        """Open many (wrapped, aad). See `KeyProvider.unwrap_many`."""
        stated = purposes or [UNNAMED] * len(items)
        uses = [(aad, purpose) for (_, aad), purpose in zip(items, stated, strict=True)]
        found = [self._opened.get((name, wrapped, aad)) for wrapped, aad in items]
        missing = [at for at, secret in enumerate(found) if secret is None]
        opened = await self._open(name, [(at, *items[at]) for at in missing], [uses[at] for at in missing])
        self.journal.write(name, [uses[at] for at in missing])
        self.journal.write(
            name, [use for use, secret in zip(uses, found, strict=True) if secret is not None], cached=True
        )
        # From here the journal says what these keys are for.
        for at, secret in opened.items():
            self._opened.put((name, *items[at]), secret)
        return [opened[at] if secret is None else secret for at, secret in enumerate(found)]

    async def _open(
        self, name: str, items: Sequence[tuple[int, bytes, bytes]], uses: Sequence[tuple[bytes, Purpose]]
    ) -> dict[int, bytes]:
        """Has the holder open (position, wrapped, aad); the secrets by position."""
        bindings, asked = [], []
        for at, wrapped, aad in items:
            binding, associated = self._binding(name, aad)
            bindings.append(binding)
            asked.append((self._sealed(wrapped, at), associated))
        if not asked:
            return {}
        try:
            with self._heeding():
                plain = await self._holder.open(name, asked, uses)
        except (UnsealError, ProviderRefusedError) as error:
            if error.position is not None:
                error.position = items[error.position][0]
            raise
        for opened, binding in zip(plain, bindings, strict=True):
            if not hmac.compare_digest(opened[:_BINDING_SIZE], binding):
                raise self._lied(name, "answered with what belongs to another key")
        return {at: opened[_BINDING_SIZE:] for (at, _, _), opened in zip(items, plain, strict=True)}

    def version_of(self, wrapped: bytes) -> int:
        """The version a wrap states. See `KeyProvider.version_of`."""
        return self._sealed(wrapped).version

    async def rewrap_many(self, name: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Wrap many anew. See `KeyProvider.rewrap_many`."""
        opened = await self.open_to_rewrap(name, items)
        return await self.wrap_many(
            name, [(secret, aad) for secret, (_, aad) in zip(opened, items, strict=True)]
        )

    async def open_to_rewrap(self, name: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Open many to be wrapped anew. See `KeyProvider.open_to_rewrap`."""
        asked = [(at, wrapped, aad) for at, (wrapped, aad) in enumerate(items)]
        opened = await self._open(name, asked, [(aad, REWRAP) for _, aad in items])
        return [opened[at] for at, _, _ in asked]

    def _sealed(self, wrapped: bytes, at: int | None = None) -> Sealed:
        if len(wrapped) < _SMALLEST or wrapped[1] not in ENABLED:
            raise UnsealError("a wrapped key is too short, or of a suite that is not enabled", at)
        maker, _, version = _HEADER.unpack_from(wrapped)
        if maker != self._holder.maker:
            raise UnsealError(made_elsewhere(maker), at)
        return Sealed(version, wrapped[_HEADER.size :])

    def _binding(self, name: str, aad: bytes) -> tuple[bytes, bytes]:
        """What a plaintext begins with (1), and the associated data it is sealed with."""
        associated = bytes((self._holder.maker, SUITE)) + named(name) + aad
        return hashlib.sha256(_BINDING + associated).digest(), associated

    async def used(self, name: str, uses: Sequence[tuple[bytes, Purpose]]) -> None:
        """Keep that keys were used again. See `KeyProvider.used`."""
        self.journal.write(name, uses, cached=True)

    async def mac(self, name: str, message: bytes, version: int | None = None) -> Mac:
        """HMAC-SHA-256. See `KeyProvider.mac`."""
        return (await self.mac_many(name, [message], version))[0]

    async def mac_many(self, name: str, messages: Sequence[bytes], version: int | None = None) -> list[Mac]:
        """HMAC-SHA-256 of many messages. See `KeyProvider.mac_many`."""
        places = [(name, version, hmac.digest(self._blur, message, "sha256")) for message in messages]
        found = [self._macs.get(place) for place in places]
        missing = [at for at, mac in enumerate(found) if mac is None]
        made: dict[int, Mac] = {}
        if missing:
            asked = [_CANARY, *(messages[at] for at in missing)]
            with self._heeding():
                canary, *macs = await self._holder.mac(name, asked, version)
            if version not in (None, canary.version) or {mac.version for mac in macs} != {canary.version}:
                raise self._lied(name, "answered with another version of the key")
            known = self._canaries.setdefault((name, canary.version), canary.value)
            if not hmac.compare_digest(known, canary.value):
                raise self._lied(name, "authenticates with another key than before")
            if version is None and any(mac and mac.version != canary.version for mac in found):
                # Another process made a newer version: one batch never holds two.
                self._macs.forget(name)
                return await self.mac_many(name, messages)
            made = dict(zip(missing, macs, strict=True))
            for at, mac in made.items():
                self._macs.put(places[at], mac)
        return [made[at] if mac is None else mac for at, mac in enumerate(found)]

    async def destroy(self, name: str, version: int | None = None) -> None:
        """Destroy one version of a key, or all. See `KeyProvider.destroy`."""
        self._forget(name)
        await self._holder.destroy(name, version)
        self._forget(name)  # What another call opened meanwhile.

    async def versions(self, name: str) -> tuple[int, ...]:
        """The versions that are left, oldest first. See `KeyProvider.versions`."""
        return await self._holder.versions(name)

    async def health(self) -> None:
        """Return if the holder answered within the last second, or does now. See `KeyProvider.health`."""
        self._opened.tidy()
        self._macs.tidy()
        if self._clock() < self._healthy_until:
            return
        async with self._asking:
            if self._clock() >= self._healthy_until:
                await self._holder.health()
                self._healthy_until = self._clock() + _HEALTHY_SECONDS

    @contextmanager
    def _heeding(self) -> Iterator[None]:
        """Whoever did not answer just now is not healthy, whatever was said a moment before."""
        try:
            yield
        except ProviderUnavailableError:
            self._healthy_until = -1.0
            raise

    async def close(self) -> None:
        """Let go of what the holder holds open, and of everything remembered."""
        self._opened.clear()
        self._macs.clear()
        await self._holder.close()

    def _forget(self, name: str) -> None:
        self._opened.forget(name)
        self._macs.forget(name)

    def _lied(self, name: str, what: str) -> ProviderUnavailableError:
        """Not a refusal: nothing of ours is gone, and the next answer may be right again."""
        self._healthy_until = -1.0
        return ProviderUnavailableError(
            f"{self._holder.where} {what} (key {name}): nothing it answered is used; find out who answers "
            "in its place, or whether it was restored from another's backup"
        )


class _Remembered(Generic[T]):
    """Values by place for some seconds, the oldest first to go; a place begins with the key's name."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._held: OrderedDict[tuple[Hashable, ...], tuple[float, T]] = OrderedDict()

    def get(self, place: tuple[Hashable, ...]) -> T | None:
        held = self._held.get(place)
        return held[1] if held is not None and self._clock() < held[0] else None

    def put(self, place: tuple[Hashable, ...], value: T) -> None:
        if self._seconds > 0:
            self._held[place] = (self._clock() + self._seconds, value)
            self._held.move_to_end(place)
        self.tidy()

    def tidy(self) -> None:
        """Lets go of what is too old, or too much."""
        now = self._clock()
        while self._held:
            oldest = next(iter(self._held))
            if len(self._held) <= _MOST_REMEMBERED and now < self._held[oldest][0]:
                return
            del self._held[oldest]

    def forget(self, name: str) -> None:
        for place in [place for place in self._held if place[0] == name]:
            del self._held[place]

    def clear(self) -> None:
        self._held.clear()
