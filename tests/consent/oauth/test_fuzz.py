"""Whatever is sent, an endpoint answers with an error of OAuth, repeats nothing of it, and never fails."""

import json
import time
from typing import Any
from uuid import UUID, uuid4

from httpx import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.consent.oauth.world import (
    CALLBACK,
    EC_KEY,
    ISSUER,
    RSA_KEY,
    Client,
    Key,
    World,
    consented,
    encoded,
    proof,
    sign,
    statutory,
)
from tests.consent.registers import KEY

NAMES = (
    "client_id",
    "client_assertion",
    "client_assertion_type",
    "grant_type",
    "response_type",
    "redirect_uri",
    "code",
    "code_verifier",
    "code_challenge",
    "code_challenge_method",
    "scope",
    "state",
    "resource",
    "authorization_details",
    "dpop_jkt",
    "token",
    "request_uri",
)
TEXTS = st.text(max_size=40) | st.sampled_from(
    [
        "code",
        "client_credentials",
        "authorization_code",
        '[{"type":"inspection"}]',
        "x" * 3000,
        "a.b.c",
        '"',
        "\0",
        "<i>zq</i>",
        "\u4fe1\u7528zq",
        "\ud83d\ude00",
        "%zq%s{0}",
    ]
)
MARK = "zq"
ALGORITHMS = (
    "PS256",
    "ES256",
    "Ed25519",
    "EdDSA",
    "RS256",
    "HS256",
    "none",
    "NONE",
    "",
    "zq",
    7,
    None,
    ["ES256"],
)
JWKS = [key.as_dict(private=secret) for key in (EC_KEY, RSA_KEY, KEY) for secret in (True, False)]
HEADERS = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "jwk", "crit", "b64", "zip", "x5u", "jku", "zq"]),
    st.sampled_from(ALGORITHMS)
    | st.sampled_from(["one", "JWT", "at+jwt", "dpop+jwt", "client-authentication+jwt"])
    | st.lists(st.text(max_size=5), max_size=3)
    | st.sampled_from(JWKS)
    | st.text(max_size=600),
    max_size=5,
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["<i>zq</i>", ISSUER, "9" * 400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CLAIMS = st.dictionaries(
    st.sampled_from(
        ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "htm", "htu", "ath", "nonce", "cnf", "zq"]
    ),
    JSON | st.sampled_from([0, 1e300, -1, int(time.time()) + 30, int(time.time()) + 10**9]),
    max_size=6,
)
KEYS = st.sampled_from([KEY, EC_KEY, RSA_KEY])
BROKEN = st.sampled_from([None, None, 0, 1, 2])
MANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def check(response: Response) -> None:
    assert response.status_code == 400, response.text
    unspoken(response)


def unspoken(response: Response) -> None:
    """An error in OAuth's form that repeats nothing of what was sent."""
    assert set(response.json()) == {"error", "error_description"}
    assert response.json()["error_description"].isascii()
    assert MARK not in response.text


def compact(key: Key, header: dict[str, Any], claims: dict[str, Any], broken: int | None) -> str:
    """A signed object with such a header, of which one part may be another's."""
    parts = sign(key, header, claims).split(".")
    if broken is not None:
        parts[broken] = encoded(b'{"alg":"none"}')
    return ".".join(parts)


@MANY
@given(
    path=st.sampled_from(["/oauth/par", "/oauth/token", "/oauth/revoke", "/oauth/introspect"]),
    parameters=st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), TEXTS, max_size=8),
    with_proof=st.booleans(),
)
async def test_strangers(world: World, path: str, parameters: dict[str, str], with_proof: bool) -> None:  # noqa: FBT001 -- Hypothesis fills it in
    headers = {"DPoP": proof(EC_KEY, path)} if with_proof else {}
    check(await world.http.post(path, data=_encodable(parameters), headers=headers))


@MANY
@given(
    path=st.sampled_from(["/oauth/par", "/oauth/token"]),
    parameters=st.dictionaries(st.sampled_from(NAMES[3:]), TEXTS, min_size=1, max_size=6),
)
async def test_clients(bank: Client, path: str, parameters: dict[str, str]) -> None:
    form = bank.authenticated() | _encodable(parameters)
    check(await bank.post(path, form, dpop=proof(bank.dpop_key, path)))


@MANY
@given(
    st.dictionaries(st.sampled_from([*NAMES, "csrf", "decision", "fields", "validity"]), TEXTS, max_size=8)
)
async def test_people(world: World, parameters: dict[str, str]) -> None:
    browser = world.browser()
    for response in (
        await world.http.get("/oauth/authorize", params=_encodable(parameters), headers=browser.cookies),
        await world.http.post("/oauth/authorize", data=_encodable(parameters), headers=browser.cookies),
    ):
        assert response.status_code == 400
        assert response.headers["content-type"].startswith("text/plain")
        assert MARK not in response.text


@MANY
@given(st.binary(max_size=500), st.sampled_from(["/oauth/par", "/oauth/token", "/oauth/authorize"]))
async def test_bytes(world: World, content: bytes, path: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", **world.browser().cookies}
    assert (await world.http.post(path, content=content, headers=headers)).status_code == 400


@MANY
@given(KEYS, HEADERS, CLAIMS, BROKEN)
async def test_assertions(
    bank: Client, key: Key, header: dict[str, Any], claims: dict[str, Any], broken: int | None
) -> None:
    now, client_id = int(time.time()), bank.client_id
    good = {"iss": client_id, "sub": client_id, "aud": ISSUER, "exp": now + 60, "jti": str(uuid4())}
    sent = good | claims
    response = await bank.push(assertion=compact(key, {"kid": "one"} | header, sent, broken))
    if response.status_code == 201:
        assert (key, broken) == (KEY, None)
        assert (sent["iss"], sent["sub"], sent["aud"]) == (client_id, client_id, ISSUER)
    else:
        # Too many that fail are told to wait.
        assert response.status_code in (400, 429), response.text
        unspoken(response)


@MANY
@given(KEYS, HEADERS, CLAIMS, BROKEN, st.sampled_from(["/oauth/token", "/v1/queries"]))
async def test_proofs(  # noqa: PLR0917 -- Hypothesis fills them in
    furnisher: Client, key: Key, header: dict[str, Any], claims: dict[str, Any], broken: int | None, path: str
) -> None:
    good = {"htm": "POST", "htu": ISSUER + path, "iat": int(time.time()), "jti": "j"}
    jose = {"typ": "dpop+jwt", "jwk": key.as_dict(private=False)} | header
    dpop = compact(key, jose, good | claims, broken)
    if path == "/oauth/token":
        form = furnisher.authenticated(grant_type="password")
        check(await furnisher.post(path, form, dpop=dpop))
        return
    response = await furnisher.use("a.b.c", dpop=dpop)
    assert response.status_code == 401
    assert MARK not in str(response.headers) + response.text


@MANY
@given(
    st.sampled_from(sorted(statutory(UUID(int=1), UUID(int=2)))) | st.text(max_size=12),
    JSON,
    st.sampled_from(["statutory", "consented"]),
)
async def test_details(bank: Client, member: str, value: Any, kind: str) -> None:
    asked = statutory(UUID(int=1), UUID(int=2)) if kind == "statutory" else consented()
    text = json.dumps([{**asked, member: value}])
    if kind == "statutory":
        form = {"grant_type": "client_credentials", "authorization_details": _clean(text)}
        check(await bank.token(**form))
        return
    response = await bank.push(authorization_details=_clean(text))
    assert response.status_code in (201, 400), response.text
    if response.status_code == 400:
        unspoken(response)
    else:
        assert member in asked


@MANY
@given(TEXTS)
async def test_tokens(furnisher: Client, text: str) -> None:
    token = _clean(text)
    for path, expected in (("/oauth/introspect", {"active": False}), ("/oauth/revoke", {})):
        response = await furnisher.post(path, furnisher.authenticated(token=token))
        if response.status_code == 400:
            unspoken(response)  # empty, or with a NUL
            continue
        assert response.status_code == 200
        assert response.json() in (expected, "")
    check(await furnisher.token(grant_type="refresh_token", refresh_token=token))
    check(
        await furnisher.token(
            grant_type="authorization_code", code=token, redirect_uri=CALLBACK, code_verifier=token
        )
    )


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _encodable(parameters: dict[str, str]) -> dict[str, Any]:
    return {_clean(name): _clean(value) for name, value in parameters.items()}
