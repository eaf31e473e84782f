"""A record as a furnisher submitted it, and what became of it: accepted or rejected (`accepting`).

A rejection is a value, and never holds a value of the submission.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Protocol

from vault.catalogue import DisplayWindow
from vault.records.values import FieldValue

REASONS: Final = ("error", "change", "decision")
"""Why a version supersedes another: it was wrong, things have changed, or a court or authority decided so."""


class SubjectIdentifier(Protocol):
    """A valid identifier of a person, in its one spelling."""

    @property
    def scheme(self) -> str:
        """The identifier scheme."""

    @property
    def number(self) -> str:
        """The normalized number."""

    @property
    def birth_date(self) -> date | None:
        """The birth date the number carries, where its scheme has one."""


IdentifierParser = Callable[[str, str], SubjectIdentifier]
"""Scheme and number as spelled to an identifier; raises `InvalidIdentifierError`."""


@dataclass(frozen=True, slots=True)
class Document:
    """The legally effective document a record rests on. `sha256`: of the document, in lower-case hex."""

    number: str
    date: date
    sha256: str


@dataclass(frozen=True, slots=True)
class Notice:
    """The proof that the person was told before adverse data was supplied."""

    date: date
    proof: str


@dataclass(frozen=True, slots=True)
class Exemption:
    """Why the person need not be told: a code of the catalogue."""

    code: str


@dataclass(frozen=True, slots=True)
class WrittenConsent:
    """The person's written consent; `warning` names the warning given before it, for sensitive data."""

    reference: str
    date: date
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class Supersedes:
    """That a record takes the place of an earlier version of itself, and why (`REASONS`)."""

    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class Submission:
    """An accepted record. Everything that tells of a person is absent from its representation.

    Attributes:
        identifier: Whose record it is.
        name: The person's name, as the furnisher knows it.
        category: A code of the catalogue.
        furnisher_reference: The furnisher's own, unique reference of the record.
        basis: What allows the collection: a code of the catalogue.
        document: What the record rests on.
        notice: Proof of notice to the person, or the exemption from it.
        consent: The person's written consent, where one is needed or there is one.
        supersedes: The version it takes the place of; None for a new record.
        fields: Values by field name, in the catalogue's order.
    """

    identifier: SubjectIdentifier = field(repr=False)
    name: str | None = field(repr=False)
    category: str
    furnisher_reference: str = field(repr=False)
    basis: str
    document: Document | None = field(repr=False)
    notice: Notice | Exemption | None = field(repr=False)
    consent: WrittenConsent | None = field(repr=False)
    supersedes: Supersedes | None
    fields: Mapping[str, FieldValue] = field(repr=False)

    def plain_fields(self) -> dict[str, str | int | bool]:
        """Returns the field values as JSON has them: dates as yyyy-mm-dd."""
        return {name: _plain(value) for name, value in self.fields.items()}

    def encode(self) -> bytes:
        """Returns the submission as UTF-8 JSON in one spelling: what is accepted encodes the same again."""
        subject = {"scheme": self.identifier.scheme, "number": self.identifier.number, "name": self.name}
        members: dict[str, object] = {
            "subject": _present(subject),
            "category": self.category,
            "furnisher_reference": self.furnisher_reference,
            "basis": self.basis,
        }
        if self.document is not None:
            document = self.document
            members["document"] = {
                "number": document.number,
                "date": _plain(document.date),
                "sha256": document.sha256,
            }
        if isinstance(self.notice, Notice):
            members["notice"] = {"date": _plain(self.notice.date), "proof": self.notice.proof}
        elif self.notice is not None:
            members["notice"] = {"exemption": self.notice.code}
        if self.consent is not None:
            consent = self.consent
            members["consent"] = _present(
                {"reference": consent.reference, "date": _plain(consent.date), "warning": consent.warning}
            )
        if self.supersedes is not None:
            members["supersedes"] = {"version": self.supersedes.version, "reason": self.supersedes.reason}
        members["fields"] = self.plain_fields()
        return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Accepted:
    """A submission that may be enrolled.

    Attributes:
        line: The line it came from, from 1.
        submission: What was submitted.
        adverse: Whether it speaks against the person.
        window: From when until when it may be shown.
    """

    line: int
    submission: Submission
    adverse: bool = field(repr=False)
    window: DisplayWindow = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that was turned away; it holds none of the line's values.

    Attributes:
        line: The line, from 1.
        column: The member (as `fields.status`) or CSV column; empty for the whole line.
        rule: The broken rule's number in `SUBMISSION.md`.
        remedy: What to do.
    """

    line: int
    column: str
    rule: str
    remedy: str


def _plain(value: FieldValue) -> str | int | bool:
    return value.isoformat() if isinstance(value, date) else value


def _present(members: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in members.items() if value is not None}
