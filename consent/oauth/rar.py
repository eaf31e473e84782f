"""`authorization_details`: what a token is for, in five closed schemas (RFC 9396).

A request and a token hold exactly one object. Members that are not named here are refused, so that nothing
can be granted that nobody has read. What a client asks for (`Requested`) differs from what a token carries
(`Granted`) in one place: the person of a statutory query, or at a desk, is a keyed hash in the token.
"""

from collections.abc import Collection
from datetime import date
from typing import Annotated, Any, ClassVar, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from consent.oauth.errors import DetailsError

LONGEST_VALIDITY: Final = 1826
"""Days a consent may last: five years."""

_NO_CONTROLS = r"^[^\x00-\x1f\x7f-\x9f]+\Z"
Text = Annotated[str, Meta(min_length=1, max_length=200, pattern=_NO_CONTROLS)]
Category = Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]
Purpose = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,63}\Z")]
FieldName = Annotated[str, Meta(pattern=r"^[A-Z]{3}\.[a-z][a-z0-9_]{0,63}\Z")]
FieldNames = Annotated[tuple[FieldName, ...], Meta(min_length=1, max_length=200)]
ShownDocument = Literal["identity-card", "temporary-identity-card", "passport", "residence-permit"]
SubjectHash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Subject(Struct, frozen=True, forbid_unknown_fields=True):
    """The identifier of the person asked about. It travels in POST bodies alone."""

    scheme: Annotated[str, Meta(max_length=32, pattern=r"^[a-z][a-z0-9-]*\Z")]
    number: Annotated[str, Meta(min_length=1, max_length=64, pattern=_NO_CONTROLS)]

    def __repr__(self) -> str:
        return f"Subject(scheme={self.scheme!r})"


class StatutoryRequest(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="statutory_query"
):
    """A query under a statutory authorization, as a client asks for it."""

    authorization: UUID
    purpose: Purpose
    case_reference: Text
    officer: UUID
    subject: Subject
    fields: FieldNames
    actions: tuple[Literal["read"]]

    def __post_init__(self) -> None:
        _each_once(self.fields)

    def granted(self, subject_hash: str) -> "StatutoryQuery":
        """The same, with the person as a keyed hash: what the token carries."""
        return StatutoryQuery(
            authorization=self.authorization,
            purpose=self.purpose,
            case_reference=self.case_reference,
            officer=self.officer,
            subject_hash=subject_hash,
            fields=self.fields,
            actions=self.actions,
        )


class StatutoryQuery(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="statutory_query"
):
    """A query under a statutory authorization, as the token carries it."""

    authorization: UUID
    purpose: Purpose
    case_reference: Text
    officer: UUID
    subject_hash: SubjectHash
    fields: FieldNames
    actions: tuple[Literal["read"]]

    capacity: ClassVar[str] = "ask"


class Frequency(Struct, frozen=True, forbid_unknown_fields=True):
    """At most `times` uses in each period of `days`, counted from the grant."""

    times: Annotated[int, Meta(ge=1, le=1000)]
    days: Annotated[int, Meta(ge=1, le=366)]


class DataRange(
    Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"first": "from", "last": "until"},
):
    """Dates of the records covered, both included; an absent side is open."""

    first: date | None = None
    last: date | None = None

    def __post_init__(self) -> None:
        if self.first is not None and self.last is not None and self.last < self.first:
            raise ValueError("data_range ends before it begins")


class ConsentedQuery(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="type",
    tag="consented_query",
):
    """Queries with one person's consent: asked for, then granted, perhaps less.

    Attributes:
        mode: `view`, or `store`: whether the body may keep what it saw.
        validity: days from the grant.
        frequency: None where `max_uses` alone bounds the use.
        max_uses: None where `frequency` alone bounds the use.
    """

    purpose: Purpose
    fields: FieldNames
    mode: Literal["view", "store"]
    validity: Annotated[int, Meta(ge=1, le=LONGEST_VALIDITY)]
    frequency: Frequency | None = None
    data_range: DataRange | None = None
    max_uses: Annotated[int, Meta(ge=1, le=100_000)] | None = None

    def __post_init__(self) -> None:
        _each_once(self.fields)
        if self.frequency is None and self.max_uses is None:
            raise ValueError("frequency or max_uses must bound the use")

    def narrowed(self, fields: Collection[str], validity: int) -> "ConsentedQuery":
        """What the person grants of it: some of its fields, for no longer than was asked.

        Raises:
            DetailsError: a field was not asked for, none is left, or the validity is not within 1 day and
                what was asked.
        """
        kept = tuple(name for name in self.fields if name in fields)
        if not kept or len(kept) != len(fields):
            raise DetailsError("Grant at least one field, and only fields that were asked for.")
        if not 1 <= validity <= self.validity:
            raise DetailsError("Grant at least one day, and no more days than were asked for.")
        return msgspec.structs.replace(self, fields=kept, validity=validity)

    def same_as(self, other: "ConsentedQuery") -> bool:
        """Whether both say the same; the order of fields says nothing."""
        return set(self.fields) == set(other.fields) and self == msgspec.structs.replace(
            other, fields=self.fields
        )


class RecordSubmission(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="type",
    tag="record_submission",
):
    """Handing in records of these categories; for furnishers."""

    categories: Annotated[tuple[Category, ...], Meta(min_length=1, max_length=100)]
    basis: Text | None = None

    capacity: ClassVar[str] = "furnish"

    def __post_init__(self) -> None:
        _each_once(self.categories)


class Inspection(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="inspection"
):
    """Reading what inspectors may read, for one case of their own.

    Attributes:
        officer: the inspector who acts.
        case_reference: the inspecting body's own reference of the case.
    """

    officer: UUID
    case_reference: Text

    capacity: ClassVar[str] = "inspect"


class AssistanceRequest(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="assistance"
):
    """Helping one person at a desk, as a client asks for it.

    Attributes:
        officer: the clerk who acts.
        visit: the desk's own number of the visit.
        document: what the person showed to prove who they are; nothing of the body is ever measured.
        subject: the person.
    """

    officer: UUID
    visit: Text
    document: ShownDocument
    subject: Subject

    def granted(self, subject_hash: str) -> "Assistance":
        """The same, with the person as a keyed hash: what the token carries."""
        return Assistance(
            officer=self.officer, visit=self.visit, document=self.document, subject_hash=subject_hash
        )


class Assistance(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="assistance"
):
    """Helping one person at a desk, as the token carries it."""

    officer: UUID
    visit: Text
    document: ShownDocument
    subject_hash: SubjectHash

    capacity: ClassVar[str] = "desk"


Requested = StatutoryRequest | ConsentedQuery | RecordSubmission | Inspection | AssistanceRequest
Granted = StatutoryQuery | ConsentedQuery | RecordSubmission | Inspection | Assistance
TYPES: Final = ("statutory_query", "consented_query", "record_submission", "inspection", "assistance")

_REQUEST = msgspec.json.Decoder(tuple[Requested])
_MALFORMED = "Send authorization_details as a JSON array of one object that fits the schema of its type."


def read_request(text: str | None) -> Requested:
    """The one object a client asks for.

    Args:
        text: the `authorization_details` parameter, JSON.

    Raises:
        DetailsError: absent, not JSON, not one object, or outside the closed schema of its type.
    """
    if text is None:
        raise DetailsError(_MALFORMED)
    try:
        (requested,) = _REQUEST.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # The cause is left out of the chain: it may quote what was sent, an identifier among it.
        raise DetailsError(_MALFORMED) from None
    return requested


def read_granted(claim: object) -> Granted:
    """The one object a verified token carries.

    Args:
        claim: its `authorization_details` claim.

    Raises:
        DetailsError: it is none of ours.
    """
    try:
        (granted,) = msgspec.convert(claim, tuple[Granted])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise DetailsError("The token's authorization_details are none of ours.") from None
    return granted


def claim_of(granted: Granted) -> list[dict[str, Any]]:
    """The object as the value of a claim or a response member."""
    claim: list[dict[str, Any]] = msgspec.to_builtins([granted])
    return claim


def _each_once(names: Collection[str]) -> None:
    if len(set(names)) != len(names):
        raise ValueError("a name stands twice")
