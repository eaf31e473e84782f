"""The pitfalls of Authlib and joserfc, numbered as in the design; each test fails without our fix."""

import base64
import json
import subprocess
import sys
import time
from typing import Any
from urllib.parse import quote

import pytest
from httpx import Response

from access_log.log import Log
from consent.bodies import suspend_body
from consent.body_keys import replace_keys
from consent.oauth.adapter import FormRequest, RefusedError, safe_words
from consent.oauth.errors import TokenInvalidError
from consent.oauth.replay import revoked
from consent.oauth.server import Server
from consent.oauth.tokens import LONGEST_LIFE
from tests.consent.examples import CATALOGUE
from tests.consent.oauth.world import (
    EC_KEY,
    ISSUER,
    ISSUER_KEY,
    RSA_KEY,
    Browser,
    Client,
    World,
    answered,
    consented,
    content,
    encoded,
    proof,
    refused,
    sign,
)
from tests.consent.registers import OPERATOR

SUBMISSION = {"type": "record_submission", "categories": ["FIN"]}
EVERY_ENDPOINT = ("/oauth/par", "/oauth/token", "/oauth/revoke", "/oauth/introspect")
HOSTILE = (
    '"><script>alert(1)</script>',
    "\\",
    "信用",
    "a\u0000b",
    "\r\nSet-Cookie: a=b",
    "%",
    "{0}",
    "\u2028",
)


async def test_1_the_algorithms_are_the_profiles_not_joserfcs(log: Log, bank: Client) -> None:
    async with log.writing() as writing:
        jwks = {"keys": [{**RSA_KEY.as_dict(private=False), "kid": "one"}]}
        await replace_keys(writing, bank.body_id, jwks, OPERATOR)
    bank.key = RSA_KEY
    assert (await bank.push()).status_code == 201  # PS256, which joserfc would refuse
    refused(
        await bank.push(assertion=bank.assertion(algorithm="RS256")), "invalid_client"
    )  # and this it would take


async def test_2_a_header_with_an_rsa_key_is_not_too_long(furnisher: Client) -> None:
    furnisher.dpop_key = RSA_KEY
    dpop = proof(RSA_KEY, "/oauth/token")
    assert len(dpop.partition(".")[0]) > 512
    assert (await furnisher.own_token(SUBMISSION, dpop=dpop)).status_code == 200


async def test_3_hostile_text_is_an_error_in_safe_words(
    bank: Client, furnisher: Client, subtests: pytest.Subtests
) -> None:
    for text in HOSTILE:
        for name in (
            "redirect_uri",
            "response_type",
            "scope",
            "client_id",
            "code_challenge",
            "resource",
        ):
            with subtests.test(text=text, name=name):
                safe(await bank.push(**{name: text}), text)
        for name in ("grant_type", "scope", "client_id", "resource", "authorization_details"):
            with subtests.test(text=text, name=name):
                parameters = {
                    "authorization_details": json.dumps([SUBMISSION]),
                    "grant_type": "client_credentials",
                }
                safe(await furnisher.token(**(parameters | {name: text})), text)
        with subtests.test(text=text, name="assertion header"):
            header = encoded(json.dumps({"alg": text, "kid": text, "typ": text}).encode())
            safe(await bank.push(assertion=f"{header}.e30.AAAA"), text)
            safe(await bank.push(assertion=bank.assertion(header={"kid": text})), text)
            safe(await bank.push(assertion=bank.assertion(iss=text, sub=text)), text)


def safe(response: Response, text: str) -> None:
    assert response.status_code == 400, response.text
    described = response.json()["error_description"]
    assert text not in described
    assert all(letter in " !" or "#" <= letter <= "[" or "]" <= letter <= "~" for letter in described)


def test_3_no_other_error_is_taken_for_it() -> None:
    with pytest.raises(RefusedError), safe_words():
        RefusedError("invalid_request", 'a "quoted" word')
    with pytest.raises(ValueError, match="another"), safe_words():
        raise ValueError("another")


async def test_4_what_authlib_leaves_unchecked_in_an_assertion(bank: Client, court: Client) -> None:
    for assertion in (
        bank.assertion(exp=time.time() + 86_400),
        bank.assertion(aud=[ISSUER, "https://other.example"]),
        bank.assertion(aud=[ISSUER]),
    ):
        refused(await bank.push(assertion=assertion), "invalid_client")
    refused(await bank.push(client_id=court.client_id), "invalid_client")


async def test_4_the_method_has_its_registered_name(world: World) -> None:
    document = (await world.http.get("/.well-known/oauth-authorization-server")).json()
    assert document["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]


async def test_5_a_token_without_a_type_is_none(world: World, furnisher: Client) -> None:
    token = (await furnisher.own_token(SUBMISSION)).json()["access_token"]
    header, claims = content(token)
    del header["typ"]
    with pytest.raises(TokenInvalidError):
        world.profile.token_reader().read(sign(ISSUER_KEY, header, claims), time.time())
    assert (await furnisher.use(sign(ISSUER_KEY, header, claims))).status_code == 401


async def test_6_a_token_lives_five_minutes(bank: Client, furnisher: Client, citizen: Browser) -> None:
    code = await citizen.grant(bank, await bank.request_uri())
    for response in (await bank.exchange(code), await furnisher.own_token(SUBMISSION)):
        claims = content(response.json()["access_token"])[1]
        assert response.json()["expires_in"] == claims["exp"] - claims["iat"] == LONGEST_LIFE == 300


async def test_7_pkce_cannot_be_left_out_or_plain(bank: Client, citizen: Browser) -> None:
    refused(await bank.push(code_challenge=None, code_challenge_method=None), "invalid_request")
    refused(await bank.push(code_challenge_method=None), "invalid_request")
    refused(await bank.push(code_challenge="v" * 43, code_challenge_method="plain"), "invalid_request")
    code = await citizen.grant(bank, await bank.request_uri())
    refused(await bank.exchange(code, code_verifier=None), "invalid_request")


async def test_8_a_code_stays_to_tell_its_second_use(bank: Client, citizen: Browser) -> None:
    # That of 24 parallel uses one succeeds stands in test_once.py.
    code = await citizen.grant(bank, await bank.request_uri())
    assert (await bank.exchange(code)).status_code == 200
    second = await bank.exchange(code)
    refused(second, "invalid_grant")
    assert "used before" in second.json()["error_description"]


async def test_9_no_hook_has_a_neighbour(world: World) -> None:
    """Hooks of one kind run in no order; with one of a kind there is none to be wrong."""
    _count_hooks(Server(world.profile, CATALOGUE, {}))


def _count_hooks(server: Server) -> None:
    request = FormRequest(ISSUER, {"response_type": "code"})
    grant = server.get_authorization_grant(request)
    exchange = server.get_token_grant(FormRequest(ISSUER, {"grant_type": "authorization_code"}))
    own = server.get_token_grant(FormRequest(ISSUER, {"grant_type": "client_credentials"}))
    hooks = [hooks for of in (server, grant, exchange, own) for hooks in of._hooks.values()]
    assert max(len(each) for each in hooks) == 1


async def test_9_the_code_is_burnt_last(bank: Client, citizen: Browser) -> None:
    code = await citizen.grant(bank, await bank.request_uri())
    refused(await bank.exchange(code, code_verifier="w" * 43), "invalid_grant")
    refused(await bank.exchange(code, dpop=proof(EC_KEY, "/oauth/token")), "invalid_grant")
    assert (await bank.exchange(code)).status_code == 200


async def test_10_errors_before_the_page_name_the_issuer_too(
    log: Log, bank: Client, citizen: Browser
) -> None:
    request_uri = await bank.request_uri()
    async with log.writing() as writing:
        await suspend_body(writing, bank.body_id, "under inquiry", OPERATOR)
    parameters = answered(await citizen.open(bank, request_uri))
    assert (parameters["error"], parameters["iss"]) == ("unauthorized_client", ISSUER)


async def test_11_an_error_of_a_pushed_request_is_no_redirect(bank: Client) -> None:
    # Both are found after the redirect URI was verified, where Authlib would redirect.
    refused(await bank.push(scope="openid"), "invalid_scope")
    refused(
        await bank.push(authorization_details=json.dumps([consented(purpose="marketing")])),
        "invalid_authorization_details",
    )
    refused(await bank.push(code_challenge="x"), "invalid_request")


async def test_12_an_unknown_client_is_400_without_a_challenge(bank: Client) -> None:
    for path in EVERY_ENDPOINT:
        dpop = proof(EC_KEY, path)
        for form in ({"a": "b"}, {"client_id": bank.client_id}, bank.authenticated("x")):
            refused(await bank.post(path, form, dpop=dpop), "invalid_client")
        headers = {"Authorization": "Basic " + base64.b64encode(b"a:b").decode(), "DPoP": dpop}
        refused(await bank.http.post(path, data=bank.authenticated(), headers=headers), "invalid_request")


async def test_13_parameters_stand_once_and_in_the_body(bank: Client) -> None:
    for path in EVERY_ENDPOINT:
        dpop = proof(EC_KEY, path)
        form = [*bank.authenticated().items(), ("token", "x")]
        requests: tuple[dict[str, Any], ...] = (
            {"content": body([*form, ("client_id", bank.client_id)])},
            {"content": body([*form, ("token", "y")])},
            {"content": body([*form, ("unknown", "y"), ("unknown", "y")])},
            {"content": body(form), "params": {"client_id": bank.client_id}},
            {"content": body(form), "params": {"a": ""}},
            {"content": body(form), "params": {"a": "b"}, "headers": {"Host": "x#"}},
            {"content": json.dumps(dict(form)), "headers": {"Content-Type": "application/json"}},
            {"content": body(form), "headers": {"Content-Type": "text/plain"}},
            {"content": b"\xff=1"},
            {"content": "a=%ff"},
            {"content": "a=%00"},
            {"content": "a"},
            {"content": "a=" + "x" * 70_000},
            {"content": "&".join(f"p{number}=1" for number in range(100))},
        )
        for broken in requests:
            headers = {"Content-Type": "application/x-www-form-urlencoded", "DPoP": dpop}
            sent = broken | {"headers": headers | broken.get("headers", {})}
            refused(await bank.http.post(path, **sent), "invalid_request")


def body(parameters: list[tuple[str, str]]) -> str:
    return "&".join(f"{quote(name)}={quote(value)}" for name, value in parameters)


async def test_14_a_jwt_is_revoked_by_looking_it_up(world: World, furnisher: Client) -> None:
    token = (await furnisher.own_token(SUBMISSION)).json()["access_token"]
    response = await furnisher.post("/oauth/revoke", furnisher.authenticated(token=token))
    assert response.status_code == 200
    read = world.profile.token_reader().read(token, time.time())
    async with world.log.engine.connect() as connection:
        assert await revoked(connection, [read]) == {0}


async def test_15_no_id_token_is_ever_issued(bank: Client, citizen: Browser) -> None:
    refused(await bank.push(scope="openid"), "invalid_scope")
    code = await citizen.grant(bank, await bank.request_uri(nonce="n"))
    response = await bank.exchange(code)
    expected = {"access_token", "token_type", "expires_in", "authorization_details", "refresh_token"}
    assert set(response.json()) == expected
    assert content(response.json()["access_token"])[0]["alg"] == "Ed25519"


async def test_16_the_audience_is_the_issuer_not_the_token_endpoint(bank: Client) -> None:
    # test_socket.py shows Authlib's own client with the issuer in its place.
    refused(await bank.push(assertion=bank.assertion(aud=ISSUER + "/oauth/token")), "invalid_client")
    refused(await bank.push(assertion=bank.assertion(aud=ISSUER + "/oauth/par")), "invalid_client")


async def test_17_every_redirect_is_303(world: World, log: Log, bank: Client, citizen: Browser) -> None:
    pages = [(await citizen.open(bank, await bank.request_uri())).json() for _ in range(3)]
    assert (await citizen.send(pages[0])).status_code == 303
    assert (await citizen.send(pages[1], decision="refuse")).status_code == 303
    stranger = await world.http.get(
        "/oauth/authorize", params={name: pages[2][name] for name in ("client_id", "request_uri")}
    )
    assert stranger.status_code == 303
    async with log.writing() as writing:
        await suspend_body(writing, bank.body_id, "under inquiry", OPERATOR)
    assert (await citizen.open(bank, pages[2]["request_uri"])).status_code == 303


def test_18_nothing_deprecated_is_imported() -> None:
    program = (
        "import sys, consent.oauth.api; "
        "sys.exit(not {'authlib.jose', 'authlib.integrations.starlette_client'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-W", "error", "-c", program], check=False).returncode == 0
