"""The keys a body's software signs with: registered by value, or where the body publishes them (`jwks_uri`).

Either way the register holds the keys themselves, and each change of them is an entry of the log: which key
could speak for a body at which time is history, and nobody's memory of a web page.
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select, update

from access_log.log import Writing
from consent.errors import UnknownError
from consent.journal import Actor, write_register_event
from consent.oauth.errors import KeyPolicyError
from consent.oauth.jose import import_public_key
from consent.tables import body

MAX_KEYS: Final = 16
_LONGEST_KID: Final = 200


def public_keys(jwks: object) -> dict[str, Any]:
    """A key set as the register keeps it: public, of the profile, each key with a `kid` of its own.

    Raises:
        KeyPolicyError: it is no key set, a `kid` is missing or not its own, or a key is not of the profile;
            the message says which key, by its place, and what to do.
    """
    entries = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_KEYS:
        raise KeyPolicyError(f'Send {{"keys": [...]}} with 1 to {MAX_KEYS} public keys.')
    kept: dict[str, dict[str, Any]] = {}
    for place, entry in enumerate(entries, start=1):
        try:
            key = import_public_key(entry).as_dict(private=False)
        except KeyPolicyError as error:
            raise KeyPolicyError(f"Key {place}: {error}") from error
        kid = entry.get("kid")
        if not isinstance(kid, str) or not 1 <= len(kid) <= _LONGEST_KID or not kid.isprintable():
            raise KeyPolicyError(f"Key {place}: Each key must have a kid: its RFC 7638 thumbprint does.")
        if kid in kept:
            raise KeyPolicyError(f"Key {place}: Each key must have a kid of its own: name this one anew.")
        kept[kid] = {**key, "kid": kid, "use": "sig"}
    return {"keys": list(kept.values())}


async def replace_keys(
    writing: Writing, body_id: UUID, jwks: Mapping[str, Any], actor: Actor, *, jwks_uri: str | None = None
) -> None:
    """Replaces a body's keys; during a rotation the set holds the old key and the new one.

    Args:
        writing: the transaction of the log.
        body_id: whose keys.
        jwks: the keys; those found there, if they are published.
        actor: who replaces them.
        jwks_uri: where the body publishes its keys from now on; None if it hands them in.

    Raises:
        UnknownError: no such body.
        KeyPolicyError: a key does not meet the profile.
    """
    public = public_keys(jwks)
    known = select(body.c.body_id).where(body.c.body_id == body_id)
    if (await writing.connection.execute(known)).one_or_none() is None:
        raise UnknownError("no body is registered under this id")
    fetched_at = None if jwks_uri is None else writing.now
    await writing.connection.execute(
        update(body)
        .where(body.c.body_id == body_id)
        .values(jwks=public, jwks_uri=jwks_uri, jwks_fetched_at=fetched_at)
    )
    content = {"jwks": public, "jwks_uri": jwks_uri}
    await write_register_event(writing, "body.keys_replaced", body_id, actor, content, body_id=body_id)
