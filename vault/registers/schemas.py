"""What travels over `/v1/registers`: a registrar's statement, and what it came to."""

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from vault.schemas import Closed

_LONGEST_STATEMENT = 24_000
_COMPACT = r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$"


class StatementIn(Closed):
    """What is sent to every route below `/v1/registers/`."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"statement": "eyJhbGciOiJFZDI1NTE5In0.eyJhY3QiOiJvcmRlciJ9.c2ln"}]},
    )

    statement: Annotated[str, StringConstraints(max_length=_LONGEST_STATEMENT, pattern=_COMPACT)] = Field(
        description="A compact JWS under the registrar's registered key (consent/statements.py)."
    )


class HandedInOut(BaseModel):
    """What a statement came to."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11",
                    "state": "waiting",
                    "object_id": None,
                    "receipts": ["c2sp.org/tlog-proof@v1\nindex 41\n…"],
                }
            ]
        }
    )

    id: UUID = Field(description="Of the order, or of the authorization.")
    state: str = Field(
        description="An order is `waiting` for another registrar, or `done`; an authorization `proposed`, "
        "`approved` or `revoked`."
    )
    object_id: UUID | None = Field(description="What the act was about or made; null while it waits.")
    receipts: list[str] = Field(description="Of the entries that state it.")


class PersonOut(BaseModel):
    """Under which id a person is known here."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "person": "4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11",
                    "of_age_from": "2031-05-13",
                    "receipt": "c2sp.org/tlog-proof@v1\nindex 41\n…",
                }
            ]
        }
    )

    person: UUID = Field(description="For acts; it tells nobody who the person is.")
    of_age_from: date = Field(description="The first day on which they are no minor.")
    receipt: str = Field(description="Of the entry in the person's stream that says who asked.")


class ScopeOut(BaseModel):
    """By which keyed hashes the terms of an authorization name persons."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"subjects": ["5f1d8c2a7be04c6f9a3e2d1c0b4a59687766554433221100ffeeddccbbaa9988"]},
            ]
        }
    )

    subjects: list[str] = Field(description="Hex, sorted, one for each person; for `scope` of the terms.")


class ReadOut(BaseModel):
    """What a registrar asked for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "found": [
                        {
                            "officer_id": "5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11",
                            "body_id": "4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11",
                            "name": "Li Wei",
                            "role": "loan officer",
                            "status": "active",
                            "status_since": "2026-11-03T02:00:00Z",
                        }
                    ]
                }
            ]
        }
    )

    found: list[dict[str, Any]] = Field(description="One member for each body, officer, order and so on.")
