"""The log's own signing keys, epoch by epoch: seeds among the system's keys, one version for each epoch."""

from collections.abc import Sequence
from hashlib import sha256

from access_log.roots.leaf import roots_origin
from access_log.signing_keys import CosigningKey, SigningKey
from access_log.verifier_keys import ML_DSA_44
from vault.records.keys import LOG_SIGNING, LOG_SIGNING_ML_DSA, ROOTS_SIGNING, VaultKeys


class LogSigners:
    """What signs the log's checkpoints; the log's own view of the vault's keys.

    Args:
        keys: the keys.
        origin: the log's origin, which is the name of its keys.
        number: the log's number: each log after the first has seeds under names of its own.
        ml_dsa: whether ML-DSA-44 signs too, beside Ed25519.
    """

    def __init__(self, keys: VaultKeys, origin: str, number: int, *, ml_dsa: bool) -> None:
        self._keys = keys
        self._origin = origin
        self._suffix = suffix(origin, number)
        self._ml_dsa = ml_dsa
        self._made: dict[int, tuple[SigningKey | CosigningKey, ...]] = {}

    async def of(self, epoch: int) -> Sequence[SigningKey | CosigningKey]:
        """The keys of one epoch, Ed25519 first.

        Raises:
            KeysMissingError: they were never made.
            UnsealError: database and keyring do not belong together.
            ProviderError: the provider does not answer.
        """
        if epoch not in self._made:
            ed25519 = await self._keys.system_version(LOG_SIGNING + self._suffix, epoch)
            made: list[SigningKey | CosigningKey] = [SigningKey.from_seed(self._origin, ed25519)]
            if self._ml_dsa:
                seed = await self._keys.system_version(LOG_SIGNING_ML_DSA + self._suffix, epoch)
                made.append(CosigningKey.from_seed(self._origin, ML_DSA_44, seed))
            self._made[epoch] = tuple(made)
        return self._made[epoch]

    async def make(self, epoch: int) -> None:
        """Makes the seeds of an epoch, of both kinds, so that ML-DSA can be switched on later.

        With the first comes the first of the log of roots, whose later ones `RootsSigners` makes.

        Raises:
            ProviderError: the provider does not answer.
        """
        names = [LOG_SIGNING, LOG_SIGNING_ML_DSA, *([ROOTS_SIGNING] if epoch == 1 else [])]
        await self._keys.make_system_versions([name + self._suffix for name in names], epoch)


class RootsSigners:
    """What signs the log of roots; its own view of the vault's keys.

    Args:
        keys: the keys.
        origin: origin of the log that the roots are of.
        number: that log's number.
    """

    def __init__(self, keys: VaultKeys, origin: str, number: int) -> None:
        self._keys = keys
        self._origin = origin
        self._name = ROOTS_SIGNING + suffix(origin, number)
        self._made: dict[int, SigningKey] = {}

    async def of(self, epoch: int) -> SigningKey:
        """The key of one epoch.

        Raises:
            KeysMissingError: it was never made.
            UnsealError: database and keyring do not belong together.
            ProviderError: the provider does not answer.
        """
        if epoch not in self._made:
            seed = await self._keys.system_version(self._name, epoch)
            self._made[epoch] = SigningKey.from_seed(roots_origin(self._origin), seed)
        return self._made[epoch]

    async def make(self, epoch: int) -> None:
        """Makes the seed of an epoch; that of the first is made with the log's own (`LogSigners.make`).

        Raises:
            ProviderError: the provider does not answer.
        """
        await self._keys.make_system_versions([self._name], epoch)


def suffix(origin: str, number: int) -> str:
    """What the names of a log's seeds end with: those of the first log are older than there were others."""
    return "" if number == 1 else f".{sha256(origin.encode()).hexdigest()}"
