"""Keys and signed objects of the profile, and everything outside it."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey

from consent.oauth import jose
from consent.oauth.errors import KeyPolicyError, SignatureError
from tests.consent.oauth.world import EC_KEY, RSA_KEY, Key, encoded, sign

ED_KEY = OKPKey.generate_key("Ed25519")
SMALL_RSA = {"kty": "RSA", "e": "AQAB", "n": encoded(b"\x7f" + bytes(254) + b"\1")}


def public(key: Any, **changes: Any) -> dict[str, Any]:
    jwk = {**key.as_dict(private=False), **changes}
    return {name: value for name, value in jwk.items() if value is not None}


@pytest.mark.parametrize(("key", "algorithm"), [(RSA_KEY, "PS256"), (EC_KEY, "ES256"), (ED_KEY, "Ed25519")])
def test_the_profiles_algorithms_verify(key: Key, algorithm: str) -> None:
    compact = sign(key, {}, {"a": 1}, algorithm)
    assert jose.verify(jose.take_apart(compact), jose.import_public_key(public(key))) == {"a": 1}


def test_the_older_name_of_ed25519_verifies_without_a_warning() -> None:
    assert isinstance(ED_KEY.private_key, Ed25519PrivateKey)
    signing_input = ".".join(encoded(part) for part in (b'{"alg":"EdDSA"}', b"{}"))
    compact = f"{signing_input}.{encoded(ED_KEY.private_key.sign(signing_input.encode()))}"
    assert jose.verify(jose.take_apart(compact), jose.import_public_key(public(ED_KEY))) == {}


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA_KEY, "RS256"), (RSA_KEY, "PS512"), (RSA_KEY, "RS512"), (OctKey.generate_key(256), "HS256")],
)
def test_other_algorithms_are_refused(key: Any, algorithm: str) -> None:
    with pytest.raises(SignatureError):
        jose.take_apart(sign(key, {}, {}, algorithm))


def test_an_unsigned_object_is_refused() -> None:
    header = encoded(b'{"alg":"none"}')
    with pytest.raises(SignatureError):
        jose.take_apart(f"{header}.e30.")


def test_an_algorithm_of_another_kind_of_key_is_refused() -> None:
    compact = sign(EC_KEY, {}, {})
    with pytest.raises(SignatureError):
        jose.verify(jose.take_apart(compact), jose.import_public_key(public(RSA_KEY)))


def test_another_key_does_not_verify() -> None:
    compact = sign(EC_KEY, {}, {})
    with pytest.raises(SignatureError):
        jose.verify(jose.take_apart(compact), jose.import_public_key(public(ECKey.generate_key("P-256"))))


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b'"alg"',
        b'["alg"]',
        b"1",
        b"{}",
        b'{"alg":null}',
        b'{"alg":["ES256"]}',
        b'{"alg":"ES256","crit":["exp"],"exp":1}',
        b'{"alg":"ES256","crit":["b64"],"b64":false}',
        b'{"alg":"ES256","b64":true}',
        b"[" * 2000,
        b"\xff",
    ],
)
def test_a_header_that_is_none_is_refused(header: bytes) -> None:
    with pytest.raises(SignatureError):
        jose.take_apart(f"{encoded(header)}.e30.AAAA")


def test_a_header_of_another_type_does_not_verify() -> None:
    for header in ({"kid": 7}, {"jku": "no url"}, {"x5c": 7}):
        with pytest.raises(SignatureError):
            jose.verify(jose.take_apart(sign(EC_KEY, header, {})), jose.import_public_key(public(EC_KEY)))


@pytest.mark.parametrize("payload", [b"[]", b"1", b"", b"{", b"\xff", b"[" * 10_000])
def test_a_payload_that_is_no_object_is_refused(payload: bytes) -> None:
    unverified = jose.take_apart(sign(EC_KEY, {}, payload))
    with pytest.raises(SignatureError):
        jose.verify(unverified, jose.import_public_key(public(EC_KEY)))


def test_giant_parts_are_refused() -> None:
    for compact in (sign(EC_KEY, {"kid": "k" * 2000}, {}), sign(EC_KEY, {}, {"a": "a" * 20_000})):
        with pytest.raises(SignatureError):
            jose.take_apart(compact)


@given(st.text(alphabet="abcXYZ019-_.=+/ é\0", max_size=200))
def test_no_text_is_anything_but_refused(text: str) -> None:
    with pytest.raises(SignatureError):
        jose.take_apart(text)


@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=100))
def test_no_bytes_raise_anything_else(header: bytes, payload: bytes, signature: bytes) -> None:
    compact = ".".join(encoded(part) for part in (header, payload, signature))
    with pytest.raises(SignatureError):
        jose.take_apart(compact)


@pytest.mark.parametrize(
    "jwk",
    [
        None,
        [],
        {},
        {"kty": ["EC"]},
        {"kty": "oct", "k": "AAAA"},
        public(OctKey.generate_key(256)) | {"k": "AAAA"},
        {**ED_KEY.as_dict(private=True)},
        {**RSA_KEY.as_dict(private=True)},
        {**EC_KEY.as_dict(private=True)},
        SMALL_RSA,
        public(ECKey.generate_key("P-384")),
        public(OKPKey.generate_key("X25519")),
        public(OKPKey.generate_key("Ed448")),
        public(EC_KEY, use="enc"),
        public(EC_KEY, key_ops=["encrypt"]),
        public(EC_KEY, key_ops="verify"),
        public(EC_KEY, alg="RS256"),
        public(RSA_KEY, alg="RS256"),
        public(RSA_KEY, e="Aw"),
        public(RSA_KEY, e=None),
        public(RSA_KEY, n="A" * 4000),
        public(EC_KEY, x="AA"),
        public(EC_KEY, x="+" * 43),
        public(EC_KEY, x=1),
        public(EC_KEY, y="A" * 43),
        public(EC_KEY, y="é" * 43),
        public(EC_KEY, crv="nonsense"),
        public(ED_KEY, x="AA=="),
        public(ED_KEY, x="AAAA"),
    ],
)
def test_keys_outside_the_profile_are_refused(jwk: object) -> None:
    with pytest.raises(KeyPolicyError):
        jose.import_public_key(jwk)


def test_only_the_required_members_of_a_key_are_kept() -> None:
    kept = jose.import_public_key(public(EC_KEY, kid="attacker", x5u="https://attacker.example", use="sig"))
    assert set(kept.as_dict()) == {"kty", "crv", "x", "y"}


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    # RFC 7638 §3.1, the example.
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWK"
        "RXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMic"
        "AtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3"
        "XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    key = jose.import_public_key({"kty": "RSA", "n": modulus, "e": "AQAB"})
    assert key.thumbprint() == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "true", '"1"', "null", "[]"])
def test_a_time_that_is_no_number_is_refused(value: str) -> None:
    # NaN is the dangerous one: every comparison with it is false, so a check that raises would pass.
    with pytest.raises(SignatureError):
        jose.numeric_date(json.loads(f'{{"exp": {value}}}'), "exp")


@pytest.mark.parametrize("value", [None, 1, "", "a\0", "é", "\ud800", "x" * 257])
def test_a_text_claim_of_other_characters_is_refused(value: object) -> None:
    with pytest.raises(SignatureError):
        jose.text_claim({"jti": value}, "jti")


@pytest.mark.parametrize(
    "jwks", [None, [], {}, {"keys": {}}, {"keys": []}, {"keys": [public(EC_KEY)] * 17}, {"keys": [1]}]
)
def test_a_set_that_is_none_is_refused(jwks: object) -> None:
    with pytest.raises(KeyPolicyError):
        jose.KeySet(jwks)


def test_a_set_verifies_by_kid_and_without_one_by_any_key_that_fits() -> None:
    other = ECKey.generate_key("P-256")
    keys = jose.KeySet(
        {"keys": [public(other, kid="old"), public(EC_KEY, kid="new"), public(RSA_KEY, kid="rsa")]}
    )
    assert keys.verify(jose.take_apart(sign(EC_KEY, {"kid": "new"}, {}))) == {}
    assert keys.verify(jose.take_apart(sign(EC_KEY, {}, {}))) == {}
    assert keys.verify(jose.take_apart(sign(other, {}, {}))) == {}
    for kid in ("old", "rsa", "unknown", "", 1):
        unverified = jose.take_apart(sign(EC_KEY, {}, {}))
        unverified.header["kid"] = kid
        with pytest.raises(SignatureError):
            keys.verify(unverified)
