"""A registrar names a person, so that an act can be about them without their identity number.

The answer is alike for whomever the vault knows and does not: whom it does not know is made. That a registrar
asked stands in the person's own stream.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

from access_log.entry import EntryType
from access_log.log import Event, Log
from access_log.payload import Payload
from consent.asking import require_asked_once
from consent.errors import StatementError
from consent.registrars import require_signatory
from consent.statements import Naming, read_statement
from vault.catalogue import Catalogue
from vault.records.identities import Identities, Met
from vault.records.keys import VaultKeys
from vault.records.query import parse_identifier

NAMED: Final = "named by a registrar"


@dataclass(frozen=True, slots=True)
class Named:
    """Under which id a person is known here.

    Attributes:
        of_age_from: the first day on which they are no minor.
        receipt: of the entry that says who asked.
    """

    subject_id: UUID
    of_age_from: date
    receipt: str


@dataclass(frozen=True, slots=True)
class Names:
    """Names persons to registrars.

    Attributes:
        log: the log.
        keys: make the blind index.
        identities: finds or makes the person.
        catalogue: says when one is of age.
        schemes: the identifier schemes this vault serves.
    """

    log: Log
    keys: VaultKeys
    identities: Identities
    catalogue: Catalogue
    schemes: Collection[str]

    async def name(self, compact: str, vault: str) -> Named:
        """Answers a registrar's signed question, once.

        Args:
            compact: the statement.
            vault: this vault's issuer.

        Raises:
            StatementError: the statement does not hold, or was answered before.
            InvalidIdentifierError: the number breaks a rule of its scheme.
            ProviderError, AccessLogError: nothing was written.
        """
        claimed = read_statement(compact)
        asked = claimed.statement
        if not isinstance(asked, Naming):
            raise StatementError("this statement names no person")
        # Nobody but a registrar makes the log's head wait, or learns whether a number is one.
        async with self.log.engine.connect() as connection:
            await require_signatory(connection, claimed, datetime.now(UTC))
        identifier = parse_identifier(asked.scheme, asked.number, self.schemes)
        (mac,) = await self.keys.blind([identifier])
        async with self.log.writing() as writing:
            signatory = await require_asked_once(writing.connection, claimed, vault, writing.now)
            person = await self.identities.find_or_add(writing, Met(identifier, mac))
            payload = Payload.create(
                EntryType.RIGHTS,
                {
                    "event": NAMED,
                    "actor": f"registrar:{signatory.registrar_id}",
                    "actor_role": "registrar",
                    "subject": str(person.subject_id),
                },
            )
            position = writing.add(Event(person.stream_id, payload))
        # Durable and raised: from here on the registrar may be answered.
        of_age_from = self.catalogue.of_age_from(identifier.birth_date)
        return Named(person.subject_id, of_age_from, writing.receipts[position])
