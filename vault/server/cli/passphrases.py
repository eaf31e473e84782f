"""`creditvault keys passphrase`: the keyring under another passphrase, while its users go on."""

import getpass
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from vault.crypto import handover
from vault.server.cli.output import AsJson, print_json
from vault.server.providers import PassphraseMissingError, ProviderSettingsError, keyring
from vault.server.settings import Settings


def change(
    new_file: Annotated[
        Path | None,
        typer.Option(help="File of mode 0600 that holds the new passphrase; else it is typed twice."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give the keyring another passphrase; servers and workers that run go on, and later ones need it.

    The one before comes from where it always does: CREDITVAULT_PASSPHRASE_FILE, the systemd credential
    `creditvault-passphrase`, or the terminal. The new one may be the credential `creditvault-new-passphrase`,
    too. Older copies of the keyring open with the one before.

    Example: `creditvault keys passphrase --new-file new.txt`
    """
    settings = Settings()
    if "file" not in settings.key_providers:
        raise ProviderSettingsError(
            f"the key provider {settings.key_provider} has no keyring, and so no passphrase of one: see "
            "docs/operations.md for what opens it"
        )
    opened = keyring(settings)
    new = _new(settings, new_file)
    if not yes:
        typer.confirm(f"{settings.keyring_path} will open with the new passphrase alone. Go on?", abort=True)
    opened.change_passphrase(new)
    if not as_json:
        typer.echo(
            f"the keyring {settings.keyring_path} has the new passphrase: put it where the old one was read "
            "from, before anything is started"
        )
        typer.echo(f"running processes take it over, for {handover.LIFE:.0f} seconds")
    time.sleep(handover.LIFE)
    opened.end_handover()
    if as_json:
        print_json({"keyring": str(settings.keyring_path)})
    else:
        typer.echo("done")


def _new(settings: Settings, file: Path | None) -> str:
    try:
        found = settings.read_new_passphrase(file)
    except OSError as error:
        raise PassphraseMissingError(
            f"the file {file} with the new passphrase cannot be read: {error.strerror}"
        ) from None
    if found is None and sys.stdin is not None and sys.stdin.isatty():
        found = getpass.getpass("New passphrase: ")
        if getpass.getpass("Once more: ") != found:
            raise PassphraseMissingError("the two are not the same: nothing was changed")
    if not found:
        raise PassphraseMissingError(
            "no new passphrase is given: name a file of mode 0600 that holds it with --new-file"
        )
    return found
