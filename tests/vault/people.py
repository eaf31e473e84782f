"""Invented persons enrolled in a vault: what the tests of rights and pages start from."""

import json
from io import BytesIO
from uuid import UUID

from vault.crypto.blind import DEMO_ID, Blind, Identifier
from vault.records.enrol import Furnisher
from vault.records.identities import Met
from vault.records.readers import read_ndjson
from vault.records.store import SubjectRow, known, subject
from vault.server.assembly import Vault
from vault.server.portal.fictitious import fictitious_identity

ENROLLED = 1
OTHER = 2
UNKNOWN = 5001


async def enrol(vault: Vault, body_id: UUID, *persons: int) -> None:
    """One credit contract for each of these invented persons."""
    await hand_in(vault, body_id, *map(contract, persons))


async def hand_in(vault: Vault, body_id: UUID, *lines: str) -> None:
    """Submissions, every one of which is taken."""
    rows = read_ndjson(BytesIO("\n".join(lines).encode()))
    furnisher = Furnisher(body_id, str(body_id), "furnisher")
    results = [one async for one in vault.intake.take_in(rows, furnisher)]
    assert all(getattr(one, "new", False) for one in results), results


def contract(n: int) -> str:
    """A submission of a credit contract of person `n`."""
    number, name = fictitious_identity(n)
    return json.dumps(
        {
            "subject": {"scheme": DEMO_ID, "number": number, "name": name},
            "category": "FIN",
            "furnisher_reference": f"LOAN-{n}",
            "basis": "CRI-29",
            "document": {"number": f"CONTRACT-{n}", "date": "2026-01-15", "sha256": "0" * 64},
            "fields": {
                "type": "vehicle",
                "amount_class": "10k-50k",
                "contract_start": "2026-01-15",
                "contract_end": "2029-01-15",
                "status": "performing",
            },
        }
    )


async def blind(vault: Vault, n: int) -> Blind:
    """The blind index of person `n`."""
    (made,) = await vault.keys.blind([Identifier(DEMO_ID, fictitious_identity(n)[0])])
    return made


async def met(vault: Vault, n: int) -> Met:
    """Person `n` as they come by themselves."""
    return Met(Identifier(DEMO_ID, fictitious_identity(n)[0]), await blind(vault, n))


async def find(vault: Vault, n: int) -> SubjectRow | None:
    """Person `n` as the vault knows them."""
    place = (DEMO_ID, await blind(vault, n))
    async with vault.engine.connect() as connection:
        found = (await known(connection, [place])).get(place)
        return None if found is None else await subject(connection, found.person.subject_id)


async def person(vault: Vault, n: int) -> SubjectRow:
    """The same, for one whom the vault does know."""
    row = await find(vault, n)
    assert row is not None
    return row
