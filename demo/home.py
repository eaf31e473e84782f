"""Where the demo keeps its files, and that nobody else uses them meanwhile."""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vault.server.settings import Settings, default_home

_CHECKOUT = Path(__file__).resolve().parents[1]
_NAME_DIGITS = 8


class SetUpError(Exception):
    """The demo cannot begin; the message says what to do."""


def demo_home() -> Path:
    """CREDITVAULT_HOME, or a folder under the usual one that belongs to this checkout alone."""
    named = Settings()
    if "home" in named.model_fields_set:
        return named.home.absolute()
    digest = hashlib.sha256(os.fsencode(_CHECKOUT)).hexdigest()
    return default_home() / f"demo-{digest[:_NAME_DIGITS]}"


@contextmanager
def reserved(home: Path) -> Iterator[None]:
    """Holds the folder for this process; the operating system lets go when it ends, however it ends.

    Raises:
        SetUpError: another demo holds it, or it cannot be made.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(home / "demo.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SetUpError(
            f"its files cannot be kept under {home} ({error.strerror}): name another folder "
            "with CREDITVAULT_HOME."
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SetUpError(
                f"another demo runs on {home}: end it with Ctrl-C there, or name another folder with "
                "CREDITVAULT_HOME."
            ) from None
        yield
    finally:
        os.close(descriptor)


def passphrase_file(home: Path) -> Path:
    """The file with the keyring's passphrase; drawn once, readable by its owner alone."""
    path = home / "passphrase"
    if not path.exists():
        temporary = path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    return path
