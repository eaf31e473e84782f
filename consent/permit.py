"""What is asked and what is answered: the request of one query, and `Permit` or `Refusal`.

A refusal is a value: it is decided, logged and answered like a permit. Its text is static, so that it can
never carry what was asked about whom.
"""

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from uuid import UUID


class Route(StrEnum):
    """The two ways to a permit."""

    STATUTORY = "statutory_query"
    CONSENTED = "consented_query"


class Flow(StrEnum):
    """How the access token came to be: what its `sub` says."""

    CLIENT = "body"
    CODE = "subject"


@dataclass(frozen=True, slots=True)
class Person:
    """A person whom the vault knows: who they are here, and the stream their entries belong to."""

    subject_id: UUID
    stream_id: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """What a verified access token carries. It narrows a grant and never replaces it.

    Attributes:
        route: the `type` of its authorization detail.
        flow: how it was issued.
        grant_id: the authorization or the consent behind it.
        purpose: the one purpose it was issued for.
        fields: the fields it was issued for, as `FIN.type`.
        subject_hash: keyed hash of the person's identifier; statutory tokens only.
        subject_id: the person who consented; consented tokens only.
        officer_id: the officer it was issued for; None when it names nobody.
        case_reference: the case it was issued for; None when it names none.
    """

    route: Route
    flow: Flow
    grant_id: UUID
    purpose: str
    fields: frozenset[str]
    subject_hash: bytes | None = None
    subject_id: UUID | None = None
    officer_id: UUID | None = None
    case_reference: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class QueryRequest:
    """One query, after its client, token and proof were verified.

    Two requests with equal content are two requests: they compare by identity, so that each is charged.

    Attributes:
        body_id: the authenticated client.
        officer_id: the officer named in the request.
        purpose: the purpose stated.
        fields: the fields asked for, as `FIN.type`.
        case_reference: the body's own reference of the case.
        subject_hash: keyed hash of the identifier in the request, made like the token's.
        subject_id: the person found under that identifier; None when nobody was.
        token: what the access token carries.
        joined: the other identities of that person (RULES 13).
    """

    body_id: UUID
    officer_id: UUID
    purpose: str
    fields: tuple[str, ...]
    case_reference: str
    subject_hash: bytes
    subject_id: UUID | None
    token: TokenGrant
    joined: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class DataRange:
    """The dates of the records a consent covers; an open side is None."""

    first: date | None
    last: date | None

    def __contains__(self, day: date) -> bool:
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


EVERY_DATE = DataRange(None, None)


@dataclass(frozen=True, slots=True)
class UseConditions:
    """What the body may do with the answer. Onward provision is never among it (CRI 20).

    Attributes:
        purpose: the only purpose of use.
        storable: whether the body may keep what it saw.
        retention_days: for how long; None where the law of the case file says so.
    """

    purpose: str
    storable: bool
    retention_days: int | None


@dataclass(frozen=True, slots=True)
class Permit:
    """The query may be answered with exactly the fields it asked for.

    Attributes:
        basis: the authorization or consent it rests on.
        officer_role: as the person will read it.
        conditions: travel with the answer.
        data_range: dates of the records covered.
    """

    basis: UUID
    officer_role: str
    conditions: UseConditions
    data_range: DataRange


@dataclass(frozen=True, slots=True)
class Refusal:
    """The query may not be answered.

    Attributes:
        rule: for instance `RULES 4.2`.
        reason: static text for the body; says what to do next.
    """

    rule: str
    reason: str


class Annotation(StrEnum):
    """What must travel with a record (RULES 9)."""

    OBJECTION = "objection"
    STATEMENT = "statement"


@dataclass(frozen=True, slots=True)
class Displayable:
    """The record may be shown today, with these annotations."""

    annotations: tuple[Annotation, ...]


@dataclass(frozen=True, slots=True)
class Withheld:
    """The record is absent from the answer. The rule stands in the sealed payload and nowhere else."""

    rule: str
