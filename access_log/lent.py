"""What a log is lent by those who use it: it keeps no key and knows no witness itself."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from access_log.lock import Raised
from access_log.signing_keys import CosigningKey, SigningKey


class Sealer(Protocol):
    """Seals log payloads under keys the log itself never sees (vault FORMAT, log payloads)."""

    async def at(self, time_ms: int) -> tuple[int, Callable[[int, Sequence[bytes]], list[bytes]]]:
        """Has the key ready for entries of this time.

        Returns:
            Their expiry id (yyyymm), and what seals the payloads of consecutive entries: from (index of the
            first, plaintexts) to as many ciphertexts.
            It holds the key, so let go of it when they are sealed.
        """

    async def open(self, index: int, expiry_id: int, sealed: bytes) -> bytes | None:
        """Returns the plaintext, None once its key was destroyed; raises when it was altered or moved."""


LogKey: TypeAlias = "SigningKey | CosigningKey"


class Signers(Protocol):
    """Has the log's own keys, which the log does not keep."""

    async def of(self, epoch: int) -> Sequence[LogKey]:
        """The keys of one epoch (FORMAT 5.2), an Ed25519 key first.

        Raises whatever their keeper raises where there are none or they cannot be had now.
        """

    async def make(self, epoch: int) -> None:
        """Makes the keys of an epoch and keeps them; harmless when they are there."""


class Witnesses(Protocol):
    """Has a checkpoint cosigned before anything is released (FORMAT 8.2, `witness.witnessing`)."""

    async def require(self, raised: Raised) -> str:
        """Returns the note with its cosignatures.

        Raises:
            LogUnavailableError: the quorum did not cosign.
            OutsideLockError: the database is not the log that was witnessed.
        """
