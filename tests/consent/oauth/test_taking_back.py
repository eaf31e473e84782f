"""Revocation takes effect on the next look-up; introspection answers the owner alone."""

from access_log.log import Log
from consent.oauth.replay import revoked
from consent.oauth.tokens import AccessToken
from tests.consent.oauth.world import Browser, Client, World, content, refused

SUBMISSION = {"type": "record_submission", "categories": ["FIN"]}


async def taken_back(log: Log, world: World, *tokens: str) -> set[int]:
    """What a resource would find, in one look-up for all."""
    reader = world.profile.token_reader()
    read = [reader.read(token, world.profile.clock()) for token in tokens]
    async with log.engine.connect() as connection:
        return await revoked(connection, read)


async def revoke(client: Client, token: str, **parameters: str) -> int:
    response = await client.post("/oauth/revoke", client.authenticated(token=token, **parameters))
    return response.status_code


async def own_token(client: Client) -> str:
    return str((await client.own_token(SUBMISSION)).json()["access_token"])


async def test_a_revoked_token_is_found_at_the_next_look_up(
    log: Log, world: World, furnisher: Client
) -> None:
    first, second = await own_token(furnisher), await own_token(furnisher)
    assert await taken_back(log, world, first, second) == set()
    assert await revoke(furnisher, first) == 200
    assert await taken_back(log, world, first, second, first) == {0, 2}


async def test_revoking_twice_or_what_is_no_token_is_well(furnisher: Client) -> None:
    token = await own_token(furnisher)
    for text in (token, token, "x", "a.b.c", "信"):
        assert await revoke(furnisher, text) == 200


async def test_a_hint_is_only_a_hint(log: Log, world: World, furnisher: Client) -> None:
    for hint in ("access_token", "refresh_token", "something"):
        token = await own_token(furnisher)
        assert await revoke(furnisher, token, token_type_hint=hint) == 200
        assert await taken_back(log, world, token) == {0}


async def test_another_bodys_token_cannot_be_revoked(
    log: Log, world: World, bank: Client, furnisher: Client
) -> None:
    token = await own_token(furnisher)
    response = await bank.post("/oauth/revoke", bank.authenticated(token=token))
    refused(response, "invalid_grant")
    assert await taken_back(log, world, token) == set()


async def test_a_token_must_be_named(furnisher: Client) -> None:
    for path in ("/oauth/revoke", "/oauth/introspect"):
        refused(await furnisher.post(path, furnisher.authenticated()), "invalid_request")


async def test_a_code_used_twice_takes_every_token_of_it(
    log: Log, world: World, bank: Client, citizen: Browser
) -> None:
    code, other = [await citizen.grant(bank, await bank.request_uri()) for _ in range(2)]
    token = (await bank.exchange(code)).json()["access_token"]
    untouched = (await bank.exchange(other)).json()["access_token"]
    assert await taken_back(log, world, token, untouched) == set()
    refused(await bank.exchange(code), "invalid_grant")
    assert await taken_back(log, world, token, untouched) == {0}
    introspected = await bank.post("/oauth/introspect", bank.authenticated(token=token))
    assert introspected.json() == {"active": False}


async def test_the_owner_reads_what_its_token_says(bank: Client, citizen: Browser, court: Client) -> None:
    token = (await bank.exchange(await citizen.grant(bank, await bank.request_uri()))).json()["access_token"]
    claims = content(token)[1]
    response = await bank.post("/oauth/introspect", bank.authenticated(token=token))
    assert response.headers["cache-control"] == "no-store"
    answer = response.json()
    assert answer.pop("active") is True
    assert answer.pop("token_type") == "DPoP"
    assert answer == {name: value for name, value in claims.items() if name != "grant"}
    for client, text in ((court, token), (bank, "x"), (bank, token[:-4] + "AAAA")):
        inactive = await client.post("/oauth/introspect", client.authenticated(token=text))
        assert (inactive.status_code, inactive.json()) == (200, {"active": False})


async def test_a_token_that_ended_is_inactive(world: World, furnisher: Client) -> None:
    token = await own_token(furnisher)
    world.clock.ahead = 301
    assertion = furnisher.assertion(exp=world.clock() + 60)
    response = await furnisher.post("/oauth/introspect", furnisher.authenticated(assertion, token=token))
    assert response.json() == {"active": False}


async def test_a_revoked_token_is_inactive(furnisher: Client) -> None:
    token = await own_token(furnisher)
    assert await revoke(furnisher, token) == 200
    response = await furnisher.post("/oauth/introspect", furnisher.authenticated(token=token))
    assert response.json() == {"active": False}


async def test_looking_up_nothing_finds_nothing(log: Log) -> None:
    async with log.engine.connect() as connection:
        assert await revoked(connection, list[AccessToken]()) == set()
