"""What `decide` is told: the live state of one query, and what is known of one record.

What is in no register is one of the `NO_…` constants here, whose every part refuses. So a rule needs no
second way for what is missing, and a forgotten check fails closed.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol
from uuid import UUID

from consent.permit import Annotation

_NOBODY = UUID(int=0)
_NO_TIME = datetime.min.replace(tzinfo=UTC)
_NOTHING: frozenset[str] = frozenset()


class CatalogueFacts(Protocol):
    """What the decision needs of the record catalogue."""

    def allows(self, kind_of_body: str, field: str) -> bool:
        """Whether the field exists and its tier is open to bodies of this kind."""


@dataclass(frozen=True, slots=True)
class BodyFacts:
    """A body as registered now."""

    kind: str
    status: str
    purposes: frozenset[str]
    capacities: frozenset[str]


@dataclass(frozen=True, slots=True)
class OfficerFacts:
    """An officer as registered now."""

    body_id: UUID
    status: str
    role: str


@dataclass(frozen=True, slots=True)
class DelayedNotice:
    """A delay of notice that a court ordered, as the terms of an authorization state it (RULES 10).

    Attributes:
        court_reference: of the court's order.
        until: first instant at which the person is told.
    """

    court_reference: str
    until: datetime


@dataclass(frozen=True, slots=True)
class AuthorizationFacts:
    """A statutory authorization now, with its legal basis.

    Attributes:
        basis_purposes: what the legal basis supports.
        basis_categories: likewise.
        names_subject: whether the request's keyed hash is among the persons named (scope `named`).
        per_day: queries allowed on one legal day.
        per_case: queries allowed for one case; None: as many as the day allows.
        valid_from: first instant.
        valid_until: first instant after its validity.
        basis_from: first day of the legal basis.
        basis_until: last day; None while it stands.
        notice: the delay of notice it allows; None where none was ever approved.
    """

    body_id: UUID
    state: str
    purposes: frozenset[str]
    fields: frozenset[str]
    basis_purposes: frozenset[str]
    basis_categories: frozenset[str]
    scope: str
    names_subject: bool
    case_pattern: str | None
    per_day: int
    per_case: int | None
    valid_from: datetime
    valid_until: datetime
    basis_from: date
    basis_until: date | None
    notice: DelayedNotice | None = None


@dataclass(frozen=True, slots=True)
class ConsentFacts:
    """A person's consent now.

    Attributes:
        last_event: the newest of its events.
        expires_at: first instant after its validity.
        max_uses: None where only the frequency bounds it.
        frequency_times: uses allowed in each period of `frequency_days`, counted from the grant.
        frozen: whether the person lets nobody ask with their consent now.
    """

    subject_id: UUID
    body_id: UUID
    purpose: str
    fields: frozenset[str]
    mode: str
    last_event: str
    granted_at: datetime
    expires_at: datetime
    max_uses: int | None
    frequency_times: int | None
    frequency_days: int | None
    data_from: date | None
    data_until: date | None
    data_life_days: int
    frozen: bool


NO_BODY = BodyFacts("", "unknown", _NOTHING, _NOTHING)
NO_OFFICER = OfficerFacts(_NOBODY, "unknown", "")
NO_AUTHORIZATION = AuthorizationFacts(
    body_id=_NOBODY,
    state="unknown",
    purposes=_NOTHING,
    fields=_NOTHING,
    basis_purposes=_NOTHING,
    basis_categories=_NOTHING,
    scope="",
    names_subject=False,
    case_pattern=None,
    per_day=0,
    per_case=0,
    valid_from=_NO_TIME,
    valid_until=_NO_TIME,
    basis_from=date.min,
    basis_until=date.min,
)
NO_CONSENT = ConsentFacts(
    subject_id=_NOBODY,
    body_id=_NOBODY,
    purpose="",
    fields=_NOTHING,
    mode="view",
    last_event="unknown",
    granted_at=_NO_TIME,
    expires_at=_NO_TIME,
    max_uses=0,
    frequency_times=None,
    frequency_days=None,
    data_from=None,
    data_until=None,
    data_life_days=0,
    frozen=True,
)


@dataclass(frozen=True, slots=True)
class State:
    """Everything one decision rests on, read under the log's head lock.

    Attributes:
        today: the legal date, in the jurisdiction's time zone.
        used_today: queries charged to the authorization on that date.
        used_for_case: queries charged to the authorization for the stated case.
        used: queries charged to the consent since its grant.
        used_in_period: queries charged to the consent in the present frequency period.
    """

    today: date
    body: BodyFacts = NO_BODY
    officer: OfficerFacts = NO_OFFICER
    authorization: AuthorizationFacts = NO_AUTHORIZATION
    consent: ConsentFacts = NO_CONSENT
    used_today: int = 0
    used_for_case: int = 0
    used: int = 0
    used_in_period: int = 0


@dataclass(frozen=True, slots=True)
class RecordFacts:
    """What decides whether one record may be shown.

    Attributes:
        dated: the record's own date, held against the data range of a consent.
        display_from: first day of display.
        display_until: last day of display; None while it has no end.
    """

    dated: date
    display_from: date
    display_until: date | None
    never_shown: bool = False
    annulled: bool = False
    repaired: bool = False
    held_for_notice: bool = False
    sealed_juvenile: bool = False
    annotations: tuple[Annotation, ...] = ()
