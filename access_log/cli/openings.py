"""`check-opening`: check what a logged entry says, by its receipt or where it stands in the published log."""

import argparse
import json
from typing import Final

from access_log.cli import reading
from access_log.cli.output import Report, plain
from access_log.cli.parsing import Command, Parser, between, log_key, plain_http
from access_log.cli.receipts import report_of, verified
from access_log.encoding import LARGEST
from access_log.errors import SourceError
from access_log.payload import JSON, attribute_names, check_opening
from access_log.published import entry_at
from access_log.receipt import VerifiedReceipt
from access_log.sentences import sentence
from access_log.sources import source_of

_MAX_OPENING: Final = 1024 * 1024


def _arguments(parser: Parser) -> None:
    parser.add_argument("receipt", metavar="RECEIPT", nargs="?", help="the receipt's file")
    parser.add_argument("opening", metavar="OPENING", help="the opening's file, JSON")
    log_key(parser)
    plain_http(parser)
    parser.add_argument(
        "--log",
        metavar="DIRECTORY-or-URL",
        help="instead of a receipt: the published log that holds the entry",
    )
    parser.add_argument(
        "--index", type=between(0, LARGEST), metavar="N", help="where the entry stands in that log"
    )


def _run(options: argparse.Namespace) -> Report:
    receipt = _proven(options)
    opening = reading.json_object(options.opening, _MAX_OPENING, "the opening")
    opened = check_opening(receipt.entry, opening)
    withheld: list[JSON] = [name for name in attribute_names(receipt.entry.type) if name not in opened]
    logged = report_of(receipt)
    says = sentence(receipt.entry, opened)
    lines = [
        logged.words,
        "Good: this is what it says.",
        f"  {plain(says)}",
        *(f"  {name}: {plain(json.dumps(value, ensure_ascii=False))}" for name, value in opened.items()),
    ]
    if withheld:
        lines.append(f"  Withheld from you: {', '.join(map(str, withheld))}.")
    found = {**logged.found, "sentence": says, "opened": opened, "withheld": withheld}
    return Report(found, "\n".join(lines))


def _proven(options: argparse.Namespace) -> VerifiedReceipt:
    """The entry, proven to be in the log by its receipt or by the log's own tiles."""
    named = (options.log is not None, options.index is not None)
    if options.receipt is not None and not any(named):
        return verified(options, reading.keys(options.log_key))
    if options.receipt is None and all(named):
        return entry_at(
            source_of(options.log, plain=options.plain_http), options.index, reading.keys(options.log_key)
        )
    raise SourceError("give either a receipt, or the published log with --log and the entry with --index")


COMMAND: Final = Command(
    name="check-opening",
    does="check what a logged entry says",
    examples=(
        "check-opening answer.receipt answer.opening.json --log-key log.key",
        "check-opening answer.opening.json --log https://vault.example/log --index 4711 --log-key log.key",
    ),
    arguments=_arguments,
    run=_run,
)
