"""What is used once, and what was taken back: asked of the database, shared by all workers.

Nothing here looks before it writes. One statement inserts, and whose row it was has used it: of any number
of parallel uses exactly one succeeds, because the others wait for its transaction and then find the row.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.oauth.tokens import AccessToken

# Sorted, so that two transactions that record the same ones wait for each other in one order.
_RECORD_PROOFS = text(
    "INSERT INTO consent.dpop_proof (proof_hash, expires_at)"
    " SELECT hash, expires_at FROM unnest(CAST(:hashes AS bytea[]), CAST(:expiries AS timestamptz[]))"
    " AS t (hash, expires_at) ORDER BY hash"
    " ON CONFLICT (proof_hash) DO NOTHING RETURNING proof_hash"
)
_RECORD_ASSERTIONS = text(
    "INSERT INTO consent.client_assertion (body_id, jti_hash, expires_at)"
    " SELECT body_id, hash, expires_at FROM unnest(CAST(:bodies AS uuid[]), CAST(:hashes AS bytea[]),"
    " CAST(:expiries AS timestamptz[])) AS t (body_id, hash, expires_at) ORDER BY body_id, hash"
    " ON CONFLICT DO NOTHING RETURNING body_id, jti_hash"
)
_REVOKED = text(
    "SELECT position - 1 FROM unnest(CAST(:tokens AS uuid[]), CAST(:subjects AS uuid[]),"
    " CAST(:grants AS uuid[])) WITH ORDINALITY AS t (token_jti, subject_id, consent_id, position)"
    " WHERE EXISTS (SELECT FROM consent.revoked_token r WHERE r.token_jti = t.token_jti)"
    " OR EXISTS (SELECT FROM consent.oauth_grant g WHERE g.subject_id = t.subject_id"
    " AND g.consent_id = t.consent_id AND g.revoked_at IS NOT NULL)"
)
_EXPIRED = (
    "pushed_request",
    "refresh_token",
    "client_assertion",
    "dpop_proof",
    "revoked_token",
    "failed_authentication",
    "assisted",
)
# A code outlives its minute, so that whoever uses it late a second time still takes its tokens away.
_CODE_MEMORY = "interval '1 day'"


async def record_proofs(connection: AsyncConnection, proofs: Sequence[tuple[str, str, datetime]]) -> set[int]:
    """Records proofs as used.

    Args:
        connection: in the transaction that answers the requests.
        proofs: (jkt, jti, expires_at) of each.

    Returns:
        The positions accepted. A proof that was seen before is not among them; of equal ones in the batch
        the first is.
    """
    first_of: dict[bytes, int] = {}
    for position, (jkt, jti, _) in enumerate(proofs):
        # A thumbprint has a fixed length, so the two cannot be split in another place.
        first_of.setdefault(hashlib.sha256(f"{jkt}{jti}".encode()).digest(), position)
    rows = await connection.execute(
        _RECORD_PROOFS,
        {"hashes": list(first_of), "expiries": [proofs[position][2] for position in first_of.values()]},
    )
    return {first_of[proof_hash] for (proof_hash,) in rows}


async def revoked(connection: AsyncConnection, tokens: Sequence[AccessToken]) -> set[int]:
    """The positions of tokens that were revoked, alone or with the OAuth grant behind them (RFC 7009 §2).

    Args:
        connection: in the transaction that answers the requests, after its lock.
        tokens: what each request presented.
    """
    rows = await connection.execute(
        _REVOKED,
        {
            "tokens": [token.jti for token in tokens],
            "subjects": [token.subject_id for token in tokens],
            "grants": [token.grant_id for token in tokens],
        },
    )
    return {position for (position,) in rows}


async def record_assertions(
    connection: AsyncConnection, assertions: Sequence[tuple[UUID, str, datetime]]
) -> set[int]:
    """Records client assertions as used (RFC 7523 §3(7)).

    Args:
        connection: in the transaction that authenticates the clients.
        assertions: (body_id, jti, expires_at) of each.

    Returns:
        The positions accepted, as `record_proofs` does.
    """
    first_of: dict[tuple[UUID, bytes], int] = {}
    for position, (body_id, jti, _) in enumerate(assertions):
        first_of.setdefault((body_id, hashlib.sha256(jti.encode()).digest()), position)
    rows = await connection.execute(
        _RECORD_ASSERTIONS,
        {
            "bodies": [body_id for body_id, _ in first_of],
            "hashes": [jti_hash for _, jti_hash in first_of],
            "expiries": [assertions[position][2] for position in first_of.values()],
        },
    )
    return {first_of[body_id, jti_hash] for body_id, jti_hash in rows}


async def remove_expired(connection: AsyncConnection) -> int:
    """Removes what has expired and proves nothing any more; returns how many rows. For the worker."""
    removed = 0
    for table in _EXPIRED:
        removed += (
            await connection.execute(
                text(f"DELETE FROM consent.{table} WHERE expires_at < clock_timestamp()")  # noqa: S608 -- our names
            )
        ).rowcount
    codes = text(
        f"DELETE FROM consent.authorization_code WHERE expires_at < clock_timestamp() - {_CODE_MEMORY}"  # noqa: S608 -- our interval
    )
    return removed + (await connection.execute(codes)).rowcount
