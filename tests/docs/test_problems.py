"""docs/problems.md lists every problem the API answers with, by name, status and title."""

from types import ModuleType

from tests.docs.pages import ROOT, rows
from vault import problems
from vault.problems import Problem
from vault.server.portal import routes


def _declared(module: ModuleType) -> set[Problem]:
    return {value for value in vars(module).values() if isinstance(value, Problem)}


def test_every_problem_is_documented_as_it_is() -> None:
    listed = {(cells[0].strip("`"), int(cells[1]), cells[2]) for cells in rows(ROOT / "docs/problems.md")}
    declared = _declared(problems) | _declared(routes)
    assert listed == {(one.name, one.status.value, one.title) for one in declared}


def test_the_modules_own_list_leaves_none_out() -> None:
    assert set(problems.ALL) == _declared(problems)
