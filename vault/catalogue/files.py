"""A pack as its files say it: decoded, not yet trusted. What the rules look at."""

from collections.abc import Mapping
from dataclasses import dataclass

from vault.catalogue.errors import CatalogueError
from vault.catalogue.schema import Bases, Category, Condition, Forbidden, Pack, Requesters, Sources
from vault.catalogue.screening import Screen


@dataclass(frozen=True, slots=True)
class Files:
    """All files of a pack. `categories`: file name to category."""

    name: str
    pack: Pack
    sources: Sources
    bases: Bases
    requesters: Requesters
    forbidden: Forbidden
    categories: Mapping[str, Category]

    def file(self, name: str) -> str:
        """Names one file of the pack, for an error."""
        return f"{self.name}/{name}"


@dataclass(frozen=True, slots=True)
class CategoryFile:
    """One category in its file, with the pack around it."""

    files: Files
    screen: Screen
    file: str
    category: Category

    def broken(self, rule: str, problem: str, remedy: str, field: str = "") -> CatalogueError:
        """Returns the error that names this file and category."""
        return CatalogueError(self.file, rule, problem, remedy, category=self.category.code, field=field)

    def check_condition(self, condition: Condition, rule: str, place: str) -> None:
        """Checks that a condition can ever hold.

        Raises:
            CatalogueError: It names a field that does not exist or a value the field cannot take.
        """
        field = self.category.fields.get(condition.field)
        if field is None:
            raise self.broken(
                rule, "the condition names a field that does not exist", "Name one that does.", place
            )
        possible = (True, False) if field.kind == "boolean" else field.values
        if not condition.values or not all(value in possible for value in condition.values):
            raise self.broken(
                rule,
                "the condition names a value its field cannot take",
                "Name values of that enum, or true or false of that boolean.",
                place,
            )
