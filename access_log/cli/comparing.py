"""`compare-checkpoints`: see whether two checkpoints of one log contradict each other."""

import argparse
from typing import Final

from access_log.cli import reading
from access_log.cli.output import Report
from access_log.cli.parsing import Command, Parser, log_key, plain_http
from access_log.contradiction import Signed, fork, require_beginning
from access_log.encoding import to_base64
from access_log.errors import SourceError
from access_log.payload import JSON
from access_log.sources import source_of


def _arguments(parser: Parser) -> None:
    parser.add_argument("one", metavar="A", help="a signed checkpoint's file")
    parser.add_argument("other", metavar="B", help="another's")
    log_key(parser)
    parser.add_argument(
        "--log",
        metavar="DIRECTORY-or-URL",
        help="the published log, which proves how checkpoints of different sizes lie in each other",
    )
    plain_http(parser)


def _run(options: argparse.Namespace) -> Report:
    keys = reading.keys(options.log_key)
    pair = [
        reading.checkpoint(file, keys, f"{file}: the checkpoint") for file in (options.one, options.other)
    ]
    older, newer = sorted(pair, key=lambda each: each.checkpoint.size)
    if older.checkpoint.origin != newer.checkpoint.origin:
        raise SourceError("these are checkpoints of two logs: compare two of one log")
    if older.checkpoint.size == newer.checkpoint.size:
        if older.checkpoint.root != newer.checkpoint.root:
            raise fork(*pair)
        words = f"Good: both are signed over the same tree of {older.checkpoint.size:,} entries."
        return Report(_found(older, newer), words)
    if options.log is None:
        raise SourceError(
            f"they cover {older.checkpoint.size} and {newer.checkpoint.size} entries, which alone says "
            "nothing: name the log with --log"
        )
    require_beginning(source_of(options.log, plain=options.plain_http), older, newer)
    words = (
        f"Good: the tree of {newer.checkpoint.size:,} entries begins with that of\n"
        f"  {older.checkpoint.size:,}; the tiles of the log prove it. The entries\n"
        "  were not read: that is what verify does."
    )
    return Report(_found(older, newer), words)


def _found(older: Signed, newer: Signed) -> dict[str, JSON]:
    return {
        "origin": older.checkpoint.origin,
        "sizes": [older.checkpoint.size, newer.checkpoint.size],
        "roots": [to_base64(older.checkpoint.root), to_base64(newer.checkpoint.root)],
    }


COMMAND: Final = Command(
    name="compare-checkpoints",
    does="see whether two checkpoints of one log contradict each other",
    examples=(
        "compare-checkpoints mine.checkpoint theirs.checkpoint --log-key log.key",
        "compare-checkpoints may.checkpoint june.checkpoint --log-key log.key --log https://vault.example/log",
    ),
    arguments=_arguments,
    run=_run,
)
