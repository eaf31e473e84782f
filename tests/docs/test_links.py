"""What a page points at is there: files, headings, code, commands, settings, targets."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.docs.pages import EVERY_PAGE, GUIDES, ROOT, name_of, prose
from vault.server.cli.main import app
from vault.server.settings import Settings

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_TOP = {path.name for path in ROOT.iterdir()}
# As a command stands in a sentence, at the beginning of a line, or behind a path.
_COMMAND = re.compile(r"(?:`|^|/bin/)creditvault ([a-z-]+)(?: ([a-z-]+))?", re.MULTILINE)
_ELSEWHERE = ("http://", "https://", "mailto:")


def _anchor(heading: str) -> str:
    """How a forge names a heading in an address."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        if target.startswith(_ELSEWHERE):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path) if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in {_anchor(heading) for heading in _HEADING.findall(there.read_text())}, target


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_files_that_are_named_are_there(page: Path) -> None:
    for code in _CODE.findall(prose(page)):
        first, slash, _ = code.partition("/")
        if slash and first in _TOP and re.fullmatch(r"[\w./-]+", code):
            assert (ROOT / code).exists(), code


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_settings_that_are_named_exist(page: Path) -> None:
    known = {name.upper() for name in Settings.model_fields} | {"FAIL_ON_SKIP"}
    assert set(re.findall(r"CREDITVAULT_([A-Z0-9_]*[A-Z0-9])", page.read_text())) <= known


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_commands_that_are_named_exist(page: Path) -> None:
    root: Any = typer.main.get_command(app)
    for first, second in _COMMAND.findall(page.read_text()):
        assert first in root.commands, f"creditvault {first}"
        if second and hasattr(root.commands[first], "commands"):
            assert second in root.commands[first].commands, f"creditvault {first} {second}"


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_targets_that_are_named_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE)) <= targets
