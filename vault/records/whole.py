"""A file that is enrolled whole or not at all, however long it is.

    1  every row is held against every rule, those of the vault and of the other rows too
    2  only where no row was turned away, rows are enrolled chunk by chunk, each if it is what was examined

Whoever is killed within 2 does it again: what stands already passes 1 and changes nothing in 2.
"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from vault.errors import VaultError
from vault.records.enrol import CHUNK, Enrolment, Furnisher, Guard, RowResult
from vault.records.intake import Intake
from vault.records.readers import Row
from vault.records.references import Held
from vault.records.submission import Accepted, Rejected

_READ = text(
    "SELECT reference, owner, record_id, version, category, shown, contents FROM vault.examined"
    " WHERE run = :run AND reference = ANY(CAST(:references AS bytea[]))"
)
_KEEP = text(
    "INSERT INTO vault.examined (run, reference, owner, record_id, version, category, shown, contents)"
    " VALUES (:run, :reference, :owner, :record_id, :version, :category, :shown, :contents)"
    " ON CONFLICT (run, reference) DO UPDATE SET version = excluded.version, contents = excluded.contents"
)


class WholeChangedError(VaultError):
    """What was to be enrolled is not what was examined."""


class WholeFile:
    """One file on its way in.

    Args:
        engine: the vault's database.
        intake: holds rows against the rules.
        enrolment: the door in.
        furnisher: on whose behalf.
    """

    def __init__(
        self, engine: AsyncEngine, intake: Intake, enrolment: Enrolment, furnisher: Furnisher
    ) -> None:
        self._engine = engine
        self._intake = intake
        self._enrolment = enrolment
        self._furnisher = furnisher
        self._digests: list[bytes] = []
        self._rejected: Counter[str] = Counter()

    async def examine(self, rows: Iterable[Row | Rejected]) -> AsyncIterator[RowResult]:
        """Yields what would become of each row; nothing is written.

        Raises:
            CryptoError: keys cannot be used now.
        """
        # Never committed: what the rows would make stand is seen by this transaction alone, and then gone.
        async with self._engine.connect() as connection:
            examined = _Examined(connection)
            for chunk in _chunks(self._checked(rows)):
                accepted = [one for one in chunk if isinstance(one, Accepted)]
                self._digests.append(_digest(accepted))
                for one in chunk:
                    if isinstance(one, Rejected):
                        self._rejected[one.rule] += 1
                        yield one
                for result in await self._enrolment.examine(connection, accepted, self._furnisher, examined):
                    if isinstance(result, Rejected):
                        self._rejected[result.rule] += 1
                    yield result

    async def turn_away(self, guard: Guard) -> None:
        """Counts the rows that were turned away.

        Raises:
            AccessLogError: the log cannot append.
        """
        await self._enrolment.enrol([], self._furnisher, guard, rejected=self._rejected)

    async def enrol(self, rows: Iterable[Row | Rejected], guard: Guard) -> AsyncIterator[RowResult]:
        """Yields what became of each row, each durable before it is yielded; `examine` was done before.

        Raises:
            WholeChangedError: a row is another one than was examined, or the vault does not take it any more.
            AccessLogError, CryptoError: nothing of the present chunk stands; the same again goes on.
        """
        digests = iter(self._digests)
        for chunk in _chunks(self._checked(rows)):
            accepted = [one for one in chunk if isinstance(one, Accepted)]
            if len(accepted) != len(chunk) or _digest(accepted) != next(digests, None):
                raise WholeChangedError(
                    "the file was changed while it was read, and what is left of it was not enrolled: "
                    "enrol it again"
                )
            results = await self._enrolment.enrol(accepted, self._furnisher, guard, whole=True)
            if any(isinstance(one, Rejected) for one in results):
                raise WholeChangedError(
                    "somebody handed in records under the same references meanwhile, and what is left of the "
                    "file was not enrolled: enrol it again"
                )
            for result in results:
                yield result
        if next(digests, None) is not None:
            raise WholeChangedError(
                "the file became shorter while it was read: see that it is whole, and enrol it again"
            )

    def _checked(self, rows: Iterable[Row | Rejected]) -> Iterator[Accepted | Rejected]:
        return (row if isinstance(row, Rejected) else self._intake.check(row) for row in rows)


class _Examined:
    """What the rows examined so far would make stand (`enrol.Earlier`)."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._run = uuid4()

    async def held(self, references: Sequence[bytes]) -> dict[bytes, Held]:
        """Those of these references."""
        rows = await self._connection.execute(_READ, {"run": self._run, "references": references})
        return {
            row[0]: Held(row[1], row[2], row[3], row[4], shown=row[5], contents=tuple(row[6])) for row in rows
        }

    async def keep(self, made: Mapping[bytes, Held]) -> None:
        """Adds what a chunk would make stand."""
        if made:
            await self._connection.execute(
                _KEEP,
                [
                    {
                        "run": self._run,
                        "reference": reference,
                        "owner": one.owner,
                        "record_id": one.record_id,
                        "version": one.version,
                        "category": one.category,
                        "shown": one.shown,
                        "contents": list(one.contents),
                    }
                    for reference, one in made.items()
                ],
            )


def _chunks(checked: Iterable[Accepted | Rejected]) -> Iterator[list[Accepted | Rejected]]:
    chunk: list[Accepted | Rejected] = []
    for one in checked:
        chunk.append(one)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _digest(accepted: Iterable[Accepted]) -> bytes:
    """Of rows in their one spelling."""
    digest = hashlib.sha256()
    for one in accepted:
        digest.update(one.submission.encode() + b"\n")
    return digest.digest()
