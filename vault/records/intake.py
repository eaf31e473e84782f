"""Rows into chunks into the vault: what the API and the command line share."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable
from datetime import UTC, date, datetime
from itertools import islice
from typing import Final

from vault.catalogue import Catalogue
from vault.crypto.blind import Identifier
from vault.errors import VaultError
from vault.records.accepting import parse_submission
from vault.records.enrol import CHUNK, Enrolment, Furnisher, Guard, RowResult
from vault.records.readers import Row
from vault.records.submission import Accepted, Rejected

MOST_AT_ONCE: Final = 4_096
"""Rows that may be enrolled together or not at all, in one transaction that everybody waits for."""


class TooManyRowsError(VaultError):
    """More rows than may be enrolled together."""


class Intake:
    """Checks submissions against the law, and enrols those that pass.

    Args:
        enrolment: the door in.
        catalogue: the law.
        schemes: the identifier schemes this deployment serves.
    """

    def __init__(self, enrolment: Enrolment, catalogue: Catalogue, schemes: Collection[str]) -> None:
        self._enrolment = enrolment
        self._catalogue = catalogue
        self._schemes = schemes

    def check(
        self, row: Row, *, categories: Collection[str] | None = None, today: date | None = None
    ) -> Accepted | Rejected:
        """Holds one row against SUBMISSION.md.

        Args:
            row: a decoded line.
            categories: the only ones the furnisher's token covers; None: every one.
            today: the legal date; now, if None.
        """
        checked = parse_submission(
            row.value,
            line=row.line,
            catalogue=self._catalogue,
            parse_identifier=lambda scheme, number: Identifier.parse(scheme, number, self._schemes),
            today=today or self._catalogue.today(datetime.now(UTC)),
        )
        if (
            isinstance(checked, Accepted)
            and categories is not None
            and checked.submission.category not in categories
        ):
            return Rejected(
                row.line, "category", "4.9", "Obtain a token for this category, or leave the row out."
            )
        return checked

    async def take_in_together(
        self,
        rows: Iterable[Row | Rejected],
        furnisher: Furnisher,
        *,
        categories: Collection[str] | None = None,
        guard: Guard | None = None,
    ) -> list[RowResult]:
        """Enrols all rows in one transaction, or none where any is turned away.

        Args:
            rows: lines as a reader gives them, at most `MOST_AT_ONCE`.
            furnisher: on whose behalf.
            categories: the only ones the furnisher's token covers; None: every one.
            guard: checked under the head lock.

        Returns:
            What became of each row.

        Raises:
            TooManyRowsError: nothing was looked at.
            AccessLogError, CryptoError: nothing stands.
        """
        together = list(islice(rows, MOST_AT_ONCE + 1))
        if len(together) > MOST_AT_ONCE:
            raise TooManyRowsError
        today = self._catalogue.today(datetime.now(UTC))
        checked = [
            row if isinstance(row, Rejected) else self.check(row, categories=categories, today=today)
            for row in together
        ]
        accepted = [one for one in checked if isinstance(one, Accepted)]
        rejected = [one for one in checked if isinstance(one, Rejected)]
        counts = Counter(one.rule for one in rejected)
        results = await self._enrolment.enrol(accepted, furnisher, guard, rejected=counts, whole=True)
        return [*rejected, *results]

    async def take_in(
        self,
        rows: Iterable[Row | Rejected],
        furnisher: Furnisher,
        *,
        categories: Collection[str] | None = None,
        guard: Guard | None = None,
    ) -> AsyncIterator[RowResult]:
        """Yields what became of each row, chunk by chunk, each durable before it is yielded.

        Args:
            rows: lines as a reader gives them.
            furnisher: on whose behalf.
            categories: the only ones the furnisher's token covers; None: every one.
            guard: checked under the head lock of every chunk.

        Raises:
            AccessLogError, CryptoError: nothing of the present chunk stands; a retry finds the others.
        """
        today = self._catalogue.today(datetime.now(UTC))
        accepted: list[Accepted] = []
        rejected: Counter[str] = Counter()
        guarded = guard is None
        for row in rows:
            checked = (
                row if isinstance(row, Rejected) else self.check(row, categories=categories, today=today)
            )
            if isinstance(checked, Rejected):
                rejected[checked.rule] += 1
                yield checked
                continue
            accepted.append(checked)
            if len(accepted) == CHUNK:
                for result in await self._enrolment.enrol(accepted, furnisher, guard, rejected=rejected):
                    yield result
                accepted, rejected = [], Counter()
                guarded = True
        # An empty chunk still asks the guard: nobody is told of rejected lines on spent credentials.
        if accepted or rejected or not guarded:
            for result in await self._enrolment.enrol(accepted, furnisher, guard, rejected=rejected):
                yield result
