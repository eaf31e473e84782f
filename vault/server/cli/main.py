"""The command `creditvault`: every group of commands, and where errors become one line and a code.

Exit codes: 0 done; 1 done, and something was found wrong (rejected rows, tampering); 2 not done, and why;
130 interrupted.
"""

import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import structlog
import typer
from typer.exceptions import Abort, TyperException

from vault.server import core_files
from vault.server.cli import (
    authorization,
    basis,
    body,
    cases,
    catalogue,
    consent,
    deciding,
    docs,
    doctor,
    enrolling,
    erasing,
    expiring,
    flags,
    hold,
    identity,
    keys,
    log,
    oauth,
    officer,
    registrar,
    retention,
    serving,
    witness,
)
from vault.server.cli.faults import in_words
from vault.server.cli.output import examples
from vault.server.logging import configure

NOT_DONE = 2
INTERRUPTED = 130
_SIGNALLED = 128

app = typer.Typer(
    name="creditvault",
    help="A privacy-first personal credit vault.",
    epilog=examples("creditvault demo", "creditvault migrate", "creditvault serve --port 8440"),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
serving.add_to(app)
app.command(name="doctor")(doctor.doctor)
app.command(name="decide")(deciding.decide)
app.command(name="enrol")(enrolling.enrol)
app.command(name="expiring")(expiring.list_expiring)
app.command(name="retention")(retention.show)
app.add_typer(body.app, name="body")
app.add_typer(officer.app, name="officer")
app.add_typer(registrar.app, name="registrar")
app.add_typer(basis.app, name="basis")
app.add_typer(authorization.app, name="authorization")
app.add_typer(cases.app, name="cases")
app.add_typer(catalogue.app, name="catalogue")
app.add_typer(consent.app, name="consent")
app.add_typer(erasing.app, name="erase")
app.add_typer(flags.app, name="flags")
app.add_typer(hold.app, name="hold")
app.add_typer(identity.app, name="identity")
app.add_typer(keys.app, name="keys")
app.add_typer(log.app, name="log")
app.add_typer(oauth.app, name="oauth")
app.add_typer(witness.app, name="witness")
app.command(name="docs")(docs.docs)
_events = structlog.get_logger()


def main() -> NoReturn:
    """Runs the command of this process and ends it."""
    core_files.forbid()
    # Libraries speak on standard error and in JSON too: standard output is the command's own.
    configure("warning")
    signal.signal(signal.SIGTERM, _end)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code; an error is one line on standard error."""
    try:
        code = typer.main.get_command(app).main(
            list(arguments), prog_name="creditvault", standalone_mode=False
        )
    except (Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 -- this is the one place; none may leave as a traceback
        words = in_words(error)
        if words is None:
            _events.critical("unforeseen_error", exc_info=error)
            words = "an error nobody foresaw; the line above names its place"
        if isinstance(error, TyperException):
            words = f"{words.removeprefix('.')} See `{_asked(arguments)} --help`.".strip()
        sys.stderr.write(f"creditvault: {' '.join(words.split())}\n")
        return NOT_DONE
    return code if isinstance(code, int) else 0


def _asked(arguments: Sequence[str]) -> str:
    """The command as far as it names one: no option and no value is repeated."""
    known: list[str] = []
    commands = getattr(typer.main.get_command(app), "commands", {})
    for word in arguments:
        if word not in commands:
            break
        known.append(word)
        commands = getattr(commands[word], "commands", {})
    return " ".join(["creditvault", *known])


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    """Ends in order: what a command holds open, an embedded database for instance, is let go."""
    raise SystemExit(_SIGNALLED + number)
