"""What the worker does from time to time: each job is one function, and `every_job` says when it runs.

A job that writes appends through the same log as everything else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

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
from consent.expiring import expiring
from consent.oauth import replay
from consent.record import Signer
from vault.records import covert
from vault.records.covert_counts import count_last_month, publish_counts
from vault.records.flags import Watching
from vault.rights import expiry
from vault.server import retention
from vault.server.assembly import Closed, Vault, measures, month_ends
from vault.server.portal import sessions

_OFTEN = "*/10 * * * *"
_EACH_MINUTE = "* * * * *"
_WITNESS = "* * * * * */10"
_DAILY = "30 5 * * *"
_NIGHTLY = "15 19 * * *"  # UTC: at night where the pack's clocks are
_SOON = timedelta(days=30)
_events = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Job:
    """One job: its name in the queue, when it runs (cron, seconds last), and what it does."""

    name: str
    cron: str
    run: Callable[[], Awaitable[object]]


def every_job(vault: Vault) -> list[Job]:
    """The periodic jobs of this release, as the vault's settings ask for them.

    The log is published if a folder is named, and its witnesses are asked if there are any.
    """
    settings, log, roots, witnessing = vault.settings, vault.log, vault.roots, vault.witnessing
    each_roots = f"*/{settings.roots_minutes} * * * *"
    watching = Watching(log, measures(settings, vault.catalogue))
    jobs = [
        Job("heartbeat", _OFTEN, partial(heartbeat, log)),
        Job("make_partitions", _OFTEN, partial(make_partitions, log)),
        Job("remove_expired", _OFTEN, partial(remove_expired_rows, log)),
        Job("tend_covert_cases", _OFTEN, partial(tend_covert_cases, log)),
        Job("expire_consents", _OFTEN, partial(expire_consents, log, vault.keeper.signer)),
        Job("append_roots", each_roots, partial(append_roots, roots, vault.closed)),
        Job("watch", _EACH_MINUTE, partial(watch_queries, watching)),
        Job("warn_of_ends", _DAILY, partial(warn_of_ends, vault)),
        Job("remove_past_retention", _NIGHTLY, partial(remove_past_retention, vault)),
        Job("end_months", _DAILY, month_ends(vault).run),
    ]
    if witnessing is not None:
        jobs.append(Job("witness", _WITNESS, partial(ask_witnesses, log, witnessing)))
    if settings.publish_dir is not None:
        policy = None if witnessing is None else witnessing.policy
        work = partial(publish_log, log, roots, settings.publish_dir, policy, vault.closed)
        jobs.append(Job("publish", _EACH_MINUTE, work))
    return jobs


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


async def remove_past_retention(vault: Vault) -> dict[str, int]:
    """Removes what is past its retention; returns how much of each kind."""
    removed = await retention.remove(vault)
    for name, count in removed.items():
        _events.info("past_retention_removed", kind=name, count=count)
    return removed


async def expire_consents(log: Log, signer: Signer) -> int:
    """Writes down the end of consents whose time has come; returns how many."""
    written = await expiry.expire_due(log, signer)
    if written:
        _events.info("consents_expired", count=written)
    return written


async def tend_covert_cases(log: Log) -> None:
    """Discloses the covert cases that are due, and counts those of a month that is over."""
    await disclose_covert_cases(log)
    await count_last_month(log)


async def warn_of_ends(vault: Vault) -> int:
    """Tells operators which authorizations and legal bases end within a month; returns how many.

    Whoever asks under them is refused from then on, so a new one must be proposed and approved before.
    """
    now = datetime.now(UTC)
    async with vault.engine.connect() as connection:
        found = await expiring(connection, _SOON, now=now, today=vault.catalogue.today(now))
    for one in found:
        _events.warning("ends_soon", kind=one.kind, id=str(one.id), ends=str(one.ends))
    return len(found)
