"""`check-receipt`: check that an entry was logged."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from access_log.cli import reading
from access_log.cli.cosigning import in_json, in_words
from access_log.cli.output import Report, iso
from access_log.cli.parsing import Command, Parser, log_key
from access_log.cosigned import Cosigner, cosigners
from access_log.entry import EntryType
from access_log.note import Signature, verify_note
from access_log.payload import JSON
from access_log.policy import Policy
from access_log.receipt import MAX_RECEIPT, VerifiedReceipt, parse_receipt, verify_receipt
from access_log.verifier_keys import VerifierKey

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


def verified(options: argparse.Namespace, keys: Sequence[VerifierKey]) -> VerifiedReceipt:
    """Read and verify the receipt a command was given as `receipt`, with keys one trusts.

    Raises:
        SourceError: The receipt cannot be read.
        FormatError: The receipt is malformed.
        VerificationError: It does not verify.
    """
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


@dataclass(frozen=True, slots=True)
class Standing:
    """How a receipt's checkpoint stands under a policy.

    Attributes:
        witnesses: Those of the policy who cosigned it.
        lacking: What it lacks to be witnessed, in words; None if it is.
    """

    witnesses: tuple[Cosigner, ...]
    lacking: str | None


def standing_of(receipt: VerifiedReceipt, policy: Policy, signatures: tuple[Signature, ...]) -> Standing:
    """Whether a verified receipt is witnessed, by whom and when (FORMAT 7)."""
    lacking = policy.shortfall(receipt.checkpoint.origin, signatures)
    if lacking is None and policy.quorum is None:
        lacking = "the policy asks for no cosignature"
    return Standing(cosigners(policy, signatures), lacking)


def _arguments(parser: Parser) -> None:
    parser.add_argument("receipt", metavar="RECEIPT", help="the receipt's file")
    log_key(parser, required=False)
    parser.add_argument(
        "--policy",
        metavar="FILE",
        help="also say whether the checkpoint is witnessed as this policy asks, by whom and when; its log "
        "lines take the place of --log-key",
    )


def _run(options: argparse.Namespace) -> Report:
    policy = None if options.policy is None else reading.policy(options.policy)
    keys = reading.log_keys(options.log_key, policy)
    receipt = verified(options, keys)
    report = report_of(receipt)
    if policy is None:
        return report
    note = parse_receipt(reading.text(options.receipt, MAX_RECEIPT, "the receipt")).note
    _, signatures = verify_note(note, (*keys, *policy.witness_keys))
    return _with_standing(report, standing_of(receipt, policy, signatures))


def _with_standing(report: Report, standing: Standing) -> Report:
    by = in_words(standing.witnesses)
    found: dict[str, JSON] = {
        **report.found,
        "status": "logged" if standing.lacking else "witnessed",
        "witnesses": in_json(standing.witnesses),
        "lacking": standing.lacking,
    }
    if standing.lacking is None:
        words = f"  Witnessed as the policy asks, by {by}. Each cosigns one history of a log."
    else:
        cosigned = f" So far {by} cosigned it." if by else ""
        words = (
            f"  Logged, and not witnessed as the policy asks: {standing.lacking}.{cosigned}\n"
            f"  Ask the log for a newer receipt: /log/proof/{found['index']}."
        )
    return Report(found, f"{report.words}\n{words}")


COMMAND: Final = Command(
    name="check-receipt",
    does="check that an entry was logged",
    examples=(
        "check-receipt answer.receipt --log-key log.key",
        "check-receipt answer.receipt --policy witnesses.policy",
    ),
    arguments=_arguments,
    run=_run,
)
