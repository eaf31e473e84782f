"""The rules a pack must keep beyond its shape, numbered as in `README.md`.

Each check raises `CatalogueError` for the first rule broken.
"""

import re
from collections.abc import Iterable
from zoneinfo import ZoneInfo

from vault.catalogue.category_rules import CategoryCheck
from vault.catalogue.errors import CatalogueError
from vault.catalogue.files import CategoryFile, Files
from vault.catalogue.schema import TIERS
from vault.catalogue.screening import Screen

LEVELS = ("never", "warned-consent")

FLOOR = (
    "religion",
    "genes",
    "fingerprints",
    "blood_type",
    "disease",
    "ethnicity",
    "politics",
    "union",
    "sexuality",
    "score",
    "consent_refusal",
)
"""What every pack forbids, whatever its law."""

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_BODY_KIND = re.compile(r"[a-z][a-z-]{0,63}")
_CATEGORY = re.compile(r"[A-Z]{3}")


def check(files: Files, screen: Screen) -> None:
    """Checks every rule that needs more than one value.

    Raises:
        CatalogueError: A rule is broken.
    """
    _check_pack(files)
    _check_codes(files)
    _check_references(files)
    _check_forbidden(files)
    for name, category in files.categories.items():
        CategoryCheck(CategoryFile(files, screen, files.file(f"categories/{name}"), category)).run()


def _check_pack(files: Files) -> None:
    pack, file = files.pack, files.file("pack.toml")
    if pack.schema != 1:
        raise CatalogueError(
            file, "1.4", "the schema is not 1", "Write schema = 1, or upgrade the vault.", field="schema"
        )
    try:
        ZoneInfo(pack.timezone)
    except (KeyError, ValueError, OSError) as error:
        raise CatalogueError(
            file,
            "1.4",
            "the time zone is unknown",
            "Use an IANA name, as Asia/Shanghai.",
            field="timezone",
        ) from error
    limits = pack.limits
    bounds = {
        "adult_years": (18, limits.adult_years, 100),
        "text_length": (1, limits.text_length, 2000),
        "code_length": (1, limits.code_length, 200),
        "open_months": (1, limits.open_months, 13),
        "adverse.months": (1, pack.adverse.months, 120),
    }
    for name, (low, value, high) in bounds.items():
        if not low <= value <= high:
            raise CatalogueError(
                file, "5.1", "the limit is out of bounds", f"Choose {low} to {high}.", field=name
            )
    for tier in pack.display_tiers:
        if not 0 <= tier.min_months <= tier.max_months:
            raise CatalogueError(
                file,
                "4.3",
                f"display tier {tier.code} ends before it begins",
                "Make min_months at least 0 and at most max_months.",
            )


def _check_codes(files: Files) -> None:
    tables: list[tuple[str, str, Iterable[str], re.Pattern[str]]] = [
        ("pack.toml", "code", [files.pack.code], _CODE),
        ("pack.toml", "display_tiers", [tier.code for tier in files.pack.display_tiers], _CODE),
        ("sources.toml", "sources", [source.code for source in files.sources.sources], _CODE),
        ("bases.toml", "bases", [basis.code for basis in files.bases.bases], _CODE),
        ("bases.toml", "exemptions", [basis.code for basis in files.bases.exemptions], _CODE),
        ("requesters.toml", "body_kinds", [kind.code for kind in files.requesters.body_kinds], _BODY_KIND),
        ("requesters.toml", "purposes", [purpose.code for purpose in files.requesters.purposes], _CODE),
        ("forbidden.toml", "kinds", [kind.code for kind in files.forbidden.kinds], _CODE),
        ("forbidden.toml", "patterns", [pattern.code for pattern in files.forbidden.patterns], _CODE),
    ]
    for file, table, codes, shape in tables:
        _check_unique(files.file(file), table, codes, shape)
    seen: set[str] = set()
    for name, category in files.categories.items():
        file = files.file(f"categories/{name}")
        _check_unique(file, "code", [category.code], _CATEGORY)
        if category.code in seen:
            raise CatalogueError(
                file,
                "1.3",
                "another file has this category's code",
                "Give each category a code of its own.",
                category=category.code,
            )
        seen.add(category.code)
        if name != f"{category.code.lower()}.toml":
            raise CatalogueError(
                file,
                "1.3",
                "the file is not named after its category",
                f"Name it {category.code.lower()}.toml.",
                category=category.code,
            )


def _check_unique(file: str, table: str, codes: Iterable[str], shape: re.Pattern[str]) -> None:
    seen: set[str] = set()
    for code in codes:
        if not shape.fullmatch(code):
            raise CatalogueError(
                file, "1.3", f"the code {code!r} is malformed", f"Use {shape.pattern}.", field=table
            )
        if code in seen:
            raise CatalogueError(
                file, "1.3", f"the code {code} stands twice", "Remove one of them.", field=table
            )
        seen.add(code)


def _check_references(files: Files) -> None:
    sources = {source.code for source in files.sources.sources}
    categories = {category.code for category in files.categories.values()}
    cited = [
        ("pack.toml", "adverse", files.pack.adverse.source),
        *(("pack.toml", tier.code, tier.source) for tier in files.pack.display_tiers),
        *(("bases.toml", basis.code, basis.source) for basis in files.bases.bases),
        *(("bases.toml", basis.code, basis.source) for basis in files.bases.exemptions),
        *(("forbidden.toml", kind.code, kind.source) for kind in files.forbidden.kinds),
    ]
    for file, place, source in cited:
        if source not in sources:
            raise CatalogueError(
                files.file(file),
                "1.5",
                f"{place} cites a source that sources.toml does not list",
                "List the source, or cite one that is listed.",
                field=place,
            )
    file = files.file("requesters.toml")
    for kind in files.requesters.body_kinds:
        if kind.tier not in TIERS:
            raise CatalogueError(
                file, "5.2", "the tier is unknown", "Use T1, T2 or T3.", field=f"body_kinds.{kind.code}.tier"
            )
    for purpose in files.requesters.purposes:
        place = f"purposes.{purpose.code}"
        if not purpose.categories:
            raise CatalogueError(
                file, "5.3", "the purpose reaches nothing", "Name its categories, or remove it.", field=place
            )
        if not categories.issuperset(purpose.categories):
            raise CatalogueError(
                file,
                "1.5",
                "the purpose names a category that does not exist",
                "Name categories that have a file.",
                field=place,
            )


def _check_forbidden(files: Files) -> None:
    file = files.file("forbidden.toml")
    for kind in files.forbidden.kinds:
        if kind.level not in LEVELS:
            raise CatalogueError(
                file, "6.2", "the level is unknown", f"Use one of {', '.join(LEVELS)}.", field=kind.code
            )
        if not kind.names:
            raise CatalogueError(
                file,
                "6.3",
                "no name betrays this kind",
                "List names of columns it hides under.",
                field=kind.code,
            )
    never = {kind.code for kind in files.forbidden.kinds if kind.level == "never"}
    missing = [code for code in FLOOR if code not in never]
    if missing:
        raise CatalogueError(
            file,
            "6.1",
            f"the pack does not forbid {', '.join(missing)}",
            "Forbid it with the level never: no pack may allow it.",
        )
