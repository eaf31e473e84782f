"""Identity numbers: every spelling finds one person, and no error shows a number."""

import pickle
import traceback
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.cn import ric

from vault.crypto.blind import CN_RIC, DEMO_ID, Identifier
from vault.crypto.errors import CryptoError, InvalidIdentifierError

BOTH = {CN_RIC, DEMO_ID}
FULL_WIDTH = {ord("0") + digit: 0xFF10 + digit for digit in range(10)} | {ord("X"): 0xFF38, ord("x"): 0xFF58}


def with_check_digit(body: str) -> str:
    return body + ric.calc_check_digit(body + "0")


NUMBERS = st.builds(
    lambda address, birth, order: with_check_digit(f"99{address:04d}{birth:%Y%m%d}{order:03d}"),
    st.integers(0, 9999),
    st.dates(date(1900, 1, 1), date(2099, 12, 31)),
    st.integers(0, 999),
)


@given(number=NUMBERS, data=st.data())
def test_every_spelling_is_one_number(number: str, data: st.DataObject) -> None:
    spelled = number
    if data.draw(st.booleans()):
        spelled = spelled.lower()
    if data.draw(st.booleans()):
        spelled = spelled.translate(FULL_WIDTH)
    for space in data.draw(st.lists(st.sampled_from(" \u3000\u00a0\u2009"), max_size=4)):
        at = data.draw(st.integers(0, len(spelled)))
        spelled = spelled[:at] + space + spelled[at:]
    identifier = Identifier.parse(DEMO_ID, spelled, BOTH)
    assert identifier == Identifier(DEMO_ID, number)
    assert identifier.index_message() == b"demo-id\0" + number.encode()


@given(number=NUMBERS, at=st.integers(0, 17), character=st.sampled_from("0123456789X"))
def test_one_wrong_character_is_found(number: str, at: int, character: str) -> None:
    spelled = number[:at] + character + number[at + 1 :]
    if spelled == number:
        return
    with pytest.raises(InvalidIdentifierError):
        Identifier.parse(DEMO_ID, spelled, BOTH)


@given(birth=st.dates(date(1900, 1, 1), date(1999, 12, 31)), order=st.integers(0, 995))
def test_a_15_digit_number_is_the_18_digit_number_of_the_same_person(birth: date, order: int) -> None:
    new = with_check_digit(f"999999{birth:%Y%m%d}{order:03d}")
    old = new[:6] + new[8:17]
    assert Identifier.parse(DEMO_ID, old, BOTH).number == new


@given(spelled=st.text(max_size=80))
def test_anything_is_an_identifier_or_refused_without_being_shown(spelled: str) -> None:
    for scheme in (*BOTH, spelled):
        try:
            Identifier.parse(scheme, spelled, BOTH)
        except InvalidIdentifierError as error:
            shown = f"{error} {error!r}"
            assert len(spelled) < 10 or spelled not in shown


@pytest.mark.parametrize(
    "spelled",
    ["999999190001010016", "999999190002300014", "999999000101996", "110101209901010017", "x" * 999],
)
def test_a_refusal_shows_the_rule_and_never_the_number(spelled: str) -> None:
    with pytest.raises(InvalidIdentifierError) as caught:
        Identifier.parse(DEMO_ID, spelled, BOTH)
    error = caught.value
    shown = "".join(traceback.format_exception(error)) + repr(error)
    assert spelled not in shown
    assert spelled[:15] not in shown
    assert error.rule in str(error)
    assert "demo-id" in str(error)
    assert isinstance(error, CryptoError)


def test_a_number_sent_as_the_scheme_is_not_shown() -> None:
    with pytest.raises(InvalidIdentifierError) as caught:
        Identifier.parse("999999190001010015", "demo-id", BOTH)
    assert "9999" not in str(caught.value)
    with pytest.raises(InvalidIdentifierError) as caught:
        Identifier.parse("999999190001010015", "999999000101996", BOTH)
    assert "9999" not in str(caught.value)


def test_fictitious_people_exist_in_demo_mode_only() -> None:
    assert Identifier.parse(DEMO_ID, "999999190001010015", {DEMO_ID})
    with pytest.raises(InvalidIdentifierError) as caught:
        Identifier.parse(DEMO_ID, "999999190001010015", {CN_RIC})
    assert caught.value.rule == "scheme-enabled"


@pytest.mark.parametrize(
    "number", ["999999000101001", "99999919000101004x", " 999999190001010015", "\uff1999999190001010015"]
)
def test_an_identifier_is_made_of_the_one_spelling_alone(number: str) -> None:
    with pytest.raises(InvalidIdentifierError):
        Identifier(DEMO_ID, number)


def test_an_identifier_hides_its_number() -> None:
    identifier = Identifier(DEMO_ID, "999999190001010015")
    assert repr(identifier) == str(identifier) == "Identifier(scheme='demo-id')"


def test_an_error_crosses_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(InvalidIdentifierError("demo-id", "format", "18 characters")))  # noqa: S301 -- our own bytes
    assert (error.scheme, error.rule) == ("demo-id", "format")
    assert str(error) == "an identifier of scheme demo-id breaks the rule format: 18 characters"
