"""Examples in the pages are of the form they show: Python that can be compiled and JSON that can be read."""

import ast
import importlib
import json
from pathlib import Path

import pytest

from consent.oauth.rar import read_request
from tests.docs.pages import GUIDES, ROOT, blocks, name_of, rows
from vault.schemas import QueryIn

API = ROOT / "docs/api.md"
_UUID = "5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11"


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_python_compiles_and_imports_what_there_is(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), node.module


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_json_can_be_read(page: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block)


def _assigned(name: str) -> dict[str, object]:
    """A dictionary that an example assigns, its own names filled in."""
    for block in blocks(API, "python"):
        for node in ast.parse(block).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == name:
                filled = ast.unparse(node.value).replace("OFFICER", repr(_UUID))
                found: dict[str, object] = ast.literal_eval(filled)
                return found
    raise LookupError(name)


def test_the_queries_shown_would_be_accepted() -> None:
    query = _assigned("QUERY")
    assert QueryIn.model_validate_json(json.dumps(query)).purpose == "court-enforcement"
    details = {"type": "statutory_query", "authorization": _UUID, "actions": ["read"], **query}
    for each in (details, _assigned("WANTED")):
        assert read_request(json.dumps([each]))


# Messages are quoted in italics, in the first cell of a row; `…` stands for what is filled in.
@pytest.mark.parametrize("name", ["operations", "verification"])
def test_the_messages_explained_are_those_that_are_said(name: str) -> None:
    said = _joined_literals()
    cells = [each[0] for each in rows(ROOT / f"docs/{name}.md") if each[0].startswith("*")]
    quoted = [message for cell in cells for message in cell.strip("*").split("*, *")]
    assert len(quoted) > 10
    for message in quoted:
        assert all(part.strip() in said for part in message.split("…")), message


def _joined_literals() -> str:
    """Every string of the code, pieces that Python joins joined, formatted parts left out."""
    found = []
    for room in ("access_log", "consent", "vault"):
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = (part.value for part in node.values if isinstance(part, ast.Constant))
                    found.append("\0".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return "\n".join(found)
