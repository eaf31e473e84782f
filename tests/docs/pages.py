"""The documents: what is read by the tests beside this file."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_ELSEWHERE = {
    ".git",
    ".venv",
    ".hypothesis",
    ".pytest_cache",
    ".ruff_cache",
    ".mypy_cache",
    "build",
    "dist",
    "node_modules",
}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

EVERY_PAGE = sorted(
    page for page in ROOT.rglob("*.md") if _ELSEWHERE.isdisjoint(page.relative_to(ROOT).parts)
)
"""All Markdown files of the repository."""

GUIDES = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md", "THIRD_PARTY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "deploy/README.md",
    ROOT / "demo/README.md",
]
"""Those that lead people through the whole; rooms have pages of their own beside their code."""


def name_of(page: Path) -> str:
    """A page as a test's id."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> Iterator[str]:
    """The fenced blocks of one language."""
    for found, content in _FENCE.findall(page.read_text()):
        if found == language:
            yield content


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def rows(page: Path) -> Iterator[list[str]]:
    """The cells of each table row, heads and rules left out."""
    lines = prose(page).splitlines()
    for at, line in enumerate(lines):
        is_head = at + 1 < len(lines) and lines[at + 1].startswith("|--")
        if line.startswith("|") and not line.startswith("|--") and not is_head:
            yield [cell.strip() for cell in line.strip().strip("|").split("|")]
