"""The end of consents by time, written down: an event, the person's signed copy, an entry in their stream.

A consent ends at its moment without this (RULES 3.6); what is written here is for its person to keep.
"""

from datetime import UTC, datetime
from typing import Final

from access_log.log import Log
from consent import consents
from consent.record import Signer
from vault.records import subjects

_AT_ONCE: Final = 100
"""Consents in one transaction: the log's head waits for it."""


async def expire_due(log: Log, signer: Signer) -> int:
    """Writes down every end that has come; returns how many. May be killed and repeated.

    Raises:
        AccessLogError: the log cannot append; what was not written is found again.
    """
    written = 0
    while await _any_due(log):
        async with log.writing() as writing:
            due = await consents.due(writing.connection, writing.now, _AT_ONCE)
            for subject_id, consent_id in due:
                person = await subjects.read(writing.connection, subject_id)
                if person is None:
                    # Whoever was erased since is not told.
                    await consents.forget_due(writing.connection, subject_id, consent_id)
                else:
                    await consents.expire(writing, person, consent_id, signer)
                    written += 1
        if not due:
            # The log's clock is behind ours: the next run finds them.
            break
    return written


async def _any_due(log: Log) -> bool:
    """Whether there is anything to write; looked at without the head's lock."""
    async with log.engine.connect() as connection:
        return bool(await consents.due(connection, datetime.now(UTC), 1))
