"""A registrar names persons, so that an act can be about them without their identity number.

The answer is alike for whomever the vault knows and does not. An act names a person by an id: whom the vault
does not know is made, and that a registrar asked stands in the person's own stream. The terms of an
authorization name persons by keyed hashes, which lead to nobody: nobody is made or looked up, and nothing is
written, since whom a court lets wait must not learn of it here. The proposal is an entry of its own.
"""

from collections.abc import Collection, Sequence
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
from consent.statements import Naming, Scoping, read_statement
from consent.statutes import NamedPersons
from vault.catalogue import Catalogue
from vault.crypto.blind import Identifier
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


def named_persons(keys: VaultKeys, identifiers: Sequence[Identifier]) -> NamedPersons:
    """The scope of an authorization that reaches these persons and no others."""
    hashes = keys.subject_hashes(identifiers)
    return NamedPersons(subjects=tuple(sorted({each.hex() for each in hashes})))


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

    async def scope(self, compact: str, vault: str) -> NamedPersons:
        """Answers a registrar's signed question for a scope, once.

        Args:
            compact: the statement.
            vault: this vault's issuer.

        Raises:
            StatementError: the statement does not hold, or was answered before.
            InvalidIdentifierError: a number breaks a rule of its scheme.
        """
        claimed = read_statement(compact)
        asked = claimed.statement
        if not isinstance(asked, Scoping):
            raise StatementError("this statement asks for no scope")
        async with self.log.engine.begin() as connection:
            await require_asked_once(connection, claimed, vault, datetime.now(UTC))
        identifiers = [parse_identifier(one.scheme, one.number, self.schemes) for one in asked.persons]
        return named_persons(self.keys, identifiers)
