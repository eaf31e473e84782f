"""The command line `creditvault`: one file for each group of commands, errors translated in one place."""

from vault.server.cli.main import main

__all__ = ["main"]
