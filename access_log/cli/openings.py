"""`check-opening`: check what a logged entry says."""

import argparse
import json
from typing import Final

from access_log.cli import reading
from access_log.cli.output import Report, plain
from access_log.cli.parsing import Command, Parser, log_key
from access_log.cli.receipts import receipt_argument, report_of, verified
from access_log.payload import JSON, attribute_names, check_opening

_MAX_OPENING: Final = 1024 * 1024


def _arguments(parser: Parser) -> None:
    receipt_argument(parser)
    parser.add_argument("opening", metavar="OPENING", help="the opening's file, JSON")
    log_key(parser)


def _run(options: argparse.Namespace) -> Report:
    receipt = verified(options)
    opening = reading.json_object(options.opening, _MAX_OPENING, "the opening")
    opened = check_opening(receipt.entry, opening)
    withheld: list[JSON] = [name for name in attribute_names(receipt.entry.type) if name not in opened]
    logged = report_of(receipt)
    lines = [
        logged.words,
        "Good: this is what it says.",
        *(f"  {name}: {plain(json.dumps(value, ensure_ascii=False))}" for name, value in opened.items()),
    ]
    if withheld:
        lines.append(f"  Withheld from you: {', '.join(map(str, withheld))}.")
    return Report({**logged.found, "opened": opened, "withheld": withheld}, "\n".join(lines))


COMMAND: Final = Command(
    name="check-opening",
    does="check what a logged entry says",
    examples=("check-opening answer.receipt answer.opening.json --log-key log.key",),
    arguments=_arguments,
    run=_run,
)
