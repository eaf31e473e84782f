"""The published schemas against the door: what one takes and the other turns away is named, or a fault."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from tests.vault.records.test_accepting import CN, EXAMPLES, ZEMBLA, example, income, parse
from vault.catalogue import Catalogue
from vault.records.submission import Accepted, Rejected
from vault.records.submission_schema import BEYOND, submission_schema


def validators(catalogue: Catalogue) -> dict[str, Draft202012Validator]:
    return {
        code: Draft202012Validator(
            submission_schema(catalogue, category, {"demo-id"}, f"https://vault.example/v1/catalogue/{code}"),
            validate_formats=True,
        )
        for code, category in catalogue.categories.items()
    }


VALIDATORS = {id(each): validators(each) for each in (CN, ZEMBLA)}


def valid(value: Any, catalogue: Catalogue = CN) -> bool:
    """Whether the schema of the category a submission names takes it; without one, none does."""
    code = value.get("category") if isinstance(value, dict) else None
    validator = VALIDATORS[id(catalogue)].get(code) if isinstance(code, str) else None
    return validator is not None and validator.is_valid(value)


def beyond(rejected: Rejected) -> bool:
    return any(rejected.rule == rule or rejected.rule.startswith(f"{rule}.") for rule in BEYOND)


def agree(value: Any, catalogue: Catalogue = CN) -> None:
    checked = parse(value, catalogue)
    if isinstance(checked, Accepted):
        assert valid(value, catalogue), value
    elif not beyond(checked):
        assert not valid(value, catalogue), (checked, value)


@pytest.mark.parametrize("category", CN.categories)
def test_what_the_door_takes_the_schema_takes(category: str) -> None:
    assert valid(EXAMPLES[category])
    schema = submission_schema(CN, CN.categories[category], {"demo-id"}, "https://vault.example")
    assert CN.digest in str(schema["$comment"])


PATHS = [
    *("subject", "category", "furnisher_reference", "basis", "document", "notice", "consent", "fields"),
    *("subject.scheme", "subject.number", "subject.name", "document.number", "document.date"),
    *("document.sha256", "notice.date", "notice.proof", "notice.exemption", "consent.reference"),
    *("consent.date", "consent.warning", "colour", "fields.colour"),
    *("supersedes", "supersedes.version", "supersedes.reason"),
]
TEXTS = st.text(
    st.one_of(
        st.sampled_from("aZ0 -_.,:;/()#&+·、《》\uff08\uff09\uff0c\uff05\u3000\u200b\u00a0\n\t\x00é漢²½"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=120,
)
DATES = ["2026-01-31", "2026-02-29", "2024-02-29", "1899-12-31", "1900-01-01", "2026-1-1", "\uff12026-01-01"]
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3000),
    TEXTS,
    st.sampled_from(
        [
            {"version": 1, "reason": "error"},
            "error",
            *DATES,
            "a" * 64,
            "0" * 64,
            "0" * 65,
            "PUBLIC-BY-LAW",
            [],
            {},
            {"exemption": "X"},
            0.5,
        ]
    ),
)


@st.composite
def changed(draw: st.DrawFn) -> dict[str, Any]:
    """An example with a few members put, replaced or taken away, mostly fields of its category."""
    value: dict[str, Any] = deepcopy(EXAMPLES[draw(st.sampled_from(sorted(EXAMPLES)))])
    category = CN.categories[value["category"]]
    fields = [f"fields.{name}" for name in category.fields]
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([*PATHS, *fields, *fields]))
        *parents, last = path.split(".")
        at: Any = value
        for parent in parents:
            at = at.get(parent) if isinstance(at, dict) else None
            if at is None:
                break
        if not isinstance(at, dict):
            continue
        if draw(st.booleans()):
            at.pop(last, None)
            continue
        field = category.fields.get(last) if parents == ["fields"] else None
        listed = st.sampled_from(field.values) if field is not None and field.values else JUNK
        at[last] = draw(st.one_of(listed, JUNK))
    return value


@given(changed())
def test_door_and_schema_agree_but_for_what_no_schema_says(value: dict[str, Any]) -> None:
    agree(value)


@given(
    st.recursive(JUNK, lambda inner: st.dictionaries(st.sampled_from([*PATHS[:8], "x"]), inner), max_leaves=8)
)
def test_they_agree_on_anything_at_all(value: Any) -> None:
    agree(value)


@pytest.mark.parametrize(
    ("category", "changes", "verdict"),
    [
        ("FIN", {"notice": None, "fields.status": "performing"}, "taken"),
        ("FIN", {"notice": None, "fields.status": "overdue"}, "turned away"),  # adverse now: 4.4
        ("POS", {"consent": None}, "turned away"),  # opt-in: 4.7
        (
            "JUD",
            {"fields.performance": "full", "fields.performed": None},
            "turned away",
        ),  # required when: 5.2
        ("LIC", {"notice": {"date": "2026-01-01", "proof": "letter"}}, "turned away"),  # it has none: 4.4
        ("FIN", {"fields.amount_class": "much"}, "turned away"),
        ("FIN", {"fields.religion": "none"}, "turned away"),  # forbidden by name: 5.5
        ("FIN", {"document.number": "借\u30142026\u30154711号\uff08补\uff09"}, "taken"),
    ],
)
def test_conditions_of_the_catalogue_are_in_the_schema(
    category: str, changes: dict[str, Any], verdict: str
) -> None:
    value = example(category, changes)
    agree(value)
    assert valid(value) is isinstance(parse(value), Accepted) is (verdict == "taken")


def test_another_pack_has_schemas_of_its_own() -> None:
    """With sensitive fields, whose consent names a warning."""
    assert VALIDATORS[id(ZEMBLA)].keys() == ZEMBLA.categories.keys() != CN.categories.keys()
    unwarned = income(consent={"reference": "form 3", "date": "2026-01-01"})
    for value in (income(), unwarned, income(document=None), {**income(), "consent": None}):
        agree(value, ZEMBLA)
    assert [valid(each, ZEMBLA) for each in (income(), income(document=None), unwarned)] == [
        True,
        True,
        False,
    ]
