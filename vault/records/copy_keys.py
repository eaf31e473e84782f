"""The keys that sign copies of consents and certificates of erasure, and the set in which they are published.

What was signed stays good for as long as it is kept, so each key stays published for good. A process signs
with the version that is in use by what it knows; the set is read anew each time it is asked for. So no
process signs with a key that is not published, however long ago it looked.
"""

from typing import Any

from access_log.payload import JSON
from consent.copies import TYPE, CopySigner
from vault.records.announced import AnnouncedKeys
from vault.records.keys import CONSENT_SIGNING, VaultKeys


class _Signer:
    """Signs with the version in use at that moment."""

    def __init__(self, announced: AnnouncedKeys, of: str) -> None:
        self._announced = announced
        self._of = of
        self._made: tuple[int, CopySigner] | None = None

    def sign(self, payload: bytes) -> str:
        """The compact JWS over exactly these bytes."""
        key = self._announced.in_use(CONSENT_SIGNING)
        if self._made is None or self._made[0] != key.version:
            self._made = key.version, CopySigner(key.secret, self._of)
        return self._made[1].sign(payload)


class CopyKeys:
    """What signs copies and certificates, in a process that goes on.

    Args:
        announced: the versions this process knows.
    """

    def __init__(self, announced: AnnouncedKeys) -> None:
        self._announced = announced

    def signer(self, of: str = TYPE) -> _Signer:
        """Who signs, with whatever version is in use.

        Args:
            of: the type of what is signed; none passes for another.
        """
        return _Signer(self._announced, of)

    async def published(self) -> dict[str, Any]:
        """Every key that was ever announced, as a JWKS: the newest first.

        Raises:
            KeysMissingError: a version that was announced is missing.
            UnsealError, ProviderError: its secret cannot be unwrapped.
            SQLAlchemyError: the database cannot be used now.
        """
        await self._announced.renew()
        versions = self._announced.versions(CONSENT_SIGNING)
        return {"keys": [CopySigner(one.secret).public_key() for one in reversed(versions)]}


async def make_key(keys: VaultKeys, version: int) -> dict[str, JSON]:
    """Makes a later version's seed, harmless where it is there; returns the ids of it and the one before.

    Raises:
        ProviderError: the provider does not answer.
    """
    await keys.make_system_versions([CONSENT_SIGNING], version)
    former, new = [
        CopySigner(await keys.system_version(CONSENT_SIGNING, one)).key_id for one in (version - 1, version)
    ]
    return {"key_id": new, "former_key_id": former}
