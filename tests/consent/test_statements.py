"""Registrars' signed statements: what verifies, and everything that must not."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from consent.errors import StatementError
from consent.oauth.errors import KeyPolicyError
from consent.statements import (
    LONGEST_CONTENT,
    Approval,
    Proposal,
    Revocation,
    content_digest,
    import_registrar_key,
    read_statement,
    sign_statement,
    verify,
)

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
ED, EC = OKPKey.generate_key("Ed25519"), ECKey.generate_key("P-256")
AUTHORIZATION, REGISTRAR = UUID(int=1), UUID(int=2)
PROPOSAL = Proposal.of(AUTHORIZATION, REGISTRAR, NOW, '{"terms": "这些"}')
APPROVAL = Approval(
    authorization=AUTHORIZATION, registrar=REGISTRAR, at=NOW, content_sha256=PROPOSAL.content_sha256
)
REVOCATION = Revocation(authorization=AUTHORIZATION, registrar=REGISTRAR, at=NOW, reason="no longer needed")


def header_of(compact: str) -> dict[str, Any]:
    part = compact.split(".", maxsplit=1)[0]
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return header


def signed(header: dict[str, Any], payload: bytes, key: Any = ED) -> str:
    return jws.serialize_compact(header, payload, key, algorithms=[header["alg"]])


def payload(**changes: Any) -> bytes:
    values = {
        "act": "approve",
        "v": 1,
        "authorization": str(AUTHORIZATION),
        "registrar": str(REGISTRAR),
        "at": NOW.isoformat(),
        "content_sha256": "ab" * 32,
    }
    return json.dumps(
        {name: value for name, value in {**values, **changes}.items() if value is not None}
    ).encode()


HEADER = {"alg": "Ed25519", "typ": "creditvault-statement", "kid": ED.thumbprint()}


@pytest.mark.parametrize("key", [ED, EC])
@pytest.mark.parametrize("statement", [PROPOSAL, APPROVAL, REVOCATION])
def test_a_statement_is_read_back_and_verifies(
    key: ECKey | OKPKey, statement: Proposal | Approval | Revocation
) -> None:
    compact = sign_statement(key.as_dict(private=True), statement)
    claimed = read_statement(compact)
    verify(claimed, key.as_dict(private=False), NOW)
    assert claimed.statement == statement
    assert len(claimed.digest) == 64
    assert header_of(compact) == {
        "alg": "Ed25519" if key is ED else "ES256",
        "typ": "creditvault-statement",
        "kid": key.thumbprint(),
    }


def test_the_payload_is_as_documented() -> None:
    compact = sign_statement(ED.as_dict(private=True), PROPOSAL)
    claimed = json.loads(read_statement(compact).unverified.payload)
    assert claimed == {
        "act": "propose",
        "v": 1,
        "authorization": str(AUTHORIZATION),
        "registrar": str(REGISTRAR),
        "at": "2026-07-01T12:00:00Z",
        "content": '{"terms": "这些"}',
        "content_sha256": content_digest('{"terms": "这些"}'),
    }


def test_a_statement_written_by_another_tool_verifies() -> None:
    claimed = read_statement(signed(HEADER, payload()))
    verify(claimed, ED.as_dict(private=False), NOW)
    assert isinstance(claimed.statement, Approval)


@pytest.mark.parametrize(
    "compact",
    [
        "",
        "a.b",
        "a.b.c",
        "é.b.c",
        signed(HEADER, b"not json"),
        signed(HEADER, b"[]"),
        signed(HEADER, payload(act="bless")),
        signed(HEADER, payload(act=None)),
        signed(HEADER, payload(v=2)),
        signed(HEADER, payload(content_sha256="AB" * 32)),
        signed(HEADER, payload(content_sha256=None)),
        signed(HEADER, payload(at="2026-07-01T12:00:00")),
        signed(HEADER, payload(registrar="somebody")),
        signed(HEADER, payload(more=1)),
        signed({**HEADER, "alg": "HS256"}, payload(), OctKey.generate_key(256)),
        signed(HEADER, payload(act="propose", content="{}")),
        signed(HEADER, payload(act="revoke", content_sha256=None, reason="")),
    ],
)
def test_what_is_no_statement_is_not_read(compact: str) -> None:
    with pytest.raises(StatementError):
        read_statement(compact)


def test_an_unsigned_statement_is_not_read() -> None:
    parts = signed(HEADER, payload()).split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    with pytest.raises(StatementError):
        read_statement(f"{none}.{parts[1]}.")


def test_content_that_was_altered_after_its_digest_is_not_read() -> None:
    with pytest.raises(StatementError, match="digest"):
        read_statement(
            signed(HEADER, payload(act="propose", content="{ }", content_sha256=content_digest("{}")))
        )


def test_terms_that_are_too_long_are_not_read() -> None:
    long = Proposal.of(AUTHORIZATION, REGISTRAR, NOW, "x" * (LONGEST_CONTENT + 1))
    with pytest.raises(StatementError):
        read_statement(sign_statement(ED.as_dict(private=True), long))


def altered(compact: str) -> str:
    head, body, signature = compact.split(".")
    other = signed(HEADER, payload(content_sha256="cd" * 32)).split(".")[1]
    assert other != body
    return f"{head}.{other}.{signature}"


PS256_KEY = RSAKey.generate_key(2048)


@pytest.mark.parametrize(
    "make",
    [
        lambda: altered(signed(HEADER, payload())),
        lambda: signed({**HEADER, "typ": "JWT"}, payload()),
        lambda: signed({"alg": "Ed25519", "kid": ED.thumbprint()}, payload()),
        lambda: signed({**HEADER, "kid": "another"}, payload()),
        lambda: signed({"alg": "Ed25519", "typ": "creditvault-statement"}, payload()),
        lambda: signed(HEADER, payload(), OKPKey.generate_key("Ed25519")),
        lambda: signed({**HEADER, "alg": "ES256"}, payload(), EC),
        lambda: signed({**HEADER, "alg": "PS256"}, payload(), PS256_KEY),
        lambda: signed(HEADER, payload(at=(NOW + timedelta(seconds=61)).isoformat())),
        lambda: signed(HEADER, payload(at=(NOW - timedelta(days=30, seconds=1)).isoformat())),
    ],
    ids=["altered", "typ", "no typ", "kid", "no kid", "key", "algorithm", "PS256", "future", "old"],
)
def test_a_statement_that_does_not_verify(make: Callable[[], str]) -> None:
    claimed = read_statement(make())
    with pytest.raises(StatementError):
        verify(claimed, ED.as_dict(private=False), NOW)


def test_the_older_name_of_the_algorithm_is_not_accepted() -> None:
    body = signed(HEADER, payload()).split(".")[1]
    head = base64.urlsafe_b64encode(json.dumps({**HEADER, "alg": "EdDSA"}).encode()).decode().rstrip("=")
    signature = ED.private_key.sign(f"{head}.{body}".encode())  # type: ignore[union-attr]
    tail = base64.urlsafe_b64encode(signature).decode().rstrip("=")
    with pytest.raises(StatementError, match="algorithm"):
        verify(read_statement(f"{head}.{body}.{tail}"), ED.as_dict(private=False), NOW)


@pytest.mark.parametrize("at", [NOW + timedelta(seconds=60), NOW - timedelta(days=30)])
def test_a_statement_from_within_its_time_verifies(at: datetime) -> None:
    verify(read_statement(signed(HEADER, payload(at=at.isoformat()))), ED.as_dict(private=False), NOW)


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "oct", "k": "AAAA"},
        ED.as_dict(private=False),
        RSAKey.generate_key(2048).as_dict(private=True),
        OKPKey.generate_key("X25519").as_dict(private=True),
        ECKey.generate_key("P-384").as_dict(private=True),
        {**ED.as_dict(private=True), "d": "!"},
    ],
)
def test_only_a_private_key_of_a_registrar_signs(jwk: dict[str, Any]) -> None:
    with pytest.raises(KeyPolicyError):
        sign_statement(jwk, APPROVAL)


def test_only_two_kinds_of_key_are_a_registrars() -> None:
    assert import_registrar_key(ED.as_dict(private=False)).thumbprint() == ED.thumbprint()
    with pytest.raises(KeyPolicyError):
        import_registrar_key(PS256_KEY.as_dict(private=False))
