"""Every error of every room as one line that says what to do: the command line does it here alone."""

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from typer.exceptions import TyperException

from access_log.errors import AccessLogError
from consent.errors import ConsentError
from vault.crypto.errors import CryptoError
from vault.errors import VaultError

_PRIVILEGE = "42501"


def in_words(error: Exception) -> str | None:
    """What to tell the operator; None for an error nobody foresaw. No value that was given is repeated."""
    if isinstance(error, TyperException):
        return f"{error.format_message().strip().rstrip('.')}."
    if isinstance(error, ValidationError):
        return _setting(error)
    # A catalogue's and a mapping's errors are the vault's too (CatalogueError, MappingError).
    if isinstance(error, VaultError | CryptoError | AccessLogError | ConsentError):
        return str(error)
    if isinstance(error, SQLAlchemyError):
        return _database(error)
    if isinstance(error, OSError):
        return _file(error)
    return None


def _setting(error: ValidationError) -> str:
    """Which setting and which rule: a value may be a secret."""
    faults = (
        f"CREDITVAULT_{str(fault['loc'][0]).upper()}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors(include_input=False, include_url=False)
    )
    return f"{'; '.join(faults)}. docs/configuration.md lists every setting."


def _database(error: SQLAlchemyError) -> str:
    """The class of the cause alone: its text would quote the statement."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    if getattr(cause, "sqlstate", None) == _PRIVILEGE:
        return (
            "the database role lacks a right it needs: run `creditvault migrate`, then `creditvault doctor`"
        )
    name = type(cause or error).__name__
    return f"the database refused or could not be reached ({name}): run `creditvault doctor`"


def _file(error: OSError) -> str:
    reason = error.strerror or type(error).__name__
    return reason if error.filename is None else f"{error.filename}: {reason}; name another, or mend it"
