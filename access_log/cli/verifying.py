"""`verify`: audit a whole published log."""

import argparse
from typing import Final

from access_log.cli import reading
from access_log.cli.output import Report, iso, progress
from access_log.cli.parsing import Command, Parser, jobs, log_key, log_source
from access_log.encoding import to_base64
from access_log.payload import JSON
from access_log.sources import Website, source_of
from access_log.verify import verify_log

_CONNECTIONS: Final = 8


def _arguments(parser: Parser) -> None:
    log_source(parser)
    log_key(parser)
    parser.add_argument(
        "--from-checkpoint",
        metavar="FILE",
        help="a checkpoint you kept: also show that nothing it covered was replaced or taken away",
    )
    jobs(parser, f"check N bundles side by side (default: 1 for a directory, {_CONNECTIONS} for a URL)")


def _run(options: argparse.Namespace) -> Report:
    keys = reading.keys(options.log_key)
    source = source_of(options.log)
    earlier = None
    if options.from_checkpoint is not None:
        earlier = reading.checkpoint(options.from_checkpoint, keys, "the earlier checkpoint")
    side_by_side = options.jobs or (_CONNECTIONS if isinstance(source, Website) else 1)
    with progress() as show:
        audit = verify_log(source, keys, earlier=earlier, jobs=side_by_side, progress=show)
    checkpoint = audit.checkpoint
    first = None if audit.first_time is None else iso(audit.first_time)
    last = None if audit.last_time is None else iso(audit.last_time)
    found: dict[str, JSON] = {
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": to_base64(checkpoint.root),
        "chain": to_base64(audit.chain),
        "first_time": first,
        "last_time": last,
    }
    words = (
        f"Good: all {checkpoint.size:,} entries of {checkpoint.origin} verify.\n"
        "  Each is of the format, none is earlier than the one before, the chain runs through all of them,\n"
        "  and the tree over them has the root that the log signed.\n"
        f"  Root: {found['root']}"
    )
    if first and last:
        words += f"\n  From {first} to {last}."
    if earlier is not None:
        words += f"\n  The {earlier.size:,} entries of the earlier checkpoint are unchanged."
    return Report(found, words)


COMMAND: Final = Command(
    name="verify",
    does="audit a whole published log",
    examples=(
        "verify https://vault.example/log --log-key log.key",
        "verify ./log --log-key log.key --from-checkpoint last-month.checkpoint",
        "verify ./log --log-key vault.example/log/2026+1a2b3c4d+AQID... --json",
    ),
    arguments=_arguments,
    run=_run,
)
