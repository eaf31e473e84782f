"""Background work: jobs queued in PostgreSQL (procrastinate), run by `creditvault worker`.

A job that writes appends through the same log as everything else.
"""

import procrastinate

from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event, Log
from access_log.payload import Payload

JOBS_SCHEMA = "jobs"
_HEARTBEAT = "*/10 * * * *"


async def heartbeat(log: Log) -> int:
    """Appends a heartbeat, so that the log shows how long it was silent; returns its index."""
    async with log.writing() as writing:
        position = writing.add(Event(SYSTEM_STREAM, Payload.create(EntryType.HEARTBEAT, {})))
    return writing.indexes[position]


async def make_partitions(log: Log) -> None:
    """Makes the log's next partition before it is needed."""
    await log.make_partitions_ahead()


def job_queue(database_url: str) -> procrastinate.App:
    """The queue, without jobs: what a process that only defers needs."""
    return procrastinate.App(
        connector=procrastinate.PsycopgConnector(
            conninfo=database_url.replace("postgresql+psycopg://", "postgresql://", 1),
            kwargs={"options": f"-c search_path={JOBS_SCHEMA}"},
        )
    )


def worker_app(database_url: str, log: Log) -> procrastinate.App:
    """The queue with every periodic job of this release."""
    queue = job_queue(database_url)

    @queue.periodic(cron=_HEARTBEAT)
    @queue.task(name="heartbeat", queueing_lock="heartbeat", pass_context=False)
    async def _heartbeat(timestamp: int) -> None:  # noqa: ARG001 -- periodic jobs are told their moment
        await heartbeat(log)

    @queue.periodic(cron=_HEARTBEAT)
    @queue.task(name="make_partitions", queueing_lock="make_partitions", pass_context=False)
    async def _make_partitions(timestamp: int) -> None:  # noqa: ARG001 -- the same
        await make_partitions(log)

    return queue
