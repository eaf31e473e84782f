"""Background work: jobs queued in PostgreSQL (procrastinate), run by `creditvault worker`."""

from collections.abc import Iterable

import procrastinate
import structlog
from procrastinate.exceptions import ConnectorException

from vault.server.assembly import open_vault
from vault.server.database import DatabaseDownError
from vault.server.jobs import Job, every_job
from vault.server.logging import configure
from vault.server.settings import Settings

JOBS_SCHEMA = "jobs"
_GRACE_SECONDS = 10
_events = structlog.get_logger()


async def run_worker(settings: Settings, database_url: str) -> None:
    """Runs jobs until stopped.

    Raises:
        VaultError, CryptoError, AccessLogError: what keeps it from starting, and what to do.
    """
    configure(settings.log_level)
    async with open_vault(settings, database_url) as vault:
        queue = worker_app(database_url, every_job(vault))
        try:
            async with queue.open_async():
                _events.info("jobs_started")
                await queue.run_worker_async(
                    delete_jobs="successful", shutdown_graceful_timeout=_GRACE_SECONDS
                )
        except ConnectorException as error:
            raise DatabaseDownError(
                "the job queue lost its database: start PostgreSQL, then the worker again"
            ) from error
        _events.info("jobs_stopped")


def worker_app(database_url: str, jobs: Iterable[Job]) -> procrastinate.App:
    """The queue with its periodic jobs. Of each at most one waits: one that lasts is not piled up."""
    queue = procrastinate.App(
        connector=procrastinate.PsycopgConnector(
            conninfo=database_url.replace("postgresql+psycopg://", "postgresql://", 1),
            kwargs={"options": f"-c search_path={JOBS_SCHEMA}"},
        )
    )
    for job in jobs:
        _add(queue, job)
    return queue


def _add(queue: procrastinate.App, job: Job) -> None:
    @queue.periodic(cron=job.cron)
    @queue.task(name=job.name, queueing_lock=job.name, pass_context=False)
    async def _run(timestamp: int) -> None:  # noqa: ARG001 -- periodic jobs are told their moment
        await job.run()
