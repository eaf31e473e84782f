import re
from pathlib import Path

import pytest

from vault.catalogue import load_catalogue
from vault.server.portal.words import RULES, Words

ROOT = Path(__file__).parents[4]
WORDS = Words(load_catalogue("cn"))


def test_every_rule_has_its_words_and_no_other_has() -> None:
    text = (ROOT / "consent" / "RULES.md").read_text()
    numbered = {f"RULES {number}" for number in re.findall(r"^- \*\*([1-8]\.\d+)\*\*", text, re.MULTILINE)}
    assert RULES.keys() == numbered


def test_what_has_no_words_is_still_said() -> None:
    assert WORDS.rule(None) == WORDS.rule("RULES 99.1") == "A rule of this vault did not allow it."
    assert WORDS.purpose("made-up") == "made-up"
    assert WORDS.category("XXX") == "XXX"
    (group,) = WORDS.groups(["XXX.made_up"])
    assert (group.title, group.fields) == ("XXX", (("XXX.made_up", "XXX.made_up"),))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("type", "household-goods", "household goods"),
        ("amount_class", "10k-50k", "10k\N{EN DASH}50k"),
        ("amount_class", "up-to-1k", "up to 1k"),
        ("contract_start", "2026-01-15", "2026-01-15"),
        ("made_up", True, "yes"),
        ("made_up", {"number": "A-1", "of": "B"}, "number: A-1, of: B"),
    ],
)
def test_values_are_said_as_one_reads_them(name: str, value: object, said: str) -> None:
    assert WORDS.value("FIN", name, value) == said


def test_fields_stand_by_category_in_the_order_asked_for() -> None:
    groups = WORDS.groups(["FIN.type", "JUD.performance", "FIN.status"])
    assert [group.title for group in groups] == ["Credit contract", "Enforcement of judgments"]
    assert [name for name, _ in groups[0].fields] == ["FIN.type", "FIN.status"]
