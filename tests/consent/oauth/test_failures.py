"""Failed authentications are counted across workers; no stranger's failures lock anybody out."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from httpx import ASGITransport, AsyncClient, Response
from structlog.testing import capture_logs

from access_log.log import Log
from consent.oauth.failures import MOST, PERIOD, Attempt, FailedAuthentications, client_named, network_of
from tests.consent.oauth.world import Client, World, build

STRANGER, BANK, SITE = "198.51.100.7", "203.0.113.5", "2001:db8:1:2"


@pytest.fixture
async def second(log: Log) -> AsyncIterator[World]:
    """Another worker on the same database."""
    built = build(log)
    yield built
    await built.http.aclose()


def at(world: World, client: Client, address: str) -> Client:
    """The client's software at an address of the network."""
    http = AsyncClient(transport=ASGITransport(world.app, client=(address, 1)), base_url=world.profile.issuer)
    return Client(http, client.body_id, key=client.key, kid=client.kid, dpop_key=client.dpop_key)


async def fail(client: Client, times: int) -> list[Response]:
    return list(
        await asyncio.gather(*(client.push(assertion=client.assertion(aud="x")) for _ in range(times)))
    )


def statuses(responses: list[Response]) -> list[int]:
    return sorted(response.status_code for response in responses)


async def test_an_address_is_refused_after_too_many_failures_for_a_minute(world: World, bank: Client) -> None:
    stranger = at(world, bank, STRANGER)
    assert statuses(await fail(stranger, MOST)) == [400] * MOST
    assert statuses(await fail(stranger, 5)) == [429] * 5
    # Even what would be good is not looked at any more: nobody ever authenticated from there.
    refused = await stranger.push()
    assert refused.status_code == 429
    assert refused.json()["error"] == "invalid_client"
    assert 1 <= int(refused.headers["retry-after"]) <= PERIOD.seconds + 1
    world.clock.ahead = PERIOD.seconds + 1
    later = stranger.assertion(exp=int(time.time()) + 2 * PERIOD.seconds)
    assert (await stranger.push(assertion=later)).status_code == 201


async def test_a_stranger_who_knows_the_client_id_locks_nobody_out(world: World, bank: Client) -> None:
    with capture_logs() as logs:
        for number in range(3):
            await fail(at(world, bank, f"198.51.100.{number}"), MOST // 2)
    (told,) = [one for one in logs if one["event"] == "authentications_fail"]
    assert (told["per"], told["body"]) == ("client", bank.client_id)
    assert (await fail(at(world, bank, "198.51.100.9"), 1))[0].status_code == 429
    # From an address never seen before, in the middle of the attack.
    assert (await at(world, bank, BANK).push()).status_code == 201


async def test_two_who_share_an_address_do_not_share_its_fate(
    world: World, bank: Client, court: Client
) -> None:
    ours = at(world, bank, STRANGER)
    assert (await ours.push()).status_code == 201
    await fail(at(world, court, STRANGER), MOST + 1)
    assert (await at(world, court, STRANGER).push()).status_code == 429
    assert (await ours.push()).status_code == 201


async def test_the_count_is_that_of_all_workers(world: World, second: World, bank: Client) -> None:
    first, other = at(world, bank, STRANGER), at(second, bank, STRANGER)
    half = MOST // 2
    assert statuses(await fail(first, half)) == [400] * half
    assert statuses(await fail(other, MOST - half)) == [400] * (MOST - half)
    assert statuses(await fail(first, 1) + await fail(other, 1)) == [429, 429]


async def test_addresses_of_one_site_count_as_one(world: World, bank: Client) -> None:
    for number in range(4):
        await fail(at(world, bank, f"{SITE}::{number}"), MOST // 4)
    assert (await fail(at(world, bank, f"{SITE}::9"), 1))[0].status_code == 429
    assert (await at(world, bank, f"{SITE}::10").push()).status_code == 429


async def test_a_proxy_that_does_not_tell_is_not_refused(world: World, bank: Client) -> None:
    await fail(at(world, bank, "127.0.0.1"), MOST + 1)
    assert (await at(world, bank, "127.0.0.1").push()).status_code == 201


async def test_other_errors_are_no_failures(world: World, bank: Client) -> None:
    ours = at(world, bank, BANK)
    for _ in range(3):
        await asyncio.gather(*(ours.push(scope="x") for _ in range(MOST // 2)))
    assert (await ours.push()).status_code == 201


async def test_memory_is_bounded(world: World) -> None:
    failures = FailedAuthentications(world.log.engine)
    for number in range(5000):
        failures.succeeded(Attempt(f"a{number}", None))
    assert len(failures._known) == 4096


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.1", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
        ("<script>", None),
        (None, None),
    ],
)
def test_what_counts_as_one_address(host: str | None, network: str | None) -> None:
    assert network_of(host) == network


def test_only_an_id_counts_as_a_client() -> None:
    spelled = "5F0C2A2E-6A6E-4A56-9F0E-1D0A3F5B7C11"
    assert client_named(spelled) == spelled.lower()
    for other in ("bank", "", None, 7, "\u4fe1\u7528"):
        assert client_named(other) is None


def test_a_period_is_a_minute() -> None:
    assert timedelta(minutes=1) == PERIOD
