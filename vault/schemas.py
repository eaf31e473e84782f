"""What travels over `/v1`: closed request schemas and documented answers. `/v1` only ever adds members."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

PURPOSE = r"^[a-z][a-z0-9-]{1,63}$"
FIELD = r"^[A-Z]{3}\.[a-z][a-z0-9_]{0,62}$"

_QUERY: JsonDict = {
    "subject": {"scheme": "demo-id", "number": "999999190001010015"},
    "purpose": "credit-granting",
    "fields": ["FIN.type", "FIN.amount_class", "FIN.status"],
    "officer": "5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11",
    "case_reference": "LOAN-2026-00042",
}


SUBMISSION_EXAMPLE = {
    "subject": {"scheme": "demo-id", "number": "999999190001010015", "name": "Wei Example"},
    "category": "FIN",
    "furnisher_reference": "LOAN-2026-00042",
    "basis": "CRI-29",
    "document": {"number": "CONTRACT-2026-00042", "date": "2026-01-15", "sha256": "0" * 64},
    "fields": {
        "type": "vehicle",
        "amount_class": "10k-50k",
        "contract_start": "2026-01-15",
        "contract_end": "2029-01-15",
        "status": "performing",
    },
}


_RECEIPT = "c2sp.org/tlog-proof@v1\nextra AQEAAAGi…\nindex 41\nJ0M1…=\n\nvault.example/log/2026\n42\n…"
_ANSWER: JsonDict = {
    "records": [
        {
            "category": "FIN",
            "source": {
                "body": "First Example Bank",
                "document": {"number": "CONTRACT-2026-00042", "date": "2026-01-15", "sha256": "0" * 64},
            },
            "recorded_at": "2026-01-16T08:30:00Z",
            "display": {
                "first_day": "2026-01-15",
                "last_day": "2034-01-15",
                "how_counted": "five years from its end",
            },
            "fields": {"type": "vehicle", "amount_class": "10k-50k", "status": "performing"},
            "annotations": [],
        }
    ],
    "annotations": [],
    "use_conditions": {
        "purpose": "credit-granting",
        "onward_provision": False,
        "storable": False,
        "retention_days": 0,
    },
    "receipt": _RECEIPT,
    "opening": {"v": 1, "type": 1, "blind": "…", "attributes": []},
    "companions": [],
}
_SUBMISSIONS: JsonDict = {
    "enrolled": 1,
    "standing": 0,
    "rejected": 1,
    "rejects": [
        {"line": 2, "column": "fields.type", "rule": "5.4", "remedy": "Give one of housing, vehicle, other."}
    ],
    "receipts": [{"line": 1, "receipt": _RECEIPT}],
}
_CATALOGUE: JsonDict = {
    "pack": "cn 2026.1",
    "digest": "0" * 64,
    "jurisdiction": "CN",
    "title": "Mainland China",
    "timezone": "Asia/Shanghai",
    "identifier_schemes": ["cn-ric"],
    "categories": [
        {
            "code": "LAB",
            "title": "Wage arrears",
            "title_local": None,
            "tier": "T2",
            "adverse": "always",
            "effective_document": True,
            "notice": True,
            "age_gate": True,
            "opt_in": False,
            "bases": [{"code": "WAGES", "title": "Wage regulation"}],
            "exemptions": [],
            "fields": ["order", "conduct_start", "conduct_end"],
            "submission_schema": "https://vault.example/v1/catalogue/LAB",
        }
    ],
}
_QUALITY: JsonDict = {
    "months": [
        {
            "month": 202611,
            "enrolled": {"FIN": 1200, "LAB": 3},
            "late": {"0-7": 1100, "8-30": 90, "366+": 13},
            "corrected": {"error": 2, "change": 40},
            "rejected": {"3.1": 5, "7.1": 1},
        }
    ]
}
_PROBLEM: JsonDict = {
    "type": "urn:creditvault:problem:invalid-request",
    "title": "The request is not well formed",
    "status": 400,
    "detail": "Mend the members named in `errors`, then send it again.",
    "errors": [{"at": "fields.0", "rule": "string_pattern_mismatch"}],
}


class Closed(BaseModel):
    """A message whose unknown members are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SubjectIn(Closed):
    """The person asked about. Identifiers travel in bodies, never in a URL."""

    scheme: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,31}$")]
    number: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class QueryIn(Closed):
    """`POST /v1/queries`."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, json_schema_extra={"examples": [_QUERY]}
    )

    subject: SubjectIn
    purpose: Annotated[str, StringConstraints(pattern=PURPOSE)]
    fields: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=FIELD)], ...], Field(min_length=1, max_length=200)
    ]
    officer: UUID = Field(description="The officer of this body who asks.")
    case_reference: Annotated[
        str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
    ]


class DocumentOut(BaseModel):
    """The legally effective document a record rests on."""

    number: str
    date: date
    sha256: str


class SourceOut(BaseModel):
    """Where a record comes from."""

    body: str = Field(description="Name of the furnishing body.")
    document: DocumentOut | None


class DisplayOut(BaseModel):
    """From when until when the record may be shown, and how that was counted."""

    first_day: date
    last_day: date | None
    how_counted: str


class RecordOut(BaseModel):
    """One record, with exactly the fields that were asked for and permitted."""

    category: str
    source: SourceOut
    recorded_at: datetime
    display: DisplayOut
    fields: dict[str, Any]
    annotations: list[str] = Field(
        description="Flags that must travel with the record: objection, statement."
    )


class UseConditionsOut(BaseModel):
    """What the body may do with the answer."""

    purpose: str
    onward_provision: bool = Field(description="Always false.")
    storable: bool
    retention_days: int | None


class LogProofOut(BaseModel):
    """One entry of the log that states a query."""

    receipt: str
    opening: dict[str, Any]


class QueryOut(BaseModel):
    """A permitted query. An unknown person, no record and nothing displayable are the same empty list."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ANSWER]})

    records: list[RecordOut]
    annotations: list[str] = Field(description="Flags that concern the whole answer.")
    use_conditions: UseConditionsOut
    receipt: str = Field(description="A C2SP tlog-proof: this query stands in the log. Keep it.")
    opening: dict[str, Any] = Field(
        description="What the log entry committed to, as far as the body may see."
    )
    companions: list[LogProofOut] = Field(
        description="The same of the query's entries in the streams of other identities of the person whose "
        "records were opened (RULES 13.2). Keep them, too."
    )


class RejectOut(BaseModel):
    """One line that was turned away; it repeats nothing of the line."""

    line: int
    column: str
    rule: str = Field(description="Number of the broken rule in SUBMISSION.md.")
    remedy: str


class LineReceiptOut(BaseModel):
    """The receipt of one line's log entry."""

    line: int
    receipt: str


class SubmissionsOut(BaseModel):
    """What became of the lines of a submission."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SUBMISSIONS]})

    enrolled: int = Field(description="Lines that are new records.")
    standing: int = Field(description="Lines that stood already, with the same content.")
    passed: int = Field(
        0, description="Good lines that were not kept: `all_or_nothing` was asked for, and others are bad."
    )
    rejected: int
    rejects: list[RejectOut]
    receipts: list[LineReceiptOut]


class QualityMonthOut(BaseModel):
    """What a body furnished in one month of the jurisdiction's time zone."""

    month: int = Field(description="yyyymm")
    enrolled: dict[str, int] = Field(description="New records, by category.")
    late: dict[str, int] = Field(
        description="Records by the days between their document, or else their notice, and handing them in."
    )
    corrected: dict[str, int] = Field(description="Later versions, by the reason why they supersede.")
    rejected: dict[str, int] = Field(
        description="Lines turned away, each time they were handed in, by the rule they broke."
    )


class QualityOut(BaseModel):
    """A furnisher's quality figures, the newest month first."""

    model_config = ConfigDict(json_schema_extra={"examples": [_QUALITY]})

    months: list[QualityMonthOut]


class CatalogueCodeOut(BaseModel):
    """A code that a submission may cite."""

    code: str
    title: str


class CatalogueCategoryOut(BaseModel):
    """One kind of record."""

    code: str
    title: str
    title_local: str | None
    tier: str = Field(description="T1 low, T2 personal, T3 sensitive.")
    adverse: str = Field(description="Whether it speaks against the person: always, never or when.")
    effective_document: bool = Field(description="It rests on a legally effective document.")
    notice: bool = Field(description="Adverse data needs proof that the person was told, or an exemption.")
    age_gate: bool = Field(description="Nothing of it may lie before the person came of age.")
    opt_in: bool = Field(description="It is held at the person's own wish alone.")
    bases: list[CatalogueCodeOut] = Field(description="What allows its collection.")
    exemptions: list[CatalogueCodeOut] = Field(description="From the notice.")
    fields: list[str]
    submission_schema: str = Field(description="Where the JSON Schema of a submission is.")


class CatalogueOut(BaseModel):
    """Which records there may be, by which law."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CATALOGUE]})

    pack: str
    digest: str = Field(description="SHA-256 of the pack's files: names exactly the rules that are applied.")
    jurisdiction: str = Field(description="ISO 3166.")
    title: str
    timezone: str
    identifier_schemes: list[str]
    categories: list[CatalogueCategoryOut]


class FaultOut(BaseModel):
    """One member that is not well formed; it repeats nothing of what was sent."""

    at: str = Field(description="Where: our own member names only.")
    rule: str


class ProblemOut(BaseModel):
    """RFC 9457 problem details; docs/problems.md lists the types."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PROBLEM]})

    type: str
    title: str
    status: int
    detail: str = Field(description="What to do next.")
    errors: list[FaultOut] = Field([], description="`invalid-request`: where the request is to be mended.")
    rule: str = Field("", description="`refused`: the rule of RULES.md that refused the query.")
    receipt: str = Field("", description="`refused`: the refusal stands in the log too. Keep it.")
    opening: dict[str, Any] = Field({}, description="`refused`: what that entry committed to.")


class CovertCountOut(BaseModel):
    """The covert cases of one UTC month."""

    month: int = Field(description="yyyymm.")
    opened: int = Field(description="Cases whose first query came in it.")
    standing: int = Field(description="Cases whose persons were not to be told yet when it ended.")
    disclosed: int = Field(description="Cases that were disclosed in it.")
    origin: str = Field(description="Of the log that has the entry that states this.")
    index: int = Field(description="Of that entry.")
    opening: dict[str, Any] = Field(description="Proves it: `python -m access_log check-opening`.")


class CovertCountsOut(BaseModel):
    """Every month that was counted, the newest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "months": [
                        {
                            "month": 202610,
                            "opened": 2,
                            "standing": 5,
                            "disclosed": 1,
                            "origin": "vault.example/log/2026",
                            "index": 4711,
                            "opening": {"v": 1, "type": 9},
                        }
                    ]
                }
            ]
        }
    )

    months: list[CovertCountOut]
