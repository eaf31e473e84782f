"""`follow-keys`: from a log's key one trusts, or that of its roots, to those it signs with now."""

import argparse
from typing import Final

from access_log.cli import reading
from access_log.cli.output import Report
from access_log.cli.parsing import Command, Parser, log_key, log_source
from access_log.errors import SourceError
from access_log.key_history import MAX_HISTORY, Succession, follow, parse_history
from access_log.payload import JSON
from access_log.roots.key_history import followed


def _arguments(parser: Parser) -> None:
    log_source(parser)
    log_key(parser, required=False)
    parser.add_argument(
        "--roots-key",
        metavar="KEY",
        help="in place of --log-key: a key of the log of roots, or its file",
    )


def _run(options: argparse.Namespace) -> Report:
    if (options.log_key is None) == (options.roots_key is None):
        raise SourceError("say whose keys to follow: give --log-key KEY, or --roots-key KEY")
    if options.roots_key is not None:
        trusted = reading.keys(options.roots_key, "--roots-key")
        return _report(followed(reading.roots_of(reading.source(options)), trusted), "log of roots", 0)
    trusted = reading.keys(options.log_key)
    raw = reading.source(options).read("keys", MAX_HISTORY)
    if raw is None:
        raise SourceError(f"{options.log} has no key history ('keys'): ask the log's operator for it")
    return _report(follow(parse_history(raw), trusted), "log", 1)


def _report(succession: Succession, what: str, beyond: int) -> Report:
    """What was established.

    Args:
        succession: The keys, one after the other.
        what: Whose.
        beyond: How much less than the first size of new keys is the number that their change is told by: the
            index of an entry, or the size of the tree that both signed.
    """
    keys: list[JSON] = [str(key) for key in succession.keys]
    changes: list[JSON] = [
        {"index" if beyond else "size": period.first - beyond, "keys": [str(key) for key in period.keys]}
        for period in succession.periods[1:]
    ]
    if not changes:
        words = [f"# No change of keys retires yours: as far as this {what} says, they are in force."]
    else:
        words = [
            f"# Good: the {what} changed its keys {len(changes)} time(s) since yours; each change is logged,",
            "# and signed by the keys before it and by those after it. These are in force:",
        ]
    return Report({"keys": keys, "changes": changes}, "\n".join([*words, *map(str, keys)]))


COMMAND: Final = Command(
    name="follow-keys",
    does="establish the keys a log, or its roots, are signed with now from one you trust",
    examples=(
        "follow-keys https://vault.example/log --log-key old.key",
        "follow-keys https://vault.example/log --log-key old.key > log.key",
        "follow-keys https://vault.example/log --roots-key old-roots.key > roots.key",
    ),
    arguments=_arguments,
    run=_run,
)
