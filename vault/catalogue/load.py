"""Reads a pack from its folder, checks it whole, and only then hands out a catalogue."""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec

from vault.catalogue.catalogue import Catalogue
from vault.catalogue.errors import CatalogueError
from vault.catalogue.files import Files
from vault.catalogue.rules import check
from vault.catalogue.schema import (
    Bases,
    BodyKind,
    Category,
    Field,
    Forbidden,
    Pack,
    Requesters,
    Sources,
)
from vault.catalogue.screening import Screen

PACKS = Path(__file__).parent / "packs"

_FILES = ("pack.toml", "sources.toml", "bases.toml", "requesters.toml", "forbidden.toml", "fields.toml")
_REMEMBERED = 4
_README = "Its members are listed in vault/catalogue/README.md."
_Shape = TypeVar("_Shape")
_Table = dict[str, object]


def load_catalogue(pack: Path | str = "cn") -> Catalogue:
    """Loads a jurisdiction pack.

    Args:
        pack: The name of a pack that comes with the vault, or the folder of another.

    Raises:
        CatalogueError: The pack cannot be read or breaks a rule; nothing of it is used.
    """
    folder = PACKS / pack if isinstance(pack, str) and re.fullmatch(r"[a-z][a-z0-9-]*", pack) else Path(pack)
    return _checked(folder.name, tuple(_read(folder).items()))


@lru_cache(maxsize=_REMEMBERED)
def _checked(pack: str, texts: tuple[tuple[str, bytes], ...]) -> Catalogue:
    """The catalogue of these files. The same files give the same one, whoever asks within one process.

    Nearly all of a load is the parsing of TOML, and a command loads the pack at several places.
    """
    tables = {name: _parse(pack, name, raw) for name, raw in texts}
    files = _decode(pack, tables)
    screen = _screen(files)
    check(files, screen)
    return _build(files, screen, _digest(texts))


def _read(folder: Path) -> dict[str, bytes]:
    """Reads every file of the pack: relative name to content."""
    if not folder.is_dir():
        raise CatalogueError(
            folder.name,
            "1.1",
            "there is no such pack",
            f"Name one of {', '.join(sorted(path.name for path in PACKS.iterdir()))}, or a pack's folder.",
        )
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    texts: dict[str, bytes] = {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if name not in _FILES and not re.fullmatch(r"categories/[^/]+\.toml", name):
            raise CatalogueError(
                f"{folder.name}/{name}",
                "1.1",
                "this file is no part of a pack",
                f"Remove it; a pack has {', '.join(_FILES)} and categories/*.toml.",
            )
        try:
            texts[name] = path.read_bytes()
        except OSError as error:
            raise CatalogueError(
                f"{folder.name}/{name}", "1.1", "the file cannot be read", "Check its permissions."
            ) from error
    for name in _FILES:
        if name not in texts:
            raise CatalogueError(
                f"{folder.name}/{name}", "1.1", "the file is missing", "Write it, even if short."
            )
    return texts


def _digest(texts: Iterable[tuple[str, bytes]]) -> str:
    """Hashes names and contents, each with its length, so that no two packs share a digest."""
    whole = hashlib.sha256()
    for name, raw in texts:
        for part in (name.encode(), raw):
            whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


def _parse(pack: str, name: str, raw: bytes) -> _Table:
    try:
        return tomllib.loads(raw.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogueError(
            f"{pack}/{name}", "1.1", f"this is not TOML in UTF-8: {error}", "Correct it there."
        ) from error


def _decode(pack: str, tables: Mapping[str, _Table]) -> Files:
    groups = tables["fields.toml"].get("groups", {})
    if set(tables["fields.toml"]) - {"groups"} or not isinstance(groups, dict):
        raise CatalogueError(f"{pack}/fields.toml", "1.2", "it holds more than groups of fields", _README)
    categories = {
        name.removeprefix("categories/"): _decode_category(f"{pack}/{name}", table, groups)
        for name, table in tables.items()
        if name.startswith("categories/")
    }
    return Files(
        name=pack,
        pack=_shaped(f"{pack}/pack.toml", tables["pack.toml"], Pack),
        sources=_shaped(f"{pack}/sources.toml", tables["sources.toml"], Sources),
        bases=_shaped(f"{pack}/bases.toml", tables["bases.toml"], Bases),
        requesters=_shaped(f"{pack}/requesters.toml", tables["requesters.toml"], Requesters),
        forbidden=_shaped(f"{pack}/forbidden.toml", tables["forbidden.toml"], Forbidden),
        categories=categories,
    )


def _decode_category(file: str, table: _Table, groups: Mapping[str, object]) -> Category:
    """Gives a category the fields of its groups, and each field its name and its category's tier."""
    code = str(table.get("code", ""))
    own = table.get("fields", {})
    named: list[tuple[str, object]] = list(own.items()) if isinstance(own, dict) else []
    taken = table.get("groups", [])
    for group in taken if isinstance(taken, list) else [taken]:
        fields_of_group = groups.get(group) if isinstance(group, str) else None
        if not isinstance(fields_of_group, dict):
            raise CatalogueError(
                file,
                "1.5",
                "it takes a group of fields that fields.toml lacks",
                "Name one it has.",
                category=code,
            )
        named.extend(fields_of_group.items())
    fields: dict[str, Field] = {}
    for name, raw in named:
        if name in fields:
            raise CatalogueError(
                file, "1.3", "the field stands twice", "Rename or remove one.", category=code, field=name
            )
        if not isinstance(raw, dict) or {"name", "category"} & raw.keys():
            raise CatalogueError(
                file, "1.2", "a field is a table without name or category", _README, category=code, field=name
            )
        whole = {"tier": table.get("tier", ""), **raw, "name": name, "category": code}
        fields[name] = _shaped(file, whole, Field, category=code, field=name)
    whole_table = {name: value for name, value in table.items() if name not in {"groups", "fields"}}
    return _shaped(file, {**whole_table, "fields": fields}, Category, category=code)


def _shaped(
    file: str, table: Mapping[str, object], shape: type[_Shape], *, category: str = "", field: str = ""
) -> _Shape:
    try:
        return msgspec.convert(table, shape)
    except msgspec.ValidationError as error:
        raise CatalogueError(file, "1.2", str(error), _README, category=category, field=field) from error


def _screen(files: Files) -> Screen:
    for pattern in files.forbidden.patterns:
        try:
            re.compile(pattern.regex)
        except re.error as error:
            raise CatalogueError(
                files.file("forbidden.toml"),
                "6.4",
                "the pattern is no regular expression",
                "Correct it.",
                field=pattern.code,
            ) from error
    return Screen(files.forbidden)


def _build(files: Files, screen: Screen, digest: str) -> Catalogue:
    categories = {category.code: category for category in files.categories.values()}
    return Catalogue(
        pack=files.pack,
        digest=digest,
        timezone=ZoneInfo(files.pack.timezone),
        categories=categories,
        fields={field.full_name: field for found in categories.values() for field in found.fields.values()},
        sources={source.code: source for source in files.sources.sources},
        bases={basis.code: basis for basis in files.bases.bases},
        exemptions={basis.code: basis for basis in files.bases.exemptions},
        purposes={purpose.code: purpose for purpose in files.requesters.purposes},
        body_kinds={kind.code: kind for kind in files.requesters.body_kinds},
        forbidden={kind.code: kind for kind in files.forbidden.kinds},
        screen=screen,
        reach={
            kind.code: frozenset(
                field.full_name
                for category in categories.values()
                for field in category.fields.values()
                if _reaches(kind, category, field)
            )
            for kind in files.requesters.body_kinds
        },
    )


def _reaches(kind: BodyKind, category: Category, field: Field) -> bool:
    """A listed kind reaches up to the category's tier; beyond it, and unlisted, its own tier decides."""
    if category.display.rule == "never":
        return False
    if category.requesters is None:
        return field.tier <= kind.tier
    return kind.code in category.requesters and field.tier <= max(kind.tier, category.tier)
