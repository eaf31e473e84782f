"""Background work: jobs queued in PostgreSQL (procrastinate), run by `creditvault worker`.

A job that writes appends through the same log as everything else.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import procrastinate
import structlog
from procrastinate.exceptions import ConnectorException

from access_log.closed.publishing import publish_closed, publish_succession
from access_log.entry import EntryType
from access_log.errors import AccessLogError
from access_log.log import SYSTEM_STREAM, Event, Log
from access_log.payload import Payload
from access_log.policy import Policy
from access_log.publishing import publish
from access_log.roots.log import RootsLog
from access_log.roots.publishing import publish_roots
from access_log.witness.witnessing import Outcome, Witnessing
from access_log.witnessed.publishing import publish_witnessed
from consent.oauth import replay
from consent.record import Signer
from vault.records import covert
from vault.records.covert_counts import count_last_month, publish_counts
from vault.records.flags import Watching
from vault.rights import expiry
from vault.server.assembly import Closed, measures, open_vault
from vault.server.database import DatabaseDownError
from vault.server.logging import configure
from vault.server.portal import sessions
from vault.server.settings import Settings

JOBS_SCHEMA = "jobs"
_WITNESS = "* * * * * */10"
_HEARTBEAT = "*/10 * * * *"
_PUBLISH = "* * * * *"
_WATCH = "* * * * *"
_GRACE_SECONDS = 10
_events = structlog.get_logger()


async def heartbeat(log: Log) -> int:
    """Appends a heartbeat, so that the log shows how long it was silent; returns its index."""
    appended = await log.append([Event(SYSTEM_STREAM, Payload.create(EntryType.HEARTBEAT, {}))])
    return appended.indexes[0]


async def make_partitions(log: Log) -> None:
    """Makes the log's next partition before it is needed."""
    await log.make_partitions_ahead()


async def publish_log(
    log: Log,
    roots: RootsLog,
    folder: Path,
    policy: Policy | None = None,
    closed: Sequence[Closed] = (),
) -> None:
    """Publishes what was raised since the last time; what keeps it from that goes to the operator's log."""
    try:
        for each in closed:
            await publish_closed(each.log, each.roots, folder)
        if closed:
            await publish_succession(log, folder)
        done = await publish(log, folder)
        await publish_roots(roots, folder)
        await publish_counts(log, folder, done.size)
        if policy is not None:
            await publish_witnessed(log, folder, policy)
    except AccessLogError as error:
        _events.error("log_not_published", reason=str(error))
    else:
        _events.info("log_published", size=done.size, written=done.written)


async def append_roots(roots: RootsLog, closed: Sequence[Closed] = ()) -> int:
    """Covers the log's newest entries by roots, and makes ready to prove labels; returns how many roots.

    The last entries of a log that was closed are covered, too.
    """
    for each in closed:
        if each.log.says.planned:
            await each.roots.catch_up()
            await each.roots.crown()
    appended = await roots.catch_up()
    await roots.crown()
    return appended


async def ask_witnesses(log: Log, witnessing: Witnessing) -> Outcome:
    """Has the newest raised checkpoint cosigned by whoever is there; the others are asked next time."""
    raised = await asyncio.to_thread(log.outside.read)
    outcome = await witnessing.ask(raised)
    if outcome.lacking is None:
        _events.info("checkpoint_witnessed", size=raised.size)
    else:
        _events.warning("quorum_not_reached", size=raised.size, lacking=outcome.lacking)
    return outcome


async def run_worker(settings: Settings, database_url: str) -> None:
    """Runs jobs until stopped.

    Raises:
        VaultError, CryptoError, AccessLogError: what keeps it from starting, and what to do.
    """
    configure(settings.log_level)
    async with open_vault(settings, database_url) as vault:
        queue = worker_app(
            database_url,
            vault.log,
            vault.roots,
            signer=vault.keeper.signer,
            roots_minutes=settings.roots_minutes,
            witnessing=vault.witnessing,
            publish_to=settings.publish_dir,
            watching=Watching(vault.log, measures(settings, vault.catalogue)),
            closed=vault.closed,
        )
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


async def disclose_covert_cases(log: Log) -> int:
    """Tells persons of covert queries whose delay has ended; returns how many cases that were.

    What is still due afterwards is an error: it means that somebody is not told in time.
    """
    try:
        disclosed = await covert.disclose_due(log)
    finally:
        async with log.engine.connect() as connection:
            left = await covert.overdue(connection)
        if left:
            _events.error("covert_cases_overdue", count=left)
    if disclosed:
        _events.info("covert_cases_disclosed", count=disclosed)
    return disclosed


async def watch_queries(watching: Watching) -> int:
    """Flags what about the newest queries strikes one; returns how many flags. Nothing is held up by it."""
    raised = await watching.run()
    if raised:
        _events.warning("flags_raised", count=raised)
    return raised


async def remove_expired_rows(log: Log) -> int:
    """Removes what the authorization server and the portal no longer need; returns how many rows."""
    async with log.engine.begin() as connection:
        return await replay.remove_expired(connection) + await sessions.remove_expired(connection)


async def expire_consents(log: Log, signer: Signer) -> int:
    """Writes down the end of consents whose time has come; returns how many."""
    written = await expiry.expire_due(log, signer)
    if written:
        _events.info("consents_expired", count=written)
    return written


def job_queue(database_url: str) -> procrastinate.App:
    """The queue, without jobs: what a process that only defers needs."""
    return procrastinate.App(
        connector=procrastinate.PsycopgConnector(
            conninfo=database_url.replace("postgresql+psycopg://", "postgresql://", 1),
            kwargs={"options": f"-c search_path={JOBS_SCHEMA}"},
        )
    )


def worker_app(  # noqa: C901 -- one job after the other
    database_url: str,
    log: Log,
    roots: RootsLog,
    *,
    signer: Signer,
    roots_minutes: int = 10,
    witnessing: Witnessing | None = None,
    publish_to: Path | None = None,
    watching: Watching | None = None,
    closed: Sequence[Closed] = (),
) -> procrastinate.App:
    """The queue with every periodic job of this release.

    The log is published if a folder is named, and its witnesses are asked if there are any.
    """
    queue = job_queue(database_url)

    @queue.periodic(cron=_HEARTBEAT)
    @queue.task(name="heartbeat", queueing_lock="heartbeat", pass_context=False)
    async def _heartbeat(timestamp: int) -> None:  # noqa: ARG001 -- periodic jobs are told their moment
        await heartbeat(log)

    @queue.periodic(cron=_HEARTBEAT)
    @queue.task(name="make_partitions", queueing_lock="make_partitions", pass_context=False)
    async def _make_partitions(timestamp: int) -> None:  # noqa: ARG001 -- the same
        await make_partitions(log)

    @queue.periodic(cron=_HEARTBEAT)
    @queue.task(name="remove_expired", queueing_lock="remove_expired", pass_context=False)
    async def _remove_expired(timestamp: int) -> None:  # noqa: ARG001 -- the same
        await remove_expired_rows(log)

    @queue.periodic(cron=_HEARTBEAT)
    @queue.task(name="tend_covert_cases", queueing_lock="tend_covert_cases", pass_context=False)
    async def _tend_covert_cases(timestamp: int) -> None:  # noqa: ARG001 -- the same
        await disclose_covert_cases(log)
        await count_last_month(log)

    @queue.periodic(cron=_HEARTBEAT)
    @queue.task(name="expire_consents", queueing_lock="expire_consents", pass_context=False)
    async def _expire_consents(timestamp: int) -> None:  # noqa: ARG001 -- the same
        await expire_consents(log, signer)

    @queue.periodic(cron=f"*/{roots_minutes} * * * *")
    @queue.task(name="append_roots", queueing_lock="append_roots", pass_context=False)
    async def _append_roots(timestamp: int) -> None:  # noqa: ARG001 -- the same
        await append_roots(roots, closed)

    if witnessing is not None:

        @queue.periodic(cron=_WITNESS)
        @queue.task(name="witness", queueing_lock="witness", pass_context=False)
        async def _witness(timestamp: int) -> None:  # noqa: ARG001 -- the same
            await ask_witnesses(log, witnessing)

    _add_watching(queue, watching)
    if publish_to is not None:

        @queue.periodic(cron=_PUBLISH)
        @queue.task(name="publish", queueing_lock="publish", pass_context=False)
        async def _publish(timestamp: int) -> None:  # noqa: ARG001 -- the same
            policy = None if witnessing is None else witnessing.policy
            await publish_log(log, roots, publish_to, policy, closed)

    return queue


def _add_watching(queue: procrastinate.App, watching: Watching | None) -> None:
    if watching is None:
        return

    @queue.periodic(cron=_WATCH)
    @queue.task(name="watch", queueing_lock="watch", pass_context=False)
    async def _watch(timestamp: int) -> None:  # noqa: ARG001 -- periodic jobs are told their moment
        await watch_queries(watching)
