"""The log asks its witnesses: each raised checkpoint, or the newest, until the policy's quorum has cosigned.

A witness counts for a tree if it cosigned that tree, or a larger one that begins with it. So workers that
overtake each other, on one host or several, wait for nobody: whoever is ahead was witnessed for all.

    1. the size each witness cosigned last is looked up     (a wrong one costs one more question)
    2. every witness is asked at once, with a proof from there; a conflict states the size to prove from
    3. each line is verified with the key of the policy
    4. a witness that is ahead must show a note of ours: its tree must be ours, and begin with this one
    5. what was learnt is remembered; with the quorum complete, the note and its lines too
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log import stored
from access_log.checkpoint_text import Checkpoint
from access_log.errors import (
    AccessLogError,
    FormatError,
    LogStateError,
    LogUnavailableError,
    OutsideLockError,
)
from access_log.lock import Raised
from access_log.note import split_note, verify_note
from access_log.policy import Policy, PolicyWitness
from access_log.verifier_keys import VerifierKey
from access_log.witness import remembered
from access_log.witness.client import Conflict, WitnessClient, WitnessFailedError, require_url
from access_log.witness.protocol import lines_by, write_submission
from access_log.witness.remembered import Named

_QUESTIONS: Final = 3  # a witness that states a third size is not asked again
_CLOCK_AHEAD: Final = 300
_events = structlog.get_logger()


class NotWitnessedError(LogUnavailableError):
    """The policy's quorum did not cosign: nothing may be released. The next request tries again."""


@dataclass(frozen=True, slots=True)
class _Cosigned:
    """A witness's word for a tree of a size; with a line when it is the one it was asked about."""

    size: int
    line: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of asking.

    Attributes:
        note: The checkpoint with the lines of all who cosigned it.
        lacking: What the quorum lacks, in words; None when nothing is lacking.
    """

    note: str
    lacking: str | None


class Witnessing:
    """Asks the witnesses of a policy about one log.

    Args:
        engine: the application role's database.
        log: the log's number.
        origin: its name.
        policy: whose cosignatures are wanted; those of its witnesses that have a URL are asked.
        log_keys: has the log's own verifier keys, of all its epochs.
        timeout: seconds a request to a witness may take.

    Raises:
        FormatError: the policy names no witness to ask, or one by a URL that may not be.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        log: int,
        origin: str,
        policy: Policy,
        log_keys: Callable[[], Awaitable[Sequence[VerifierKey]]],
        *,
        timeout: float,
    ) -> None:
        self.policy = policy
        self._engine = engine
        self._log = log
        self._origin = origin
        self._log_keys = log_keys
        self._client = WitnessClient(timeout)
        self._urls = urls_of(policy)

    async def close(self) -> None:
        """Lets go of the connections."""
        await self._client.close()

    async def require(self, raised: Raised) -> str:
        """Has the quorum cosign a checkpoint before anything is released; returns the note with its lines.

        It waits no longer than the quorum needs.

        Raises:
            NotWitnessedError: the quorum did not.
            OutsideLockError: a witness holds a later tree of ours that the database does not have.
        """
        try:
            outcome = await self.ask(raised, until_quorum=True)
        except SQLAlchemyError as error:
            raise NotWitnessedError("the database cannot be reached to ask the witnesses") from error
        if outcome.lacking is not None:
            _events.error("quorum_not_reached", size=raised.size, lacking=outcome.lacking)
            raise NotWitnessedError(
                f"the witnesses did not cosign: {outcome.lacking}; see docs/operations.md"
            )
        return outcome.note

    async def ask(self, raised: Raised, *, until_quorum: bool = False) -> Outcome:
        """Asks every witness about a raised checkpoint, and remembers what came of it.

        Args:
            raised: what the outside lock holds, or held.
            until_quorum: whether to go on as soon as the quorum is complete.

        Raises:
            OutsideLockError: a witness holds a later tree of ours that the database does not have.
        """
        async with self._engine.connect() as connection:
            known = await remembered.sizes(connection, self._log)
        tasks = {
            asyncio.create_task(self._one(witness, known.get(str(witness.key), 0), raised)): witness
            for witness in self.policy.witnesses.values()
            if witness.name in self._urls
        }
        cosigned: dict[PolicyWitness, _Cosigned] = {}
        failed: dict[PolicyWitness, WitnessFailedError] = {}
        waiting = set(tasks)
        try:
            while waiting and not (until_quorum and self._lacking(cosigned) is None):
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    try:
                        cosigned[tasks[task]] = task.result()
                    except WitnessFailedError as error:
                        failed[tasks[task]] = error
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return await self._remember(raised, cosigned, failed)

    def _lacking(self, cosigned: Mapping[PolicyWitness, _Cosigned]) -> str | None:
        return self.policy.quorum_shortfall({witness.key for witness in cosigned})

    async def _remember(
        self,
        raised: Raised,
        cosigned: Mapping[PolicyWitness, _Cosigned],
        failed: Mapping[PolicyWitness, WitnessFailedError],
    ) -> Outcome:
        for witness, error in failed.items():
            _events.warning("witness_failed", witness=shown(witness), kind=error.kind, reason=str(error))
        witnesses = [witness for witness in self.policy.witnesses.values() if witness in cosigned]
        here = {each: cosigned[each].line for each in witnesses if cosigned[each].line}
        note = raised.note + "".join(here.values())
        async with self._engine.begin() as connection:
            await remembered.write(
                connection,
                self._log,
                {_named(witness): each.size for witness, each in cosigned.items()},
                {_named(witness): error.kind for witness, error in failed.items()},
            )
            if self.policy.quorum_shortfall({witness.key for witness in here}) is None:
                await remembered.write_witnessed(connection, self._log, raised.size, note)
        return Outcome(note, self._lacking(cosigned))

    async def _one(self, witness: PolicyWitness, known: int, raised: Raised) -> _Cosigned:
        url = self._urls[witness.name]
        old = min(known, raised.size)
        for _ in range(_QUESTIONS):
            body = write_submission(old, await self._proof(old, raised.size), raised.note)
            answer = await self._client.add_checkpoint(url, body)
            if isinstance(answer, str):
                return _Cosigned(raised.size, self._line(witness, raised.note, answer))
            if answer.size > raised.size:
                return _Cosigned(await self._ahead(witness, url, answer, raised))
            old = answer.size
        raise WitnessFailedError("refused", "the witness states another size each time")

    async def _proof(self, old: int, size: int) -> tuple[bytes, ...]:
        if not old:
            return ()
        async with self._engine.connect() as connection:
            return await stored.consistency(connection, self._log, old, size)

    def _line(self, witness: PolicyWitness, note: str, answer: str) -> str:
        """The witness's own line of an answer, verified."""
        try:
            text, (signature, *_) = verify_note(note + answer, [witness.key])
            line = lines_by(note + answer, [witness.key])
        except AccessLogError:
            raise WitnessFailedError("bad-cosignature", "its cosignature does not verify") from None
        if text != split_note(note)[0]:  # Its answer could bring a blank line, and so another text.
            raise WitnessFailedError("bad-cosignature", "its cosignature is over something else")
        if not signature.time or signature.time > time.time() + _CLOCK_AHEAD:
            raise WitnessFailedError("bad-cosignature", "its cosignature states no time, or one to come")
        return line

    async def _ahead(self, witness: PolicyWitness, url: str, conflict: Conflict, raised: Raised) -> int:
        """The size of the later tree of ours that a witness holds; it must show our signature on it.

        Raises:
            WitnessFailedError: it shows no such note.
            OutsideLockError: it does, and that tree is not the database's.
        """
        theirs = await self._shown_by(witness, await self._client.checkpoint(url, self._origin))
        if theirs is None or theirs.size < conflict.size:
            raise WitnessFailedError("unproven-claim", "it claims a size that no note of ours shows")
        async with self._engine.connect() as connection:
            if await stored.root_at(connection, self._log, raised.size) != raised.root:
                raise LogStateError("the stored entries do not give the root that was signed")
            try:
                same = await stored.root_at(connection, self._log, theirs.size) == theirs.root
            except LogStateError:
                _events.critical("database_behind_witness", witness=shown(witness), size=theirs.size)
                raise OutsideLockError(
                    f"the database is behind the witness {shown(witness)}, which cosigned {theirs.size} "
                    "entries that we had signed. Restore a newer backup; a log never rolls back"
                ) from None
        if not same:
            _events.critical("witness_holds_another_tree", witness=shown(witness), size=theirs.size)
            raise OutsideLockError(
                f"the witness {shown(witness)} holds another tree of {theirs.size} entries that we signed: "
                "this database is not the log that was witnessed. Keep everything, and call an inspector"
            )
        return theirs.size

    async def _shown_by(self, witness: PolicyWitness, note: str) -> Checkpoint | None:
        """The checkpoint of a note that both this witness and we signed; None if it is no such note."""
        ours = await self._log_keys()
        try:
            text, signatures = verify_note(note, list(dict.fromkeys((*ours, witness.key))))
            checkpoint = Checkpoint.parse(text)
        except AccessLogError:
            return None
        signers = {each.key for each in signatures}
        both = witness.key in signers and not signers.isdisjoint(ours)
        return checkpoint if both and checkpoint.origin == self._origin else None


def urls_of(policy: Policy) -> dict[bytes, str]:
    """Where the witnesses of a policy are asked, by their names in it.

    Raises:
        FormatError: there is none to ask, a URL may not be a witness's, or the quorum asks for nothing.
    """
    found = {name: require_url(each.url) for name, each in policy.witnesses.items() if each.url is not None}
    lacking = policy.quorum_shortfall({policy.witnesses[name].key for name in found})
    if policy.quorum is None or lacking is not None:
        raise FormatError("the policy's quorum cannot be reached by witnesses that have a URL: name theirs")
    return found


def shown(witness: PolicyWitness) -> str:
    """A witness's name in the policy, for people and metrics."""
    return witness.name.decode(errors="backslashreplace")


def _named(witness: PolicyWitness) -> Named:
    return Named(str(witness.key), shown(witness))
