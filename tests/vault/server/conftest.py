"""The command line on a fresh, migrated database."""

import pytest

from tests.vault.server.commands import CommandLine
from vault.server.settings import Settings


@pytest.fixture
def bare(
    vault_settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    """Without keys and log yet."""
    return CommandLine(vault_settings, monkeypatch, capsys)


@pytest.fixture
def creditvault(bare: CommandLine) -> CommandLine:
    """With keys and an empty log."""
    bare.set_up()
    return bare
