"""Registers of bodies, officers and registrars on a real database, and the entries their changes leave."""

from typing import Any
from uuid import uuid4

import pytest
from joserfc.jwk import ECKey, RSAKey
from sqlalchemy import text

from access_log.entry import EntryType
from access_log.log import Log
from consent import bodies
from consent.bodies import NewOfficer
from consent.errors import InvalidError, StateError, UnknownError
from consent.journal import digest
from consent.oauth.errors import KeyPolicyError
from consent.registrars import (
    NewRegistrar,
    add_registrar,
    list_registrars,
    read_registrar,
    stand_down_registrar,
)
from tests.consent.logged import document, documents, newest, payloads
from tests.consent.registers import KEY, OPERATOR, USCC, new_body

RSA_2048 = RSAKey.generate_key(2048)
P256 = ECKey.generate_key("P-256")


async def test_a_body_is_registered_as_active(log: Log) -> None:
    async with log.writing() as writing:
        body_id = await bodies.add_body(
            writing, new_body(purposes=("credit-review", "credit-granting")), OPERATOR
        )
    async with log.engine.connect() as connection:
        body = await bodies.read_body(connection, body_id)
        assert await bodies.list_bodies(connection) == [body]
        assert await bodies.names(connection, [body_id, uuid4()]) == {body_id: "Fictitious Bank"}
        assert await bodies.read_body(connection, uuid4()) is None
    assert body is not None
    assert (body.uscc, body.status, body.kind) == (USCC, "active", "bank")
    assert body.purposes == {"credit-granting", "credit-review"}
    assert body.contact.contact == "privacy@bank.example"
    assert body.jwks == {"keys": [{**KEY.as_dict(private=False), "kid": "one", "use": "sig"}]}
    assert body.registered_at == body.status_since


async def test_a_change_is_an_entry_that_names_its_document(log: Log) -> None:
    async with log.writing() as writing:
        body_id = await bodies.add_body(writing, new_body(), OPERATOR)
    (written,) = await payloads(log)
    assert written.type is EntryType.AUTHORIZATION
    values = await newest(log)
    (stored,) = await documents(log)
    assert values["document"] == digest(stored)
    assert (values["event"], values["actor"], values["actor_role"]) == (
        "body.registered",
        "operator:test",
        "operator",
    )
    assert values["body"] == values["object"] == str(body_id)
    assert (await document(log, "body.registered"))["uscc"] == USCC


@pytest.mark.parametrize(
    "change",
    [
        {"uscc": "91999999MA00000078"},
        {"uscc": "9199"},
        {"name": " "},
        {"name": "two\nlines"},
        {"name": "x" * 2001},
        {"kind": "Big Bank"},
        {"capacities": ()},
        {"capacities": ("ask", "sell")},
        {"purposes": ("Credit Granting",)},
        {"redirect_uris": ("http://bank.example/callback",)},
        {"redirect_uris": ("https://bank.example/callback#part",)},
        {"redirect_uris": ("https://user@bank.example/callback",)},
        {"redirect_uris": ("https:///callback",)},
        {"redirect_uris": ("https://bank.example:port/",)},
        {"redirect_uris": ("javascript:alert(1)",)},
        {"redirect_uris": ("https://bank.example/a b",)},
        {"redirect_uris": ("https://bänk.example/",)},
    ],
)
async def test_a_body_that_breaks_a_rule_is_not_registered(log: Log, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidError):
        async with log.writing() as writing:
            await bodies.add_body(writing, new_body(**change), OPERATOR)
    assert await documents(log) == []
    assert await payloads(log) == []


async def test_loopback_may_be_reached_without_tls(log: Log) -> None:
    uris = ("http://127.0.0.1:8080/cb", "http://[::1]/cb", "http://localhost:1/cb", "https://bank.example")
    async with log.writing() as writing:
        body_id = await bodies.add_body(writing, new_body(redirect_uris=uris), OPERATOR)
        body = await bodies.read_body(writing.connection, body_id)
    assert body is not None
    assert body.redirect_uris == uris


async def test_a_code_is_registered_once(log: Log) -> None:
    async with log.writing() as writing:
        await bodies.add_body(writing, new_body(), OPERATOR)
        with pytest.raises(InvalidError, match="registered already"):
            await bodies.add_body(writing, new_body(name="Another"), OPERATOR)


async def test_a_body_is_suspended_reinstated_and_struck_off(log: Log) -> None:
    async with log.writing() as writing:
        body_id = await bodies.add_body(writing, new_body(), OPERATOR)
    seen = []
    for change in (bodies.suspend_body, bodies.reinstate_body, bodies.suspend_body, bodies.strike_off_body):
        async with log.writing() as writing:
            await change(writing, body_id, "queried out of hours", OPERATOR)
            body = await bodies.read_body(writing.connection, body_id)
        assert body is not None
        seen.append((body.status, body.status_reason, (await newest(log))["event"]))
    reason = "queried out of hours"
    assert seen == [
        ("suspended", reason, "body.suspended"),
        ("active", reason, "body.reinstated"),
        ("suspended", reason, "body.suspended"),
        ("struck-off", reason, "body.struck_off"),
    ]


async def test_a_suspension_states_where_to_appeal(log: Log) -> None:
    async with log.writing() as writing:
        body_id = await bodies.add_body(writing, new_body(), OPERATOR)
        await bodies.suspend_body(writing, body_id, "sold data", OPERATOR, appeal="the regulator, in 60 days")
        body = await bodies.read_body(writing.connection, body_id)
    assert body is not None
    assert body.appeal == "the regulator, in 60 days"
    assert (await document(log, "body.suspended"))["appeal"] == "the regulator, in 60 days"


async def test_a_status_changes_only_as_it_may(log: Log) -> None:
    async with log.writing() as writing:
        body_id = await bodies.add_body(writing, new_body(), OPERATOR)
    async with log.writing() as writing:
        with pytest.raises(StateError):
            await bodies.reinstate_body(writing, body_id, "why not", OPERATOR)
        await bodies.strike_off_body(writing, body_id, "dissolved", OPERATOR)
        for change in (bodies.suspend_body, bodies.reinstate_body, bodies.strike_off_body):
            with pytest.raises(StateError):
                await change(writing, body_id, "again", OPERATOR)
        with pytest.raises(UnknownError):
            await bodies.suspend_body(writing, uuid4(), "whom", OPERATOR)


async def test_a_suspension_needs_a_reason(log: Log) -> None:
    async with log.writing() as writing:
        body_id = await bodies.add_body(writing, new_body(), OPERATOR)
        with pytest.raises(InvalidError):
            await bodies.suspend_body(writing, body_id, " ", OPERATOR)


async def test_an_officer_is_registered_and_stands_down_for_good(log: Log) -> None:
    async with log.writing() as writing:
        body_id = await bodies.add_body(writing, new_body(), OPERATOR)
        officer_id = await bodies.add_officer(
            writing, NewOfficer(body_id, "Li Wei", "loan officer"), OPERATOR
        )
        await bodies.stand_down_officer(writing, officer_id, "left the bank", OPERATOR)
        (officer,) = await bodies.list_officers(writing.connection, body_id)
        with pytest.raises(StateError):
            await bodies.stand_down_officer(writing, officer_id, "again", OPERATOR)
        with pytest.raises(UnknownError):
            await bodies.stand_down_officer(writing, uuid4(), "whom", OPERATOR)
        with pytest.raises(UnknownError):
            await bodies.add_officer(writing, NewOfficer(uuid4(), "Li Wei", "loan officer"), OPERATOR)
        with pytest.raises(InvalidError):
            await bodies.add_officer(writing, NewOfficer(body_id, "Li Wei", ""), OPERATOR)
    assert (officer.officer_id, officer.status, officer.role) == (officer_id, "stood-down", "loan officer")
    values = await newest(log)
    assert (values["event"], values["object"], values["body"]) == (
        "officer.stood_down",
        str(officer_id),
        str(body_id),
    )


async def test_a_registrar_is_registered_with_a_key_of_their_own_and_stands_down(log: Log) -> None:
    anna = NewRegistrar("Anna", P256.as_dict(private=False))
    async with log.writing() as writing:
        registrar_id = await add_registrar(writing, anna, OPERATOR)
        with pytest.raises(InvalidError, match="key of their own"):
            await add_registrar(writing, NewRegistrar("Wei", P256.as_dict(private=False)), OPERATOR)
        registered = await read_registrar(writing.connection, registrar_id)
        assert registered is not None
        assert (registered.status, registered.thumbprint) == ("active", P256.thumbprint())
        await stand_down_registrar(writing, registrar_id, "retired", OPERATOR)
        (registered,) = await list_registrars(writing.connection)
        assert registered.status == "stood-down"
        with pytest.raises(StateError):
            await stand_down_registrar(writing, registrar_id, "again", OPERATOR)
        with pytest.raises(UnknownError):
            await stand_down_registrar(writing, uuid4(), "whom", OPERATOR)
        with pytest.raises(InvalidError, match="key of their own"):
            await add_registrar(writing, anna, OPERATOR)


@pytest.mark.parametrize("jwk", [RSA_2048.as_dict(private=False), P256.as_dict(private=True), {}, None])
async def test_a_registrar_needs_a_public_key_on_p256_or_ed25519(log: Log, jwk: Any) -> None:
    async with log.writing() as writing:
        with pytest.raises(KeyPolicyError):
            await add_registrar(writing, NewRegistrar("Anna", jwk), OPERATOR)


async def test_what_fails_leaves_neither_row_nor_document_nor_entry(log: Log) -> None:
    async def register_and_fail() -> None:
        async with log.writing() as writing:
            body_id = await bodies.add_body(writing, new_body(), OPERATOR)
            await bodies.reinstate_body(writing, body_id, "is active", OPERATOR)

    with pytest.raises(StateError):
        await register_and_fail()
    assert await documents(log) == []
    assert await payloads(log) == []
    async with log.engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM consent.body"))).scalar_one() == 0
