"""Two key providers as one, while a vault moves from one to the other.

    former   made everything there is, and opens what was not moved yet
    new      makes everything once it has a newer version of a key than the former

A wrap says by itself who made it (FORMAT 8), so everything opens throughout. Of `root` and `index` the newest
version makes what is new. Versions count on across both providers, so that the one in the new provider is the
newest, and no number stands for two keys: `make_above` makes the new provider skip what the former used.

Which of the two has the newest version is asked anew until it is the new one, and remembered for as long as
the providers remember anything (`lag`), which whoever moves a vault waits for as at every rotation.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from typing import Final

from vault.crypto.errors import ProviderRefusedError, UnsealError
from vault.crypto.journal import UNNAMED, Purpose
from vault.crypto.provider import DelayedDestroy, DestroyPolicy, KeyKind, KeyProvider, Mac, made_elsewhere

Items = Sequence[tuple[bytes, bytes]]


class SucceedingKeys:
    """A `KeyProvider` of two.

    Args:
        new: Makes what is new, from the first newer version on.
        former: Another kind of provider.
        leading: The key whose newest version says which of them makes new keys.
        clock: Seconds that only increase.
    """

    def __init__(
        self,
        new: KeyProvider,
        former: KeyProvider,
        leading: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.new: Final = new
        self.former: Final = former
        self._leading = leading
        self._clock = clock
        self._moved: set[str] = set()
        self._former_until: dict[str, float] = {}
        self._homes: dict[tuple[str, int], KeyProvider] = {}

    @property
    def maker(self) -> int:
        """The new one's."""
        return self.new.maker

    @property
    def makers(self) -> frozenset[int]:
        """Both."""
        return self.new.makers | self.former.makers

    @property
    def destroy_policy(self) -> DestroyPolicy:
        """The slower one's."""
        policies = (self.new.destroy_policy, self.former.destroy_policy)
        if "none" in policies:
            return "none"
        days = [one.days for one in policies if isinstance(one, DelayedDestroy)]
        return DelayedDestroy(max(days)) if days else "now"

    @property
    def lag(self) -> float:
        """The longer one's."""
        return max(self.new.lag, self.former.lag)

    async def make_above(self, name: str, kind: KeyKind, above: int, known: Collection[int]) -> int:
        """Makes a version in the new provider that is newer than any of the former; it may be there already.

        Args:
            name: The key.
            kind: What it is for.
            above: The version in use.
            known: Versions of it in the new provider that are anybody's, from an earlier time there.

        Raises:
            ProviderError: One of them does not answer; do it again.
        """
        # The former may have one that nobody took into use.
        above = max((above, *await self.former.versions(name)))
        newest = max(await self.new.versions(name), default=0)
        while newest <= above:
            newest = await self.new.create(name, kind)
        # What was only counted past is of no use, and no number should stand for two keys. Where the new one
        # destroys from the oldest on, and that is somebody's, they stay: whoever asks finds the former first.
        for skipped in (await self.new.versions(name))[:-1]:
            if skipped not in known:
                with suppress(ProviderRefusedError):
                    await self.new.destroy(name, skipped)
        return newest

    async def create(self, name: str, kind: KeyKind = KeyKind.WRAP) -> int:
        """Make a new version of a key. See `KeyProvider.create`."""
        return await (await self._newest(self._leading)).create(name, kind)

    async def wrap(self, name: str, secret: bytes, aad: bytes) -> bytes:
        """Wrap with the newest version. See `KeyProvider.wrap`."""
        return (await self.wrap_many(name, [(secret, aad)]))[0]

    async def wrap_many(self, name: str, items: Items) -> list[bytes]:
        """Wrap many (secret, aad). See `KeyProvider.wrap_many`."""
        if name == self._leading:
            return await (await self._newest(name)).wrap_many(name, items)
        made = self.new if await self.new.versions(name) else self.former
        return await made.wrap_many(name, items)

    async def unwrap(self, name: str, wrapped: bytes, aad: bytes, purpose: Purpose = UNNAMED) -> bytes:
        """Open what `wrap` made. See `KeyProvider.unwrap`."""
        return (await self.unwrap_many(name, [(wrapped, aad)], [purpose]))[0]

    async def unwrap_many(self, name: str, items: Items, purposes: Sequence[Purpose] = ()) -> list[bytes]:
        """Open many (wrapped, aad). See `KeyProvider.unwrap_many`."""
        stated = purposes or [UNNAMED] * len(items)

        async def opened(provider: KeyProvider, at: Sequence[int]) -> list[bytes]:
            return await provider.unwrap_many(name, [items[one] for one in at], [stated[one] for one in at])

        return await self._by_maker(items, opened)

    def version_of(self, wrapped: bytes) -> int:
        """The version a wrap states. See `KeyProvider.version_of`."""
        return self._maker(wrapped, None).version_of(wrapped)

    async def open_to_rewrap(self, name: str, items: Items) -> list[bytes]:
        """Open many to be wrapped anew. See `KeyProvider.open_to_rewrap`."""

        async def opened(provider: KeyProvider, at: Sequence[int]) -> list[bytes]:
            return await provider.open_to_rewrap(name, [items[one] for one in at])

        return await self._by_maker(items, opened)

    async def rewrap_many(self, name: str, items: Items) -> list[bytes]:
        """Wrap many anew, with the newest version. See `KeyProvider.rewrap_many`."""
        opened = await self.open_to_rewrap(name, items)
        return await self.wrap_many(
            name, [(secret, aad) for secret, (_, aad) in zip(opened, items, strict=True)]
        )

    async def used(self, name: str, uses: Sequence[tuple[bytes, Purpose]]) -> None:
        """Keep that keys were used again. See `KeyProvider.used`."""
        await self.new.used(name, uses)

    async def mac(self, name: str, message: bytes, version: int | None = None) -> Mac:
        """HMAC-SHA-256. See `KeyProvider.mac`."""
        return (await self.mac_many(name, [message], version))[0]

    async def mac_many(self, name: str, messages: Sequence[bytes], version: int | None = None) -> list[Mac]:
        """HMAC-SHA-256 of many messages. See `KeyProvider.mac_many`."""
        made = await (self._newest(name) if version is None else self._home(name, version))
        return await made.mac_many(name, messages, version)

    async def destroy(self, name: str, version: int | None = None) -> None:
        """Destroy one version of a key where it lives, or all in both. See `KeyProvider.destroy`."""
        if version is not None:
            await (await self._home(name, version)).destroy(name, version)
            return
        await self.former.destroy(name)
        await self.new.destroy(name)

    async def versions(self, name: str) -> tuple[int, ...]:
        """The versions that are left in both, oldest first. See `KeyProvider.versions`."""
        new, former = await asyncio.gather(self.new.versions(name), self.former.versions(name))
        return tuple(sorted({*new, *former}))

    async def health(self) -> None:
        """Return if both can be used now. See `KeyProvider.health`."""
        await asyncio.gather(self.new.health(), self.former.health())

    async def close(self) -> None:
        """Close both."""
        await self.new.close()
        await self.former.close()

    async def _newest(self, name: str) -> KeyProvider:
        """Whoever has the newest version of a key."""
        if name in self._moved:
            return self.new
        now = self._clock()
        if now < self._former_until.get(name, now):
            return self.former
        new, former = await asyncio.gather(self.new.versions(name), self.former.versions(name))
        if max(new, default=0) > max(former, default=0):
            self._moved.add(name)
            return self.new
        self._former_until[name] = now + self.lag
        return self.former

    async def _home(self, name: str, version: int) -> KeyProvider:
        """Where a version lives; where it does not live anywhere, whoever says so."""
        place = (name, version)
        if place not in self._homes:
            # What the new one has under a number of the former is only counted past (`make_above`).
            for one in (self.former, self.new):
                if version in await one.versions(name):
                    self._homes[place] = one
                    break
        return self._homes.get(place, self.new)

    def _maker(self, wrapped: bytes, at: int | None) -> KeyProvider:
        maker = wrapped[0] if wrapped else 0
        for one in (self.new, self.former):
            if maker == one.maker:
                return one
        raise UnsealError(made_elsewhere(maker), at)

    async def _by_maker(
        self, items: Items, opened: Callable[[KeyProvider, Sequence[int]], Awaitable[list[bytes]]]
    ) -> list[bytes]:
        """Has each provider open what it made; errors name positions as the caller counts them."""
        places: dict[int, list[int]] = {}
        for at, (wrapped, _) in enumerate(items):
            places.setdefault(self._maker(wrapped, at).maker, []).append(at)
        found: dict[int, bytes] = {}
        for positions in places.values():
            maker = self._maker(items[positions[0]][0], positions[0])
            try:
                secrets = await opened(maker, positions)
            except (UnsealError, ProviderRefusedError) as error:
                if error.position is not None:
                    error.position = positions[error.position]
                raise
            found |= dict(zip(positions, secrets, strict=True))
        return [found[at] for at in range(len(items))]
