"""A vault with its bodies, persons and grants, as a test needs them around a running server.

The test process opens the same vault as the server, with the same keys: another worker, whose only work is
what an operator or a citizen does. Tokens of consents are issued by the server's own issuer; the pages on
which people grant them are tested elsewhere.
"""

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from access_log.log import Log
from consent import consents
from consent.oauth import rar
from consent.permit import Person
from consent.record import NewConsent, Notice
from demo.cast import COURT_CASE, Cast, Player, gather
from demo.client import BodyClient
from vault.crypto.blind import DEMO_ID, Identifier
from vault.records import subjects
from vault.server.assembly import Vault, open_vault, set_up
from vault.server.portal.fictitious import fictitious_identity
from vault.server.settings import Settings

FIELDS = ("FIN.type", "FIN.status")
_NOTICE = Notice("https://vault.example/notice", "1", bytes(32))
_CONSENTED = "credit-granting"


@dataclass(frozen=True)
class Grant:
    """What a body may ask with: a token, the body of its query, and the grant behind both."""

    grant_id: UUID
    client: BodyClient
    token: str
    query: Mapping[str, Any]
    max_uses: int | None = None

    async def ask(
        self, *, idempotency_key: str | None = None, proof: str | None = None, **changes: object
    ) -> httpx.Response:
        """Asks with a fresh proof, unless one is given; `changes` replace members of the query."""
        asked = {**self.query, **changes}
        return await self.client.query(self.token, asked, idempotency_key=idempotency_key, proof=proof)


@dataclass(frozen=True)
class World:
    """The vault, and everybody who is registered in it."""

    settings: Settings
    vault: Vault
    cast: Cast

    @property
    def log(self) -> Log:
        """The log, as this process writes it."""
        return self.vault.log

    def client(self, http: httpx.AsyncClient, code: str) -> BodyClient:
        """A client of a body of the cast."""
        player = self.cast[code]
        return BodyClient(http, self.settings.issuer, player.body_id, player.key)

    async def submit(
        self,
        http: httpx.AsyncClient,
        lines: Iterable[str],
        *,
        code: str = "furnisher",
        category: str = "FIN",
        whole: bool = False,
    ) -> httpx.Response:
        """A body of the cast hands in records: the bank its credit contracts, unless others are named."""
        furnisher = self.client(http, code)
        token = await furnisher.statutory_token({"type": "record_submission", "categories": [category]})
        return await furnisher.submit(token, "\n".join(lines).encode(), whole=whole)

    async def enrol(self, http: httpx.AsyncClient, persons: Iterable[int]) -> None:
        """Enrols one contract for each of these invented persons."""
        response = await self.submit(http, [contract(n) for n in persons])
        assert response.status_code == httpx.codes.OK, response.text
        assert response.json()["rejected"] == 0, response.text

    async def statutory(self, http: httpx.AsyncClient, n: int) -> Grant:
        """The court may ask about person `n`."""
        court = self.client(http, "court")
        number, _ = fictitious_identity(n)
        details = {
            "type": "statutory_query",
            "authorization": str(self.cast.authorization),
            "purpose": "court-enforcement",
            "case_reference": COURT_CASE,
            "officer": str(self.cast["court"].officer_id),
            "subject": {"scheme": DEMO_ID, "number": number},
            "fields": list(FIELDS),
            "actions": ["read"],
        }
        token = await court.statutory_token(details)
        query = _query(self.cast["court"], number, "court-enforcement", COURT_CASE)
        return Grant(self.cast.authorization, court, token, query)

    async def consented(self, http: httpx.AsyncClient, n: int, max_uses: int) -> Grant:
        """Person `n` has granted the bank so many queries."""
        number, _ = fictitious_identity(n)
        bank = self.client(http, "bank")
        new = NewConsent(
            body_id=self.cast["bank"].body_id,
            purpose=_CONSENTED,
            fields=FIELDS,
            mode="view",
            validity_days=30,
            data_life_days=0,
            notice=_NOTICE,
            language="en",
            max_uses=max_uses,
        )
        async with self.log.writing() as writing:
            person = await self.person(n)
            record = await consents.grant(writing, person, new, self.vault.keeper)
        token = self.vault.profile.token_issuer().issue(
            body_id=self.cast["bank"].body_id,
            subject_id=person.subject_id,
            grant_id=record.consent_id,
            details=rar.ConsentedQuery(
                purpose=_CONSENTED, fields=FIELDS, mode="view", validity=30, max_uses=max_uses
            ),
            jkt=bank._proof_key.thumbprint(),
            now=datetime.now(UTC),
        )
        query = _query(self.cast["bank"], number, _CONSENTED, "loan application 1")
        return Grant(record.consent_id, bank, token, query, max_uses)

    async def person(self, n: int) -> Person:
        """Invented person `n` as the vault knows them."""
        number, _ = fictitious_identity(n)
        (mac,) = await self.vault.keys.blind([Identifier.parse(DEMO_ID, number, self.vault.schemes)])
        async with self.vault.engine.connect() as connection:
            found = await subjects.find(connection, DEMO_ID, mac)
        assert found is not None
        return found


@asynccontextmanager
async def opened(settings: Settings, folder: Path) -> AsyncIterator[World]:
    """Sets the vault up, opens it, and registers the cast."""
    assert settings.database_url is not None
    await set_up(settings, settings.database_url)
    async with joined(settings, folder) as world:
        yield world


@asynccontextmanager
async def joined(settings: Settings, folder: Path) -> AsyncIterator[World]:
    """Opens a vault that is set up, and meets the cast, of whom it registers whoever is missing."""
    assert settings.database_url is not None
    async with open_vault(settings, settings.database_url) as vault:
        yield World(settings, vault, await gather(vault.log, folder / "cast.json"))


def contract(
    n: int, reference: str | None = None, supersedes: tuple[int, str] | None = None, **fields: str
) -> str:
    """One credit contract of invented person `n`, as a line of NDJSON; or a later version of one."""
    number, name = fictitious_identity(n)
    return json.dumps(
        {
            "subject": {"scheme": DEMO_ID, "number": number, "name": name},
            "category": "FIN",
            "furnisher_reference": reference or f"contract-{n}",
            "basis": "CRI-29",
            "document": {"number": f"C-{n}", "date": "2026-01-15", "sha256": "0" * 64},
            **(
                {"supersedes": dict(zip(("version", "reason"), supersedes, strict=True))}
                if supersedes
                else {}
            ),
            "fields": {
                "type": "vehicle",
                "amount_class": "10k-50k",
                "contract_start": "2026-01-15",
                "contract_end": "2029-01-15",
                "status": "performing",
                **fields,
            },
        }
    )


def _query(player: Player, number: str, purpose: str, case: str) -> dict[str, Any]:
    return {
        "subject": {"scheme": DEMO_ID, "number": number},
        "purpose": purpose,
        "fields": list(FIELDS),
        "officer": str(player.officer_id),
        "case_reference": case,
    }
