"""The documents are true where a machine can tell."""

import re
import tomllib
from pathlib import Path

from vault import problems
from vault.server.cli.docs import configuration

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    page
    for page in ROOT.rglob("*.md")
    if not {".venv", ".pytest_cache", ".hypothesis"}.intersection(page.relative_to(ROOT).parts)
]


def test_the_page_of_settings_is_generated() -> None:
    assert (ROOT / "docs/configuration.md").read_text() == configuration(), "run `make docs`"


def test_every_problem_is_documented() -> None:
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs/problems.md").read_text(), re.MULTILINE))
    assert {problem.name for problem in problems.ALL} <= documented


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *project["optional-dependencies"]["embedded"]]
    names = {re.split(r"[\[>=<]", each)[0] for each in named}
    documented = set(
        re.findall(r"^\| ([a-z0-9-]+) \|", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE)
    )
    assert names == documented - {"package"}


def test_relative_links_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text())
        if not target.startswith(("http://", "https://", "mailto:")) and not (page.parent / target).exists()
    ]
    assert broken == []
