"""Every check of RFC 9449 §4.3, one by one, on proofs that are good otherwise."""

import hashlib
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from consent.oauth.dpop import LONGEST_PROOF, MAX_AGE, NonceKey, Nonces, ProofChecker, token_hash
from consent.oauth.errors import NonceRequiredError, ProofInvalidError
from tests.consent.oauth.world import EC_KEY, ISSUER, RSA_KEY, Key, encoded, proof, sign

PATH = "/oauth/token"
CHECKER = ProofChecker(ISSUER)
ED_KEY = OKPKey.generate_key("Ed25519")

# RFC 9449 §4.1: a proof for https://server.example.com/token, iat 1562262616; §7.1: one with an access token.
RFC_PROOF = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZ"
    "OXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIs"
    "ImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVy"
    "LmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFL"
    "bdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)
RFC_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
RFC_TEXT = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
RFC_ATH = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"


TEXT = "an access token"


def check(*headers: str, method: str = "POST", path: str = PATH, **more: Any) -> Any:
    return CHECKER.check(headers, method=method, path=path, now=time.time(), **more)


def test_the_example_of_the_rfc_verifies() -> None:
    found = ProofChecker("https://server.example.com").check(
        [RFC_PROOF], method="POST", path="/token", now=1562262616
    )
    assert (found.jkt, found.jti) == (RFC_THUMBPRINT, "-BwC3ESc6acc2lTc")


def test_the_token_hash_is_that_of_the_rfc() -> None:
    assert token_hash(hashlib.sha256(RFC_TEXT.encode()).digest()) == RFC_ATH


@pytest.mark.parametrize("key", [RSA_KEY, EC_KEY, ED_KEY, RSAKey.generate_key(4096)])
def test_every_kind_of_key_proves(key: Key) -> None:
    found = check(proof(key, PATH))
    assert found.jkt == key.thumbprint()
    assert check(proof(key, PATH)).jti != found.jti


def test_1_one_header() -> None:
    good = proof(EC_KEY, PATH)
    for headers in ((), (good, good), (good, "")):
        with pytest.raises(ProofInvalidError):
            check(*headers)


@pytest.mark.parametrize(
    "header", ["", ".", "..", "a.b.c", "x" * (LONGEST_PROOF + 1), "é.é.é", f"{'{}'}.x.y"]
)
def test_2_a_well_formed_jwt(header: str) -> None:
    with pytest.raises(ProofInvalidError):
        check(header)


def test_2_not_two_proofs_in_one_header() -> None:
    with pytest.raises(ProofInvalidError):
        check(f"{proof(EC_KEY, PATH)}, {proof(EC_KEY, PATH)}")


@pytest.mark.parametrize("claim", ["jti", "htm", "htu", "iat"])
def test_3_every_required_claim(claim: str) -> None:
    missing: dict[str, Any] = {claim: None}
    with pytest.raises(ProofInvalidError):
        check(proof(EC_KEY, PATH, **missing))


@pytest.mark.parametrize("jti", ["", 1, ["a"], "a\n", "é", "x" * 257])
def test_3_an_id_that_can_be_kept(jti: object) -> None:
    with pytest.raises(ProofInvalidError):
        check(proof(EC_KEY, PATH, jti=jti))


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "DPOP+JWT", "", 1])
def test_4_the_type(typ: object) -> None:
    with pytest.raises(ProofInvalidError):
        check(proof(EC_KEY, PATH, header={"typ": typ}))


def test_5_an_accepted_algorithm() -> None:
    secret: Any = OctKey.generate_key(256)
    for header in (
        proof(RSA_KEY, PATH, algorithm="RS256"),
        sign(secret, {"typ": "dpop+jwt", "jwk": {"kty": "oct"}}, {}, "HS256"),
    ):
        with pytest.raises(ProofInvalidError):
            check(header)


def test_6_the_signature() -> None:
    header, payload, _ = proof(EC_KEY, PATH).split(".")
    other = proof(EC_KEY, PATH).split(".")[2]
    for broken in (f"{header}.{payload}.{other}", f"{header}.{payload}.", f"{header}.{payload}.!"):
        with pytest.raises(ProofInvalidError):
            check(broken)


def test_6_the_signature_of_the_key_in_the_header() -> None:
    with pytest.raises(ProofInvalidError):
        check(proof(EC_KEY, PATH, header={"jwk": ECKey.generate_key("P-256").as_dict(private=False)}))


@pytest.mark.parametrize("jwk", [None, "key", {}, EC_KEY.as_dict(private=True), {"kty": "oct", "k": "AAAA"}])
def test_7_a_public_key(jwk: object) -> None:
    with pytest.raises(ProofInvalidError):
        check(proof(EC_KEY, PATH, header={"jwk": jwk}))


def test_8_the_method() -> None:
    for claimed in ("GET", "post", ["POST"]):
        with pytest.raises(ProofInvalidError):
            check(proof(EC_KEY, PATH, htm=claimed))
    assert check(proof(EC_KEY, PATH, method="GET"), method="GET")


@pytest.mark.parametrize(
    "htu",
    [
        ISSUER + PATH,
        ISSUER + PATH + "?a=b",
        ISSUER + PATH + "#fragment",
        "HTTPS://VAULT.example" + PATH,
        "https://vault.example:443" + PATH,
        "https://vault.example/oauth/tok%65n",
    ],
)
def test_9_the_uri_in_any_equivalent_spelling(htu: str) -> None:
    assert check(proof(EC_KEY, PATH, htu=htu))


@pytest.mark.parametrize(
    "htu",
    [
        ISSUER + "/oauth/par",
        ISSUER + PATH + "/",
        ISSUER + "/OAUTH/token",
        "http://vault.example" + PATH,
        "https://vault.example:8443" + PATH,
        "https://vault.example.attacker.example" + PATH,
        "https://vault.example@attacker.example" + PATH,
        "https://user@vault.example" + PATH,
        "https://vault.example:port" + PATH,
        "https://[vault.example" + PATH,
        "https://vault.example/oauth%2Ftoken",
        "https://vault.example/oauth/x/../token",
        PATH,
        "",
        None,
        7,
    ],
)
def test_9_another_uri(htu: object) -> None:
    with pytest.raises(ProofInvalidError):
        check(proof(EC_KEY, PATH, htu=htu or ""))


def test_9_the_root_has_one_path() -> None:
    assert check(proof(EC_KEY, "", htu=ISSUER), path="/")


def test_10_a_nonce_we_gave() -> None:
    nonces = Nonces(lambda: [NonceKey(bytes(32))], period=100)
    checker = ProofChecker(ISSUER, nonces)
    now = time.time()
    for nonce in (None, "", "wrong", 7, "é", nonces.current(now - 200), nonces.current(now + 100)):
        with pytest.raises(NonceRequiredError) as required:
            checker.check([proof(EC_KEY, PATH, nonce=nonce)], method="POST", path=PATH, now=now)
        assert required.value.nonce == nonces.current(now)
    for nonce in (nonces.current(now), nonces.current(now - 100)):
        assert checker.check([proof(EC_KEY, PATH, nonce=nonce)], method="POST", path=PATH, now=now)


def test_10_a_nonce_is_given_only_for_a_proof_that_is_good_otherwise() -> None:
    checker = ProofChecker(ISSUER, Nonces(lambda: [NonceKey(bytes(32))]))
    with pytest.raises(ProofInvalidError):
        checker.check([proof(EC_KEY, PATH, htm="GET")], method="POST", path=PATH, now=time.time())


def test_10_workers_with_one_key_accept_each_others_nonces() -> None:
    now = time.time()
    one, another = Nonces(lambda: [NonceKey(b"k" * 32)]), Nonces(lambda: [NonceKey(b"l" * 32)])
    assert Nonces(lambda: [NonceKey(b"k" * 32)]).accepts(one.current(now), now)
    assert not one.accepts(another.current(now), now)


@given(
    st.lists(st.integers(1, 1000), max_size=4),
    st.integers(200, 4000),
    st.integers(0, 250),
    st.integers(-2, 2),
)
def test_10_a_nonce_lives_as_long_whatever_keys_come_after_it(
    pauses: list[int], given_at: int, later: int, ahead: int
) -> None:
    """As long as with one key; and whoever's clock is a little ahead, or behind, finds the nonce good too."""
    keys = [NonceKey(bytes(32))]
    for pause in pauses:
        keys.append(NonceKey(bytes([len(keys)]) * 32, keys[-1].since + pause))
    changing, one = Nonces(lambda: keys, period=100), Nonces(lambda: keys[:1], period=100)
    now = given_at + later
    alive = one.accepts(one.current(given_at), now)
    assert changing.accepts(changing.current(given_at), now) == alive
    if later == 0:
        skewed = changing.current(given_at + ahead)
        assert changing.accepts(skewed, given_at) == one.accepts(one.current(given_at + ahead), given_at)


def test_10_nonces_of_a_former_key_end() -> None:
    """Whoever knows a former key makes no nonce that is taken once the last honest one has ended."""
    former, key = NonceKey(bytes(32)), NonceKey(b"k" * 32, 1000.0)
    nonces, stolen = Nonces(lambda: [former, key], period=100), Nonces(lambda: [former], period=100)
    assert nonces.accepts(stolen.current(1199), 1199)
    assert not nonces.accepts(stolen.current(1200), 1200)


@pytest.mark.parametrize("age", [-10, 0, 30, 59])
def test_11_made_just_now(age: int) -> None:
    now = 1_800_000_000.0
    good = proof(EC_KEY, PATH, iat=now - age)
    found = CHECKER.check([good], method="POST", path=PATH, now=now)
    # Whoever remembers it until then has it when any of our clocks would still take it.
    assert found.expires_at.timestamp() >= now - age + MAX_AGE + 60


@pytest.mark.parametrize("age", [-61, -11, 61, 3600, 1e300, -1e300])
def test_11_not_too_old_and_not_of_the_future(age: float) -> None:
    now = 1_800_000_000.0
    with pytest.raises(ProofInvalidError):
        CHECKER.check([proof(EC_KEY, PATH, iat=now - age)], method="POST", path=PATH, now=now)


def test_12_the_hash_of_the_token() -> None:
    expected = token_hash(hashlib.sha256(TEXT.encode()).digest())
    for header in (
        proof(EC_KEY, PATH),
        proof(EC_KEY, PATH, token=RFC_TEXT),
        proof(EC_KEY, PATH, ath=[expected]),
    ):
        with pytest.raises(ProofInvalidError):
            check(header, token_hash=expected, token_jkt=EC_KEY.thumbprint())
    assert check(proof(EC_KEY, PATH, token=TEXT), token_hash=expected, token_jkt=EC_KEY.thumbprint())


def test_12_the_key_of_the_token() -> None:
    expected = token_hash(hashlib.sha256(TEXT.encode()).digest())
    with pytest.raises(ProofInvalidError):
        check(proof(EC_KEY, PATH, token=TEXT), token_hash=expected, token_jkt=ED_KEY.thumbprint())


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_bytes_raise_anything_else(header: bytes, payload: bytes) -> None:
    with pytest.raises(ProofInvalidError):
        check(".".join(encoded(part) for part in (header, payload, bytes(64))))


@given(
    st.dictionaries(
        st.sampled_from(["jti", "htm", "htu", "iat", "ath", "nonce"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=20)
        | st.lists(st.text(max_size=3)),
        min_size=6,
    )
)
def test_no_claims_raise_anything_else(claims: dict[str, Any]) -> None:
    jwk = EC_KEY.as_dict(private=False)
    with pytest.raises(ProofInvalidError):
        check(sign(EC_KEY, {"typ": "dpop+jwt", "jwk": jwk}, claims))
