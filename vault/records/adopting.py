"""Keys that an older release kept at the provider, and that are keys of the system now.

Digests of references and hashes of subjects are kept for years, so their keys cannot be made anew. A keyring
file hands them over, once, when the vault is migrated; it keeps them, because older backups of the database
need them there. A key server or hardware module hands nothing over.
"""

from typing import Final

from vault.crypto.keyring import FileKeyring
from vault.crypto.provider import KeyProvider
from vault.crypto.succeeding import SucceedingKeys
from vault.errors import VaultError

SUBJECT_HASH: Final = "subject-hash"
DIGEST: Final = "digest"
_BEFORE: Final = {DIGEST: "index", SUBJECT_HASH: SUBJECT_HASH}
"""Which key made them before there was one of that name."""
_VERSION: Final = 1


class KeysStayError(VaultError):
    """A key of an older vault is not where it can be taken over from."""


async def adopted(provider: KeyProvider, name: str) -> bytes:
    """The key of this name of an older vault, 32 bytes.

    Args:
        provider: of that vault.
        name: `DIGEST` or `SUBJECT_HASH`.

    Raises:
        KeysStayError: the provider hands none over, or has none.
        ProviderError: it does not answer.
    """
    if isinstance(provider, SucceedingKeys):
        provider = provider.former
    if not isinstance(provider, FileKeyring):
        raise KeysStayError(
            f"the key {name} of this vault is held by a key server or hardware module, which hands nothing "
            "over: go on with the release that made it, or set up a new vault and enrol anew"
        )
    # Every older vault has this one, and no vault of this release has.
    if await provider.versions(SUBJECT_HASH):
        for former in (name, _BEFORE[name]):
            if _VERSION in await provider.versions(former):
                return provider.authentication_key(former, _VERSION)
    raise KeysStayError(
        f"the database has no key {name}, and the keyring has none of an older release to take over: restore "
        "vault.system_key, or the keyring of that time"
    )
