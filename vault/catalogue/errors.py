"""The one error of the catalogue: a pack that breaks a rule does not load."""

from vault.errors import VaultError


class CatalogueError(VaultError):
    """A pack breaks a rule of the catalogue and was not loaded.

    Attributes:
        file: The pack's file, as `cn/categories/fin.toml`.
        rule: The number of the broken rule in `vault/catalogue/README.md`.
        category: The category it is about, where there is one.
        field: The field or member it is about, where there is one.
        problem: What is wrong.
        remedy: What to do about it.
    """

    def __init__(
        self, file: str, rule: str, problem: str, remedy: str, *, category: str = "", field: str = ""
    ) -> None:
        self.file = file
        self.rule = rule
        self.category = category
        self.field = field
        self.problem = problem
        self.remedy = remedy
        place = [file]
        if category:
            place.append(f"category {category}")
        if field:
            place.append(f"field {field}")
        super().__init__(f"{', '.join(place)}: {problem} (CATALOGUE {rule}). {remedy}")
