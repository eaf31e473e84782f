"""A record as a furnisher submits it, read and checked against the law: it is accepted or rejected.

The rules, in their order and with their numbers, are in `SUBMISSION.md`. Nothing here touches a database.
"""

import re
from collections.abc import Mapping
from datetime import date

from vault.catalogue import Catalogue
from vault.catalogue.schema import Category
from vault.crypto.errors import InvalidIdentifierError
from vault.records.submission import (
    REASONS,
    Accepted,
    Document,
    Exemption,
    IdentifierParser,
    Notice,
    Rejected,
    SubjectIdentifier,
    Submission,
    Supersedes,
    WrittenConsent,
)
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
MOST_VERSIONS = 32_767
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SPEAKABLE = re.compile(r"[a-z][a-z0-9_]{0,39}")

_REQUIRED = frozenset({"subject", "category", "furnisher_reference", "basis", "fields"})
_OPTIONAL = frozenset({"document", "notice", "consent", "supersedes"})


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
