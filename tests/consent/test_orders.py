"""Orders of registrars on a real database: which need two, and that whoever ordered cannot agree."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest
from joserfc.jwk import ECKey, OKPKey
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.log import Log
from consent import acts, bodies, orders, registrars
from consent.bases import read_basis
from consent.carrying_out import Nameable
from consent.conduct import conduct_file
from consent.errors import ConsentError, InvalidError, StateError, StatementError, UnknownError
from consent.handing_in import HandedIn, hand_in
from consent.journal import digest
from consent.permit import Person
from consent.statements import Agreement, Asking, Order, content_digest, read_statement
from tests.consent.joined import Groups
from tests.consent.logged import document, newest, payloads
from tests.consent.registers import OPERATOR, Registered, Signatory, jwks, person, register_all, registrar

VAULT = "https://vault.example"
JOINED = Groups()
PEOPLE = JOINED.people


async def found(_connection: AsyncConnection, subject_id: UUID) -> Person | None:
    return PEOPLE.get(subject_id)


NAMEABLE = Nameable(
    ("credit-granting", "court-enforcement"),
    ("bank", "court"),
    ("FIN.type",),
    ("FIN", "JUD"),
    "cn",
    found,
    JOINED,
)
OTHER = ECKey.generate_key("P-256")


@dataclass(frozen=True)
class Registry:
    """The log, and what stands in its registers."""

    log: Log
    known: Registered
    owner: Engine

    async def order(self, act: dict[str, Any], by: Signatory | None = None, **changes: Any) -> HandedIn:
        who = by or self.known.first
        async with self.log.writing() as writing:
            made = Order.of(
                changes.get("vault", VAULT),
                changes.get("order", uuid4()),
                who.registrar_id,
                writing.now - changes.get("age", timedelta(0)),
                json.dumps(act),
            )
            return await hand_in(writing, who.sign(made), VAULT, NAMEABLE)

    async def agree(self, order: UUID, by: Signatory | None = None, **changes: Any) -> HandedIn:
        who = by or self.known.second
        async with self.log.writing() as writing:
            standing = await orders.read_order(writing.connection, order)
            content = changes.get("content", "" if standing is None else standing.act)
            made = Agreement(
                vault=changes.get("vault", VAULT),
                order=order,
                registrar=who.registrar_id,
                at=writing.now,
                content_sha256=content_digest(content),
            )
            return await hand_in(writing, who.sign(made), VAULT, NAMEABLE)

    async def body(self, body_id: UUID) -> bodies.Body:
        async with self.log.engine.connect() as connection:
            found = await bodies.read_body(connection, body_id)
        assert found is not None
        return found


@pytest.fixture
async def registry(log: Log, owner_url: str) -> AsyncIterator[Registry]:
    known = await register_all(log)
    async with log.writing() as writing:
        await bodies.suspend_body(writing, known.bank, "an audit", OPERATOR)
    owner = create_engine(owner_url)
    PEOPLE.clear()
    PEOPLE.update({one.subject_id: one for one in (await person(log), await person(log))})
    yield Registry(log, known, owner)
    owner.dispose()


def heavy(
    bank: object, line: object = None, people: tuple[object, object] = ("", "")
) -> dict[str, dict[str, Any]]:
    """An act of each kind that needs two registrars."""
    contact = {"address": "1 Road", "contact": "x@example.org"}
    body = {"body": str(bank)}
    return {
        "admit-body": {
            "uscc": "91999999MA00000268", "name": "B", "kind": "bank", "jwks": jwks("one"), **contact,
            "jwks_uri": "https://b.example/jwks",
        },
        "certify-body": {**body, "purposes": [], "capacities": ["furnish"], "reason": "more"},
        "amend-body": {**body, "name": "Other", **contact},
        "replace-keys": {**body, "jwks": jwks("two")},
        "reinstate-body": {**body, "reason": "it passed"},
        "decide-appeal": {"event": str(line), "outcome": "upheld", "reason": "no case was asked without"},
        "strike-off-body": {**body, "reason": "sold data"},
        "add-basis": {
            "code": "law", "title": "Law", "article": "1", "in_force_from": "2024-01-01",
            "purposes": ["court-enforcement"], "categories": ["FIN"],
        },
        "merge-persons": {
            "person": str(people[0]), "other": str(people[1]), "reason": "number-replaced",
            "document_sha256": "ab" * 32,
        },
        "split-person": {
            "person": str(people[1]), "reason": "merged-wrongly", "document_sha256": "cd" * 32,
        },
        "appoint-guardian": {
            "person": str(people[0]), "guardian": str(people[1]), "ground": "minor",
            "until": "2030-05-13T00:00:00+08:00", "document_sha256": "ab" * 32,
        },
        "add-registrar": {"name": "Yu", "jwk": OKPKey.generate_key("Ed25519").as_dict(private=False)},
        "erase-person": {"person": str(uuid4()), "basis": "PIPL 47", "reason": "asked for it"},
    }  # fmt: skip


def light(court: object, judge: object, basis: object) -> dict[str, dict[str, Any]]:
    """An act of each kind that one registrar does, in an order in which each fits."""
    body = {"body": str(court)}
    return {
        "mark-body": {**body, "mark": "violation", "reason": "sold", "appeal": "the regulator"},
        "add-officer": {**body, "name": "Li", "role": "judge"},
        "end-officer": {"officer": str(judge), "reason": "left"},
        "narrow-body": {**body, "purposes": [], "capacities": ["ask"], "reason": "limited"},
        "suspend-body": {**body, "reason": "an audit", "appeal": "the regulator"},
        "end-basis": {"basis": str(basis), "last_day": "2027-12-31", "reason": "repealed"},
    }


def test_these_are_all_acts() -> None:
    kinds = {kind.__struct_config__.tag: kind.pair for kind in get_args(acts.RegisterAct)}
    assert {name for name, pair in kinds.items() if pair} == set(heavy(""))
    assert {name for name, pair in kinds.items() if not pair} == {
        *light("", "", ""),
        "end-registrar",
        "end-guardian",
    }


async def test_no_act_of_weight_is_done_by_one_and_each_by_two(registry: Registry) -> None:
    first, second = registry.known.first, registry.known.second
    async with registry.log.engine.connect() as connection:
        (*_, line) = await conduct_file(connection, registry.known.bank)
    one, other = PEOPLE
    for name, members in heavy(registry.known.bank, line.event_id, (one, other)).items():
        before = await registry.body(registry.known.bank)
        placed = await registry.order({"do": name, **members})
        assert (placed.state, placed.object_id) == ("waiting", None)
        with pytest.raises(StatementError, match="who ordered an act cannot agree"):
            await registry.agree(placed.id, first)
        for forged in (
            Signatory(second.registrar_id, first.private_jwk),
            Signatory(first.registrar_id, second.private_jwk),
            Signatory(second.registrar_id, OTHER.as_dict(private=True)),
        ):
            with pytest.raises(StatementError, match=r"another key|algorithm is not that"):
                await registry.agree(placed.id, forged)
        with pytest.raises(StatementError, match="agrees to another act"):
            await registry.agree(placed.id, content='{"do":"add-basis"}')
        with pytest.raises(StatementError, match="for another vault"):
            await registry.agree(placed.id, vault="https://other.example")
        assert await registry.body(registry.known.bank) == before
        done = await registry.agree(placed.id)
        assert done.state == "done"
        assert done.object_id is not None
        with pytest.raises(StateError, match="does not wait"):
            await registry.agree(placed.id)
    assert (await registry.body(registry.known.bank)).status == "struck-off"


async def test_one_registrar_stops_and_marks_at_once(registry: Registry) -> None:
    known = registry.known
    some = light(known.court, known.judge, known.basis)
    for name, members in some.items():
        done = await registry.order({"do": name, **members})
        assert done.state == "done", name
    court = await registry.body(registry.known.court)
    assert (court.status, court.purposes) == ("suspended", frozenset())
    async with registry.log.engine.connect() as connection:
        basis = await read_basis(connection, registry.known.basis)
    assert basis is not None
    assert str(basis.in_force_until) == "2027-12-31"
    with pytest.raises(StateError, match="registered anew"):
        await registry.order(
            {"do": "end-basis", "basis": str(registry.known.basis), "last_day": "2028-01-01", "reason": "x"}
        )
    with pytest.raises(InvalidError, match="would widen"):
        await registry.order({"do": "narrow-body", **some["narrow-body"], "capacities": ["inspect"]})


async def test_both_signatures_stand_in_the_document_behind_the_entry(registry: Registry) -> None:
    bank = registry.known.bank
    placed = await registry.order({"do": "reinstate-body", "body": str(bank), "reason": "it passed"})
    waits = await document(registry.log, "order.placed")
    assert (waits["do"], waits["object"]) == ("reinstate-body", str(placed.id))
    await registry.agree(placed.id)
    async with registry.log.engine.connect() as connection:
        row = (await connection.execute(text("SELECT * FROM consent.register_order"))).one()
    written = await document(registry.log, "body.reinstated")
    assert written["actor"] == f"registrar:{registry.known.first.registrar_id}"
    assert written["agreed_by"] == f"registrar:{registry.known.second.registrar_id}"
    assert written["order_sha256"] == waits["order_sha256"] == read_statement(row.statement).digest
    assert written["agreement_sha256"] == read_statement(row.agreement).digest
    entry = await newest(registry.log)
    assert (entry["event"], entry["object"], entry["body"]) == ("body.reinstated", str(bank), str(bank))
    assert digest(row.content) == waits["content_sha256"]


async def test_a_statement_counts_once_and_while_it_is_fresh(registry: Registry) -> None:
    act = {"do": "mark-body", "body": str(registry.known.court), "reason": "late"}
    order = uuid4()
    await registry.order(act, order=order)
    size = len(await payloads(registry.log))
    with pytest.raises(StateError, match="counts once"):
        await registry.order(act, order=order)
    for changes, words in (
        ({"vault": "https://other.example"}, "for another vault"),
        ({"age": timedelta(days=1, minutes=1)}, "too old"),
        ({"age": timedelta(minutes=-2)}, "from the future"),
    ):
        with pytest.raises(StatementError, match=words):
            await registry.order(act, **changes)
    assert len(await payloads(registry.log)) == size


async def test_an_order_waits_for_thirty_days(registry: Registry) -> None:
    act = {"do": "reinstate-body", "body": str(registry.known.bank), "reason": "it passed"}
    placed = await registry.order(act)
    old = "UPDATE consent.register_order SET ordered_at = ordered_at - interval '30 days 1 minute'"
    _as_owner(registry, old)
    with pytest.raises(StateError, match="order the act anew"):
        await registry.agree(placed.id)
    async with registry.log.engine.connect() as connection:
        assert await orders.list_orders(connection, waiting=True, most=9) == []
        assert len(await orders.list_orders(connection, waiting=False, most=9)) == 1


async def test_who_stood_down_neither_orders_nor_agrees_nor_is_agreed_to(registry: Registry) -> None:
    act = {"do": "reinstate-body", "body": str(registry.known.bank), "reason": "it passed"}
    async with registry.log.writing() as writing:
        third = await registrar(writing, "Yu")
    placed, other = await registry.order(act, third), await registry.order(act)
    end = {"do": "end-registrar", "registrar": str(third.registrar_id), "reason": "key lost"}
    await registry.order(end)
    for attempt in (registry.order(act, third), registry.agree(other.id, third), registry.agree(placed.id)):
        with pytest.raises(StatementError, match="no active registrar"):
            await attempt
    with pytest.raises(StateError, match="two registrars must always be left"):
        await registry.order({**end, "registrar": str(registry.known.second.registrar_id)})
    assert (await registry.agree(other.id)).state == "done"


async def test_an_order_is_dropped_by_either(registry: Registry) -> None:
    act = {"do": "reinstate-body", "body": str(registry.known.bank), "reason": "it passed"}
    for who in (registry.known.first, registry.known.second):
        placed = await registry.order(act)
        drop = {"do": "drop-order", "order": str(placed.id), "reason": "too early"}
        assert (await registry.order(drop, who)).object_id == placed.id
        with pytest.raises(StateError):
            await registry.agree(placed.id)
        with pytest.raises(StateError):
            await registry.order(drop)
    with pytest.raises(UnknownError):
        await registry.order({**drop, "order": str(uuid4())})


async def test_an_operator_does_acts_of_weight_only_until_two_are_registered(log: Log) -> None:
    public = [OKPKey.generate_key("Ed25519").as_dict(private=False) for _ in range(3)]
    async with log.writing() as writing:
        for number in (0, 1):
            act = acts.AddRegistrar(name=f"R{number}", jwk=public[number])
            await orders.by_operator(writing, act, OPERATOR, NAMEABLE)
        with pytest.raises(StateError, match="this act is theirs"):
            await orders.by_operator(writing, acts.AddRegistrar(name="R2", jwk=public[2]), OPERATOR, NAMEABLE)
        # Nor by ending whoever is registered, and beginning anew.
        for one in await registrars.list_registrars(writing.connection):
            end = acts.EndRegistrar(registrar=one.registrar_id, reason="x")
            with pytest.raises(StateError, match="must always be left"):
                await orders.by_operator(writing, end, OPERATOR, NAMEABLE)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"kind": "oracle"}, InvalidError),
        ({"purposes": ["curiosity"]}, InvalidError),
        ({"jwks_uri": "ftp://b.example/jwks"}, InvalidError),
        ({"capacities": ["rule"]}, InvalidError),
        ({"name": "\x00"}, InvalidError),
        ({"jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}}, ConsentError),
        ({"more": 1}, InvalidError),
        ({"name": None}, InvalidError),
    ],
)
async def test_an_act_that_breaks_a_rule_is_never_done(
    registry: Registry, change: dict[str, Any], error: type[ConsentError]
) -> None:
    act = {"do": "admit-body", **heavy(registry.known.bank)["admit-body"], **change}
    with pytest.raises(error):
        await registry.agree((await registry.order(act)).id)
    async with registry.log.engine.connect() as connection:
        assert len(await bodies.list_bodies(connection)) == 2


async def test_a_question_is_no_act(registry: Registry) -> None:
    first = registry.known.first
    async with registry.log.writing() as writing:
        question = Asking(
            vault=VAULT, id=uuid4(), registrar=first.registrar_id, at=writing.now, what="bodies"
        )
        with pytest.raises(StatementError, match="changes nothing"):
            await hand_in(writing, first.sign(question), VAULT, NAMEABLE)
        for act in (orders.order, orders.agree):
            with pytest.raises(StatementError, match="is no"):
                await act(writing, first.sign(question), VAULT, NAMEABLE)


async def test_four_eyes_stand_in_the_database_too(registry: Registry) -> None:
    placed = await registry.order(
        {"do": "reinstate-body", "body": str(registry.known.bank), "reason": "it passed"}
    )
    first, second = registry.known.first.registrar_id, registry.known.second.registrar_id
    agreed = "state = 'done', object_id = order_id, agreement = 'x', agreed_at = now()"
    for change in (
        "state = 'done', object_id = order_id",
        f"{agreed}, agreed_by = '{first}', agreed_thumbprint = 'x'",
        f"{agreed}, agreed_by = '{second}', agreed_thumbprint = thumbprint",
        "state = 'dropped', object_id = order_id",
    ):
        with pytest.raises(IntegrityError):
            _as_owner(registry, f"UPDATE consent.register_order SET {change}")
    assert placed.state == "waiting"


def _as_owner(registry: Registry, statement: str) -> None:
    with registry.owner.begin() as connection:
        connection.execute(text(statement))
