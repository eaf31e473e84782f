"""The newest checkpoint of a log that its own policy calls witnessed."""

import asyncio
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.contradiction import Signed
from access_log.errors import FormatError, VerificationError
from access_log.policy import Policy, open_under_policy
from access_log.stored_log import StoredLog
from access_log.verifier_keys import VerifierKey
from access_log.witness import remembered


async def newest_witnessed(
    log: StoredLog, connection: AsyncConnection, policy: Policy | None
) -> Signed | None:
    """The newest checkpoint that the policy's quorum cosigned, verified again; None if there is none."""
    note = None if policy is None else await remembered.newest_witnessed(connection, log.number)
    if policy is None or note is None:
        return None
    # The database's word is not enough, and the policy may have changed since.
    found = await asyncio.to_thread(_opened, note, policy, await log.every_verifier_key())
    return found if found is not None and found.checkpoint.origin == log.origin else None


def _opened(note: str, policy: Policy, keys: Sequence[VerifierKey]) -> Signed | None:
    try:
        return Signed(open_under_policy(note, policy, keys)[0], note)
    except (FormatError, VerificationError):
        return None
