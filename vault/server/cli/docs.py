"""`creditvault docs`: the pages of docs/ that are written by the code they describe."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic_core import PydanticUndefined

from vault.server.settings import Settings

_HEAD = """# Configuration

Every setting is an environment variable `CREDITVAULT_<NAME>`; nothing else reads it. This page is
written by `make docs` from `vault/server/settings.py`.

| variable | default | meaning |
|---|---|---|
"""


def docs(
    folder: Annotated[Path, typer.Option(file_okay=False, help="Where the pages are.")] = Path("docs"),
) -> None:
    """Write the generated pages of the documentation.

    Example: `creditvault docs`
    """
    page = folder / "configuration.md"
    page.write_text(configuration())
    typer.echo(f"wrote {page}")


def configuration() -> str:
    """The page of all settings, in Markdown."""
    rows = [
        f"| `CREDITVAULT_{name.upper()}` | {_default(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return _HEAD + "\n".join(rows) + "\n"


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "depends on the user"
    if value is None:
        return "unset"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
