"""The command `creditvault`: every group of commands, and where errors become one line and a code.

Exit codes: 0 done; 1 done, and something was found wrong (rejected rows, tampering); 2 not done, and why.
"""

import sys

import typer
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from typer.exceptions import Abort, TyperException

from access_log.errors import AccessLogError
from consent.errors import ConsentError
from vault.crypto.errors import CryptoError
from vault.errors import VaultError
from vault.server.cli import authorizing, body, docs, doctor, enrolling, log, serving

NOT_DONE = 2
INTERRUPTED = 130

app = typer.Typer(
    name="creditvault",
    help="A privacy-first personal credit vault.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
serving.add_to(app)
app.command(name="doctor")(doctor.doctor)
app.command(name="enrol")(enrolling.enrol)
app.add_typer(body.app, name="body")
app.add_typer(body.officers, name="officer")
app.add_typer(authorizing.registrar, name="registrar")
app.add_typer(authorizing.basis, name="basis")
app.add_typer(authorizing.authorization, name="authorization")
app.add_typer(log.app, name="log")
app.command(name="docs", hidden=True)(docs.docs)


def main() -> None:
    """Runs one command; every expected error is one line on standard error that says what to do."""
    try:
        code = app(standalone_mode=False)
    except TyperException as error:
        _say(f"{error.format_message().rstrip('.')}. See `{_asked()} --help`.".removeprefix(". "))
    except (Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except ValidationError as error:
        # Only which setting and which rule: a value may be a secret.
        faults = [f"CREDITVAULT_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors()]
        _say("; ".join(faults))
    except (VaultError, CryptoError, AccessLogError, ConsentError) as error:
        _say(str(error))
    except SQLAlchemyError as error:
        # Its text would quote the statement; the class of the cause says enough.
        cause = type(getattr(error, "orig", None) or error).__name__
        _say(f"the database refused or could not be reached ({cause}): run `creditvault doctor`")
    except OSError as error:
        _say(error.strerror if error.filename is None else f"{error.filename}: {error.strerror}")
    else:
        sys.exit(code if isinstance(code, int) else 0)
    sys.exit(NOT_DONE)


def _asked() -> str:
    """The command as far as it names one: no option and no value is repeated."""
    known: list[str] = []
    commands = getattr(typer.main.get_command(app), "commands", {})
    for word in sys.argv[1:]:
        if word not in commands:
            break
        known.append(word)
        commands = getattr(commands[word], "commands", {})
    return " ".join(["creditvault", *known])


def _say(text: str | None) -> None:
    sys.stderr.write(f"creditvault: {' '.join((text or 'it failed').split())}\n")
