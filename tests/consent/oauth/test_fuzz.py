"""Whatever is sent to an endpoint, it answers with an error of OAuth and never fails."""

from typing import Any

from httpx import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.consent.oauth.world import EC_KEY, Client, World, proof

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
    ]
)
MANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def check(response: Response) -> None:
    assert response.status_code == 400, response.text
    assert set(response.json()) == {"error", "error_description"}
    assert response.json()["error_description"].isascii()


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


@MANY
@given(st.binary(max_size=500), st.sampled_from(["/oauth/par", "/oauth/token", "/oauth/authorize"]))
async def test_bytes(world: World, content: bytes, path: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", **world.browser().cookies}
    assert (await world.http.post(path, content=content, headers=headers)).status_code == 400


def _encodable(parameters: dict[str, str]) -> dict[str, Any]:
    return {
        name.encode("utf-8", "replace").decode(): value.encode("utf-8", "replace").decode()
        for name, value in parameters.items()
    }
