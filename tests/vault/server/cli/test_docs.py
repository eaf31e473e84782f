"""Pages that are written by the code they describe are as the code would write them."""

from pathlib import Path

import pytest

from tests.vault.server.commands import ROOT
from vault.server.cli.docs import configuration
from vault.server.cli.main import run
from vault.server.settings import Settings


def test_the_configuration_page_is_the_settings() -> None:
    assert (ROOT / "docs/configuration.md").read_text() == configuration(), "run `make docs`"


def test_every_setting_is_described() -> None:
    page = configuration()
    for name, field in Settings.model_fields.items():
        assert f"`CREDITVAULT_{name.upper()}`" in page
        assert field.description


def test_the_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["docs", "--folder", str(tmp_path)]) == 0
    assert (tmp_path / "configuration.md").read_text() == configuration()
    assert "configuration.md" in capsys.readouterr().out
    assert run(["docs", "--folder", str(tmp_path / "nowhere")]) == 2
