"""What registrars sign: statements about authorizations and every other act on a register, and to read one.

A statement is a compact JWS (RFC 7515) made with the registrar's own registered key, by ES256 or Ed25519:

    header   {"alg": "Ed25519", "typ": "creditvault-statement", "kid": "<RFC 7638 thumbprint of the key>"}
    payload  {"act": "propose", "v": 1, "authorization": "<uuid>", "registrar": "<uuid>", "at": "<RFC 3339>",
              "content": "<the terms, JSON text>", "content_sha256": "<hex>"}
             {"act": "approve", "v": 1, …, "content_sha256": "<hex>"}
             {"act": "revoke",  "v": 1, …, "reason": "<text>"}
             {"act": "order", "v": 1, "vault": "<issuer>", "order": "<uuid>", "registrar": "<uuid>",
              "at": "<RFC 3339>", "content": "<an act (acts.py), JSON text>", "content_sha256": "<hex>"}
             {"act": "agree", "v": 1, "vault": "<issuer>", "order": "<uuid>", …, "content_sha256": "<hex>"}
             {"act": "ask", "v": 1, "vault": "<issuer>", "id": "<uuid>", …, "what": "…", "of": "<uuid>"}
             {"act": "name", "v": 1, "vault": "<issuer>", "id": "<uuid>", …, "scheme": "…", "number": "…"}
             {"act": "scope", "v": 1, "vault": "<issuer>", "id": "<uuid>", …,
              "persons": [{"scheme": "…", "number": "…"}, …]}

An authorization, a body and a legal basis have ids of one vault alone, which binds the first three to it; the
others name their vault. `content_sha256` is over the UTF-8 bytes of `content` as they stand, so nothing is
serialized anew to compare it; an approval or agreement names the same digest and so is to these terms and no
others.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey
from msgspec import Meta, Struct

from consent.errors import StatementError
from consent.oauth import jose
from consent.oauth.errors import KeyPolicyError, SignatureError

TYPE = "creditvault-statement"
LONGEST_CONTENT = 12_000
MOST_NAMED = 100
"""Persons whom the terms of one authorization may name."""
USED_WITHIN = timedelta(days=1)
"""How soon an order or an agreement reaches the vault: whoever signs may have no network there."""
ASKED_WITHIN = timedelta(minutes=5)
"""How soon a question does; it answers once."""

RegistrarKey = ECKey | OKPKey

_ALGORITHM_OF = {"EC": "ES256", "OKP": "Ed25519"}
_MAX_AHEAD = timedelta(seconds=60)
_MAX_AGE = timedelta(days=30)
_Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Instant = Annotated[datetime, Meta(tz=True)]
_Vault = Annotated[str, Meta(max_length=500)]


class Proposal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="act", tag="propose"):
    """A registrar proposes an authorization with these terms."""

    v: Literal[1] = 1
    authorization: UUID
    registrar: UUID
    at: _Instant
    content: Annotated[str, Meta(max_length=LONGEST_CONTENT)]
    content_sha256: _Hex

    @classmethod
    def of(cls, authorization: UUID, registrar: UUID, at: datetime, content: str) -> "Proposal":
        """A proposal of this content, its digest computed."""
        return cls(
            authorization=authorization,
            registrar=registrar,
            at=at,
            content=content,
            content_sha256=content_digest(content),
        )


class Approval(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="act", tag="approve"):
    """Another registrar approves exactly the terms with this digest."""

    v: Literal[1] = 1
    authorization: UUID
    registrar: UUID
    at: _Instant
    content_sha256: _Hex


class Revocation(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="act", tag="revoke"
):
    """A registrar revokes the authorization."""

    v: Literal[1] = 1
    authorization: UUID
    registrar: UUID
    at: _Instant
    reason: Annotated[str, Meta(min_length=1, max_length=2000)]


class Order(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="act", tag="order"):
    """A registrar orders an act on a register (acts.py); one of weight waits for another's agreement."""

    v: Literal[1] = 1
    vault: _Vault
    order: UUID
    registrar: UUID
    at: _Instant
    content: Annotated[str, Meta(max_length=LONGEST_CONTENT)]
    content_sha256: _Hex

    @classmethod
    def of(cls, vault: str, order: UUID, registrar: UUID, at: datetime, content: str) -> "Order":
        """An order of this content, its digest computed."""
        return cls(
            vault=vault,
            order=order,
            registrar=registrar,
            at=at,
            content=content,
            content_sha256=content_digest(content),
        )


class Agreement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="act", tag="agree"):
    """Another registrar agrees to exactly the act with this digest."""

    v: Literal[1] = 1
    vault: _Vault
    order: UUID
    registrar: UUID
    at: _Instant
    content_sha256: _Hex


class Asking(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="act", tag="ask"):
    """A registrar asks for what of a register is not public."""

    v: Literal[1] = 1
    vault: _Vault
    id: UUID
    registrar: UUID
    at: _Instant
    what: Annotated[str, Meta(max_length=32)]
    of: UUID | None = None


class Naming(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="act", tag="name"):
    """A registrar asks under which id a person is known here, in order to name them in an act."""

    v: Literal[1] = 1
    vault: _Vault
    id: UUID
    registrar: UUID
    at: _Instant
    scheme: Annotated[str, Meta(max_length=32)]
    number: Annotated[str, Meta(max_length=64)]


class Numbered(Struct, frozen=True, forbid_unknown_fields=True):
    """A person by their identity number."""

    scheme: Annotated[str, Meta(max_length=32)]
    number: Annotated[str, Meta(max_length=64)]


class Scoping(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="act", tag="scope"):
    """A registrar asks for the keyed hashes by which the terms of an authorization name these persons."""

    v: Literal[1] = 1
    vault: _Vault
    id: UUID
    registrar: UUID
    at: _Instant
    persons: Annotated[tuple[Numbered, ...], Meta(min_length=1, max_length=MOST_NAMED)]


Question = Asking | Naming | Scoping
"""What is answered and changes no register."""
Statement = Proposal | Approval | Revocation | Order | Agreement | Question
_DECODER: msgspec.json.Decoder[Statement] = msgspec.json.Decoder(Statement)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A statement as read; it binds nobody before `verify`."""

    statement: Statement
    compact: str
    unverified: jose.Unverified

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the compact JWS, as the log names it."""
        return hashlib.sha256(self.compact.encode("ascii")).hexdigest()


def content_digest(content: str) -> str:
    """Hex SHA-256 of the terms as they stand."""
    return hashlib.sha256(content.encode()).hexdigest()


def import_registrar_key(jwk: object) -> RegistrarKey:
    """The public key of a registrar: P-256 or Ed25519.

    Raises:
        KeyPolicyError: it is private, malformed or of another kind.
    """
    key = jose.import_public_key(jwk)
    if not isinstance(key, RegistrarKey):
        raise KeyPolicyError("A registrar's key must be on P-256 or Ed25519.")
    return key


def sign_statement(private_jwk: Mapping[str, Any], statement: Statement) -> str:
    """Signs a statement with a registrar's private key; for the registrar's own machine.

    Args:
        private_jwk: the private key as a JSON Web Key.
        statement: what is stated.

    Returns:
        The compact JWS.

    Raises:
        KeyPolicyError: it is no private key on P-256 or Ed25519.
    """
    kind = private_jwk.get("kty")
    try:
        key = (ECKey if kind == "EC" else OKPKey).import_key(dict(private_jwk))
    except (JoseError, ValueError, TypeError) as error:
        raise KeyPolicyError("The key is not a well-formed private JSON Web Key.") from error
    if not key.is_private or key.curve_name not in ("P-256", "Ed25519"):
        raise KeyPolicyError("A registrar signs with a private key on P-256 or Ed25519.")
    header = {"alg": _ALGORITHM_OF[key.key_type], "typ": TYPE, "kid": key.thumbprint()}
    return jws.serialize_compact(header, msgspec.json.encode(statement), key, registry=jose.REGISTRY)


def read_statement(compact: str) -> Claimed:
    """Reads a statement without believing it, so that its registrar's key can be looked up.

    Raises:
        StatementError: it is no statement of this form.
    """
    try:
        unverified = jose.take_apart(compact)
        statement = _DECODER.decode(unverified.payload)
    except (SignatureError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StatementError("this is not a signed statement: sign it with the statement command") from error
    if isinstance(statement, Proposal | Order) and statement.content_sha256 != content_digest(
        statement.content
    ):
        raise StatementError("the statement's digest is not that of its content: sign the content again")
    return Claimed(statement, compact, unverified)


def verify(claimed: Claimed, jwk: object, now: datetime) -> None:
    """Verifies a statement under its registrar's registered key.

    Args:
        claimed: the statement as read.
        jwk: the registered public key of the registrar whom the statement names.
        now: the present, UTC.

    Raises:
        StatementError: another key or algorithm, a signature that fails, or a time that does not fit.
    """
    key = import_registrar_key(jwk)
    header = claimed.unverified.header
    # (1) The header says what this is and by which key, with that key's algorithm (RFC 8725 §3.1, §3.11).
    if header.get("typ") != TYPE or header["alg"] != _ALGORITHM_OF[key.key_type]:
        raise StatementError("the statement's type or algorithm is not that of a registrar's statement")
    if not hmac.compare_digest(str(header.get("kid")).encode(), key.thumbprint().encode()):
        raise StatementError("the statement was signed with another key than the registrar's registered one")
    # (2) The signature.
    try:
        jose.verify(claimed.unverified, key)
    except SignatureError as error:
        raise StatementError("the statement's signature does not verify") from error
    # (3) The time: a statement is used soon, so that none lies in a drawer for a better day.
    if not now - _MAX_AGE <= claimed.statement.at <= now + _MAX_AHEAD:
        raise StatementError("the statement is more than 30 days old, or from the future: sign it again")


def require_fresh(statement: Order | Agreement | Question, vault: str, now: datetime) -> None:
    """Requires that a statement was made for this vault, and lately. Its signature is verified apart.

    Raises:
        StatementError: it is for another vault, or too old.
    """
    if statement.vault != vault:
        raise StatementError("the statement was made for another vault: sign it with this one's issuer")
    if statement.at < now - (ASKED_WITHIN if isinstance(statement, Question) else USED_WITHIN):
        raise StatementError("the statement is too old: sign it again")
