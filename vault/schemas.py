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


class QueryOut(BaseModel):
    """A permitted query. An unknown person, no record and nothing displayable are the same empty list."""

    records: list[RecordOut]
    annotations: list[str] = Field(description="Flags that concern the whole answer.")
    use_conditions: UseConditionsOut
    receipt: str = Field(description="A C2SP tlog-proof: this query stands in the log. Keep it.")
    opening: dict[str, Any] = Field(
        description="What the log entry committed to, as far as the body may see."
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

    enrolled: int = Field(description="Lines that are new records.")
    standing: int = Field(description="Lines that stood already, with the same content.")
    rejected: int
    rejects: list[RejectOut]
    receipts: list[LineReceiptOut]


class ProblemOut(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
