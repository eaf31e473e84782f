"""The registers, and what verifies a citizen's copy of a consent, over HTTP, for anyone."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from consent.public_register import PublicRegister, read_public_register
from consent.record import SCHEMA

_SHORT = "public, max-age=60"
_EXAMPLE: Final = {
    "bodies": [
        {
            "body_id": "4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11",
            "uscc": "91999999MA00000079",
            "name": "Example Bank",
            "kind": "bank",
            "contact": {"address": "1 Example Road", "contact": "privacy@bank.example"},
            "purposes": ["credit-granting"],
            "capacities": ["ask"],
            "status": "suspended",
            "status_since": "2026-11-03T02:00:00Z",
            "history": [
                {
                    "event_id": "0b7a8a1e-2b0f-4d8e-8c39-52a1a6c0e3d4",
                    "event": "body.registered",
                    "at": "2026-07-01T02:00:00Z",
                    "reason": None,
                    "appeal": None,
                    "outcome": None,
                },
                {
                    "event_id": "5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11",
                    "event": "body.suspended",
                    "at": "2026-11-03T02:00:00Z",
                    "reason": "asked without cause",
                    "appeal": "the regulator, within 60 days",
                    "outcome": {
                        "outcome": "dismissed",
                        "at": "2026-11-20T02:00:00Z",
                        "reason": "the cause was not shown",
                    },
                },
            ],
        }
    ]
}

_KEYS_EXAMPLE: Final = {
    "keys": [
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        }
    ]
}
"""The key of RFC 8037 A.2."""


def register_router(engine: AsyncEngine) -> APIRouter:
    """`GET /v1/bodies`."""
    router = APIRouter(prefix="/v1", tags=["register"])

    @router.get(
        "/bodies",
        responses={200: {"content": {"application/json": {"example": _EXAMPLE}}}},
        summary="Who may ask, for which purposes; every suspension, warning and violation",
    )
    async def bodies(response: Response) -> PublicRegister:
        """Organizations alone: no officer, no key. Whoever was struck off stays listed."""
        response.headers["Cache-Control"] = _SHORT
        async with engine.connect() as connection:
            return await read_public_register(connection)

    return router


def copies_router(keys: Callable[[], Awaitable[dict[str, Any]]]) -> APIRouter:
    """`GET /v1/consent-keys` and `/v1/consent-record-schema`.

    Args:
        keys: the key set, as it stands at each request.
    """
    router = APIRouter(prefix="/v1", tags=["register"])
    schema: dict[str, Any] = json.loads(SCHEMA.read_text())
    head = {name: schema[name] for name in ("$schema", "$id", "title", "type")}

    @router.get(
        "/consent-keys",
        responses={200: {"content": {"application/json": {"example": _KEYS_EXAMPLE}}}},
        summary="What verifies a citizen's signed copy of a consent",
    )
    async def consent_keys(response: Response) -> dict[str, Any]:
        """A JWKS (RFC 7517 §5): the key in use, one announced, and every former one, whose copies stay good.

        Check a copy: `creditvault consent verify-copy FILE --keys JWKS`.
        """
        response.headers["Cache-Control"] = _SHORT
        return await keys()

    @router.get(
        "/consent-record-schema",
        responses={200: {"content": {"application/json": {"example": head}}}},
        summary="The JSON Schema of a consent record",
    )
    async def consent_record_schema(response: Response) -> dict[str, Any]:
        """ISO/IEC TS 27560, as this vault writes it."""
        response.headers["Cache-Control"] = _SHORT
        return schema

    return router
