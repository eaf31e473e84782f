"""`follow-logs`: from a log that was closed to the one opened in its place, and on to the newest."""

import argparse
from typing import Final

from access_log.checkpoint import Checkpoint
from access_log.cli import reading
from access_log.cli.output import Report
from access_log.cli.parsing import Command, Parser, log_key, log_source
from access_log.errors import SourceError, VerificationError
from access_log.payload import JSON
from access_log.succession import MAX_SUCCESSION, Passage, parse_succession, pass_over


def _arguments(parser: Parser) -> None:
    log_source(parser)
    log_key(parser)
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="a checkpoint of a closed log that you hold: it must lead there"
    )


def _run(options: argparse.Namespace) -> Report:
    keys = reading.keys(options.log_key)
    raw = reading.source(options).read("succession", MAX_SUCCESSION)
    if raw is None:
        raise SourceError(f"{options.log} has no succession ('succession'): no log was closed before it")
    openings = parse_succession(raw)
    names = {key.name for key in keys}
    passages = [pass_over(each, keys) for each in openings if each.says.closed in names]
    if not passages:
        raise VerificationError("no key you trust is of a log that was closed: add its key to the keys")
    if options.checkpoint is not None:
        held = reading.checkpoint(options.checkpoint, keys, "the checkpoint you hold")
        _require_ends(passages, held.checkpoint)
    told: list[JSON] = [
        {
            "closed": each.says.closed,
            "opened": each.says.origin,
            "size": each.closed.size,
            "missing": each.says.missing,
            "planned": each.says.planned,
            "reason": each.says.reason,
        }
        for each in passages
    ]
    last = passages[-1]
    lost = sum(each.says.missing for each in passages)
    return Report(
        {"passages": told},
        f"Good: {passages[0].says.closed} was closed with {passages[0].closed.size:,} entries, and "
        f"{last.says.origin} stands in its place"
        + (f"; {lost:,} entries were lost by their operator on the way" if lost else ""),
    )


def _require_ends(passages: list[Passage], held: Checkpoint) -> None:
    """Refuse a closing that does not reach, or contradicts, a checkpoint somebody holds."""
    end = next((each.closed for each in passages if each.closed.origin == held.origin), None)
    if end is None:
        raise VerificationError(f"{held.origin}, of which you hold a checkpoint, was not closed")
    if held.size > end.size:
        raise VerificationError(
            f"you hold a checkpoint of {held.size} entries, and {held.origin} was closed with {end.size}: "
            "it was rolled back"
        )
    if held.size == end.size and held.root != end.root:
        raise VerificationError(
            f"{held.origin} was closed with another tree than yours of {end.size} entries"
        )


COMMAND: Final = Command(
    name="follow-logs",
    does="follow from a closed log to the one opened in its place",
    examples=(
        "follow-logs https://vault.example/log --log-key log.keys",
        "follow-logs https://vault.example/log --log-key log.keys --checkpoint held.checkpoint",
    ),
    arguments=_arguments,
    run=_run,
)
