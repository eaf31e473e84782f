"""What travels over `/v1/inspection`: closed request schemas and documented answers."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.config import JsonDict

from vault.schemas import Closed

_LARGEST_INDEX = 2**63 - 1
_TEXT = r"^[^\x00-\x1f\x7f]+$"
_RECEIPT = "c2sp.org/tlog-proof@v1\nindex 41\n…"
_ENTRY: JsonDict = {
    "index": 41,
    "time": "2026-11-03T02:00:00Z",
    "kind": "query permitted",
    "body": "4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11",
    "officer": "5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11",
    "officer_role": "loan officer",
    "purpose": "credit-granting",
    "case_reference": "LOAN-2026-00042",
    "basis": "0b7a8a1e-2b0f-4d8e-8c39-52a1a6c0e3d4",
    "decision": "permitted",
    "fields": ["FIN.type"],
}
Index = Annotated[int, Field(ge=0, le=_LARGEST_INDEX)]
LogName = Annotated[
    str, Field(max_length=255, description="Name of the closed log it is about. Empty: the open one.")
]


class EntryIn(Closed):
    """`POST /v1/inspection/entry`."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"index": 41}]},
    )

    index: Index = Field(description="Of the entry in the log.")
    log: LogName = ""


class EntriesIn(Closed):
    """`POST /v1/inspection/entries`."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {
                    "from": "2026-11-01T00:00:00Z",
                    "until": "2026-11-08T00:00:00Z",
                    "body": "4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11",
                }
            ]
        },
    )

    since: AwareDatetime = Field(alias="from", description="First moment.")
    until: AwareDatetime = Field(description="First moment after the range; at most 31 days later.")
    body: UUID | None = Field(None, description="Only entries of this body.")
    officer: UUID | None = Field(None, description="Only queries of this officer.")
    case_reference: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_TEXT)] | None = (
        Field(None, description="Only queries in this case.")
    )
    after: Index | None = Field(None, description="`next` of the page before.")
    log: LogName = ""

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.until <= self.since:
            raise ValueError("the range ends before it begins")
        return self


class NothingIn(Closed):
    """A use that needs no member: `{}`."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, json_schema_extra={"examples": [{}]}
    )


class InspectedEntryOut(BaseModel):
    """One entry, opened whole."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "index": 41,
                    "time": "2026-11-03T02:00:00Z",
                    "kind": "query permitted",
                    "stream": "person",
                    "attributes": {"body": "4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11", "decision": "permitted"},
                    "opening": {"v": 1, "type": 1, "blind": "…", "attributes": []},
                    "receipt": _RECEIPT,
                    "use_receipt": _RECEIPT,
                }
            ]
        }
    )

    index: int
    time: datetime
    kind: str
    stream: str = Field(
        description="person, covert case, system, not found; unknown once its content is gone."
    )
    attributes: dict[str, Any] = Field(
        description="Every attribute, `subject` among them; empty once its retention has ended."
    )
    opening: dict[str, Any] | None = Field(
        description="Proves the attributes: `python -m access_log check-opening`."
    )
    receipt: str | None = Field(
        description="Of this entry; null where its log was closed as it stood and nothing proves it here."
    )
    use_receipt: str = Field(description="Of the entry that says that you looked.")


class ListedEntryOut(BaseModel):
    """One entry of a list, which names no person."""

    index: int
    time: datetime
    kind: str
    event: str | None = None
    body: UUID | None = None
    officer: UUID | None = None
    officer_role: str | None = None
    purpose: str | None = None
    case_reference: str | None = None
    basis: str | None = None
    decision: str | None = None
    reason: str | None = None
    fields: list[str] = []


class EntriesOut(BaseModel):
    """One page of a list, the oldest entry first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"entries": [_ENTRY], "next": 41, "use_receipt": _RECEIPT}]}
    )

    entries: list[ListedEntryOut]
    next: int | None = Field(
        description="Ask for the next page `after` this; a page may be empty. Null: this is the last."
    )
    use_receipt: str = Field(description="Of the entry that says what you asked for.")


class OverdueCaseOut(BaseModel):
    """A covert case whose person should have been told; the person is not named."""

    authorization: UUID
    body: UUID
    court_reference: str
    opened_at: datetime
    ends_at: datetime


class OverdueOut(BaseModel):
    """The longest overdue first, at most 100."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "cases": [
                        {
                            "authorization": "0b7a8a1e-2b0f-4d8e-8c39-52a1a6c0e3d4",
                            "body": "4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11",
                            "court_reference": "(2026) Example Court, order 17",
                            "opened_at": "2026-10-01T02:00:00Z",
                            "ends_at": "2026-11-01T02:00:00Z",
                        }
                    ],
                    "use_receipt": _RECEIPT,
                }
            ]
        }
    )

    cases: list[OverdueCaseOut]
    use_receipt: str


_CASE: JsonDict = {
    "case": "4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11",
    "state": "taken up",
    "opened_at": "2026-11-03T02:00:00Z",
    "changed_at": "2026-11-04T02:00:00Z",
    "opened_index": 52,
    "answered_index": None,
}
CaseState = Literal["open", "taken up", "answered"]


class CasesIn(Closed):
    """`POST /v1/inspection/cases`."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"state": "open"}]},
    )

    state: CaseState | None = Field(None, description="Only those that stand so.")
    after: Index | None = Field(None, description="`next` of the page before.")


class CaseIn(Closed):
    """One case."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"case": "4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11"}]},
    )

    case: UUID


class AnswerIn(Closed):
    """`POST /v1/inspection/cases/answer`."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {
                    "case": "4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11",
                    "answer": "The bank asked in error. It was told to delete what it saw.",
                }
            ]
        },
    )

    case: UUID
    answer: Annotated[str, StringConstraints(min_length=1, max_length=2000)] = Field(
        description="What the person reads."
    )


class ListedCaseOut(BaseModel):
    """A case; whose it is, and about which query, is not here."""

    case: UUID
    state: CaseState
    opened_at: datetime
    changed_at: datetime
    opened_index: int = Field(description="Of the entry that opened it.")
    answered_index: int | None = Field(description="Of the entry that answers it.")


class CasesOut(BaseModel):
    """One page, the oldest case first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"cases": [_CASE], "next": None, "use_receipt": _RECEIPT}]}
    )

    cases: list[ListedCaseOut]
    next: int | None = Field(description="Ask for the next page `after` this. Null: this is the last.")
    use_receipt: str


class CaseOut(ListedCaseOut):
    """A case with the query it is about."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{**_CASE, "entry": 41, "words": "I have no account there.", "use_receipt": _RECEIPT}]
        }
    )

    entry: int | None = Field(description="Index of the query; open it with `/v1/inspection/entry`.")
    words: str | None = Field(description="What the person said of it.")
    use_receipt: str


class ChangedCaseOut(ListedCaseOut):
    """A case after a step of yours."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_CASE, "use_receipt": _RECEIPT}]})

    use_receipt: str


class FlagsIn(Closed):
    """`POST /v1/inspection/flags`."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, json_schema_extra={"examples": [{}]}
    )

    after: Index | None = Field(None, description="`next` of the page before.")


class FlagOut(BaseModel):
    """A pattern of queries; the entries say who asked what."""

    index: int = Field(description="Of the entry that raised it.")
    raised_at: datetime
    kind: str | None = Field(None, description="Null once its content is gone.")
    body: UUID | None = None
    officer: UUID | None = Field(None, description="Null where the body as a whole is meant.")
    entries: list[int] = Field([], description="Indexes of the queries, at most 100.")
    count: int = Field(0, description="How many queries there are.")


class FlagsOut(BaseModel):
    """One page, the oldest flag first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "flags": [
                        {
                            "index": 77,
                            "raised_at": "2026-11-03T02:00:00Z",
                            "kind": "many persons in a short time",
                            "body": "4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11",
                            "officer": "5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11",
                            "entries": [41, 43],
                            "count": 2,
                        }
                    ],
                    "next": 77,
                    "use_receipt": _RECEIPT,
                }
            ]
        }
    )

    flags: list[FlagOut]
    next: int | None = Field(description="Ask for the next page `after` this. Null: this is the last.")
    use_receipt: str
