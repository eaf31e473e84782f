"""Orders: acts on registers that registrars sign. One of weight waits until another registrar agrees to it.

Every path ends here, the HTTP API's and the command line's: who may act is said by signatures and by the
registers, never by where a statement came from. Four eyes stand in the database too (tables.py).

1  the statement is read; nothing of it is believed yet
2  its registrar is active, its signature verifies under the registered key, its time fits (statements.py)
3  it was made for this vault, and lately
4  an order's id is new: a statement counts once
5  an agreement names the digest of the act as it stands, and comes from another registrar with another key
6  the order that is agreed to verifies still, and its registrar is active still
7  the act is done, or waits; either way the change and its entry stand or fall together
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import RowMapping, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.log import Writing
from consent import acts, carrying_out, statements, terms
from consent.acts import Act, DropOrder
from consent.carrying_out import SIGNATORIES, Nameable, carry_out
from consent.errors import StateError, StatementError, UnknownError
from consent.journal import Actor, write_register_event
from consent.registrars import Registrar, require_signatory
from consent.statements import Agreement, Claimed, Order, read_statement
from consent.tables import register_order, registrar

WAITS: Final = timedelta(days=30)
"""How long an order waits for a second registrar."""


@dataclass(frozen=True, slots=True)
class RegisteredOrder:
    """An order as it stands now.

    Attributes:
        act: what it orders, JSON as signed.
        state: `waiting`, `done` or `dropped`; after `WAITS` one that waits cannot be agreed to any more.
        object_id: what the act was about or made; None until it is done.
    """

    order_id: UUID
    act: str
    state: str
    registrar_id: UUID
    ordered_at: datetime
    agreed_by: UUID | None
    agreed_at: datetime | None
    object_id: UUID | None


async def order(writing: Writing, compact: str, vault: str, nameable: Nameable) -> RegisteredOrder:
    """Takes an order in: it is done at once, or waits for another registrar.

    Args:
        writing: the transaction.
        compact: the signed statement.
        vault: this vault's issuer.
        nameable: what the catalogue knows.

    Raises:
        StatementError: the statement does not hold.
        StateError: its id is in use, or the act does not fit the present state.
        UnknownError, InvalidError, KeyPolicyError: as `carry_out`.
    """
    claimed = read_statement(compact)
    stated = claimed.statement
    if not isinstance(stated, Order):
        raise StatementError("this statement is no order")
    signatory = await require_signatory(writing.connection, claimed, writing.now)
    statements.require_fresh(stated, vault, writing.now)
    act = acts.read(stated.content)
    if await read_order(writing.connection, stated.order) is not None:
        raise StateError("an order with this id exists already: a statement counts once")
    carrying_out.check(act, nameable)
    object_id = None
    if act.pair:
        content = {
            "do": acts.name(act),
            "content_sha256": stated.content_sha256,
            "order_sha256": claimed.digest,
        }
        await write_register_event(writing, "order.placed", stated.order, _as_actor(signatory), content)
    else:
        object_id = await _do(writing, act, _as_actor(signatory, claimed), nameable)
    await writing.connection.execute(
        register_order.insert(),
        {
            "order_id": stated.order,
            "act": acts.name(act),
            "pair": act.pair,
            "state": "waiting" if act.pair else "done",
            "content": stated.content,
            "statement": compact,
            "registrar_id": signatory.registrar_id,
            "thumbprint": signatory.thumbprint,
            "ordered_at": writing.now,
            "object_id": object_id,
        },
    )
    return await require_order(writing.connection, stated.order)


async def agree(writing: Writing, compact: str, vault: str, nameable: Nameable) -> RegisteredOrder:
    """Another registrar agrees to an order that waits, and it is done.

    Raises:
        StatementError: the statement does not hold, or comes from whoever ordered.
        UnknownError: no such order, or the act is about what is in no register.
        StateError: it does not wait any more, or the act does not fit the present state.
        InvalidError, KeyPolicyError: as `carry_out`.
    """
    claimed = read_statement(compact)
    stated = claimed.statement
    if not isinstance(stated, Agreement):
        raise StatementError("this statement is no agreement")
    signatory = await require_signatory(writing.connection, claimed, writing.now)
    statements.require_fresh(stated, vault, writing.now)
    row = await _require_row(writing.connection, stated.order)
    if row["state"] != "waiting" or row["ordered_at"] < writing.now - WAITS:
        raise StateError("this order does not wait for anybody: order the act anew")
    # (5) What is agreed to is this act, to the byte; and by another registrar with another key.
    if stated.content_sha256 != statements.content_digest(row["content"]):
        raise StatementError("this statement agrees to another act")
    if signatory.registrar_id == row["registrar_id"] or signatory.thumbprint == row["thumbprint"]:
        raise StatementError("who ordered an act cannot agree to it: another registrar must sign")
    # (6) The order still stands as its registrar signed it.
    ordered = read_statement(row["statement"])
    await require_signatory(writing.connection, ordered, writing.now)
    if not isinstance(ordered.statement, Order) or ordered.statement.content != row["content"]:
        raise StatementError("the stored act is not that of the signed order: order it anew")
    act = acts.read(row["content"])
    object_id = await _do(writing, act, _both(row, ordered, signatory, claimed), nameable)
    await writing.connection.execute(
        update(register_order)
        .where(register_order.c.order_id == stated.order)
        .values(
            state="done",
            agreement=compact,
            agreed_by=signatory.registrar_id,
            agreed_thumbprint=signatory.thumbprint,
            agreed_at=writing.now,
            object_id=object_id,
        )
    )
    return await require_order(writing.connection, stated.order)


async def by_operator(writing: Writing, act: Act, actor: Actor, nameable: Nameable) -> UUID:
    """Does an act on the word of an operator, who signs nothing.

    What needs two registrars an operator does only while the vault is set up: until two were registered.

    Raises:
        StateError: two registrars were registered, and the act is theirs.
        UnknownError, InvalidError, KeyPolicyError: as `carry_out`.
    """
    if act.pair:
        ever = await writing.connection.execute(select(func.count()).select_from(registrar))
        if ever.scalar_one() >= SIGNATORIES:
            raise StateError(
                "two registrars are registered, and this act is theirs: order it with --registrar and --key, "
                "and have another agree with `creditvault registrar agree`"
            )
    return await _do(writing, act, actor, nameable)


async def read_order(connection: AsyncConnection, order_id: UUID) -> RegisteredOrder | None:
    """The order as it stands now."""
    found = await connection.execute(select(register_order).where(register_order.c.order_id == order_id))
    row = found.mappings().one_or_none()
    return None if row is None else _order(row)


async def require_order(connection: AsyncConnection, order_id: UUID) -> RegisteredOrder:
    """The order as it stands now.

    Raises:
        UnknownError: there is none.
    """
    return _order(await _require_row(connection, order_id))


async def list_orders(connection: AsyncConnection, *, waiting: bool, most: int) -> list[RegisteredOrder]:
    """Orders, the newest first; of those that wait only such as can still be agreed to."""
    query = select(register_order).order_by(register_order.c.ordered_at.desc(), register_order.c.order_id)
    if waiting:
        oldest = func.clock_timestamp() - WAITS
        query = query.where(register_order.c.state == "waiting", register_order.c.ordered_at >= oldest)
    return [_order(row) for row in (await connection.execute(query.limit(most))).mappings()]


async def _do(writing: Writing, act: Act, actor: Actor, nameable: Nameable) -> UUID:
    if isinstance(act, DropOrder):
        return await _drop(writing, act, actor)
    return await carry_out(writing, act, actor, nameable)


async def _drop(writing: Writing, act: DropOrder, actor: Actor) -> UUID:
    row = await _require_row(writing.connection, act.order)
    if row["state"] != "waiting":
        raise StateError("this order does not wait for anybody")
    content = {"do": row["act"], "reason": terms.text(act.reason, "reason")}
    await writing.connection.execute(
        update(register_order).where(register_order.c.order_id == act.order).values(state="dropped")
    )
    await write_register_event(writing, "order.dropped", act.order, actor, content)
    return act.order


async def _require_row(connection: AsyncConnection, order_id: UUID) -> RowMapping:
    found = await connection.execute(select(register_order).where(register_order.c.order_id == order_id))
    row = found.mappings().one_or_none()
    if row is None:
        raise UnknownError("no order is registered under this id")
    return row


def _as_actor(signatory: Registrar, claimed: Claimed | None = None) -> Actor:
    signed = () if claimed is None else (("order_sha256", claimed.digest),)
    return Actor(f"registrar:{signatory.registrar_id}", "registrar", signed)


def _both(row: RowMapping, ordered: Claimed, signatory: Registrar, agreed: Claimed) -> Actor:
    """Who ordered, as the log names them, with whoever agreed: both signatures stand in the document."""
    return Actor(
        f"registrar:{row['registrar_id']}",
        "registrar",
        (
            ("order", str(row["order_id"])),
            ("order_sha256", ordered.digest),
            ("agreed_by", f"registrar:{signatory.registrar_id}"),
            ("agreement_sha256", agreed.digest),
        ),
    )


def _order(row: RowMapping) -> RegisteredOrder:
    return RegisteredOrder(
        order_id=row["order_id"],
        act=row["content"],
        state=row["state"],
        registrar_id=row["registrar_id"],
        ordered_at=row["ordered_at"],
        agreed_by=row["agreed_by"],
        agreed_at=row["agreed_at"],
        object_id=row["object_id"],
    )
