"""The server's own keys: announced, then signing, then ended; the old tokens live to their end."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.log import Log
from consent.errors import StateError
from consent.oauth.errors import TokenInvalidError
from consent.oauth.token_keys import LEAD, OVERLAP, TokenKey, announce, keys_of, read_keys, standing
from consent.oauth.tokens import LONGEST_LIFE
from tests.consent.logged import newest
from tests.consent.oauth.world import Client, World, proof
from tests.consent.registers import OPERATOR

SUBMISSION = {"type": "record_submission", "categories": ["FIN"]}
START = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = TokenKey(1, None, None)
SECOND = TokenKey(2, START + LEAD, START + LEAD + OVERLAP)


async def seed(version: int) -> bytes:
    return bytes([version - 1]) * 32


@pytest.mark.parametrize(
    ("after", "signs", "verify"),
    [
        (timedelta(0), 1, {1, 2}),
        (LEAD - timedelta(seconds=1), 1, {1, 2}),
        (LEAD, 2, {1, 2}),
        (LEAD + OVERLAP - timedelta(seconds=1), 2, {1, 2}),
        (LEAD + OVERLAP, 2, {2}),
    ],
)
def test_a_key_is_announced_signs_and_is_alone(after: timedelta, signs: int, verify: set[int]) -> None:
    now = standing([FIRST, SECOND], START + after)
    assert now.signs.version == now.verify[0].version == signs
    assert {key.version for key in now.verify} == verify


def test_the_last_token_of_an_old_key_lives_to_its_end() -> None:
    assert timedelta(seconds=LONGEST_LIFE) < OVERLAP


@given(st.lists(st.tuples(st.integers(0, 10**6), st.booleans()), max_size=6), st.integers(0, 10**7))
def test_whatever_was_announced_one_key_signs_and_is_among_those_that_verify(
    changes: list[tuple[int, bool]], at: int
) -> None:
    keys, moment = [FIRST], START
    for version, (seconds, compromised) in enumerate(changes, start=2):
        moment += timedelta(seconds=seconds)
        signs_from = moment if compromised else moment + LEAD
        keys.append(TokenKey(version, signs_from, moment if compromised else signs_from + OVERLAP))
    now = START + timedelta(seconds=at)
    found = standing(keys, now)
    assert found.signs in found.verify
    assert len(set(found.verify)) == len(found.verify)
    for key in keys:
        if key.others_until is not None and key.others_until <= now:
            assert all(one.version >= key.version for one in found.verify)


async def test_a_change_is_an_entry_and_one_at_a_time(log: Log) -> None:
    async with log.writing() as writing:
        assert await read_keys(writing.connection) == [FIRST]
        second = await announce(writing, 2, OPERATOR)
        assert second.signs_from == writing.now + LEAD
        for version in (2, 3, 4):
            with pytest.raises(StateError):
                await announce(writing, version, OPERATOR)
    assert (await newest(log))["event"] == "token_key.announced"
    async with log.writing() as writing:
        third = await announce(writing, 3, OPERATOR, compromised=True)
        assert third.signs_from == third.others_until == writing.now
        assert await read_keys(writing.connection) == [FIRST, second, third]
        assert {key.version for key in standing([FIRST, second, third], writing.now).verify} == {3}


async def test_tokens_of_the_old_key_are_good_until_it_ends(world: World, furnisher: Client) -> None:
    keys, now = world.profile.keys, datetime.now(UTC)
    second = TokenKey(2, now, now + OVERLAP)
    old = (await furnisher.own_token(SUBMISSION)).json()["access_token"]
    keys.take(await keys_of(standing([FIRST, second], now).verify, seed))
    jwks = (await world.http.get("/oauth/jwks")).json()["keys"]
    assert len({key["kid"] for key in jwks}) == 2
    new = (await furnisher.own_token(SUBMISSION)).json()["access_token"]
    assert old.partition(".")[0] != new.partition(".")[0]
    for token in (old, new):
        assert (await furnisher.post("/oauth/introspect", furnisher.authenticated(token=token))).json()[
            "active"
        ]
    keys.take(await keys_of(standing([FIRST, second], now + OVERLAP).verify, seed))
    assert len((await world.http.get("/oauth/jwks")).json()["keys"]) == 1
    reader = world.profile.token_reader()
    assert reader.read(new, now.timestamp())
    with pytest.raises(TokenInvalidError):
        reader.read(old, now.timestamp())


async def test_a_resource_forgets_what_an_ended_key_signed(world: World, furnisher: Client) -> None:
    protection, keys, now = world.profile.protection(), world.profile.keys, datetime.now(UTC)
    token = (await furnisher.own_token(SUBMISSION)).json()["access_token"]

    def verified() -> object:
        dpop = proof(furnisher.dpop_key, "/v1/queries", token=token)
        return protection.verify([f"DPoP {token}"], [dpop], "POST", "/v1/queries")

    assert verified()
    keys.take(await keys_of([TokenKey(2, now, now)], seed))
    protection.trust(keys.public)
    with pytest.raises(TokenInvalidError):
        verified()
