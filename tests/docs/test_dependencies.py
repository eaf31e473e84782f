"""docs/dependencies.md gives every package of pyproject.toml its reason, and names no other."""

import re
import tomllib
from itertools import chain

from tests.docs.pages import ROOT, rows


def test_every_package_has_its_reason() -> None:
    written = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = written["project"]
    required = chain(
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *written["dependency-groups"].values(),
    )
    names = sorted(re.split(r"[\[<>=~! ]", each)[0] for each in required)
    listed = list(rows(ROOT / "docs/dependencies.md"))
    assert sorted(name for name, _ in listed) == names
    assert all(reason for _, reason in listed)
