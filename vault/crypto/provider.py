"""What the vault asks of whatever holds its root keys: a file, a key server, a hardware module.

Calls are asynchronous because most providers are a network away. Every error is a `ProviderError` that
says whether the same call may be repeated, except `UnsealError` for what does not open.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, NamedTuple, Protocol

from vault.crypto.journal import UNNAMED, Purpose

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._/-]{0,99}")
NAME_RULE: Final = "a key's name has up to 100 lower-case letters, digits, and . _ / -"

MAKERS: Final = {1: "file", 2: "openbao", 3: "pkcs11"}
"""The first byte of a wrap: the provider that made it."""


class KeyKind(StrEnum):
    """What a key is for; a provider refuses to use it for the other."""

    WRAP = "wrap"
    MAC = "mac"


class Mac(NamedTuple):
    """A MAC and the version of the key that made it, to be stored together."""

    version: int
    value: bytes


@dataclass(frozen=True, slots=True)
class DelayedDestroy:
    """A destroyed key can be brought back for some days."""

    days: int


DestroyPolicy = Literal["now", "none"] | DelayedDestroy
"""When a destroyed key is gone from the provider: at once, after days, or never."""


class KeyProvider(Protocol):
    """Named keys with versions that increase from 1 and are never used twice, even after a destruction.

    A batch stands or falls as one: `position` of the error names the first item that does not open, so
    that a caller can leave it out and ask again.
    """

    @property
    def maker(self) -> int:
        """Which of `MAKERS` makes what is new."""
        ...

    @property
    def makers(self) -> frozenset[int]:
        """Which of `MAKERS` can be asked: one, or two while a vault moves (`succeeding`)."""
        ...

    @property
    def destroy_policy(self) -> DestroyPolicy:
        """When what `destroy` removes is gone."""
        ...

    @property
    def lag(self) -> float:
        """For how many seconds this process may still use what another one destroyed or made newer."""
        ...

    async def create(self, name: str, kind: KeyKind = KeyKind.WRAP) -> int:
        """Make a new version of a key, the first if there is none; durable when it returns.

        Callers that make the first version at once may be told the same one.

        Raises:
            ProviderError: The name is of the other kind, or no key could be made.
        """
        ...

    async def wrap(self, name: str, secret: bytes, aad: bytes) -> bytes:
        """Wrap a secret with the newest version of a key.

        Raises:
            ProviderError: There is no such key, or the provider does not answer.
        """
        ...

    async def wrap_many(self, name: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Wrap many (secret, aad) in one call, in order. Raises as `wrap`."""
        ...

    async def unwrap(self, name: str, wrapped: bytes, aad: bytes, purpose: Purpose = UNNAMED) -> bytes:
        """Open what `wrap` made with any version of the key that is left.

        Args:
            name: The key.
            wrapped: What `wrap` returned.
            aad: The associated data it was wrapped with.
            purpose: What it is opened for; the provider keeps it, to be compared with the log.

        Raises:
            UnsealError: It was altered, or bound to another name or other associated data.
            ProviderError: That version of the key is gone, or the provider does not answer.
        """
        ...

    async def unwrap_many(
        self, name: str, items: Sequence[tuple[bytes, bytes]], purposes: Sequence[Purpose] = ()
    ) -> list[bytes]:
        """Open many (wrapped, aad) in one call, in order, each for its purpose. Raises as `unwrap`."""
        ...

    def version_of(self, wrapped: bytes) -> int:
        """The version of its key that made a wrap, as the wrap itself states it: nobody is asked.

        Raises:
            UnsealError: It is no wrap of this provider.
        """
        ...

    async def rewrap_many(self, name: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Wrap anew, with the newest version of a key, what older ones wrapped: (wrapped, aad), in order.

        What is wrapped is handed to nobody, so no purpose is stated.

        Raises:
            UnsealError: One was altered, or bound to another name or other associated data.
            ProviderError: A version of the key is gone, or the provider does not answer.
        """
        ...

    async def open_to_rewrap(self, name: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Open many (wrapped, aad) for nobody but whoever wraps them anew at once, so no purpose is stated.

        Raises as `rewrap_many`.
        """
        ...

    async def used(self, name: str, uses: Sequence[tuple[bytes, Purpose]]) -> None:
        """Keep that keys were used again, which were opened before: (aad, purpose) each.

        Raises:
            ProviderError: It could not be kept: then nothing that was opened may be released.
        """
        ...

    async def mac(self, name: str, message: bytes, version: int | None = None) -> Mac:
        """HMAC-SHA-256 of a message.

        Args:
            name: A key of kind `MAC`.
            message: What to authenticate.
            version: An older version, to find what was stored under it; the newest if None.

        Raises:
            ProviderError: There is no such key or version, or the provider does not answer.
        """
        ...

    async def mac_many(self, name: str, messages: Sequence[bytes], version: int | None = None) -> list[Mac]:
        """HMAC-SHA-256 of many messages in one call, in order. Raises as `mac`."""
        ...

    async def destroy(self, name: str, version: int | None = None) -> None:
        """Destroy one version of a key, or all; what is gone already is no error, so a job may repeat it.

        A provider may refuse to destroy a version before the older ones.

        Raises:
            ProviderError: It could not be destroyed.
        """
        ...

    async def versions(self, name: str) -> tuple[int, ...]:
        """The versions that are left, oldest first; empty if there is no such key.

        Raises:
            ProviderError: The provider does not answer.
        """
        ...

    async def health(self) -> None:
        """Return if keys can be used now.

        Raises:
            ProviderError: They cannot; the message says what to do.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and sessions."""
        ...


def made_elsewhere(maker: int) -> str:
    """Why a wrap of another provider does not open."""
    if maker not in MAKERS:
        return "a wrapped key is of an unknown version"
    return (
        f"a wrapped key was made by the key provider {MAKERS[maker]}: set CREDITVAULT_KEY_PROVIDER to it, or "
        "CREDITVAULT_FORMER_KEY_PROVIDER while the vault moves"
    )
