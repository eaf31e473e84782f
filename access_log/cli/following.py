"""`follow-keys`: from a log's key one trusts to those it signs with now."""

import argparse
from typing import Final

from access_log.cli import reading
from access_log.cli.output import Report
from access_log.cli.parsing import Command, Parser, log_key, log_source
from access_log.errors import SourceError
from access_log.key_history import MAX_HISTORY, follow, parse_history
from access_log.payload import JSON


def _arguments(parser: Parser) -> None:
    log_source(parser)
    log_key(parser)


def _run(options: argparse.Namespace) -> Report:
    trusted = reading.keys(options.log_key)
    raw = reading.source(options).read("keys", MAX_HISTORY)
    if raw is None:
        raise SourceError(f"{options.log} has no key history ('keys'): ask the log's operator for it")
    succession = follow(parse_history(raw), trusted)
    keys: list[JSON] = [str(key) for key in succession.keys]
    changes: list[JSON] = [
        {"index": period.first - 1, "keys": [str(key) for key in period.keys]}
        for period in succession.periods[1:]
    ]
    if not changes:
        words = ["# No change of keys retires yours: as far as this log says, they are in force."]
    else:
        words = [
            f"# Good: the log changed its keys {len(changes)} time(s) since yours; each change is logged,",
            "# and signed by the keys before it and by those after it. These are in force:",
        ]
    return Report({"keys": keys, "changes": changes}, "\n".join([*words, *map(str, keys)]))


COMMAND: Final = Command(
    name="follow-keys",
    does="establish the keys a log signs with now from one you trust",
    examples=(
        "follow-keys https://vault.example/log --log-key old.key",
        "follow-keys https://vault.example/log --log-key old.key > log.key",
    ),
    arguments=_arguments,
    run=_run,
)
