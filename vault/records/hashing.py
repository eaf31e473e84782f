"""Identifiers to keyed hashes, for the authorization server."""

from collections.abc import Collection

from consent.oauth.errors import SubjectError
from vault.crypto.blind import Identifier
from vault.crypto.errors import InvalidIdentifierError
from vault.records.keys import VaultKeys


class IdentifierHasher:
    """Makes the keyed hash under which a token names a person, alike for known and unknown ones.

    Args:
        keys: the vault's keys.
        schemes: the identifier schemes this deployment serves.
    """

    def __init__(self, keys: VaultKeys, schemes: Collection[str]) -> None:
        self._keys = keys
        self._schemes = schemes

    async def subject_hash(self, scheme: str, number: str) -> str:
        """64 hexadecimal digits.

        Raises:
            SubjectError: the identifier breaks a rule of its scheme; its text names the rule alone.
        """
        try:
            identifier = Identifier.parse(scheme, number, self._schemes)
        except InvalidIdentifierError as error:
            raise SubjectError(str(error)) from None
        return self._keys.subject_hashes([identifier])[0].hex()
