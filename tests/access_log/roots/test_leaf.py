"""The leaves of the log of roots, and their order (FORMAT 4.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.errors import FormatError
from access_log.roots.leaf import SIZE, Kind, PrefixRoot, next_month, roots_origin

HASH = bytes(range(32))


def root(kind: Kind, month: int, first: int, size: int) -> PrefixRoot:
    return PrefixRoot(kind, month, first, size, HASH, bytes(32))


def test_a_leaf_is_laid_out_as_the_format_says() -> None:
    raw = PrefixRoot(Kind.FINAL, 202607, 5, 9, HASH, b"\xff" * 32).encode()
    assert len(raw) == SIZE == 86
    expected = b"\x01\x01" + (202607).to_bytes(4, "big") + (5).to_bytes(8, "big") + (9).to_bytes(8, "big")
    assert raw == expected + HASH + b"\xff" * 32


@given(st.binary(min_size=86, max_size=86), st.integers(0, 2), st.integers(190000, 202613))
def test_whatever_parses_re_encodes(raw: bytes, kind: int, month: int) -> None:
    for candidate in (raw, bytes([1, kind]) + month.to_bytes(4, "big") + bytes(7) + raw[13:14] + raw[14:]):
        try:
            parsed = PrefixRoot.decode(candidate)
        except FormatError:
            continue
        assert parsed.encode() == candidate


@pytest.mark.parametrize(
    "raw",
    [b"", bytes(86), bytes(87), b"\x02" + root(Kind.FINAL, 202607, 0, 1).encode()[1:]],
)
def test_what_is_no_leaf_is_refused(raw: bytes) -> None:
    with pytest.raises(FormatError):
        PrefixRoot.decode(raw)


def test_what_no_leaf_may_say() -> None:
    for kind, month, first, size in (
        (Kind.FINAL, 202613, 0, 1),
        (Kind.FINAL, 202600, 0, 1),
        (Kind.FINAL, 196912, 0, 1),
        (Kind.FINAL, 202607, 2, 1),
        (Kind.FINAL, 202607, 0, 2**63),
        (Kind.INTERIM, 202607, 3, 3),
    ):
        with pytest.raises(FormatError):
            root(kind, month, first, size)
    with pytest.raises(FormatError, match="32 bytes"):
        PrefixRoot(Kind.FINAL, 202607, 0, 1, HASH, b"")


def test_the_order_of_roots() -> None:
    interim, final = Kind.INTERIM, Kind.FINAL
    july, december = root(interim, 202607, 0, 5), root(final, 202612, 9, 9)
    for before, after in (
        (None, root(interim, 202607, 0, 3)),
        (july, root(interim, 202607, 0, 6)),
        (july, root(final, 202607, 0, 5)),
        (root(final, 202607, 0, 5), root(interim, 202608, 5, 6)),
        (root(final, 202607, 0, 5), root(final, 202608, 5, 5)),
        (december, root(final, 202701, 9, 12)),
    ):
        assert after.misplaced(before) is None
    for before, after, words in (
        (None, root(interim, 202607, 1, 3), "entry 0"),
        (july, root(interim, 202607, 0, 5), "no more"),
        (july, root(final, 202607, 0, 4), "no more"),
        (july, root(final, 202607, 1, 6), "no final root yet"),
        (july, root(final, 202608, 5, 6), "no final root yet"),
        (root(final, 202607, 0, 5), root(final, 202607, 0, 5), "comes that of 202608"),
        (root(final, 202607, 0, 5), root(final, 202609, 5, 5), "comes that of 202608"),
        (root(final, 202607, 0, 5), root(interim, 202608, 4, 6), "at entry 5"),
    ):
        assert words in (after.misplaced(before) or "")


def test_months_and_origins() -> None:
    assert [next_month(202607), next_month(202612)] == [202608, 202701]
    assert roots_origin("vault.example/log/2026") == "vault.example/log/2026/roots"
