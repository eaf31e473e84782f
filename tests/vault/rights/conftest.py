"""A vault with one body, and two persons it has handed records in about."""

from dataclasses import dataclass
from uuid import UUID

import pytest

from consent.bodies import add_body
from tests.consent.registers import OPERATOR, new_body
from tests.vault.people import ENROLLED, OTHER, enrol
from vault.server.assembly import Vault


@dataclass(frozen=True)
class Known:
    vault: Vault
    body_id: UUID


@pytest.fixture
async def known(vault: Vault) -> Known:
    async with vault.log.writing() as writing:
        body_id = await add_body(writing, new_body(), OPERATOR)
    await enrol(vault, body_id, ENROLLED, OTHER)
    return Known(vault, body_id)
