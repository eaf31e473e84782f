import time

import pytest

from vault.catalogue import Catalogue, load_catalogue
from vault.catalogue.load import PACKS

CN = load_catalogue("cn")
ROWS = """
IDN T3 never - | LIC T1 validity - | FDS T2 months 12 | PSF T2 months 12 | FIR T2 months 12
TRF T2 months 3 | ENV T2 months 12 | BIO T2 months 12 | PQL T2 months 12 | TAX T3 months 12 | MED T2 months 12
LAB T2 months 36 | CON T2 months 12 | FIN T3 months 60 | IPR T2 months 12 | JUD T3 until - | ECM T2 months 12
PRO T2 months 12 | COM T1 months 12 | EDU T3 months 12 | POS T1 while-consented - | LST T3 months 36
"""


def test_the_default_pack_says_which_law_it_is() -> None:
    assert CN.version == "cn 2026.1"
    assert CN.jurisdiction == "CN"
    assert CN.timezone.key == "Asia/Shanghai"
    assert load_catalogue().digest == CN.digest
    assert len(CN.digest) == 64


def test_the_default_pack_has_the_twenty_two_categories() -> None:
    rows = [row.split() for line in ROWS.strip().splitlines() for row in line.split("|")]
    assert sorted(row[0] for row in rows) == sorted(CN.categories)
    assert len(rows) == 22
    for code, tier, rule, months in rows:
        category = CN.categories[code]
        longest = None if months == "-" else int(months)
        assert (category.tier, category.display.rule, category.display.max_months) == (tier, rule, longest)
        assert category.title
        assert category.title_local


def test_every_shown_category_is_reached_by_a_purpose_and_a_body() -> None:
    for code, category in CN.categories.items():
        reached = any(code in purpose.categories for purpose in CN.purposes.values())
        asked = any(CN.allows(kind, name) for kind in CN.body_kinds for name in CN.field_names(code))
        assert reached == asked == (category.display.rule != "never")


def test_every_purpose_can_be_served_by_some_body_for_each_of_its_categories() -> None:
    for purpose in CN.purposes.values():
        for code in purpose.categories:
            assert any(CN.allows(kind, name) for kind in CN.body_kinds for name in CN.field_names(code))


@pytest.mark.parametrize(
    ("kind", "field", "allowed"),
    [
        ("school", "EDU.decision", True),
        ("court", "EDU.decision", False),
        ("bank", "EDU.decision", False),
        ("bank", "FIN.type", True),
        ("court", "FIN.type", True),
        ("regulator", "FIN.type", True),
        ("school", "FIN.type", False),
        ("regulated-employer", "FIN.type", False),
        ("regulated-employer", "PRO.sanction", True),
        ("bank", "FDS.outcome", False),
        ("authority", "FDS.outcome", True),
        ("bank", "LIC.status", True),
        ("bank", "COM.kept", True),
        ("bank", "COM.text", False),
        ("authority", "COM.text", True),
        ("court", "IDN.number", False),
        ("court", "FIN.income", False),
        ("court", "FIN", False),
        ("stranger", "LIC.status", False),
    ],
)
def test_a_kind_of_body_reaches_what_its_tier_and_the_category_say(
    kind: str, field: str, *, allowed: bool
) -> None:
    assert CN.allows(kind, field) is allowed


def test_a_purpose_reaches_its_categories_and_no_other() -> None:
    assert CN.purpose_allows("credit-granting", "FIN.type")
    assert not CN.purpose_allows("credit-granting", "EDU.decision")
    assert not CN.purpose_allows("curiosity", "FIN.type")
    assert not CN.purpose_allows("credit-granting", "FIN.income")


def test_fields_are_found_by_name() -> None:
    field = CN.field("FIN.type")
    assert field is not None
    assert (field.kind, field.tier, field.full_name) == ("enum", "T3", "FIN.type")
    assert CN.field("FIN.colour") is None
    assert CN.field_names("JUD") == ("JUD.case_number", "JUD.performance", "JUD.performed")
    assert CN.field_names("XXX") == ()
    own_tier = CN.field("COM.text")
    assert own_tier is not None
    assert own_tier.tier == "T2"


def test_the_fourteen_professions_and_the_four_grounds_are_there() -> None:
    profession, ground = CN.field("PRO.profession"), CN.field("LST.ground")
    assert profession is not None
    assert ground is not None
    assert len(profession.values) == 14
    assert len(ground.values) == 4


def test_what_nobody_read_is_marked() -> None:
    assert CN.bases["CRI-29"].verified
    assert not CN.bases["TAXLAW"].verified
    assert CN.sources["CRI"].verified
    for basis in CN.bases.values():
        assert not basis.verified or CN.sources[basis.source].verified


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("foreign_worker", "nationality"),
        ("personal_status_and_sex", "family"),
        ("creditability", "score"),
        ("savings_account_and_bonds", "deposits"),
        ("status_of_existing_checking_account", "deposits"),
        ("installment_rate_in_percentage_of_disposable_income", "income"),
        ("BloodType", "blood_type"),
        ("blood-type", "blood_type"),
        ("MEDICAL HISTORY", "disease"),
        ("客户宗教信仰", "religion"),
        ("HIV状态", "disease"),
        ("民 族", "ethnicity"),
        ("fingerPrint", None),
        ("fingerprint", "fingerprints"),
        ("property", "real_estate"),
        ("intellectual_property", None),
        ("amount_class", None),
        ("bloody_mary", None),
        ("purpose", None),
    ],
)
def test_columns_of_forbidden_data_are_known_by_name(name: str, kind: str | None) -> None:
    found = CN.screen.name(name)
    assert (found.code if found else None) == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("the debtor is a party-member", "politics"),
        ("当事人患有高血压", "disease"),
        ("当事人是ＨＩＶ感染者", "disease"),
        ("宗 教 活 动", "religion"),
        ("sells clothes in the European Union", None),
        ("未按期公示年度报告", None),
    ],
)
def test_words_of_forbidden_data_are_found(text: str, kind: str | None) -> None:
    found = CN.screen.words(text)
    assert (found.code if found else None) == kind


def test_the_default_pack_loads_fast() -> None:
    best = min(_seconds(load_catalogue) for _ in range(5))
    assert best < 0.05


def _seconds(act: object) -> float:
    assert callable(act)
    start = time.process_time()
    act()
    return time.process_time() - start


def test_a_pack_of_another_law_loads(zembla: Catalogue) -> None:
    assert zembla.version == "zz 1"
    assert zembla.timezone.key == "Pacific/Kiritimati"
    assert zembla.allows("crown", "INC.income")
    assert not zembla.allows("lender", "INC.income")
    assert zembla.allows("lender", "BKR.opened")
    income = zembla.field("INC.income")
    assert income is not None
    assert income.sensitive == "income"
    assert zembla.digest != CN.digest


def test_every_pack_that_comes_with_the_vault_loads() -> None:
    for folder in PACKS.iterdir():
        assert load_catalogue(folder.name).pack.code == folder.name
