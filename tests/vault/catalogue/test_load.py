"""Every rule of the catalogue is broken once, and the error names file, category, field, rule and remedy."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vault.catalogue import CatalogueError, load_catalogue
from vault.catalogue.load import PACKS
from vault.catalogue.rules import FLOOR

FIN, FDS, COM, IDN, POS = (f"categories/{code}.toml" for code in ("fin", "fds", "com", "idn", "pos"))
README = Path(__file__).parents[3] / "vault" / "catalogue" / "README.md"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A copy of the default pack, to be broken."""
    return Path(shutil.copytree(PACKS / "cn", tmp_path / "cn"))


@pytest.fixture
def break_pack(pack: Path) -> Callable[[str, str, str], CatalogueError]:
    """Replaces a text in a file of the pack and returns the error of loading it."""

    def break_it(file: str, old: str, new: str) -> CatalogueError:
        path = pack / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(CatalogueError) as caught:
            load_catalogue(pack)
        return caught.value

    return break_it


FIELD = "[fields.type]\n"
EXTRA = '[fields.{}]\nkind = "{}"\ntitle = "Extra"\n{}\n' + FIELD
BROKEN = [
    # rule, file, old, new, category, field
    ("1.1", "pack.toml", "schema = 1", "schema = ", "", ""),
    ("1.2", "pack.toml", "schema = 1", "schema = 1\ncolour = 2", "", ""),
    ("1.2", "pack.toml", "adult_years = 18", 'adult_years = "18"', "", ""),
    ("1.2", "sources.toml", "verified = true\n", "", "", ""),
    ("1.2", "fields.toml", "[groups.conduct.conduct_start]", "[grapes.conduct.conduct_start]", "", ""),
    ("1.2", FIN, 'tier = "T3"', 'tier = "T3"\nscore = true', "FIN", ""),
    ("1.2", FIN, FIELD, FIELD + "wide = true\n", "FIN", "type"),
    ("1.2", FIN, FIELD, FIELD + 'name = "other"\n', "FIN", "type"),
    ("1.3", FIN, 'code = "FIN"', 'code = "FDS"', "FDS", ""),
    ("1.3", FIN, 'code = "FIN"', 'code = "FIX"', "FIX", ""),
    ("1.3", FIN, 'code = "FIN"', 'code = "fin"', "", "code"),
    ("1.3", "bases.toml", 'code = "PATENT"', 'code = "TRADEMARK"', "", "bases"),
    ("1.3", "requesters.toml", 'code = "court"', 'code = "The Court"', "", "body_kinds"),
    ("1.3", FDS, 'groups = ["decision"]', 'groups = ["decision", "conduct"]', "FDS", "conduct_start"),
    ("1.3", FIN, FIELD, EXTRA.format("document_date", "date", ""), "FIN", "document_date"),
    ("1.3", FIN, FIELD, EXTRA.format("Colour", "boolean", ""), "FIN", "Colour"),
    ("1.4", "pack.toml", "schema = 1", "schema = 2", "", "schema"),
    ("1.4", "pack.toml", "Asia/Shanghai", "Asia/Peking", "", "timezone"),
    ("1.5", "pack.toml", 'source = "CRI"', 'source = "CRY"', "", "adverse"),
    ("1.5", "bases.toml", 'source = "CRI"', 'source = "CRY"', "", "CRI-29"),
    ("1.5", "requesters.toml", '"FIN", "JUD"', '"FIX", "JUD"', "", "purposes.credit-granting"),
    ("1.5", FIN, '"CRI-29"', '"CRI-30"', "FIN", "bases"),
    ("1.5", FIN, '"bank"', '"banque"', "FIN", "requesters"),
    ("1.5", FDS, '"PUBLIC-BY-LAW"', '"SECRET"', "FDS", "exemptions"),
    ("1.5", FDS, 'tier = "G"', 'tier = "H"', "FDS", "display.tier"),
    ("1.5", FDS, 'groups = ["decision"]', 'groups = ["indecision"]', "FDS", ""),
    ("1.5", FIN, FIELD, EXTRA.format("stake", "boolean", 'sensitive = "stake"'), "FIN", "stake"),
    ("2.1", FDS, 'tier = "T2"', 'tier = "T4"', "FDS", "tier"),
    ("2.2", FDS, 'bases = ["FOOD", "DRUG"]', "bases = []", "FDS", "bases"),
    ("2.3", FIN, 'requesters = ["court", "bank", "regulator"]\n', "", "FIN", "requesters"),
    ("2.4", FDS, "effective_document = true", "effective_document = false", "FDS", "effective_document"),
    ("2.5", FDS, "notice = true", "notice = false", "FDS", "notice"),
    ("2.6", FDS, "age_gate = true", "age_gate = false", "FDS", "age_gate"),
    ("2.7", FDS, 'adverse = "always"', 'adverse = "often"', "FDS", "adverse"),
    ("2.7", FDS, 'adverse = "always"', 'adverse = "when"', "FDS", "adverse"),
    ("2.7", FIN, 'field = "status"', 'field = "state"', "FIN", "adverse_when"),
    ("2.7", FIN, '["late", "default"', '["tardy", "default"', "FIN", "adverse_when"),
    ("2.7", COM, "values = [false]", 'values = ["no"]', "COM", "adverse_when"),
    ("2.8", FDS, "opt_in = false", "opt_in = true", "FDS", "opt_in"),
    ("2.8", POS, "opt_in = true", "opt_in = false", "POS", "opt_in"),
    ("2.9", POS, "notice = false", 'notice = false\nexemptions = ["PUBLIC-BY-LAW"]', "POS", "exemptions"),
    ("2.10", FDS, 'groups = ["decision"]\n', "", "FDS", "fields"),
    ("2.11", COM, "max_length = 300", "max_length = 300\nscreened = false", "COM", "text"),
    ("3.1", FIN, 'kind = "class"', 'kind = "picture"', "FIN", "amount_class"),
    ("3.2", FIN, FIELD, EXTRA.format("mark", "fingerprints", ""), "FIN", "mark"),
    ("3.3", FIN, FIELD, EXTRA.format("blood_type", "boolean", ""), "FIN", "blood_type"),
    ("3.3", FIN, FIELD, EXTRA.format("credit_score", "boolean", ""), "FIN", "credit_score"),
    ("3.3", FIN, FIELD, EXTRA.format("consent_refused", "boolean", ""), "FIN", "consent_refused"),
    ("3.3", FIN, FIELD, EXTRA.format("monthly_income", "boolean", ""), "FIN", "monthly_income"),
    ("3.4", FIN, '"consumer"', '"church"', "FIN", "type"),
    ("3.5", COM, "max_length = 300", "", "COM", "text"),
    ("3.5", COM, "max_length = 300", "max_length = 501", "COM", "text"),
    ("3.5", FIN, '"housing",', '"vehicle",', "FIN", "type"),
    ("3.5", FIN, FIELD, EXTRA.format("width", "enum", ""), "FIN", "width"),
    ("3.5", FIN, FIELD, EXTRA.format("width", "boolean", "future = true"), "FIN", "width"),
    ("3.5", FIN, FIELD, EXTRA.format("width", "integer", "minimum = 1"), "FIN", "width"),
    ("3.5", FIN, FIELD, EXTRA.format("width", "integer", "minimum = 2\nmaximum = 1"), "FIN", "width"),
    ("3.5", FIN, FIELD, EXTRA.format("width", "boolean", "max_length = 3"), "FIN", "width"),
    ("3.6", COM, 'tier = "T2"', 'tier = "T0"', "COM", "text"),
    ("3.7", FIN, 'after = "contract_start"', 'after = "contract_stars"', "FIN", "contract_end"),
    ("3.7", FIN, 'after = "contract_start"', 'after = "contract_end"', "FIN", "contract_end"),
    ("3.8", FIN, FIELD, EXTRA.format("income", "boolean", 'sensitive = "income"'), "FIN", "income"),
    ("4.1", FIN, 'rule = "months"', 'rule = "moons"', "FIN", "display.rule"),
    ("4.2", FIN, 'anchor = "contract_end"', 'anchor = "contract_stop"', "FIN", "display.anchor"),
    ("4.2", FIN, 'anchor = "contract_end"\n', "", "FIN", "display.anchor"),
    ("4.2", FIN, 'anchor = "contract_end"', 'anchor = "status"', "FIN", "display.anchor"),
    ("4.2", IDN, 'rule = "never"', 'rule = "never"\nanchor = "document_date"', "IDN", "display.anchor"),
    ("4.3", FIN, "max_months = 60\n", "", "FIN", "display.max_months"),
    ("4.3", FDS, "min_months = 3", "min_months = 13", "FDS", "display.min_months"),
    ("4.3", FDS, "min_months = 3", "min_months = -1", "FDS", "display.min_months"),
    ("4.3", IDN, 'rule = "never"', 'rule = "never"\nmax_months = 3', "IDN", "display.max_months"),
    ("4.3", IDN, 'rule = "never"', 'rule = "never"\ntier = "G"', "IDN", "display.tier"),
    ("4.3", "pack.toml", "min_months = 3", "min_months = 13", "", ""),
    ("4.4", FDS, "min_months = 3", "min_months = 2", "FDS", "display.max_months"),
    ("4.4", FDS, "max_months = 12", "max_months = 13", "FDS", "display.max_months"),
    ("4.5", FIN, "max_months = 60", "max_months = 61", "FIN", "display.max_months"),
    ("4.3", FIN, 'rule = "months"\n', 'rule = "validity"\n', "FIN", "display.max_months"),
    ("4.5", "categories/jud.toml", 'rule = "until"', 'rule = "validity"', "JUD", "display.rule"),
    ("4.6", POS, "effective_document = true", "effective_document = false", "POS", "display.start"),
    ("4.6", FIN, 'source = "CRI"', 'source = "CRI"\nstart = "contract_end"', "FIN", "display.start"),
    ("5.1", "pack.toml", "adult_years = 18", "adult_years = 17", "", "adult_years"),
    ("5.1", "pack.toml", "open_months = 13", "open_months = 14", "", "open_months"),
    ("5.1", "pack.toml", "months = 60", "months = 121", "", "adverse.months"),
    ("5.2", "requesters.toml", 'tier = "T2"', 'tier = "T5"', "", "body_kinds.authority.tier"),
    ("5.3", "requesters.toml", 'categories = ["POS"]', "categories = []", "", "purposes.honours"),
    ("6.2", "forbidden.toml", 'level = "never"\n', 'level = "rarely"\n', "", "religion"),
    ("6.3", "forbidden.toml", 'names = ["union"', 'names = []\nexact = ["union"', "", "union"),
    ("6.4", "forbidden.toml", "regex = '", "regex = '(", "", "identity_number"),
]


@pytest.mark.parametrize(("rule", "file", "old", "new", "category", "field"), BROKEN)
def test_a_broken_rule_is_named(
    break_pack: Callable[[str, str, str], CatalogueError],
    *,
    rule: str,
    file: str,
    old: str,
    new: str,
    category: str,
    field: str,
) -> None:
    error = break_pack(file, old, new)
    assert (error.rule, error.file, error.category, error.field) == (rule, f"cn/{file}", category, field)
    assert error.remedy
    message = str(error)
    for part in (error.file, category, field, f"CATALOGUE {rule}", error.remedy):
        assert part in message


@pytest.mark.parametrize("kind", FLOOR)
def test_no_pack_may_allow_what_every_pack_forbids(
    break_pack: Callable[[str, str, str], CatalogueError], kind: str
) -> None:
    error = break_pack("forbidden.toml", f'code = "{kind}"', f'code = "{kind}x"')
    assert error.rule == "6.1"
    assert kind in error.problem


def test_a_floor_is_not_lowered_to_consent(break_pack: Callable[[str, str, str], CatalogueError]) -> None:
    assert break_pack("forbidden.toml", 'level = "never"\n', 'level = "warned-consent"\n').rule == "6.1"


def test_sensitive_data_needs_its_category_to_say_so(
    break_pack: Callable[[str, str, str], CatalogueError],
) -> None:
    declared = EXTRA.format("monthly_income", "boolean", 'sensitive = "deposits"')
    assert break_pack(FIN, FIELD, declared).rule == "3.3"


def test_a_missing_file_is_named(pack: Path) -> None:
    (pack / "bases.toml").unlink()
    with pytest.raises(CatalogueError, match=re.escape("cn/bases.toml: the file is missing (CATALOGUE 1.1)")):
        load_catalogue(pack)


def test_a_file_that_belongs_to_no_pack_is_named(pack: Path) -> None:
    (pack / "categories" / "notes.txt").write_text("later")
    with pytest.raises(CatalogueError, match=r"cn/categories/notes\.txt: this file is no part of a pack"):
        load_catalogue(pack)


def test_a_file_that_cannot_be_read_is_named(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path) -> bytes:
        raise PermissionError

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(CatalogueError, match="the file cannot be read"):
        load_catalogue(pack)


def test_a_file_in_another_encoding_is_named(pack: Path) -> None:
    (pack / "sources.toml").write_bytes("title = 'Règlement'".encode("latin-1"))
    with pytest.raises(CatalogueError, match=r"cn/sources\.toml: this is not TOML in UTF-8"):
        load_catalogue(pack)


def test_a_pack_that_is_not_there_is_named() -> None:
    with pytest.raises(CatalogueError, match="Name one of cn, or a pack's folder"):
        load_catalogue("atlantis")


def test_any_change_changes_the_digest(pack: Path) -> None:
    before = load_catalogue(pack).digest
    assert before == load_catalogue("cn").digest
    with (pack / "sources.toml").open("a") as file:
        file.write("# one more comment\n")
    assert load_catalogue(pack).digest != before


def test_every_rule_of_the_readme_is_broken_here() -> None:
    listed: set[str] = set()
    section = 0
    for line in README.read_text().split("## Rules")[1].split("## Screening")[0].splitlines():
        if found := re.match(r"(\d+)\. ", line):
            section = int(found[1])
        elif found := re.match(r"   (\d+)\. ", line):
            listed.add(f"{section}.{found[1]}")
    assert listed == {rule for rule, *_ in BROKEN} | {"6.1"}
