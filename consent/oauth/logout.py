"""Signing out that begins at the provider: a logout token ends a session here (Back-Channel Logout 1.0).

A token is believed if, in this order (§2.6):

    (1)  a key of the provider signed it, and its `typ`, if it has one, is a logout token's
    (2)  iss and aud are right, iat is recent, exp has not passed
    (3)  `events` holds the event of a logout, and there is no `nonce`, so that no id_token passes for it
    (4)  `sid` names the session: sessions are not kept by `sub`, so one without it ends nothing

That it comes twice ends nothing twice, so `jti` need not be remembered.
"""

from collections.abc import Callable, Mapping
from time import time
from typing import Any, Final

from consent.oauth import jose
from consent.oauth.errors import SignatureError
from consent.oauth.identity_provider import SignInError
from consent.oauth.sign_in import RelyingParty

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
_TYPES: Final = (None, "logout+jwt", "application/logout+jwt", "JWT")
_OLDEST: Final = 300
"""Seconds after which a token is too old, whatever its `exp` (§2.4 recommends at most two minutes)."""


class LogoutTokenError(SignInError):
    """It is no logout token of the provider; nobody was signed out."""

    def __init__(self) -> None:
        super().__init__("This is no logout token of the identity provider that names a session.")


async def session_to_end(relying: RelyingParty, token: str, clock: Callable[[], float] = time) -> str:
    """Which session a logout token ends, as the provider names it.

    Args:
        relying: us at the provider.
        token: what came.
        clock: seconds since the epoch.

    Raises:
        LogoutTokenError: a step above failed.
        ProviderDownError: the provider's keys cannot be read.
    """
    try:
        unverified = jose.take_apart(token)
        if unverified.header.get("typ") not in _TYPES:
            raise LogoutTokenError
        claims = await relying.provider.signed(unverified)
        if not _is_current(claims, clock()):
            raise LogoutTokenError
        session = jose.text_claim(claims, "sid")
        issuer = jose.text_claim(claims, "iss")
    except SignatureError:
        raise LogoutTokenError from None
    mine, audience, events = relying.registration, claims.get("aud"), claims.get("events")
    if (
        issuer != mine.issuer
        or audience not in (mine.client_id, [mine.client_id])
        or not isinstance(events, Mapping)
        or not isinstance(events.get(EVENT), Mapping)
        or "nonce" in claims
    ):
        raise LogoutTokenError
    return session


def _is_current(claims: Mapping[str, Any], now: float) -> bool:
    issued, expires = jose.numeric_date(claims, "iat"), jose.numeric_date(claims, "exp")
    return now - _OLDEST <= issued <= now + jose.CLOCK_AHEAD and now < expires
