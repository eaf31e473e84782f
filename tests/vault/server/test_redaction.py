"""Whatever is handed to the operator log, no identity number, token or key comes out of it."""

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from vault.crypto.errors import InvalidIdentifierError
from vault.server.logging import REDACTED, configure, exception_place, redact, static_event
from vault.server.portal.fictitious import fictitious_identity

PEOPLE = st.integers(1, 10_000).map(lambda n: fictitious_identity(n)[0])
SPELLED = PEOPLE | PEOPLE.map(str.lower) | PEOPLE.map(lambda one: one[:6] + one[8:17])
TOKENS = st.builds(
    "eyJ{}.{}.{}".format,
    *[st.text("abcXYZ019_-", min_size=size, max_size=30) for size in (8, 1, 0)],
)
AROUND = st.text(st.characters(exclude_characters="0123456789", exclude_categories=["Cs", "Nd"]), max_size=5)
SHAPES = ("{}", "[{}]", "身份证{}号", "demo-id{}", "x={}&", "_{}_", "{}X", "A{}", "\u3000{}\u3000", "{}\n")


def wrapped(secret: str) -> st.SearchStrategy[Any]:
    """The secret somewhere inside a value as a careless caller may pass it."""
    texts = st.sampled_from(SHAPES).map(lambda shape: shape.format(secret)) | st.builds(
        lambda before, after: f"{before}{secret}{after}", AROUND, AROUND
    )
    return st.recursive(
        texts,
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.tuples(inner)
            | st.dictionaries(st.sampled_from(["place", "why"]), inner, max_size=2)
            | st.dictionaries(texts, st.none(), max_size=1)
            | inner.map(repr)
        ),
        max_leaves=4,
    )


def rendered(event: Any) -> str:
    return json.dumps(redact(None, "info", {"event": "something", "given": event}), ensure_ascii=False)


@given(st.data(), SPELLED)
def test_no_identity_number_comes_through(data: st.DataObject, number: str) -> None:
    assert number not in rendered(data.draw(wrapped(number)))


@given(st.data(), TOKENS)
def test_no_token_comes_through(data: st.DataObject, token: str) -> None:
    assert token not in rendered(data.draw(wrapped(token)))


@given(PEOPLE.filter(str.isdigit).map(int), st.integers(-3, 3))
def test_no_number_of_that_size_comes_through(number: int, sign: int) -> None:
    for one in (number, -number, number * 10 + abs(sign)):
        assert str(abs(one)) not in rendered([one])


@given(st.text(max_size=60))
@example("990000197109070012")
def test_an_event_is_a_fixed_name(event: str) -> None:
    written = static_event(None, "info", {"event": event})["event"]
    assert written in {event, "event_name_not_static"}
    if written == event:
        assert event.isascii()
        assert event == event.lower()
        assert " " not in event


def test_what_an_operator_needs_comes_through() -> None:
    useful = {
        "request_id": "b9c2e7d4-1111-4222-8333-944455556666",
        "route": "/v1/queries",
        "status": 200,
        "ms": 12.5,
        "timestamp": "2026-11-24T02:06:03.123456Z",
        "place": "vault/api.py:93",
        "count": 10**9,
        "running": True,
        "nothing": None,
    }
    assert redact(None, "info", useful) == useful


@pytest.mark.parametrize("value", [b"990000197109070012", object(), ValueError("990000197109070012"), {1, 2}])
def test_what_is_no_plain_value_is_named_by_its_type(value: object) -> None:
    assert redact(None, "info", {"event": "x", "given": value})["given"] == f"[{type(value).__name__}]"


# ── Exceptions ───────────────────────────────────────────────────────────────────────────────────


def _raise(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except type(error) as caught:
        return caught


@given(PEOPLE)
def test_no_exceptions_text_comes_through(number: str) -> None:
    inner = _raise(KeyError(number))
    error = _raise(ValueError(f"bad {number}"), inner)
    written = exception_place(None, "error", {"event": "x", "exc_info": error})
    assert number not in json.dumps(written)
    assert written["exception"] == ["builtins.ValueError", "builtins.KeyError"]
    assert written["frames"][-1].startswith("server/test_redaction.py:")
    assert "exc_info" not in written


def test_an_exception_of_our_own_is_named_by_its_room() -> None:
    error = InvalidIdentifierError("demo-id", "check-digit", "one of its digits is wrong")
    written = exception_place(None, "error", {"event": "x", "exc_info": error})
    assert written["exception"] == ["vault.crypto.errors.InvalidIdentifierError"]


def test_causes_that_run_in_a_circle_end() -> None:
    one, other = ValueError(), KeyError()
    one.__cause__, other.__cause__ = other, one
    written = exception_place(None, "error", {"event": "x", "exc_info": one})
    assert 2 <= len(written["exception"]) < 100


def test_the_exception_at_hand() -> None:
    try:
        int("990000197109070012 of somebody")
    except ValueError:
        written = exception_place(None, "error", {"event": "x", "exc_info": True})
    assert written["exception"] == ["builtins.ValueError"]


@pytest.mark.parametrize("given_info", [None, False, True, (None, None, None), "text"])
def test_no_exception_is_none(given_info: object) -> None:
    assert exception_place(None, "error", {"event": "x", "exc_info": given_info}) == {"event": "x"}


# ── Lines as they are written ────────────────────────────────────────────────────────────────────


@pytest.fixture
def stream() -> Iterator[StringIO]:
    written = StringIO()
    before = logging.root.handlers[:], logging.root.level
    configure("info", written)
    yield written
    structlog.reset_defaults()
    logging.root.handlers[:], level = before
    logging.root.setLevel(level)


def lines(stream: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_level_and_time(stream: StringIO) -> None:
    structlog.contextvars.bind_contextvars(request_id="r")
    structlog.get_logger().warning("log_unavailable", subject="somebody", why="Chinese 名字")
    structlog.contextvars.clear_contextvars()
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "log_unavailable",
        "level": "warning",
        "request_id": "r",
        "subject": REDACTED,
        "why": "Chinese 名字",
    }


def test_less_than_the_level_is_not_written(stream: StringIO) -> None:
    structlog.get_logger().debug("too_much_detail")
    assert lines(stream) == []


def test_a_librarys_words_are_lost_and_its_place_is_kept(stream: StringIO) -> None:
    secret = fictitious_identity(1)[0]
    failure = _raise(ConnectionError(secret))
    logging.getLogger("some.library").error("failed for %s", secret, exc_info=failure)
    logging.getLogger("some.library").warning("about %s", secret, extra={"subject": secret})
    logging.getLogger("some.library").info("too much detail of %s", secret)
    assert secret not in stream.getvalue()
    failed, warned = lines(stream)
    assert (failed["event"], failed["logger"], failed["level"]) == (
        "library_message",
        "some.library",
        "error",
    )
    assert failed["exception"] == ["builtins.ConnectionError"]
    assert failed["place"].startswith("test_redaction:")
    assert warned["level"] == "warning"


def test_positional_arguments_make_no_sentence(stream: StringIO) -> None:
    secret = fictitious_identity(1)[0]
    structlog.get_logger().info("asked about %s", secret)
    structlog.get_logger().info(f"asked_about_{secret}")
    assert secret not in stream.getvalue()
