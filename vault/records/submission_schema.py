"""The form of a submission as JSON Schema (2020-12), one document for each category of the catalogue.

A furnisher's own software checks its rows against it before they are sent. It says what SUBMISSION.md says,
but for the rules of which no schema can speak; `BEYOND` names them. Nothing here is written twice by hand:
every code, bound and condition is the catalogue's.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from vault.catalogue import Catalogue
from vault.catalogue.schema import Category, Condition, Field
from vault.records.accepting import LONGEST_CODE, LONGEST_NAME, MOST_VERSIONS
from vault.records.submission import REASONS

Schema = dict[str, object]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MEDIA_TYPE: Final = "application/schema+json"

BEYOND: Final = ("1", "3.1", "4.6", "4.9", "5.6", "5.7", "5.8", "6", "7")
"""Rules of SUBMISSION.md, or whole sections, that the schemas do not express.

Of 5.6 they express the beginning, 1900, and not the end, today. Of 2.3, a number such as `1.0` is whole for a
schema and is none for the vault. A date that does not exist is found where the validator asserts `format`.
"""

_NULL: Final[Schema] = {"type": "null"}
# 2.5: what prints, and the blanks inside of it; U+3000 is the blank of Chinese and Japanese text.
_TEXT: Final = "^[^\\p{C}\\p{Z}](?:[ \u3000]*[^\\p{C}\\p{Z}])*$"
# The same, with letters, digits and the marks that numbers of documents are written with.
_MARKS: Final = r".,:;/()#&+\-·、《》【】〔〕（），"  # noqa: RUF001 -- Chinese marks are meant
_REFERENCE: Final = f"^[\\p{{L}}\\p{{N}}_{_MARKS}](?: *[\\p{{L}}\\p{{N}}_{_MARKS}])*$"
_DATE: Final = "^(?:19|[2-9][0-9])[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])$"
_SHA256: Final = "^[0-9a-f]{64}$"


def submission_schema(catalogue: Catalogue, category: Category, schemes: Collection[str], uri: str) -> Schema:
    """The schema of a submission of one category.

    Args:
        catalogue: the law.
        category: which.
        schemes: the identifier schemes this deployment serves.
        uri: where the schema is published.
    """
    longest = catalogue.pack.limits.code_length
    reference = _reference(longest)
    required = ["subject", "category", "furnisher_reference", "basis", "fields"]
    members: Schema = {
        "subject": _object(
            {
                "scheme": {"enum": sorted(schemes)},
                "number": _text(LONGEST_CODE),
                "name": _or_null(_text(LONGEST_NAME)),
            },
            ["scheme", "number"],
        ),
        "category": {"const": category.code},
        "furnisher_reference": reference,
        "basis": _codes((code, catalogue.bases[code].title) for code in category.bases),
        "document": _object(
            {"number": reference, "date": _date(), "sha256": {"type": "string", "pattern": _SHA256}},
            ["number", "date", "sha256"],
        ),
        "notice": _notice(catalogue, category, reference),
        "consent": _object(
            {"reference": reference, "date": _date(), "warning": _or_null(reference)}, ["reference", "date"]
        ),
        "supersedes": _or_null(
            _object(
                {
                    "version": {"type": "integer", "minimum": 1, "maximum": MOST_VERSIONS},
                    "reason": {"enum": list(REASONS)},
                },
                ["version", "reason"],
            )
        ),
        "fields": _fields(catalogue, category),
    }
    if category.effective_document:
        required.append("document")
    else:
        members["document"] = _or_null(members["document"])
    if category.opt_in:
        required.append("consent")
    else:
        members["consent"] = _or_null(members["consent"])
    if category.notice and category.adverse == "always":
        required.append("notice")
    else:
        members["notice"] = _or_null(members["notice"])
    return {
        "$schema": DIALECT,
        "$id": uri,
        "$comment": f"{catalogue.version}, pack digest {catalogue.digest}",
        "title": category.title,
        **({"description": category.title_local} if category.title_local else {}),
        **_object(members, required),
        **_all_of([*_told(category), *_warned(category, reference)]),
    }


def _notice(catalogue: Catalogue, category: Category, reference: Schema) -> Schema:
    """4.4, 4.5: proof that the person was told, or why they need not be."""
    if not category.notice:
        return _NULL
    proof = _object({"date": _date(), "proof": reference}, ["date", "proof"])
    if not category.exemptions:
        return proof
    exemptions = _codes((code, catalogue.exemptions[code].title) for code in category.exemptions)
    return {"oneOf": [proof, _object({"exemption": exemptions}, ["exemption"])]}


def _told(category: Category) -> list[Schema]:
    """4.4 where it depends on a field whether the record speaks against the person."""
    if not category.notice or category.adverse_when is None:
        return []
    return [
        {
            "if": _fields_hold(category.adverse_when),
            "then": {"required": ["notice"], "properties": {"notice": {"not": _NULL}}},
        }
    ]


def _warned(category: Category, reference: Schema) -> list[Schema]:
    """4.8: a sensitive field comes with a consent that names the warning before it."""
    sensitive = [name for name, field in category.fields.items() if field.sensitive]
    if not sensitive:
        return []
    consent = {"not": _NULL, "required": ["warning"], "properties": {"warning": reference}}
    any_of_them = [{"required": [name]} for name in sensitive]
    return [
        {
            "if": {"required": ["fields"], "properties": {"fields": {"anyOf": any_of_them}}},
            "then": {"required": ["consent"], "properties": {"consent": consent}},
        }
    ]


def _fields(catalogue: Catalogue, category: Category) -> Schema:
    fields = category.fields.values()
    return {
        **_object(
            {field.name: _field(catalogue, field) for field in fields},
            [field.name for field in fields if field.required],
        ),
        **_all_of(
            [
                {"if": _holds(field.required_when), "then": {"required": [field.name]}}
                for field in fields
                if field.required_when is not None
            ]
        ),
    }


def _field(catalogue: Catalogue, field: Field) -> Schema:
    named: Schema = {"title": field.title}
    if field.title_local:
        named["description"] = field.title_local
    if field.kind == "date":
        return {**named, **_date()}
    if field.kind == "boolean":
        return {**named, "type": "boolean"}
    if field.kind == "integer":
        return {**named, "type": "integer", "minimum": field.minimum or 0, "maximum": field.maximum or 0}
    if field.kind in {"enum", "class"}:
        return {**named, "enum": list(field.values)}
    if field.kind == "code" and field.screened:
        return {**named, **_reference(catalogue.pack.limits.code_length)}
    return {**named, **_text(field.max_length or catalogue.pack.limits.code_length)}


def _fields_hold(condition: Condition) -> Schema:
    return {"required": ["fields"], "properties": {"fields": _holds(condition)}}


def _holds(condition: Condition) -> Schema:
    return {
        "required": [condition.field],
        "properties": {condition.field: {"enum": list(condition.values)}},
    }


def _object(members: Schema, required: Sequence[str]) -> Schema:
    return {
        "type": "object",
        "properties": members,
        "required": list(required),
        "additionalProperties": False,
    }


def _all_of(conditions: Sequence[Schema]) -> Schema:
    return {"allOf": list(conditions)} if conditions else {}


def _or_null(schema: object) -> Schema:
    return {"anyOf": [schema, _NULL]}


def _codes(named: Iterable[tuple[str, str]]) -> Schema:
    """One of these codes, each with what it means."""
    return {"oneOf": [{"const": code, "title": title} for code, title in named]}


def _text(longest: int) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": longest, "pattern": _TEXT}


def _reference(longest: int) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": longest, "pattern": _REFERENCE}


def _date() -> Schema:
    return {"type": "string", "format": "date", "pattern": _DATE}
