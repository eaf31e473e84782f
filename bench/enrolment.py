"""Enrolment: rows checked against the law, sealed, logged and stored, in one process."""

import asyncio
import time
from dataclasses import dataclass
from io import BytesIO
from uuid import uuid4

from bench.stage import Stage, opened, submission
from vault.records.enrol import Enrolled, Furnisher
from vault.records.readers import read_ndjson

RECORDS_OF_A_ROW = 2


@dataclass(frozen=True)
class EnrolmentFigures:
    """Records and rows a second; each row is a new person, whose identity is a record, too."""

    records: float
    rows: float
    count: int


def measure(at: Stage, count: int, first: int) -> EnrolmentFigures:
    """Enrols `count` invented persons, from `first` on."""
    return asyncio.run(_measure(at, count, first))


async def _measure(at: Stage, count: int, first: int) -> EnrolmentFigures:
    lines = b"\n".join(submission(n) for n in range(first, first + count))
    async with opened(at) as vault:
        furnisher = Furnisher(uuid4(), "bench", "operator")
        started = time.perf_counter()
        taken = vault.intake.take_in(read_ndjson(BytesIO(lines)), furnisher)
        results = [result async for result in taken]
        seconds = time.perf_counter() - started
    if not all(isinstance(result, Enrolled) and result.new for result in results):
        raise RuntimeError("not every row was enrolled")
    return EnrolmentFigures(RECORDS_OF_A_ROW * count / seconds, count / seconds, count)
