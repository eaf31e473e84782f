"""A record as a furnisher submits it: read, checked against the law, and accepted or rejected.

The rules, in their order and with their numbers, are in `SUBMISSION.md`. Nothing here touches a database; a
rejection is a value, and never holds a value of the submission.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from vault.catalogue import Catalogue, DisplayWindow
from vault.catalogue.schema import Category
from vault.crypto.errors import InvalidIdentifierError
from vault.records.values import (
    FieldValue,
    RefusedError,
    read_date,
    read_field,
    read_reference,
    read_text,
    why,
)

LONGEST_NAME = 100
LONGEST_CODE = 64
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SPEAKABLE = re.compile(r"[a-z][a-z0-9_]{0,39}")

_REQUIRED = frozenset({"subject", "category", "furnisher_reference", "basis", "fields"})
_OPTIONAL = frozenset({"document", "notice", "consent", "supersedes"})

REASONS = ("error", "change", "decision")
"""Why a version supersedes another: it was wrong, things have changed, or a court or authority decided so."""

MOST_VERSIONS = 32_767


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


def parse_submission(
    value: object,
    *,
    line: int,
    catalogue: Catalogue,
    parse_identifier: IdentifierParser,
    today: date,
) -> Accepted | Rejected:
    """Checks one submission.

    Args:
        value: The decoded JSON value.
        line: Where it stands, from 1.
        catalogue: The law.
        parse_identifier: Validates and normalizes an identifier.
        today: The legal date, in the catalogue's time zone.

    Returns:
        The submission, or the first rule it breaks.
    """
    try:
        submission = _Reading(catalogue, parse_identifier, today).read(value)
    except RefusedError as refused:
        return Rejected(line, refused.column, refused.rule, refused.remedy)
    category = catalogue.categories[submission.category]
    document_date = submission.document.date if submission.document else None
    return Accepted(
        line,
        submission,
        adverse=category.is_adverse(submission.fields),
        window=catalogue.display_window(category, submission.fields, document_date),
    )


class _Reading:
    """The reading of one submission, rule after rule."""

    def __init__(self, catalogue: Catalogue, parse_identifier: IdentifierParser, today: date) -> None:
        self._catalogue = catalogue
        self._parse_identifier = parse_identifier
        self._today = today
        self._number = ""

    def read(self, value: object) -> Submission:
        # 2: the shape.
        members = _object(value, "", _REQUIRED, _OPTIONAL)
        # 3: the person.
        identifier, name = self._subject(members["subject"])
        self._number = identifier.number
        # 4.1, 4.2: the category and what allows its collection.
        category = self._category(members["category"])
        basis = read_text(members["basis"], "basis", LONGEST_CODE)
        if basis not in category.bases:
            raise RefusedError("basis", "4.2", f"Cite one of {', '.join(category.bases)}.")
        reference = self._reference(members["furnisher_reference"], "furnisher_reference")
        # 4.3: the document.
        document = self._document(members.get("document"), category)
        # 5: the fields.
        fields = self._fields(members["fields"], category)
        # 4.4 to 4.8: what protects the person.
        notice = self._notice(members.get("notice"), category, adverse=category.is_adverse(fields))
        self._check_age(identifier, category, fields, document)
        consent = self._consent(members.get("consent"), category, fields)
        supersedes = _supersedes(members.get("supersedes"))
        return Submission(
            identifier, name, category.code, reference, basis, document, notice, consent, supersedes, fields
        )

    def _subject(self, value: object) -> tuple[SubjectIdentifier, str | None]:
        members = _object(value, "subject", frozenset({"scheme", "number"}), frozenset({"name"}))
        scheme = read_text(members["scheme"], "subject.scheme", LONGEST_CODE)
        number = read_text(members["number"], "subject.number", LONGEST_CODE)
        try:
            identifier = self._parse_identifier(scheme, number)
        except InvalidIdentifierError as error:
            raise RefusedError("subject.number", "3.1", f"Correct the identifier: {error}.") from None
        name = members.get("name")
        return identifier, None if name is None else read_text(name, "subject.name", LONGEST_NAME)

    def _category(self, value: object) -> Category:
        code = read_text(value, "category", LONGEST_CODE)
        category = self._catalogue.categories.get(code)
        if category is None:
            raise RefusedError(
                "category", "4.1", f"Use one of the catalogue's: {', '.join(self._catalogue.categories)}."
            )
        return category

    def _document(self, value: object, category: Category) -> Document | None:
        if value is None:
            if category.effective_document:
                raise RefusedError(
                    "document", "4.3", "Name the legally effective document: number, date, sha256."
                )
            return None
        members = _object(value, "document", frozenset({"number", "date", "sha256"}))
        digest = members["sha256"]
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise RefusedError(
                "document.sha256", "2.3", "Give the document's SHA-256 as 64 lower-case hex digits."
            )
        return Document(
            number=self._reference(members["number"], "document.number"),
            date=read_date(members["date"], "document.date", self._today),
            sha256=digest,
        )

    def _fields(self, value: object, category: Category) -> dict[str, FieldValue]:
        raw = _mapping(value, "fields")
        for name in raw:
            if name not in category.fields:
                self._refuse_field(name, category)
        fields = {
            name: read_field(raw[name], known, self._catalogue, self._today, self._number)
            for name, known in category.fields.items()
            if name in raw
        }
        for name, known in category.fields.items():
            column = f"fields.{name}"
            if name not in fields:
                if known.required or (known.required_when and known.required_when.holds(fields)):
                    raise RefusedError(column, "5.2", "Give this field.")
                continue
            if known.after and _precedes(fields[name], fields.get(known.after)):
                raise RefusedError(column, "5.7", f"Correct the dates: this one lies before {known.after}.")
        return fields

    def _refuse_field(self, name: str, category: Category) -> None:
        forbidden = self._catalogue.screen.name(name)
        if forbidden is not None:
            raise RefusedError(_member("fields", name), "5.5", f"Leave it out: {why(forbidden)}.")
        raise RefusedError(
            _member("fields", name), "5.1", f"Leave it out; {category.code} has {', '.join(category.fields)}."
        )

    def _notice(self, value: object, category: Category, *, adverse: bool) -> Notice | Exemption | None:
        if value is None:
            if adverse and category.notice:
                exempt = f", or an exemption: {', '.join(category.exemptions)}" if category.exemptions else ""
                raise RefusedError("notice", "4.4", f"Give date and proof of notice to the person{exempt}.")
            return None
        if not category.notice:
            raise RefusedError("notice", "4.4", "Leave it out: this category has no notice.")
        members = _mapping(value, "notice")
        if "exemption" not in members:
            members = _object(value, "notice", frozenset({"date", "proof"}))
            return Notice(
                read_date(members["date"], "notice.date", self._today),
                self._reference(members["proof"], "notice.proof"),
            )
        code = read_text(
            _object(value, "notice", frozenset({"exemption"}))["exemption"], "notice", LONGEST_CODE
        )
        if code not in category.exemptions:
            allowed = ", ".join(category.exemptions) or "none"
            raise RefusedError("notice.exemption", "4.5", f"Exemptions of this category: {allowed}.")
        return Exemption(code)

    def _check_age(
        self,
        identifier: SubjectIdentifier,
        category: Category,
        fields: Mapping[str, FieldValue],
        document: Document | None,
    ) -> None:
        """4.6: nothing that happened before the person came of age, and nothing where that is unknown."""
        if not category.age_gate:
            return
        if identifier.birth_date is None:
            raise RefusedError(
                "subject.scheme",
                "4.6",
                "Use an identifier that carries the birth date: minors are not recorded.",
            )
        past = [
            value
            for name, value in fields.items()
            if isinstance(value, date) and not category.fields[name].future
        ]
        if document is not None:
            past.append(document.date)
        if past and min(past) < self._catalogue.of_age_from(identifier.birth_date):
            years = self._catalogue.pack.limits.adult_years
            raise RefusedError("fields", "4.6", f"Do not submit it: the person was not yet {years}.")

    def _consent(
        self, value: object, category: Category, fields: Mapping[str, FieldValue]
    ) -> WrittenConsent | None:
        sensitive = any(category.fields[name].sensitive for name in fields)
        if value is None:
            if category.opt_in:
                raise RefusedError("consent", "4.7", "Give reference and date of the person's own wish.")
            if sensitive:
                raise RefusedError(
                    "consent", "4.8", "Give reference, date and warning of the written consent."
                )
            return None
        members = _object(value, "consent", frozenset({"reference", "date"}), frozenset({"warning"}))
        warning = members.get("warning")
        if sensitive and warning is None:
            raise RefusedError(
                "consent.warning", "4.8", "Name the warning given before the person consented."
            )
        return WrittenConsent(
            self._reference(members["reference"], "consent.reference"),
            read_date(members["date"], "consent.date", self._today),
            None if warning is None else self._reference(warning, "consent.warning"),
        )

    def _reference(self, value: object, column: str) -> str:
        return read_reference(value, column, self._catalogue, self._number)


def _supersedes(value: object) -> Supersedes | None:
    if value is None:
        return None
    members = _object(value, "supersedes", frozenset({"version", "reason"}))
    version, reason = members["version"], members["reason"]
    if not isinstance(version, int) or isinstance(version, bool):
        raise RefusedError("supersedes.version", "2.3", "Give a whole number.")
    if not 1 <= version <= MOST_VERSIONS:
        raise RefusedError("supersedes.version", "5.3", f"Give 1 to {MOST_VERSIONS}.")
    if not isinstance(reason, str) or reason not in REASONS:
        raise RefusedError("supersedes.reason", "5.4", f"Give one of {', '.join(REASONS)}.")
    return Supersedes(version, reason)


def _mapping(value: object, column: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise RefusedError(column, "2.3", "Give a JSON object.")
    return value


def _object(
    value: object, column: str, required: frozenset[str], optional: frozenset[str] = frozenset()
) -> Mapping[str, object]:
    members = _mapping(value, column)
    known = ", ".join(sorted(required | optional))
    for name in members:
        if name not in required and name not in optional:
            raise RefusedError(_member(column, name), "2.1", f"Leave it out; the members are {known}.")
    for name in sorted(required):
        if name not in members:
            raise RefusedError(_member(column, name), "2.2", "Give this member.")
    return members


def _member(parent: str, name: str) -> str:
    """Names a member in a rejection; what does not look like a name may be a value, and is not repeated."""
    spoken = name if _SPEAKABLE.fullmatch(name) else "(unnamed)"
    return f"{parent}.{spoken}" if parent else spoken


def _precedes(value: FieldValue, other: FieldValue | None) -> bool:
    return isinstance(value, date) and isinstance(other, date) and value < other


def _plain(value: FieldValue) -> str | int | bool:
    return value.isoformat() if isinstance(value, date) else value


def _present(members: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in members.items() if value is not None}
