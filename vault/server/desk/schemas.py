"""What travels over `/v1/desk`: closed request schemas and documented answers."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from vault.rights.access_cases import LONGEST_WORDS
from vault.schemas import Closed, SubjectIn
from vault.server.portal.schemas import AccessOut, ConsentOut, OwnRecordOut

_LARGEST_INDEX = 2**63 - 1
_SUBJECT: JsonDict = {"subject": {"scheme": "demo-id", "number": "999999190001010015"}}


class PersonIn(Closed):
    """The person at the desk: whom the token names."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SUBJECT]})

    subject: SubjectIn


class WithdrawIn(PersonIn):
    """`POST /v1/desk/withdraw`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_SUBJECT, "consent": "0b7a8a1e-2b0f-4d8e-8c39-52a1a6c0e3d4"}]}
    )

    consent: UUID = Field(description="Id of the consent the person takes back.")


class ObjectIn(PersonIn):
    """`POST /v1/desk/not-recognised`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_SUBJECT, "entry": 41, "words": "I was never there."}]}
    )

    entry: Annotated[int, Field(ge=0, le=_LARGEST_INDEX)] = Field(description="Of the query, in the log.")
    words: Annotated[str, StringConstraints(max_length=LONGEST_WORDS)] | None = Field(
        None, description="What the person says of it."
    )


class DeskAccessesOut(BaseModel):
    """The person's own list of the log, the newest first; the use itself is the first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"accesses": [], "use_receipt": "c2sp.org/…"}]})

    accesses: list[AccessOut]
    use_receipt: str


class DeskRecordsOut(BaseModel):
    """Everything held about the person."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"records": [], "use_receipt": "c2sp.org/…"}]})

    records: list[OwnRecordOut]
    use_receipt: str


class DeskConsentsOut(BaseModel):
    """Every consent the person ever gave, the newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"consents": [], "use_receipt": "c2sp.org/…"}]})

    consents: list[ConsentOut]
    use_receipt: str


class DeskDoneOut(BaseModel):
    """What was done for the person."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "done": "withdraw",
                    "object": "0b7a8a1e-2b0f-4d8e-8c39-52a1a6c0e3d4",
                    "use_receipt": "c2sp.org/…",
                }
            ]
        }
    )

    done: str
    object: UUID | None = Field(description="The consent, or the case that was opened.")
    use_receipt: str
