"""Who may hand in records now: asked under the head lock of every chunk, never of the token alone."""

from access_log.log import Log, Writing
from consent import bodies
from consent.oauth.errors import ProofInvalidError, TokenInvalidError
from consent.oauth.protection import Presented
from consent.oauth.replay import record_proofs, revoked
from vault.records.quality import QualityMonth, months_of


class FurnisherRefusedError(Exception):
    """The body is not active, or not registered in the capacity to furnish."""


async def own_quality(log: Log, presented: Presented, most: int) -> list[QualityMonth]:
    """The quality figures of the body that asks, the newest month first, at most so many.

    Raises:
        ProofInvalidError, TokenInvalidError, FurnisherRefusedError: as the guard says.
    """
    async with log.writing() as writing:
        await FurnishingGuard(presented)(writing)
        return await months_of(writing.connection, presented.body_id, most)


class FurnishingGuard:
    """The guard of one request of a furnisher; its proof is recorded with the first chunk."""

    def __init__(self, presented: Presented) -> None:
        self._presented = presented
        self._proof_recorded = False

    async def __call__(self, writing: Writing) -> None:
        """Checks proof, token and body.

        Raises:
            ProofInvalidError: the proof served another request.
            TokenInvalidError: the token was revoked.
            FurnisherRefusedError: the body may not furnish now.
        """
        presented = self._presented
        if not self._proof_recorded:
            proof = (presented.jkt, presented.proof_jti, presented.proof_expires_at)
            if not await record_proofs(writing.connection, [proof]):
                raise ProofInvalidError("The proof was seen before. Make a new one for each request.")
        if await revoked(writing.connection, [presented.token]):
            raise TokenInvalidError("The access token was revoked. Obtain a new one.")
        body = await bodies.read_body(writing.connection, presented.body_id)
        if body is None or body.status != "active" or "furnish" not in body.capacities:
            raise FurnisherRefusedError

    def committed(self) -> None:
        """The chunk stands, and with it the proof."""
        self._proof_recorded = True
