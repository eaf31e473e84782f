"""What `/v1/me` answers. `/v1` only ever adds members."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from vault.schemas import Closed, DisplayOut, SourceOut

_ACCESS: JsonDict = {
    "log": "vault.example/log/2026",
    "closed": False,
    "identity": "7b1e6c0a-4f0d-4a53-8a2b-9c3d1e5f7a90",
    "index": 4711,
    "proof": "/log/proof/4711",
    "time": "2026-11-24T08:46:00.123Z",
    "kind": "query permitted",
    "body": {"name": "Example Bank", "contact": "privacy@bank.example", "address": "1 Example Street"},
    "officer_role": "loan officer",
    "purpose": "credit-granting",
    "case_reference": "LOAN-2026-00042",
    "basis": {"kind": "consent", "title": None, "article": None, "granted_at": "2026-11-24T08:40:00Z"},
    "fields": ["FIN.type", "FIN.status"],
    "decision": "permitted",
    "rule": None,
    "reason": None,
    "records_shown": 1,
    "released": True,
    "concerns": None,
    "delayed_by": None,
    "details": {"purpose": "credit-granting", "decision": "permitted"},
    "opening": None,
}
_CONSENT: JsonDict = {
    "consent_id": "5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11",
    "body": "Example Bank",
    "purpose": {"code": "credit-granting", "title": "Deciding on a credit the person applied for"},
    "fields": ["FIN.type", "FIN.status"],
    "mode": "view",
    "state": "active",
    "granted_at": "2026-11-24T08:40:00Z",
    "expires_at": "2026-12-24T08:40:00Z",
    "uses": 1,
    "max_uses": 20,
    "frequency": None,
    "data_range": {"first": None, "last": None},
    "data_life_days": 0,
    "events": [
        {
            "event": "granted",
            "at": "2026-11-24T08:40:00Z",
            "copy_jws": "eyJhbGciOiJFZDI1NTE5In0.eyJyZWNvcmRfaWQiOiLigKYifQ.c2lnbmF0dXJl",
        }
    ],
    "copy_jws": "eyJhbGciOiJFZDI1NTE5In0.eyJyZWNvcmRfaWQiOiLigKYifQ.c2lnbmF0dXJl",
}
_LOG_KEYS: JsonDict = {
    "v": 1,
    "origin": "vault.example/log/2026",
    "log_keys": ["vault.example/log/2026+697ea6bb+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"],
    "checkpoint": "vault.example/log/2026\n8\nCkfcHX2bdmz24UEgT2YTeAQgONDnDr6WocMfaOHyx6k=\n\n\u2014 …\n",
    "retention_years": 10,
    "streams": [
        {
            "kind": "person",
            "court_reference": None,
            "months": [{"month": 202611, "key": "a0gktOhuxPkUArAVpdA2dNf2XRMp3kG0wQ3wv14lBY4="}],
            "entries": [{"index": 5, "opening": None}],
        }
    ],
}
_ME: JsonDict = {
    "display_name": "Wei Example",
    "csrf_token": "dGhpcyBpcyBhbiBleGFtcGxl",
    "signed_in_at": "2026-11-24T08:30:00Z",
    "expires_at": "2026-11-24T09:00:00Z",
    "ends_at": "2026-11-24T09:30:00Z",
    "known": True,
    "mandate": None,
}
_RECORD: JsonDict = {
    "record_id": "0c1d8a52-31a5-4c0f-9a3e-6a1b2c3d4e5f",
    "version": 1,
    "identity": "7b1e6c0a-4f0d-4a53-8a2b-9c3d1e5f7a90",
    "category": {"code": "FIN", "title": "Credit contract"},
    "state": "shown",
    "source": {
        "body": "First Example Bank",
        "document": {"number": "CONTRACT-2026-00042", "date": "2026-01-15", "sha256": "0" * 64},
    },
    "basis": {"code": "CRI-29", "title": "Credit information from those who grant credit"},
    "recorded_at": "2026-01-16T08:30:00Z",
    "display": {"first_day": "2026-01-15", "last_day": None, "how_counted": "five years from its end"},
    "fields": {"type": "vehicle", "amount_class": "10k-50k", "status": "performing"},
    "supporting": {"reference": "LOAN-2026-00042"},
}
_WITHDRAWN: JsonDict = {
    "consent_id": "5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11",
    "state": "withdrawn",
    "copy_jws": "eyJhbGciOiJFZDI1NTE5In0.eyJyZWNvcmRfaWQiOiLigKYifQ.c2lnbmF0dXJl",
    "receipt": "c2sp.org/tlog-proof@v1",
}


class MeOut(BaseModel):
    """Whose session it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ME]})

    display_name: str
    csrf_token: str = Field(description="Send it as X-CSRF-Token with every POST.")
    signed_in_at: datetime
    expires_at: datetime = Field(description="When the session is over if no more requests come.")
    ends_at: datetime = Field(description="When it is over in any case.")
    known: bool = Field(description="Whether the vault knows this person; if not, nothing is held.")
    mandate: UUID | None = Field(description="Under which the session acts for somebody else, if it does.")


class AccessBodyOut(BaseModel):
    """Who acted, as registered now."""

    name: str
    contact: str
    address: str


class AccessBasisOut(BaseModel):
    """On what a query rested."""

    kind: Literal["authorization", "consent", "none"]
    title: str | None = Field(description="Of the legal basis.")
    article: str | None
    granted_at: datetime | None = Field(description="Of your consent.")


class AccessOut(BaseModel):
    """One entry of your own stream of the access log. Members that do not belong to its kind are null."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ACCESS]})

    log: str = Field(description="Name of the log it stands in.")
    closed: bool = Field(description="Whether that log was closed; then name it to ask for the entry.")
    identity: UUID = Field(description="In the stream of which of your identities (RULES 13).")
    index: int = Field(description="Of the entry in that log.")
    proof: str = Field(
        description="Where anybody gets a receipt of the entry, witnessed as soon as witnesses cosigned. "
        "Who asks there shows an interest in this entry; the receipt of your own page does not."
    )
    time: datetime
    kind: str
    body: AccessBodyOut | None
    officer_role: str | None
    purpose: str | None
    case_reference: str | None
    basis: AccessBasisOut | None
    fields: list[str]
    decision: Literal["permitted", "refused"] | None
    rule: str | None = Field(description="The rule that refused it (RULES.md).")
    reason: str | None = Field(description="The same in plain words.")
    records_shown: int | None = Field(description="How many of your records the answer held.")
    released: bool = Field(description="Whether an answer left the vault.")
    concerns: int | None = Field(description="Index of the query that was permitted and never released.")
    delayed_by: str | None = Field(description="The court's reference, where you were told later.")
    details: dict[str, Any] = Field(description="Every attribute you may see, as it stands in the log.")
    opening: dict[str, Any] | None = Field(
        description="Proves that the entry committed to the details; null once they are not kept any more."
    )


class RemovedOut(BaseModel):
    """What was removed of your list, because it is kept no longer; the entries themselves stay."""

    entries: int = Field(description="Of how many entries the contents were removed.")
    newest: datetime | None = Field(description="When that was last done, in anybody's.")


class AccessesOut(BaseModel):
    """Your whole stream, newest first: queries, refusals, records handed in, consents, your own views."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"accesses": [_ACCESS], "removed": None, "identities": [_ACCESS["identity"]]}]
        }
    )

    identities: list[UUID] = Field(
        description="Of whose streams the list is: under which ids you are known here, this one first. More "
        "than one where registrars found several identities to be yours."
    )
    accesses: list[AccessOut]
    removed: RemovedOut | None = Field(description="Null where nothing was removed.")


class AccessProofOut(AccessOut):
    """One entry with its receipt."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_ACCESS, "receipt": "c2sp.org/tlog-proof@v1"}]}
    )

    receipt: str | None = Field(
        description="A C2SP tlog-proof against the newest released checkpoint of its log. Null where the log "
        "was closed with entries missing, and no checkpoint known here covers this one."
    )


class MonthKeyOut(BaseModel):
    """The key of your stream for one month."""

    month: int = Field(description="yyyymm, UTC.")
    key: str = Field(description="base64, 32 bytes.")


class OpenedEntryOut(BaseModel):
    """One entry of a stream."""

    index: int
    opening: dict[str, Any] | None = Field(description="Null once its content is not kept any more.")


class LogStreamOut(BaseModel):
    """One stream: your own, or that of a covert case that was disclosed to you."""

    kind: Literal["person", "covert"]
    court_reference: str | None = Field(description="Of the covert case.")
    months: list[MonthKeyOut]
    entries: list[OpenedEntryOut]
    before: str | None = Field(
        None,
        description="Hash of its newest entry in an earlier log that was closed; absent where it began here.",
    )


class LogKeysOut(BaseModel):
    """Your month keys and openings (access_log/FORMAT.md, section 4.6). Who has them finds your entries."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LOG_KEYS]})

    v: Literal[1]
    origin: str = Field(description="The log's name.")
    log_keys: list[str] = Field(description="The log's verifier keys; compare them with what you know.")
    checkpoint: str = Field(description="The signed checkpoint up to which this is complete.")
    retention_years: int = Field(description="For how many years the contents of entries are kept.")
    streams: list[LogStreamOut]


class CodeOut(BaseModel):
    """A code of the catalogue and what it is called."""

    code: str
    title: str


class OwnRecordOut(BaseModel):
    """One record about you."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RECORD]})

    record_id: UUID
    version: int
    identity: UUID = Field(description="Under which of your identities it is held (RULES 13).")
    category: CodeOut
    state: str = Field(description="shown, held, repaired, annulled or sealed")
    source: SourceOut
    basis: CodeOut = Field(description="What allowed its collection.")
    recorded_at: datetime
    display: DisplayOut
    fields: dict[str, Any]
    supporting: dict[str, Any] = Field(description="What came with it and is shown to nobody else.")


class OwnRecordsOut(BaseModel):
    """Everything held about you. Looking at it is itself an entry of your stream."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"records": [_RECORD], "receipt": "c2sp.org/tlog-proof@v1", "companions": []}]
        }
    )

    records: list[OwnRecordOut]
    receipt: str | None = Field(description="Of that entry; null where the vault does not know you.")
    companions: list[str] = Field(
        description="Receipts of the same in the streams of your other identities, where they hold records."
    )


class FrequencyOut(BaseModel):
    """At most `times` uses in each period of `days`."""

    times: int
    days: int


class DataRangeOut(BaseModel):
    """Dates of the records covered; an open side is null."""

    first: date | None
    last: date | None


class ConsentEventOut(BaseModel):
    """One event in the life of a consent."""

    event: str
    at: datetime
    copy_jws: str = Field(description="Your signed copy of the consent record as it stood then.")


class ConsentOut(BaseModel):
    """One consent of yours."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CONSENT]})

    consent_id: UUID
    body: str
    purpose: CodeOut
    fields: list[str]
    mode: Literal["view", "store"] = Field(description="Whether the body may keep what it saw.")
    state: Literal["active", "withdrawn", "expired", "used-up"]
    granted_at: datetime
    expires_at: datetime
    uses: int
    max_uses: int | None
    frequency: FrequencyOut | None
    data_range: DataRangeOut
    data_life_days: int = Field(description="How long the body may keep what it saw.")
    events: list[ConsentEventOut]
    copy_jws: str = Field(
        description="Your signed copy of the consent record (ISO/IEC TS 27560), compact JWS."
    )


class ConsentsOut(BaseModel):
    """Every consent you ever gave, the newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"consents": [_CONSENT]}]})

    consents: list[ConsentOut]


class FreezeEventOut(BaseModel):
    """A freeze `begun` or `ended`."""

    event: str
    at: datetime


class FreezeOut(BaseModel):
    """Whether the person's consents are frozen."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"frozen": True, "events": [{"event": "begun", "at": "2026-11-02T09:30:00Z"}]}]
        }
    )

    frozen: bool
    events: list[FreezeEventOut] = Field(description="The newest first.")


class FrozenOut(BaseModel):
    """How it stands now."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"frozen": True, "receipt": "c2sp.org/tlog-proof@v1"}]}
    )

    frozen: bool
    receipt: str = Field(description="Of the entry in the access log (FORMAT 11).")


class WithdrawnOut(BaseModel):
    """A consent that does not stand any more."""

    model_config = ConfigDict(json_schema_extra={"examples": [_WITHDRAWN]})

    consent_id: UUID
    state: Literal["withdrawn"]
    copy_jws: str = Field(description="Your signed copy of the consent record as it stands now.")
    receipt: str = Field(description="A C2SP tlog-proof: the withdrawal stands in the log.")


_OWN_CASE: JsonDict = {
    "case": "4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11",
    "entry": 4711,
    "state": "answered",
    "words": "I have no account there.",
    "answer": "The bank asked in error. It was told to delete what it saw.",
    "opened_at": "2026-11-24T09:00:00Z",
    "changed_at": "2026-11-26T09:00:00Z",
}


class NotRecognisedIn(Closed):
    """A query you do not recognise."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"words": "I have no account there."}]},
    )

    words: Annotated[str, StringConstraints(max_length=1000)] | None = Field(
        None, description="What you want to say of it, if anything."
    )


class OpenedCaseOut(BaseModel):
    """A case, just opened."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"case": _OWN_CASE["case"], "receipt": "c2sp.org/tlog-proof@v1"}]}
    )

    case: UUID
    receipt: str = Field(description="Of the entry that opened it. Keep it.")


class OwnCaseOut(BaseModel):
    """A case of yours, and what inspectors answered."""

    case: UUID
    entry: int = Field(description="Index of the query.")
    state: Literal["open", "taken up", "answered"]
    words: str | None
    answer: str | None
    opened_at: datetime
    changed_at: datetime


class OwnCasesOut(BaseModel):
    """Your cases, the newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"cases": [_OWN_CASE]}]})

    cases: list[OwnCaseOut]
