"""`check-receipt`: check that an entry was logged."""

import argparse
from typing import Final

from access_log.cli import reading
from access_log.cli.output import Report, iso
from access_log.cli.parsing import Command, Parser, log_key
from access_log.entry import EntryType
from access_log.payload import JSON
from access_log.receipt import MAX_RECEIPT, VerifiedReceipt, verify_receipt

_WORDS: Final = {
    EntryType.QUERY_PERMITTED: "a query that was permitted",
    EntryType.QUERY_REFUSED: "a query that was refused",
    EntryType.CONSENT: "a consent given, changed or withdrawn",
    EntryType.AUTHORIZATION: "a statutory authorization",
    EntryType.RECORD: "a record entered or changed",
    EntryType.RIGHTS: "a right that was exercised",
    EntryType.KEY: "an event about keys",
    EntryType.INSPECTION: "an inspection",
    EntryType.OPERATOR: "an act of the operator",
    EntryType.NOT_RELEASED: "a query that was permitted but never answered",
    EntryType.HEARTBEAT: "a sign of life of the log",
}


def verified(options: argparse.Namespace) -> VerifiedReceipt:
    """Read and verify the receipt a command was given as `receipt`.

    Raises:
        SourceError: Receipt or key cannot be read.
        FormatError: The receipt is malformed.
        VerificationError: It does not verify.
    """
    keys = reading.keys(options.log_key)
    return verify_receipt(reading.text(options.receipt, MAX_RECEIPT, "the receipt"), keys)


def report_of(receipt: VerifiedReceipt) -> Report:
    """Say what a receipt shows."""
    entry, checkpoint = receipt.entry, receipt.checkpoint
    found: dict[str, JSON] = {
        "status": "logged",
        "index": receipt.index,
        "type": int(entry.type),
        "type_name": entry.type.name.lower(),
        "time": iso(entry.time),
        "origin": checkpoint.origin,
        "size": checkpoint.size,
    }
    words = (
        f"Good: entry {receipt.index:,} is logged in {checkpoint.origin}.\n"
        f"  It records {_WORDS[entry.type]} (type {int(entry.type)}) at {iso(entry.time)}.\n"
        f"  The log signed that it holds this entry among {checkpoint.size:,}; it cannot take it back unseen."
    )
    return Report(found, words)


def _arguments(parser: Parser) -> None:
    parser.add_argument("receipt", metavar="RECEIPT", help="the receipt's file")
    log_key(parser)


def _run(options: argparse.Namespace) -> Report:
    return report_of(verified(options))


COMMAND: Final = Command(
    name="check-receipt",
    does="check that an entry was logged",
    examples=("check-receipt answer.receipt --log-key log.key",),
    arguments=_arguments,
    run=_run,
)
