"""The operator log keeps personal data out: by key, by shape, and by never writing an exception's text."""

import io
import json

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from vault.server.logging import REDACTED, configure, redact, static_event


@pytest.mark.parametrize(
    "key", ["subject", "number", "name", "token", "authorization", "fields", "passphrase"]
)
def test_sensitive_keys_are_redacted(key: str) -> None:
    assert redact(None, "info", {"event": "x", key: "whatever"})[key] == REDACTED
    assert redact(None, "info", {"event": "x", "inner": {key: "whatever"}})["inner"] == {key: REDACTED}


@given(
    number=st.from_regex(r"[0-9]{17}[0-9X]", fullmatch=True), around=st.sampled_from(["", " ", ":", "/", "="])
)
def test_identity_numbers_are_redacted_wherever_they_stand(number: str, around: str) -> None:
    written = redact(None, "info", {"event": "x", "place": f"at{around or ' '}{number}{around} end"})
    assert number not in str(written)


@given(st.integers(10**14, 10**15 - 1) | st.integers(10**17, 10**18 - 1))
def test_numbers_as_long_as_an_identity_are_redacted(number: int) -> None:
    assert str(number) not in json.dumps(redact(None, "info", {"event": "x", "n": number}))


def test_tokens_are_redacted() -> None:
    token = "eyJhbGciOiJFZDI1NTE5In0.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
    assert redact(None, "info", {"event": "x", "text": f"DPoP {token}"})["text"] == f"DPoP {REDACTED}"


def test_only_fixed_event_names_pass() -> None:
    assert static_event(None, "info", {"event": "log_stopped"})["event"] == "log_stopped"
    assert static_event(None, "info", {"event": "Asked about 99"})["event"] == "event_name_not_static"


def test_exceptions_are_written_without_their_text() -> None:
    stream = io.StringIO()
    configure("info", stream)
    try:
        int("999999190001010015 of Wei Example")
    except ValueError as error:
        structlog.get_logger().error("it_failed", exc_info=error)
    finally:
        structlog.reset_defaults()
    line = json.loads(stream.getvalue())
    assert line["exception"] == ["builtins.ValueError"]
    assert line["frames"]
    assert "Wei" not in stream.getvalue()
    assert "9999" not in stream.getvalue()
