"""How long everything is kept: one table, what is due by it, and what removes it.

What lives for minutes or days goes within ten minutes of its end (`remove_expired_rows`); what lives for
years goes once a night (`remove`). Entries of the log, its tiles, keys and registers are kept as long as the
log: they name no person. Records end by their own display rules (`vault.catalogue`), not by this.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from vault.rights import removal
from vault.rights.holds import Held, held
from vault.server.assembly import Vault

_AT_ONCE: Final = 1_000
_DAYS_OF_A_YEAR: Final = 366
_CLOCK: Final = text("SELECT clock_timestamp()")
_QUEUE: Final = text("SET LOCAL search_path TO jobs")
"""The queue's own triggers name no schema; everything here does."""
_NOTHING_HELD: Final = Held((), (), {})


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of thing that is kept for a time.

    Attributes:
        name: static name.
        kept: how long, in words; `{years}` stands for the setting.
        why: the provision, or who decided; (P) is our own choice.
        due: the rows that are past it and that no hold needs, as `FROM … WHERE …`; None for what lies outside
            the database, and for payloads.
        remove: removes some of them and tells how many; None where another job does, or the operator.
    """

    name: str
    kept: str
    why: str
    due: str | None = None
    remove: str | None = None


def _expiring(name: str, table: str, kept: str, why: str) -> Rule:
    """What carries its own end; `remove_expired_rows` removes it."""
    return Rule(name, kept, why, f"FROM {table} WHERE expires_at < CAST(:now AS timestamptz)")


def _of_days(name: str, days: int, kept: str, why: str, due: str) -> Rule:
    """What is kept for some days, and deleted as it is counted."""
    rows = due.format(since=f"CAST(:now AS timestamptz) - interval '{days} days'")
    remove = f"WITH gone AS (DELETE {rows} RETURNING 1) SELECT count(*) FROM gone"  # noqa: S608 -- our own text
    return Rule(name, f"{days} days{kept}", why, rows, remove)


_BEFORE: Final = "CAST(:before AS timestamptz)"
_PERSONS: Final = "CAST(:persons AS uuid[])"
_CASES: Final = "CAST(:cases AS uuid[])"
_AS_PAYLOADS: Final = "as long as the payloads that name it (P)"

PAYLOADS: Final = Rule(
    "payloads", "{years} years, to the end of the month", "SZ 45 (5 years), ZJ 20 (10 years)"
)
RULES: Final = (
    PAYLOADS,
    Rule(
        "consents",
        "{years} years after their end, with events and signed copies",
        _AS_PAYLOADS,
        f"FROM consent.consent c WHERE (c.expires_at < {_BEFORE} OR EXISTS ("
        "SELECT FROM consent.consent_event e"
        " WHERE e.subject_id = c.subject_id AND e.consent_id = c.consent_id"
        f" AND e.event <> 'granted' AND e.at < {_BEFORE})) AND NOT c.subject_id = ANY({_PERSONS})",
        f"SELECT consent.remove_ended({_BEFORE}, {_PERSONS}, :most)",
    ),
    Rule(
        "cases",
        "{years} years after the answer",
        _AS_PAYLOADS,
        f"FROM vault.access_case WHERE state = 'answered' AND changed_at < {_BEFORE}"
        f" AND NOT case_id = ANY({_CASES})",
        f"SELECT vault.remove_old_cases({_BEFORE}, {_CASES})",
    ),
    Rule(
        "flags",
        "{years} years",
        _AS_PAYLOADS,
        f"FROM vault.flag WHERE raised_at < {_BEFORE}",
        f"SELECT vault.remove_old_flags({_BEFORE})",
    ),
    _of_days(
        "requests",
        30,
        "; repeats are answered for ten minutes",
        "looked up after an unknown outcome (P)",
        "FROM access_log.request WHERE time < {since}",
    ),
    _of_days(
        "failed_jobs",
        30,
        "; those that were done go at once",
        "to find out why (P)",
        "FROM jobs.procrastinate_jobs j WHERE j.status IN ('failed', 'cancelled', 'aborted') AND NOT EXISTS"
        " (SELECT FROM jobs.procrastinate_events e WHERE e.job_id = j.id AND e.at >= {since})",
    ),
    _expiring("proofs", "consent.dpop_proof", "as long as one can be repeated", "RFC 9449 §11.1"),
    _expiring("assertions", "consent.client_assertion", "as long as one can be repeated", "RFC 7523 §3(7)"),
    _expiring("pushed_requests", "consent.pushed_request", "until they expire, in minutes", "RFC 9126 §2.2"),
    Rule(
        "codes",
        "a day, so that a second use is still met",
        "RFC 6749 §4.1.2",
        "FROM consent.authorization_code WHERE expires_at < CAST(:now AS timestamptz) - interval '1 day'",
    ),
    _expiring("refresh_tokens", "consent.refresh_token", "until they expire", "RFC 6749 §1.5"),
    _expiring("revoked_tokens", "consent.revoked_token", "until the token would have ended", "RFC 7009 §2"),
    _expiring("failed_authentications", "consent.failed_authentication", "one minute", "counting (P)"),
    _expiring("assisted", "consent.assisted", "two days", "RULES 12.6, 12.7"),
    _expiring("sessions", "vault.citizen_session", "until they end, in minutes", "sign-in (P)"),
    _expiring("sign_ins", "vault.single_use", "until they expire, in minutes", "sign-in (P)"),
    Rule("keyring_journal", "as the keyring's backups", "a file: docs/operations.md, logrotate"),
    Rule("operator_log", "180 days", "a stream: docs/operations.md, journald"),
)
"""Every kind, those that name persons for longest first."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A rule as it stands in this vault.

    Attributes:
        due: how much is past it now; None for what lies outside the database.
        held: how much a hold keeps: of payloads what it needs, of the rest what is past it.
    """

    name: str
    kept: str
    why: str
    due: int | None
    held: int


async def standing(vault: Vault, now: datetime | None = None) -> list[Standing]:
    """Every rule, and what is due by it.

    Args:
        vault: whose.
        now: the moment it is asked for; None: that of the database.
    """
    found = []
    async with vault.engine.connect() as connection:
        moment = now or await _now(connection)
        kept = await held(connection, vault.logs)
        for rule in RULES:
            due, back = None, 0
            if rule is PAYLOADS:
                due, back = await _payloads(connection, vault, kept, moment)
            elif rule.due is not None:
                counting = f"SELECT count(*) {rule.due}"
                due = await _count(connection, counting, vault, kept, moment)
                back = await _count(connection, counting, vault, _NOTHING_HELD, moment) - due
            words = rule.kept.format(years=vault.settings.payload_years)
            found.append(Standing(rule.name, words, rule.why, due, back))
    return found


async def remove(vault: Vault, now: datetime | None = None) -> dict[str, int]:
    """Removes what is past its retention; returns how much of each kind. May be killed and repeated.

    Args:
        vault: whose.
        now: the moment it is done for; None: that of the database, which the log's entries go by, too.

    Raises:
        AccessLogError: the log cannot append; nothing was removed.
    """
    async with vault.engine.connect() as connection:
        moment = now or await _now(connection)
    month = removal.month_of(moment, vault.catalogue.timezone)
    removed = {PAYLOADS.name: await removal.remove_payloads(vault.log, vault.logs, month)}
    for rule in RULES:
        gone = _AT_ONCE if rule.remove is not None else 0
        while rule.remove is not None and gone >= _AT_ONCE:
            async with vault.engine.begin() as connection:
                await connection.execute(_QUEUE)
                kept = await held(connection, vault.logs)
                gone = await _count(connection, rule.remove, vault, kept, moment)
            removed[rule.name] = removed.get(rule.name, 0) + gone
    return {name: count for name, count in removed.items() if count}


async def _now(connection: AsyncConnection) -> datetime:
    found: datetime = (await connection.execute(_CLOCK)).scalar_one()
    return found


async def _payloads(connection: AsyncConnection, vault: Vault, kept: Held, now: datetime) -> tuple[int, int]:
    """Payloads of all logs that are due, and those a hold needs."""
    month = removal.month_of(now, vault.catalogue.timezone)
    due = back = 0
    for log in vault.logs:
        needed = kept.payloads[log.number]
        due += sum((await removal.due(connection, log, month, needed)).values())
        back += await removal.held_back(connection, log, needed)
    return due, back


async def _count(connection: AsyncConnection, statement: str, vault: Vault, kept: Held, now: datetime) -> int:
    given: dict[str, Any] = {
        "now": now,
        "before": now - timedelta(days=_DAYS_OF_A_YEAR * vault.settings.payload_years),
        "persons": list(kept.persons),
        "cases": list(kept.cases),
        "most": _AT_ONCE,
    }
    return int((await connection.execute(text(statement), given)).scalar_one())
