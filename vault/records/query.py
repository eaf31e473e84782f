"""What one query asks and every way it can end. Refusals are values; so is a repeat that is none."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from consent.oauth.errors import AccessError, ProofInvalidError, TokenInvalidError
from consent.oauth.protection import Presented
from consent.permit import Annotation, Person, QueryRequest, Refusal, TokenGrant, UseConditions
from vault.crypto.blind import Identifier


@dataclass(frozen=True, slots=True)
class Query:
    """One query whose client, token and proof were verified; nothing is decided yet.

    Attributes:
        presented: what the request presented; whether its proof is new is asked in the batch.
        token: the same, as the decision reads it.
        digest: SHA-256 of the raw request body.
        repeat_key: SHA-256 of the client's Idempotency-Key, or None.
    """

    request_id: UUID
    presented: Presented
    token: TokenGrant
    identifier: Identifier
    officer_id: UUID
    purpose: str
    fields: tuple[str, ...]
    case_reference: str
    digest: bytes
    repeat_key: bytes | None

    @property
    def body_id(self) -> UUID:
        """The authenticated client."""
        return self.presented.body_id

    def request(
        self, subject_hash: bytes, person: Person | None, joined: Collection[UUID] = ()
    ) -> QueryRequest:
        """What is decided, once it is known whether there is such a person, and who else they are here."""
        return QueryRequest(
            body_id=self.body_id,
            officer_id=self.officer_id,
            purpose=self.purpose,
            fields=self.fields,
            case_reference=self.case_reference,
            subject_hash=subject_hash,
            subject_id=person.subject_id if person is not None else None,
            token=self.token,
            joined=frozenset(joined),
        )

    def asked_digest(self) -> bytes:
        """SHA-256 of grant and body: what a repeat must ask again to the byte."""
        return hashlib.sha256(self.token.grant_id.bytes + self.digest).digest()


def parse_identifier(scheme: str, number: str, enabled: Collection[str]) -> Identifier:
    """An identity number as a request spells it.

    Raises:
        InvalidIdentifierError: it breaks a rule of its scheme, or the scheme is not served here.
    """
    return Identifier.parse(scheme, number, enabled)


@dataclass(frozen=True, slots=True)
class DisclosedRecord:
    """One record as the body may see it; never its id, which would link entries of the log."""

    category: str
    source: str
    document: object
    recorded_at: datetime
    display_from: date
    display_until: date | None
    how_counted: str
    fields: dict[str, object]
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True, slots=True)
class LogProof:
    """The receipt (FORMAT 11), and the opening the body may have."""

    receipt: str
    opening: dict[str, object]


@dataclass(frozen=True, slots=True)
class Answer:
    """A permitted query, answered.

    Attributes:
        companions: proofs of its entries in the streams of joined identities (RULES 13.2).
    """

    records: tuple[DisclosedRecord, ...]
    conditions: UseConditions
    proof: LogProof
    companions: tuple[LogProof, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A query that a rule refused; the refusal is in the log."""

    refusal: Refusal
    proof: LogProof


@dataclass(frozen=True, slots=True)
class CredentialsSpent:
    """The proof served another request, or the token was revoked: turned away, no entry."""

    error: AccessError


REPEATED_PROOF = CredentialsSpent(
    ProofInvalidError("The proof was seen before. Make a new one for each request.")
)
REVOKED_TOKEN = CredentialsSpent(TokenInvalidError("The access token was revoked. Obtain a new one."))


@dataclass(frozen=True, slots=True)
class KeyReused:
    """The Idempotency-Key served another request: turned away, no entry."""


@dataclass(frozen=True, slots=True)
class TooFast:
    """The body or its officer asks too fast: turned away, no entry, for so many seconds."""

    seconds: float


TurnedAway = CredentialsSpent | KeyReused | TooFast
Outcome = Answer | Refused | TurnedAway
