"""What belongs to the person of a session; to someone the vault does not know, nothing does."""

from uuid import UUID

from access_log.closed.log import closed_path
from access_log.errors import LogClosedError
from access_log.material import Material
from access_log.stored_log import StoredLog
from consent import freeze
from consent.consents import Consent
from consent.errors import StateError
from consent.freeze import FreezeEvent
from consent.mandates import Mandate, NewMandate
from vault.records.identities import Met
from vault.records.query import parse_identifier
from vault.rights import (
    access_cases,
    accesses,
    material,
    own_consents,
    own_freeze,
    own_mandates,
    own_records,
    removal,
)
from vault.rights.access_cases import Opened, OwnCase
from vault.rights.accesses import Access
from vault.rights.own_consents import Withdrawn
from vault.rights.own_records import OwnRecord
from vault.rights.removal import Removed
from vault.server.assembly import Vault
from vault.server.portal.errors import NothingHereError
from vault.server.portal.sessions import CitizenSession


class Own:
    """The rights of one vault, for the pages and the API alike."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def accesses(self, session: CitizenSession) -> list[Access]:
        """The person's stream of the log, newest first."""
        if session.subject_id is None:
            return []
        async with self._vault.engine.connect() as connection:
            return await accesses.accesses(
                connection, self._vault.logs, session.subject_id, alone=_alone(session)
            )

    async def identities(self, session: CitizenSession) -> list[UUID]:
        """Under which ids the person is known here, the one they are here under first."""
        if session.subject_id is None:
            return []
        async with self._vault.engine.connect() as connection:
            return await accesses.identities(connection, session.subject_id, alone=_alone(session))

    async def removed(self, found: list[Access]) -> Removed | None:
        """What retention took of these accesses; None if nothing."""
        async with self._vault.engine.connect() as connection:
            return await removal.removed_of(connection, found)

    async def access(self, session: CitizenSession, index: int, log: str = "") -> tuple[Access, str | None]:
        """One entry of that stream, with its receipt.

        Args:
            session: whose.
            index: of the entry.
            log: the name of the closed log it stands in; empty for the open one.

        Returns:
            The entry, and its receipt; None where its log was closed as it stood and nothing proves it here.

        Raises:
            NothingHereError: it is in no stream of theirs.
        """
        for access in await self.accesses(session):
            if access.index == index and (access.closed or "") == log:
                async with self._vault.engine.connect() as connection:
                    try:
                        return access, await accesses.receipt(connection, access)
                    except LogClosedError:
                        return access, None
        raise NothingHereError

    async def cases(self, session: CitizenSession) -> list[OwnCase]:
        """The person's cases about queries they do not recognise, the newest first."""
        return access_cases.own_cases(await self.accesses(session))

    async def open_case(self, session: CitizenSession, index: int, words: str | None) -> Opened:
        """Opens a case about one query of that stream, in the open log.

        Raises:
            NothingHereError: it is in no stream of theirs.
            UnknownError: it is no query.
            StateError: there is a case about it already.
            InvalidError: the words are too long, or cannot be printed.
        """
        vault, subject_id = self._vault, session.subject_id
        for access in await self.accesses(session):
            if access.index == index and access.closed is None and subject_id is not None:
                return await access_cases.open_case(vault.log, vault.keys, subject_id, access, words)
        raise NothingHereError

    async def mandates(self, session: CitizenSession) -> tuple[list[Mandate], list[Mandate]]:
        """Every mandate the person gave, and every one they hold; of each identity the newest first."""
        if session.own_id is None:
            return [], []
        async with self._vault.engine.connect() as connection:
            return await own_mandates.given_and_held(connection, session.own_id)

    async def appoint(self, session: CitizenSession, number: str, new: NewMandate) -> None:
        """Appoints whoever has this identity number, of the same scheme as the person's own.

        Raises:
            InvalidIdentifierError: it is none.
            InvalidError: another part breaks a rule.
            StateError: too many mandates of the person stand.
        """
        vault = self._vault
        identifier = parse_identifier(session.met.identifier.scheme, number, vault.schemes)
        (blind,) = await vault.keys.blind([identifier])
        given_to = Met(identifier, blind)
        await own_mandates.appoint(vault.log, vault.identities, session.met, given_to, new)

    async def end_mandate(self, session: CitizenSession, mandate_id: UUID) -> None:
        """Ends a mandate that the person gave or holds.

        Raises:
            NothingHereError: it is none of theirs.
            UnknownError: the same.
            StateError: it does not stand.
        """
        if session.own_id is None:
            raise NothingHereError
        await own_mandates.end(self._vault.log, session.own_id, mandate_id)

    async def act_under(self, session: CitizenSession, mandate_id: UUID) -> Mandate:
        """Begins to act for whoever gave the mandate; that stands in their log.

        Raises:
            NothingHereError: the person holds no such mandate.
            UnknownError: the same.
            StateError: it does not stand.
        """
        if session.own_id is None:
            raise NothingHereError
        return await own_mandates.begin(self._vault.log, session.own_id, mandate_id)

    async def records(self, session: CitizenSession) -> tuple[list[OwnRecord], str | None]:
        """Everything held about the person, and the receipt of this view."""
        if session.subject_id is None:
            return [], None
        return await own_records.own_records(
            self._vault.log, self._vault.keys, session.subject_id, session.mandate
        )

    async def log_keys(self, session: CitizenSession, log: str = "") -> Material:
        """What the person needs to check that no entry about them is hidden.

        Args:
            session: whose.
            log: the name of the closed log it is to be about; empty for the open one.

        Raises:
            NothingHereError: the vault does not know them, or not that log, so there is no entry either.
        """
        vault = self._vault
        closed = next((each.log for each in vault.closed if each.log.origin == log), None)
        if session.subject_id is None or (log and closed is None):
            raise NothingHereError
        given = await material.give_material(
            vault.log, session.subject_id, vault.settings.payload_years, closed
        )
        if given is None:
            raise NothingHereError
        return given

    async def closed_logs(self, session: CitizenSession) -> list[tuple[StoredLog, str]]:
        """Closed logs in which the person may have entries, each with where it is served."""
        if session.subject_id is None:
            return []
        return [(each.log, closed_path(each.log.origin)) for each in reversed(self._vault.closed)]

    async def consents(self, session: CitizenSession) -> list[Consent]:
        """Every consent the person ever gave, the newest first."""
        if session.subject_id is None:
            return []
        async with self._vault.engine.connect() as connection:
            return await own_consents.consents_of(connection, session.subject_id, alone=_alone(session))

    async def consent(self, session: CitizenSession, consent_id: UUID) -> Consent:
        """One of them.

        Raises:
            NothingHereError: it is none of theirs.
        """
        for consent in await self.consents(session):
            if consent.consent_id == consent_id:
                return consent
        raise NothingHereError

    async def freezes(self, session: CitizenSession) -> list[FreezeEvent]:
        """Every beginning and end of a freeze, the newest first."""
        if session.subject_id is None:
            return []
        async with self._vault.engine.connect() as connection:
            return await freeze.history(connection, session.subject_id)

    async def freeze(self, session: CitizenSession) -> str:
        """Lets nobody ask with the person's consent; returns the receipt.

        Raises:
            StateError: a freeze stands already.
        """
        vault = self._vault
        if session.mandate is not None:
            return await own_freeze.begin_for(vault.log, session.mandate)
        return await own_freeze.begin(vault.log, vault.identities, session.met)

    async def unfreeze(self, session: CitizenSession) -> str:
        """Ends that; returns the receipt.

        Raises:
            StateError: no freeze stands.
        """
        if session.subject_id is None:
            raise StateError("no freeze stands")
        return await own_freeze.end(self._vault.log, session.subject_id)

    async def withdraw(self, session: CitizenSession, consent_id: UUID) -> Withdrawn:
        """Takes one of them back.

        Raises:
            NothingHereError: it is none of theirs.
            UnknownError: the same.
            StateError: it was withdrawn before.
        """
        if session.subject_id is None:
            raise NothingHereError
        vault = self._vault
        return await own_consents.withdraw(
            vault.log, vault.keeper.signer, session.subject_id, consent_id, session.mandate
        )


def _alone(session: CitizenSession) -> bool:
    """A mandate reaches the identity that gave it, and none it is joined with (RULES 13.5)."""
    return session.mandate is not None
