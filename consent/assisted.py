"""Whom a clerk helped on a legal day, and how often: under the log's head lock (RULES 12)."""

from datetime import date
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_COUNTED = text(
    "SELECT count(*) FILTER (WHERE subject_hash <> :subject),"
    " coalesce(max(uses) FILTER (WHERE subject_hash = :subject), 0)"
    " FROM consent.assisted WHERE officer_id = :officer AND day = :day"
)
_COUNT = text(
    "INSERT INTO consent.assisted (officer_id, day, subject_hash, uses, expires_at)"
    " VALUES (:officer, :day, :subject, 1, clock_timestamp() + interval '2 days')"
    " ON CONFLICT (officer_id, day, subject_hash) DO UPDATE SET uses = assisted.uses + 1"
)


async def counted(
    connection: AsyncConnection, officer_id: UUID, day: date, subject_hash: bytes
) -> tuple[int, int]:
    """How many other persons a clerk helped on a day, and how often they acted for this one."""
    asked = {"officer": officer_id, "day": day, "subject": subject_hash}
    others, uses = (await connection.execute(_COUNTED, asked)).one()
    return others, uses


async def count(connection: AsyncConnection, officer_id: UUID, day: date, subject_hash: bytes) -> None:
    """Counts one use."""
    await connection.execute(_COUNT, {"officer": officer_id, "day": day, "subject": subject_hash})
