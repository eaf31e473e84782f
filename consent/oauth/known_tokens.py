"""Access tokens that were verified before, by their SHA-256: each is verified once, however often it comes.

What is remembered proves nothing of whoever presents the token. That it has not ended is asked each time;
whether it was revoked, of the database.
"""

from collections import OrderedDict
from typing import Final

from consent.oauth.errors import TokenInvalidError
from consent.oauth.tokens import AccessToken, TokenReader

MOST: Final = 4096
_ENDED: Final = "The access token has ended. Obtain a new one."


class KnownTokens:
    """Reads tokens, and remembers those that verified.

    Args:
        reader: verifies those that are not known. Make another memory when its keys change.
        most: how many are remembered.
    """

    def __init__(self, reader: TokenReader, most: int = MOST) -> None:
        self._reader = reader
        self._most = most
        self._known: OrderedDict[bytes, AccessToken] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def read(self, text: str, digest: bytes, now: float) -> AccessToken:
        """A token that is to be accepted at this time.

        Args:
            text: as it was presented.
            digest: its SHA-256.
            now: seconds since the epoch.

        Raises:
            TokenInvalidError: it is not to be accepted.
        """
        token = self._known.get(digest)
        if token is None:
            token = self._known[digest] = self._reader.read(text, now)
            if len(self._known) > self._most:
                self._known.popitem(last=False)
            return token
        if token.expires_at.timestamp() <= now:
            del self._known[digest]
            raise TokenInvalidError(_ENDED)
        self._known.move_to_end(digest)
        return token
