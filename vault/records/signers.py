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
        self._suffix = "" if number == 1 else f".{sha256(origin.encode()).hexdigest()}"
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

        With the first come those of the log of roots, which has one key for good.

        Raises:
            ProviderError: the provider does not answer.
        """
        names = [LOG_SIGNING, LOG_SIGNING_ML_DSA, *([ROOTS_SIGNING] if epoch == 1 else [])]
        await self._keys.make_system_versions([name + self._suffix for name in names], epoch)

    async def roots(self) -> SigningKey:
        """The key of the log of roots.

        Raises:
            KeysMissingError: it was never made.
            UnsealError: database and keyring do not belong together.
            ProviderError: the provider does not answer.
        """
        seed = await self._keys.system_version(ROOTS_SIGNING + self._suffix, 1)
        return SigningKey.from_seed(roots_origin(self._origin), seed)
