"""`audit-person`: check that no entry about a person is hidden from them."""

import argparse
from typing import Final

from access_log.cli import reading
from access_log.cli.output import Report, plain, progress
from access_log.cli.parsing import Command, Parser, log_key, log_source
from access_log.completeness import Gap, StreamReport
from access_log.exhaust import Exhausted, exhaust
from access_log.material import MAX_MATERIAL, Kind, read_material
from access_log.payload import JSON
from access_log.sources import source_of

_SHOWN: Final = 20


def _arguments(parser: Parser) -> None:
    parser.add_argument("material", metavar="MATERIAL", help="the file with the keys of your log, JSON")
    log_source(parser)
    log_key(parser)


def _run(options: argparse.Namespace) -> Report:
    keys = reading.keys(options.log_key)
    material = read_material(reading.read(options.material, MAX_MATERIAL))
    with progress() as show:
        read = exhaust(source_of(options.log, plain=options.plain_http), material, keys, progress=show)
    return _report(read)


def _report(read: Exhausted) -> Report:
    verdict = read.completeness
    found: dict[str, JSON] = {
        "complete": verdict.complete,
        "mode": "whole log",
        "origin": read.published.origin,
        "size": read.made_at.size,
        "published_size": read.published.size,
        "streams": [_stream_found(stream) for stream in verdict.streams],
        "missing": [_gap_found(gap) for gap in verdict.gaps],
    }
    lines = [
        f"  All {read.published.size:,} entries of {read.published.origin} were read and verify.",
        f"  Your material covers the first {read.made_at.size:,}.",
        *(_stream_words(at, stream) for at, stream in enumerate(verdict.streams, 1)),
    ]
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
    name = "Your own stream"
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
    ),
    arguments=_arguments,
    run=_run,
)
