"""`audit-person`: check that no entry about a person is hidden from them."""

import argparse
from typing import Final

from access_log.cli import reading
from access_log.cli.output import Report, plain, progress
from access_log.cli.parsing import Command, Parser, log_key, log_source
from access_log.completeness import Completeness, Gap, StreamReport
from access_log.errors import SourceError
from access_log.exhaust import Exhausted, exhaust
from access_log.material import MAX_MATERIAL, Kind, read_material
from access_log.payload import JSON
from access_log.proving import Auditors, Proved, prove
from access_log.roots.key_history import followed
from access_log.web import Website

_SHOWN: Final = 20


def _arguments(parser: Parser) -> None:
    parser.add_argument("material", metavar="MATERIAL", help="the file with the keys of your log, JSON")
    log_source(parser)
    log_key(parser)
    parser.add_argument(
        "--roots-key",
        metavar="KEY",
        help="the key of the log of roots: ask for proofs of your labels instead of reading all entries",
    )
    parser.add_argument(
        "--auditor-key",
        metavar="KEY",
        help="with --roots-key: an auditor you trust, who must have cosigned the roots",
    )


def _run(options: argparse.Namespace) -> Report:
    keys = reading.keys(options.log_key)
    material = read_material(reading.read(options.material, MAX_MATERIAL))
    source = reading.source(options)
    if options.roots_key is None:
        if options.auditor_key is not None:
            raise SourceError("--auditor-key goes with --roots-key: auditors cosign the log of roots")
        with progress() as show:
            return _read_report(exhaust(source, material, keys, progress=show))
    if not isinstance(source, Website):
        raise SourceError("proofs are answered by a server: give its address, or leave --roots-key out")
    trusted = Auditors(
        followed(reading.roots_of(source), reading.keys(options.roots_key, "--roots-key")).keys,
        () if options.auditor_key is None else reading.keys(options.auditor_key, "--auditor-key"),
    )
    with progress("months") as show:
        proved = prove(source, material, keys, trusted, progress=show)
    return _proved_report(proved, audited=bool(trusted.auditors))


def _read_report(read: Exhausted) -> Report:
    found: dict[str, JSON] = {
        "mode": "whole log",
        "origin": read.published.origin,
        "size": read.made_at.size,
        "published_size": read.published.size,
    }
    lines = [
        f"  All {read.published.size:,} entries of {read.published.origin} were read and verify.",
        f"  Your material covers the first {read.made_at.size:,}.",
    ]
    return _report(read.completeness, found, lines)


def _proved_report(proved: Proved, *, audited: bool) -> Report:
    found: dict[str, JSON] = {
        "mode": "proofs",
        "origin": proved.published.origin,
        "size": proved.covered,
        "published_size": proved.published.size,
        "audited": audited,
        "pending": proved.pending,
    }
    lines = [
        f"  Proved, label by label, for the first {proved.covered:,} of {proved.published.size:,} entries.",
        "  An auditor you named cosigned the roots they were proved from."
        if audited
        else "  No auditor was named: that the roots are those of the log is its operator's word alone.",
    ]
    if proved.pending:
        lines.append(f"  Not covered yet, so ask again later: {_entries(proved.pending)} of your material.")
    return _report(proved.completeness, found, lines)


def _report(verdict: Completeness, found: dict[str, JSON], lines: list[str]) -> Report:
    found |= {
        "complete": verdict.complete,
        "streams": [_stream_found(stream) for stream in verdict.streams],
        "missing": [_gap_found(gap) for gap in verdict.gaps],
    }
    lines += [_stream_words(at, stream) for at, stream in enumerate(verdict.streams, 1)]
    if verdict.complete:
        return Report(
            found,
            "\n".join(["Complete: every entry of yours is here, and says what you were shown.", *lines]),
        )
    first = verdict.gaps[0]
    found |= {"index": first.index, "reason": first.reason}
    number = len(verdict.gaps)
    lines += [_gap_words(gap) for gap in verdict.gaps[:_SHOWN]]
    if number > _SHOWN:
        lines.append(f"  and {number - _SHOWN:,} more (--json lists them all)")
    title = f"Not complete: {number:,} thing{'' if number == 1 else 's'} missing or wrong."
    return Report(found, "\n".join([title, *lines]), bad=True)


def _stream_found(stream: StreamReport) -> JSON:
    return {
        "kind": stream.kind.value,
        "court_reference": stream.court_reference,
        "months": [{"month": month, "entries": entries} for month, entries in stream.months.items()],
        "opened": stream.opened,
        "expired": list(stream.expired),
        "newer": list(stream.newer),
    }


def _gap_found(gap: Gap) -> JSON:
    return {
        "stream": gap.stream,
        "month": gap.month,
        "seq": gap.seq,
        "index": gap.index,
        "reason": gap.reason,
    }


def _stream_words(number: int, stream: StreamReport) -> str:
    name = "Your own stream" if number == 1 else f"Stream {number}, your own under another identity"
    if stream.kind is Kind.COVERT:
        name = f"Stream {number}, of the case {plain(stream.court_reference or '')}"
    months = list(stream.months)
    between = f" in the months {months[0]} to {months[-1]}" if months else ""
    entries = sum(stream.months.values())
    words = f"  {name}: {_entries(entries)}{between}, {stream.opened:,} opened."
    if stream.expired:
        words += f"\n    No longer kept, only that they were there: {_listed(stream.expired)}."
    if stream.newer:
        words += f"\n    Logged since then, so fetch new material to read it: {_listed(stream.newer)}."
    return words


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number:,} entries"


def _listed(indexes: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, indexes[:_SHOWN]))
    return (
        f"entries {shown} and {len(indexes) - _SHOWN:,} more" if len(indexes) > _SHOWN else f"entries {shown}"
    )


def _gap_words(gap: Gap) -> str:
    where = [f"stream {gap.stream}"]
    if gap.month is not None:
        where.append(f"month {gap.month}")
    if gap.seq is not None:
        where.append(f"number {gap.seq}")
    if gap.index is not None:
        where.append(f"entry {gap.index}")
    return f"  {', '.join(where)}: {gap.reason}"


COMMAND: Final = Command(
    name="audit-person",
    does="check that no entry about a person is hidden from them",
    examples=(
        "audit-person log-keys.json https://vault.example/log --log-key log.key",
        "audit-person log-keys.json ./log --log-key log.key --json",
        "audit-person log-keys.json https://vault.example/log --log-key log.key --roots-key roots.key",
    ),
    arguments=_arguments,
    run=_run,
)
