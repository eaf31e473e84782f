"""Who is signed in, as the authorization server asks it (consent.oauth.citizens)."""

from urllib.parse import urlencode

from starlette.requests import Request

from access_log.log import Writing
from consent.oauth.citizens import SignedIn
from consent.permit import Person
from vault.records.identities import Identities
from vault.server.portal.assurance import Act
from vault.server.portal.errors import NotSignedInError
from vault.server.portal.sessions import CitizenSession, Sessions

SIGN_IN_PATH = "/sign-in"


def sign_in_url(return_to: str, act: Act = Act.READ) -> str:
    """Where to sign in, surely enough for this act; afterwards the person comes back to `return_to`."""
    asked = {"return_to": return_to} | ({} if act is Act.READ else {"act": act})
    return f"{SIGN_IN_PATH}?{urlencode(asked)}"


class SessionCitizens:
    """The citizens of this vault's own sessions.

    Args:
        sessions: theirs.
        identities: persons the vault does not know are made there.
    """

    def __init__(self, sessions: Sessions, identities: Identities) -> None:
        self._sessions = sessions
        self._identities = identities

    async def signed_in(self, request: Request) -> CitizenSession | None:
        """Who is signed in, for themselves alone: nobody grants for another. None when nobody is."""
        session = await self._sessions.read(request)
        return None if session is None else session.themselves

    def may_grant(self, signed_in: SignedIn) -> bool:
        """Whether they signed in surely and recently enough to grant a consent."""
        return isinstance(signed_in, CitizenSession) and self._sessions.suffices(signed_in, Act.GRANT)

    def sign_in_url(self, return_to: str) -> str:
        """Where to sign in so; afterwards the person comes back to `return_to`, a path of this server."""
        return sign_in_url(return_to, Act.GRANT)

    async def person(self, writing: Writing, signed_in: SignedIn) -> Person:
        """The person behind a session, made if the vault did not know them.

        Raises:
            ProviderError: the key provider does not answer; nothing was written.
        """
        if not isinstance(signed_in, CitizenSession):
            raise NotSignedInError
        return await self._identities.find_or_add(writing, signed_in.met)
