"""What can end in the registers, as it is kept through a restore (access_log/FORMAT.md 9.1).

The numbers are part of the format: none is ever given another meaning. Whoever writes such an act calls
`Writing.end` behind its event; how it is done once more says `vault.rights.reapply`.
"""

from enum import IntEnum
from uuid import UUID, uuid5

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


class Kind(IntEnum):
    """What happened."""

    CONSENT_WITHDRAWN = 1
    AUTHORIZATION_REVOKED = 2
    BODY_SUSPENDED = 3
    BODY_REINSTATED = 4
    BODY_STRUCK_OFF = 5
    OFFICER_STOOD_DOWN = 6
    REGISTRAR_STOOD_DOWN = 7
    FREEZE_BEGUN = 8
    FREEZE_ENDED = 9
    MANDATE_ENDED = 10
    PERSON_ERASED = 11
    PERSON_ERASED_WITH_LOG = 12
    PERSONS_MERGED = 13
    PERSON_SPLIT = 14


def joining_of(subject_id: UUID) -> UUID:
    """The object of an ending that is about whom an identity is joined with: no other kind is about that."""
    return uuid5(subject_id, "joined")


_STANDING = text(
    "SELECT CAST(:withdrawn AS integer), consent_id, subject_id FROM consent.consent_event"
    " WHERE event = 'withdrawn'"
    ' UNION ALL SELECT :revoked, authorization_id, CAST(:nobody AS uuid) FROM consent."authorization"'
    " WHERE state = 'revoked'"
    " UNION ALL SELECT CASE status WHEN 'suspended' THEN CAST(:suspended AS integer) ELSE :struck_off END,"
    " body_id, CAST(:nobody AS uuid) FROM consent.body WHERE status <> 'active'"
    " UNION ALL SELECT :officer, officer_id, CAST(:nobody AS uuid) FROM consent.officer"
    " WHERE status = 'stood-down'"
    " UNION ALL SELECT :registrar, registrar_id, CAST(:nobody AS uuid) FROM consent.registrar"
    " WHERE status = 'stood-down'"
    " UNION ALL SELECT :freeze, subject_id, subject_id"
    " FROM (SELECT DISTINCT ON (subject_id) subject_id, event FROM consent.freeze_event"
    " ORDER BY subject_id, number DESC) AS newest WHERE event = 'begun'"
    " UNION ALL SELECT :mandate, mandate_id, subject_id FROM consent.mandate WHERE ended_at IS NOT NULL"
    " UNION ALL SELECT CASE WHEN with_log THEN CAST(:with_log AS integer) ELSE :erased END, subject_id,"
    " subject_id FROM consent.erasure"
)

_SPLIT = text(
    "SELECT subject_id FROM (SELECT DISTINCT ON (subject_id) subject_id, joined FROM consent.merge_event"
    " ORDER BY subject_id, number DESC) AS newest WHERE NOT joined"
)


async def standing(connection: AsyncConnection) -> list[tuple[Kind, UUID, UUID]]:
    """Everything that is ended in the registers now: its kind, what it is about, and whose it is."""
    rows = await connection.execute(
        _STANDING,
        {
            "nobody": UUID(int=0),
            "withdrawn": Kind.CONSENT_WITHDRAWN,
            "revoked": Kind.AUTHORIZATION_REVOKED,
            "suspended": Kind.BODY_SUSPENDED,
            "struck_off": Kind.BODY_STRUCK_OFF,
            "officer": Kind.OFFICER_STOOD_DOWN,
            "registrar": Kind.REGISTRAR_STOOD_DOWN,
            "freeze": Kind.FREEZE_BEGUN,
            "mandate": Kind.MANDATE_ENDED,
            "erased": Kind.PERSON_ERASED,
            "with_log": Kind.PERSON_ERASED_WITH_LOG,
        },
    )
    found = [(Kind(kind), of, subject) for kind, of, subject in rows]
    apart = await connection.scalars(_SPLIT)
    return found + [(Kind.PERSON_SPLIT, joining_of(subject), subject) for subject in apart]
