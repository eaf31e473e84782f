"""Persons the vault meets for the first time: brought by a furnisher, or by their own consent.

A person is new under the log's head lock, with a stream and an identifier, or not at all; and whoever has
somebody made learns nothing of whether they were known.
"""

import os
from collections.abc import Collection, Sequence
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.log import STREAM_ID_SIZE, Log, StreamKind
from consent.permit import Person
from vault.crypto.blind import Blind
from vault.crypto.envelopes import SubjectKey
from vault.records import store
from vault.records.keys import VaultKeys
from vault.records.store import NewSubject, Place


async def introduce(keys: VaultKeys, places: Collection[Place]) -> dict[Place, tuple[NewSubject, SubjectKey]]:
    """Draws id, stream and key of new persons; nothing is written.

    Raises:
        ProviderError: the key provider does not answer.
    """
    drawn = await keys.new_subject_keys([uuid4() for _ in places])
    return {
        place: (
            NewSubject(
                Person(key.subject, os.urandom(STREAM_ID_SIZE)),
                wrapped,
                keys.provider.version_of(wrapped),
                *place,
            ),
            key,
        )
        for place, (key, wrapped) in zip(places, drawn, strict=True)
    }


async def add(log: Log, connection: AsyncConnection, subjects: Sequence[NewSubject]) -> None:
    """Writes new persons with their streams, in a transaction that holds the head lock."""
    if not subjects:
        return
    await log.open_streams(connection, StreamKind.PERSON, [one.person.stream_id for one in subjects])
    await store.add_subjects(connection, subjects)


async def find(connection: AsyncConnection, scheme: str, blind: Blind) -> Person | None:
    """The person with this identifier; None if the vault knows nobody with it."""
    place = (scheme, blind)
    known = (await store.known(connection, [place])).get(place)
    return None if known is None else known.person


async def read(connection: AsyncConnection, subject_id: UUID) -> Person | None:
    """The person of this id; None if there is none, or none any more."""
    row = await store.subject(connection, subject_id)
    return None if row is None else row.person
