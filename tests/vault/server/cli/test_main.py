"""What every command shares: help with an example, one line for an error, exit codes."""

import sqlite3
from uuid import UUID

import pytest
import typer
from pydantic import ValidationError
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from access_log.errors import OutsideLockError
from consent.errors import StateError
from tests.vault.server.commands import CommandLine, run_python
from vault.catalogue import CatalogueError
from vault.crypto.errors import KeyringError
from vault.records.mapping import MappingError
from vault.server.cli.faults import in_words
from vault.server.cli.main import app, run
from vault.server.database import SchemaError
from vault.server.settings import Settings


def _commands() -> list[list[str]]:
    found: list[list[str]] = [[]]
    for path in found:
        command = typer.main.get_command(app)
        for word in path:
            command = getattr(command, "commands")[word]  # noqa: B009 -- a group's, not every command's
        found.extend([*path, word] for word in getattr(command, "commands", {}))
    return found


COMMANDS = _commands()


def test_every_command_asked_for_is_there() -> None:
    groups = {
        "body": {
            "add",
            "keys",
            "certify",
            "narrow",
            "amend",
            "suspend",
            "reinstate",
            "strike-off",
            "mark",
            "appeal",
            "conduct",
            "list",
            "quality",
        },
        "officer": {"add", "end", "list"},
        "registrar": {"add", "end", "list", "key", "sign", "hand-in", "agree", "name", "read", "orders"},
        "basis": {"add", "end", "list"},
        "authorization": {"propose", "approve", "revoke", "list"},
        "log": {
            "show",
            "publish",
            "archive",
            "fsck",
            "audit-streams",
            "reconcile",
            "rotate-key",
            "close",
            "reimport",
            "endings",
            "rebuild",
        },
        "keys": {"list", "rotate", "rotate-subject", "passphrase", "move", "destroy", "expire"},
        "erase": {"order", "carry-out"},
        "oauth": {"rotate-key", "keys"},
        "cases": {"list", "show"},
        "catalogue": {"list", "schema"},
        "consent": {"verify-copy"},
        "flags": {"list"},
        "hold": {"place", "lift", "list"},
        "identity": {"merge", "split", "show"},
        "witness": {"init", "key", "add-log", "remove-key", "show", "serve"},
    }
    alone = {
        "serve",
        "migrate",
        "worker",
        "demo",
        "enrol",
        "doctor",
        "docs",
        "decide",
        "expiring",
        "retention",
    }
    expected: set[tuple[str, ...]] = {(name,) for name in alone}
    expected |= {(group,) for group in groups}
    expected |= {(group, name) for group, names in groups.items() for name in names}
    assert {tuple(command) for command in COMMANDS} == expected | {()}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert f"Example: {' '.join(['creditvault', *command])}" in out
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gibberish"], "No such command 'gibberish'. See `creditvault --help`"),
        (["body", "nonsense"], "See `creditvault body --help`"),
        (["body", "suspend"], "Missing argument 'BODY'. See `creditvault body suspend --help`"),
        (["body", "suspend", "not-a-uuid", "--reason", "x"], "'BODY'"),
        (["log", "show", "--last", "0"], "--last"),
        (["serve", "--port", "http"], "--port"),
        (["enrol", "/nowhere.csv", "--body", str(UUID(int=1))], "'file'"),
        (["doctor", "--colour"], "No such option"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert words in err


def test_a_wrong_setting_is_named_without_its_value(bare: CommandLine) -> None:
    bare.set(port="4111222233334444", issuer="http://elsewhere.example")
    line = bare.refused("body", "list")
    assert "CREDITVAULT_PORT" in line
    assert "CREDITVAULT_ISSUER: must be https outside loopback" in line
    assert "4111222233334444" not in line
    assert "elsewhere" not in line


class _NoRightError(sqlite3.Error):
    sqlstate = "42501"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SchemaError("behind: migrate"), "behind: migrate"),
        (KeyringError("the keyring: mend it"), "the keyring: mend it"),
        (OutsideLockError("restore the lock"), "restore the lock"),
        (StateError("it is suspended"), "it is suspended"),
        (CatalogueError("cn/pack.toml", "1.1", "no pack", "Name another."), "no pack (CATALOGUE 1.1)"),
        (MappingError("a.toml", 3, "no column x", "Rename it."), "a.toml, line 3: no column x. Rename it."),
        (FileNotFoundError(2, "No such file or directory", "/etc/x"), "/etc/x: No such file or directory"),
        (OSError(98, "the port is taken: choose another"), "the port is taken: choose another"),
        (OperationalError("SELECT 'secret'", {}, sqlite3.Error("secret")), "run `creditvault doctor`"),
        (InterfaceError("SELECT 'secret'", {}, sqlite3.Error("secret")), "run `creditvault doctor`"),
        (PoolTimeoutError("secret"), "run `creditvault doctor`"),
        (ProgrammingError("SELECT 'secret'", {}, _NoRightError("secret")), "lacks a right"),
    ],
)
def test_every_room_speaks_in_its_own_words(error: Exception, words: str) -> None:
    said = in_words(error)
    assert said is not None
    assert words in said
    assert "secret" not in said


def test_a_setting_of_the_wrong_type_is_named() -> None:
    with pytest.raises(ValidationError) as raised:
        Settings(workers=0)
    assert "CREDITVAULT_WORKERS" in str(in_words(raised.value))


def test_what_nobody_foresaw_has_no_words() -> None:
    assert in_words(RuntimeError("4111")) is None


def test_what_nobody_foresaw_is_no_traceback_and_shows_no_value() -> None:
    ran = run_python(
        "import vault.server.cli.docs as d, sys\n"
        "d.configuration = lambda: int('secret 4111')\n"
        "from vault.server.cli import main\n"
        "sys.argv = ['creditvault', 'docs']\n"
        "main()"
    )
    assert ran.code == 2
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert "4111" not in ran.err
    assert '"event": "unforeseen_error"' in ran.err
    assert ran.err.splitlines()[-1].startswith("creditvault: ")


def test_the_module_is_the_command_too() -> None:
    ran = run_python("import runpy, sys; sys.argv = ['x', '--help']; runpy.run_module('vault.server.cli')")
    assert ran.code == 0
    assert "creditvault" in ran.out
