"""Bodies that publish their keys: a new one is found, an old one ends, and nobody can make us look often."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey
from sqlalchemy import text

from access_log.log import Log
from consent.body_keys import replace_keys
from consent.oauth.client_keys import FRESH, LAST, PAUSE
from consent.oauth.jwks_uri import PublishedKeys
from tests.consent.logged import newest
from tests.consent.oauth.key_site import KeySite, authority, publishing
from tests.consent.oauth.test_jwks_uri import Names
from tests.consent.oauth.world import Client, World, build, refused
from tests.consent.registers import KEY, OPERATOR, Registered, jwks

NEW = OKPKey.generate_key("Ed25519")


def named(key: OKPKey, kid: str) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": kid}


@dataclass
class Bank:
    """A bank that publishes its keys, and its web site."""

    client: Client
    site: KeySite
    log: Log

    async def pushes(self, kid: str = "one", key: OKPKey = KEY) -> int:
        self.client.kid, self.client.key = kid, key
        return (await self.client.push()).status_code

    async def let_pass(self, time: timedelta) -> None:
        """Moves what is remembered of this body's keys into the past."""
        async with self.log.engine.begin() as connection:
            await connection.execute(
                text(
                    "UPDATE consent.body SET jwks_tried_at = jwks_tried_at - CAST(:time AS interval),"
                    " jwks_fetched_at = jwks_fetched_at - CAST(:time AS interval)"
                ),
                {"time": time},
            )


@pytest.fixture
async def bank(log: Log, registered: Registered, tmp_path: Path) -> AsyncIterator[Bank]:
    shown, trusting = authority(tmp_path)
    site = KeySite(jwks("one"))
    async with publishing(site, shown):
        world = build(log, published=_published(trusting))
        async with log.writing() as writing:
            await replace_keys(writing, registered.bank, jwks("one"), OPERATOR, jwks_uri=site.uri)
        yield Bank(world.client(registered.bank), site, log)
        await world.http.aclose()


def _published(trusting: ssl.SSLContext) -> PublishedKeys:
    return PublishedKeys(loopback=True, tls=trusting, resolve=Names(["127.0.0.1"]))


async def test_known_keys_serve_without_a_look(bank: Bank) -> None:
    assert await bank.pushes() == 201
    assert bank.site.asked == []


async def test_a_new_key_is_found_and_both_serve_while_both_are_published(bank: Bank) -> None:
    bank.site.publish(named(KEY, "one"), named(NEW, "two"))
    assert await bank.pushes("two", NEW) == 201
    assert await bank.pushes() == 201
    assert len(bank.site.asked) == 1
    entry = await newest(bank.log)
    assert (entry["event"], entry["actor_role"]) == ("body.keys_replaced", "body")


async def test_a_key_that_was_taken_away_ends_within_the_hour(bank: Bank) -> None:
    bank.site.publish(named(NEW, "two"))
    assert await bank.pushes() == 201
    await bank.let_pass(FRESH)
    assert await bank.pushes() == 400
    assert await bank.pushes("two", NEW) == 201


async def test_unchanged_keys_make_no_entry(bank: Bank) -> None:
    before = await newest(bank.log)
    await bank.let_pass(FRESH)
    assert await bank.pushes() == 201
    assert len(bank.site.asked) == 1
    assert await newest(bank.log) == before
    assert await bank.pushes() == 201
    assert len(bank.site.asked) == 1


async def test_made_up_kids_make_us_look_once_a_minute(bank: Bank) -> None:
    strangers = [bank.pushes(f"made up {number}", NEW) for number in range(12)]
    assert set(await asyncio.gather(*strangers)) == {400}
    assert len(bank.site.asked) == 1
    await bank.let_pass(PAUSE)
    assert await bank.pushes("another", NEW) == 400
    assert len(bank.site.asked) == 2
    assert await bank.pushes() == 201


async def test_the_minute_is_the_same_for_all_workers(
    bank: Bank, log: Log, registered: Registered, tmp_path: Path
) -> None:
    second = build(log, published=_published(authority(tmp_path)[1]))
    other = Bank(second.client(registered.bank), bank.site, log)
    assert await bank.pushes("made up", NEW) == 400
    assert await other.pushes("made up", NEW) == 400
    assert len(bank.site.asked) == 1
    await second.http.aclose()


async def test_while_the_site_is_down_known_keys_serve_for_a_day(bank: Bank) -> None:
    bank.site.status = 503
    await bank.let_pass(FRESH)
    assert await bank.pushes() == 201
    assert await bank.pushes() == 201
    assert len(bank.site.asked) == 1
    await bank.let_pass(LAST)
    refused(await bank.client.push(), "invalid_client")
    bank.site.status = 200
    await bank.let_pass(PAUSE)
    assert await bank.pushes() == 201


async def test_nothing_is_published_that_the_register_would_refuse(bank: Bank) -> None:
    bank.site.publish({**NEW.as_dict(private=True), "kid": "two"})
    assert await bank.pushes("two", NEW) == 400
    assert await bank.pushes() == 201


async def test_an_assertion_is_not_used_up_by_a_look(bank: Bank) -> None:
    bank.site.publish(named(KEY, "one"), named(NEW, "two"))
    bank.client.kid, bank.client.key = "two", NEW
    assertion = bank.client.assertion()
    assert (await bank.client.push(assertion=assertion)).status_code == 201
    refused(await bank.client.push(assertion=assertion), "invalid_client")


async def test_an_operators_keys_are_not_overwritten_by_a_look_that_was_under_way(bank: Bank) -> None:
    body_id = bank.client.body_id
    bank.site.silent = True
    looking = asyncio.create_task(bank.pushes("two", NEW))
    await bank.site.heard.wait()
    async with bank.log.writing() as writing:
        await replace_keys(writing, body_id, {"keys": [named(NEW, "two")]}, OPERATOR)
    assert await looking in (201, 400)
    assert (await newest(bank.log))["actor_role"] == "operator"


async def test_keys_handed_in_are_never_looked_for(world: World, registered: Registered) -> None:
    client = world.client(registered.bank, kid="unknown")
    refused(await client.push(), "invalid_client")
