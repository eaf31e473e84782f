"""What commands are made of: names, help and the arguments they share (FORMAT 10.4)."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from access_log.cli.output import UNREADABLE, Report

MAX_JOBS: Final = 256

Parser = argparse.ArgumentParser


@dataclass(frozen=True, slots=True)
class Command:
    """One command of `python -m access_log`; each stands in a file of its own.

    Attributes:
        name: As it is typed.
        does: What it does, in a few words that complete "this command will".
        examples: Whole command lines without `python -m access_log`; at least one.
        arguments: Adds the command's arguments to its parser; `--json` every command has already.
        run: Does the work. What does not verify is raised as any error of the log but SourceError (exit
            code 1); what cannot be read, decided or used as it was given, as SourceError (exit code 2).
    """

    name: str
    does: str
    examples: tuple[str, ...]
    arguments: Callable[[Parser], None]
    run: Callable[[argparse.Namespace], Report]


def parser_of(commands: Sequence[Command], description: str) -> Parser:
    """Make the parser of all commands; the options it reads hold the chosen one as `command`."""
    parser = _Parser(
        prog="python -m access_log",
        description=description,
        epilog=_epilog(
            [each.examples[0] for each in commands],
            "exit codes: 0 good, 1 does not verify, 2 wrong usage or something could not be read\n",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    choices = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in commands:
        chosen = choices.add_parser(
            command.name,
            help=command.does,
            description=command.does[0].upper() + command.does[1:] + ".",
            epilog=_epilog(command.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.arguments(chosen)
        chosen.add_argument("--json", action="store_true", help="print one JSON object instead of words")
        chosen.set_defaults(command=command)
    return parser


def _epilog(examples: Sequence[str], more: str = "") -> str:
    lines = [f"  python -m access_log {each}\n" for each in examples]
    return "".join(["example:\n" if len(lines) == 1 else "examples:\n", *lines, more and "\n" + more])


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong with the command."""
        self.exit(UNREADABLE, f"{self.prog}: {message}; see {self.prog} --help\n")


# ── Arguments that several commands take ─────────────────────────────────────────────────────────


def log_key(parser: Parser, *, required: bool = True) -> None:
    """`--log-key KEY`, read by `reading.keys`, or by `reading.log_keys` where a policy may stand for it."""
    parser.add_argument(
        "--log-key", required=required, metavar="KEY", help="the log's verifier key, or a file that holds it"
    )


def log_source(parser: Parser) -> None:
    """The published log, opened by `reading.source`."""
    parser.add_argument("log", metavar="DIRECTORY-or-URL", help="the root that holds 'checkpoint' and 'tile'")
    plain_http(parser)


def plain_http(parser: Parser) -> None:
    """`--plain-http`, for whatever takes an address."""
    parser.add_argument(
        "--plain-http",
        action="store_true",
        help="read from http:// addresses of other machines too; the log's signature protects what is read, "
        "but others can see and cut it",
    )


def jobs(parser: Parser, what: str) -> None:
    """`--jobs N`: how much is done side by side; None where it was not given.

    Args:
        parser: The command's.
        what: Completes "N …" and says the default, for the help.
    """
    parser.add_argument("--jobs", type=between(1, MAX_JOBS), metavar="N", help=what)


def between(least: int, most: int) -> Callable[[str], int]:
    """A type of argument: a whole number within these bounds."""

    def number(text: str) -> int:
        digits = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
        if not digits or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"give a number from {least} to {most}")
        return int(text)

    return number
