"""The table of the profile: every row names a test that exists, or a reason; the proxies do their part."""

import ast
import re
from functools import cache

import pytest

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs/fapi.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| clause")]
PITFALLS = range(1, 19)
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


@cache
def named_in(path: str) -> frozenset[str]:
    """The names of the test functions of a file."""
    tree = ast.parse((ROOT / path).read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


@pytest.mark.parametrize(("path", "name"), sorted(set(_TEST.findall(PAGE))))
def test_every_test_named_exists(path: str, name: str) -> None:
    assert (name in named_in(path)) if name else named_in(path)


@pytest.mark.parametrize("row", ROWS)
def test_every_row_names_a_test_or_a_reason(row: str) -> None:
    clause, asked, shown = (cell.strip() for cell in row.strip("|").split("|"))
    assert clause
    assert asked
    assert _TEST.search(shown) or "does not apply: " in shown


@pytest.mark.parametrize(("section", "items"), [("5.3.2.1", 14), ("5.3.2.2", 14), ("5.3.4", 5)])
def test_no_item_of_a_section_is_left_out(section: str, items: int) -> None:
    part = PAGE.split(f"### {section} ")[1].split("### ")[0]
    rows = [row.split("|")[1] for row in part.splitlines() if row.startswith("| (")]
    named = {int(number) for row in rows for number in re.findall(r"\((\d+)\)", row)}
    assert named == set(range(1, items + 1))


def test_every_pitfall_has_a_test_of_its_number() -> None:
    names = named_in("tests/consent/oauth/test_pitfalls.py")
    for number in PITFALLS:
        assert any(name.startswith(f"test_{number}_") for name in names), number


def test_the_proxies_speak_tls_1_2_and_later_alone() -> None:
    nginx, caddy = ((ROOT / "deploy" / name).read_text() for name in ("nginx.conf", "Caddyfile"))
    (protocols,) = re.findall(r"ssl_protocols +([^;]+);", nginx)
    assert set(protocols.split()) == {"TLSv1.2", "TLSv1.3"}
    assert "protocols tls1.2 tls1.3" in caddy
    (suites,) = re.findall(r"ssl_ciphers +([^;]+);", nginx)
    # BCP 195 (RFC 9325 §4.2): forward secrecy and authenticated encryption.
    good = re.compile(r"ECDHE-(ECDSA|RSA)-AES(128|256)-GCM-SHA(256|384)")
    assert all(good.fullmatch(suite) for suite in suites.split(":"))


def test_the_proxies_tell_browsers_to_stay_with_tls() -> None:
    for name in ("nginx.conf", "Caddyfile"):
        assert "Strict-Transport-Security" in (ROOT / "deploy" / name).read_text(), name
    assert "return 301 https://" in (ROOT / "deploy/nginx.conf").read_text()
