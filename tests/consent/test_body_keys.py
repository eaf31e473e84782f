"""Keys of bodies: which are taken into the register, and what a change of them leaves in the log."""

import base64
from uuid import uuid4

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from access_log.log import Log
from consent import bodies
from consent.body_keys import public_keys, replace_keys
from consent.errors import UnknownError
from consent.oauth.errors import KeyPolicyError
from tests.consent.logged import newest
from tests.consent.registers import KEY, OPERATOR, jwks, new_body

RSA_2048 = RSAKey.generate_key(2048)
P256 = ECKey.generate_key("P-256")


def test_keys_of_the_profile_are_kept_public_with_their_kids() -> None:
    kept = public_keys(
        {
            "keys": [
                {**RSA_2048.as_dict(private=False), "kid": "a", "x5u": "https://evil.example"},
                {**P256.as_dict(private=False), "kid": "b", "alg": "ES256"},
                {**KEY.as_dict(private=False), "kid": "c"},
            ]
        }
    )
    assert [key["kid"] for key in kept["keys"]] == ["a", "b", "c"]
    assert [key["kty"] for key in kept["keys"]] == ["RSA", "EC", "OKP"]
    assert "x5u" not in kept["keys"][0]


@pytest.mark.parametrize(
    "keys",
    [
        None,
        [],
        [{}],
        [{**KEY.as_dict(private=False)}],
        [{**KEY.as_dict(private=False), "kid": ""}],
        [{**KEY.as_dict(private=False), "kid": 7}],
        [{**KEY.as_dict(private=False), "kid": "one"}, {**P256.as_dict(private=False), "kid": "one"}],
        [{**KEY.as_dict(private=True), "kid": "one"}],
        [{**RSA_2048.as_dict(private=True), "kid": "one"}],
        [{**OctKey.generate_key(256).as_dict(private=True), "kid": "one"}],
        [{"kty": "RSA", "n": base64.urlsafe_b64encode(b"\xc1" * 128).decode(), "e": "AQAB", "kid": "one"}],
        [{**ECKey.generate_key("P-384").as_dict(private=False), "kid": "one"}],
        [{**OKPKey.generate_key("X25519").as_dict(private=False), "kid": "one"}],
        [{**KEY.as_dict(private=False), "kid": str(at)} for at in range(17)],
    ],
)
def test_keys_outside_the_profile_are_refused_in_one_line_that_says_what_to_do(keys: object) -> None:
    with pytest.raises(KeyPolicyError) as refused:
        public_keys({"keys": keys})
    assert str(refused.value).endswith(".")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"d": "AAAA"}, "make a new one"),
        ({"use": "enc"}, "its use, if stated, sig"),
        ({"key_ops": ["sign"]}, "its key_ops, verify"),
        ({"alg": "RS256"}, "mend alg, or leave it out"),
        ({"alg": "ES256"}, "mend alg, or leave it out"),
        ({"crv": "Ed448"}, "make a new one"),
        ({"x": "!"}, "export it anew"),
        ({"kid": "a"}, "name this one anew"),
        ({"kid": "b" * 201}, "its RFC 7638 thumbprint does"),
    ],
)
def test_a_refusal_names_the_key_and_the_remedy(change: dict[str, object], remedy: str) -> None:
    good = {**KEY.as_dict(private=False), "kid": "a"}
    with pytest.raises(KeyPolicyError, match=r"^Key 2: ") as refused:
        public_keys({"keys": [good, {**good, "kid": "b"} | change]})
    assert remedy in str(refused.value)


async def test_keys_are_replaced(log: Log) -> None:
    async with log.writing() as writing:
        body_id = await bodies.add_body(writing, new_body(), OPERATOR)
        await replace_keys(writing, body_id, jwks("one", "two"), OPERATOR)
        body = await bodies.read_body(writing.connection, body_id)
        with pytest.raises(UnknownError):
            await replace_keys(writing, uuid4(), jwks(), OPERATOR)
    assert body is not None
    assert [key["kid"] for key in body.jwks["keys"]] == ["one", "two"]
    assert (await newest(log))["event"] == "body.keys_replaced"
