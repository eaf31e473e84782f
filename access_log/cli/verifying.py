"""`verify`: audit a whole published log."""

import argparse
import os
import time
from typing import Final

from access_log.checkpoint import VerifierKey
from access_log.cli import reading, writing
from access_log.cli.cosigning import in_json, in_words
from access_log.cli.filing import Filing, page
from access_log.cli.output import Report, complain, iso, progress
from access_log.cli.parsing import Command, Parser, jobs, log_key, log_source
from access_log.cli.tool import this_tool
from access_log.contradiction import Signed
from access_log.cosigned import Witnessed, read_witnessed, require_witnessed
from access_log.encoding import to_base64
from access_log.errors import AccessLogError, SourceError
from access_log.payload import JSON
from access_log.position import MAX_STATE, Position, read_state, write_state
from access_log.verify import Audit, signed_checkpoint, verify_signed
from access_log.web import Website

_CONNECTIONS: Final = 8


def _arguments(parser: Parser) -> None:
    log_source(parser)
    log_key(parser, required=False)
    parser.add_argument(
        "--policy",
        metavar="FILE",
        help="also show that witnesses cosigned a checkpoint of this log as this policy asks; its log lines "
        "take the place of --log-key",
    )
    parser.add_argument(
        "--from-checkpoint",
        metavar="FILE",
        action="append",
        default=[],
        help="a checkpoint you kept: also show that nothing it covered was replaced or taken away; may be "
        "repeated",
    )
    parser.add_argument(
        "--state",
        metavar="FILE",
        help="go on from where the last good run with this file ended, and note where this one does; "
        "keep the file where nobody else can write it",
    )
    parser.add_argument(
        "--report",
        metavar="FILE.html",
        help="also write a page that can be filed and printed, whatever is found",
    )
    jobs(
        parser,
        f"check N bundles side by side (default: as many as cores for a directory, {_CONNECTIONS} for a URL)",
    )


def _run(options: argparse.Namespace) -> Report:
    policy = None if options.policy is None else reading.policy(options.policy)
    keys = reading.log_keys(options.log_key, policy)
    source = reading.source(options)
    earlier = [reading.checkpoint(file, keys, "the earlier checkpoint") for file in options.from_checkpoint]
    resume = None if options.state is None else _resumed(options.state, keys)
    side_by_side = options.jobs or (_CONNECTIONS if isinstance(source, Website) else _cores())
    filing = Filing(
        options.log,
        keys,
        this_tool(),
        _now(),
        earlier=[*earlier, *([resume[1]] if resume else [])],
        policy=policy,
    )
    try:
        with progress() as show:
            shown = None if policy is None else read_witnessed(source)
            signed = filing.signed = signed_checkpoint(source, keys)
            if policy is not None:
                filing.witnessed = require_witnessed(policy, keys, signed, shown)  # (8)
            held_to = [*earlier, *([filing.witnessed.signed] if filing.witnessed else [])]
            audit = verify_signed(
                source, signed, earlier=held_to, resume=resume, jobs=side_by_side, progress=show
            )
    except AccessLogError as error:
        try:
            _file(options, filing, error)
        except SourceError as unwritten:  # A page that cannot be written hides no finding.
            complain(str(unwritten))
        raise
    _file(options, filing, audit)
    if options.state is not None:
        writing.replace(options.state, write_state(audit.position, audit.signed), private=True)
    report = _report(audit, earlier)
    return report if policy is None else _with_witnesses(report, audit, filing.witnessed)


def _file(options: argparse.Namespace, filing: Filing, outcome: Audit | AccessLogError) -> None:
    if options.report is not None:
        writing.replace(options.report, page(filing, outcome, _now()))


def _now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def _resumed(file: str, keys: tuple[VerifierKey, ...]) -> tuple[Position, Signed] | None:
    """Where the last run with this file ended; None if there was none."""
    return reading.state(file, MAX_STATE, lambda text: read_state(text, keys))


def _cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _report(audit: Audit, earlier: list[Signed]) -> Report:
    checkpoint = audit.checkpoint
    first = None if audit.first_time is None else iso(audit.first_time)
    last = None if audit.last_time is None else iso(audit.last_time)
    found: dict[str, JSON] = {
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": to_base64(checkpoint.root),
        "chain": to_base64(audit.chain),
        "begun_at": audit.begun_at,
        "first_time": first,
        "last_time": last,
    }
    if audit.begun_at:
        words = (
            f"Good: the {checkpoint.size - audit.begun_at:,} entries from {audit.begun_at:,} on of "
            f"{checkpoint.origin} verify.\n"
            f"  They go on from the {audit.begun_at:,} before them, which an earlier run with this state\n"
            "  file verified. The signed tree still holds those as they were; that they are still served\n"
            "  was not looked at.\n"
        )
    else:
        words = (
            f"Good: all {checkpoint.size:,} entries of {checkpoint.origin} verify.\n"
            "  Each is of the format, none is earlier than the one before, the chain runs through all of\n"
            "  them, and the tree over them has the root that the log signed.\n"
        )
    words += f"  Root: {found['root']}"
    if first and last:
        words += f"\n  From {first} to {last}."
    for each in earlier:
        words += f"\n  The {each.checkpoint.size:,} entries of the earlier checkpoint are unchanged."
    return Report(found, words)


def _with_witnesses(report: Report, audit: Audit, witnessed: Witnessed | None) -> Report:
    if witnessed is None:
        return Report(
            {**report.found, "witnessed": None}, f"{report.words}\n  The policy asks for no cosignature."
        )
    checkpoint = witnessed.signed.checkpoint
    behind = audit.checkpoint.size - checkpoint.size
    found: dict[str, JSON] = {
        **report.found,
        "witnessed": {
            "size": checkpoint.size,
            "root": to_base64(checkpoint.root),
            "witnesses": in_json(witnessed.by),
            "not_yet": behind,
        },
    }
    by = in_words(witnessed.by)
    words = f"  Witnessed as the policy asks: the first {checkpoint.size:,} entries, by {by}.\n"
    words += f"  The last {behind:,} are not witnessed yet." if behind else "  None is left unwitnessed."
    return Report(found, f"{report.words}\n{words}")


COMMAND: Final = Command(
    name="verify",
    does="audit a whole published log",
    examples=(
        "verify https://vault.example/log --log-key log.key",
        "verify ./log --log-key log.key --from-checkpoint last-month.checkpoint",
        "verify https://vault.example/log --log-key log.key --state my.state",
        "verify https://vault.example/log --policy witnesses.policy",
        "verify ./log --log-key log.key --report audit.html",
        "verify ./log --log-key vault.example/log/2026+1a2b3c4d+AQID... --json",
    ),
    arguments=_arguments,
    run=_run,
)
