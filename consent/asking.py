"""What registrars read of the registers beyond what everybody may: officers, keys, what waits."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from consent import bases, bodies, conduct, orders, registrars, statements, statutes
from consent.errors import InvalidError, StatementError
from consent.oauth.replay import record_proofs
from consent.registrars import Registrar, require_signatory
from consent.statements import ASKED_WITHIN, Asking, Claimed, Question, read_statement

_MOST_ORDERS: Final = 1000


async def ask(connection: AsyncConnection, compact: str, vault: str, now: datetime) -> Sequence[Any]:
    """Answers a registrar's signed question, once.

    Args:
        connection: in a transaction that is committed before the answer is shown.
        compact: the statement.
        vault: this vault's issuer.
        now: the present.

    Raises:
        StatementError: the statement does not hold, or was answered before.
        InvalidError: there is no such register, or it needs an id.
    """
    claimed = read_statement(compact)
    question = claimed.statement
    if not isinstance(question, Asking):
        raise StatementError("this statement asks for no register")
    await require_asked_once(connection, claimed, vault, now)
    if question.what in _OF_ONE and question.of is not None:
        return await _OF_ONE[question.what](connection, question.of)
    if question.what in _WHOLE and question.of is None:
        return await _WHOLE[question.what](connection)
    whole, of_one = ", ".join(_WHOLE), ", ".join(_OF_ONE)
    raise InvalidError(f"ask for {whole}; or for {of_one} with the id of what they are of")


async def require_asked_once(
    connection: AsyncConnection, claimed: Claimed, vault: str, now: datetime
) -> Registrar:
    """The registrar who asks, if the question holds and was not asked before.

    Raises:
        StatementError: it does not, or was.
    """
    question = claimed.statement
    if not isinstance(question, Question):
        raise StatementError("this statement asks for nothing")
    signatory = await require_signatory(connection, claimed, now)
    statements.require_fresh(question, vault, now)
    remembered = question.at + ASKED_WITHIN
    if not await record_proofs(connection, [(signatory.thumbprint, str(question.id), remembered)]):
        raise StatementError("this question was answered before: sign another")
    return signatory


async def _order(connection: AsyncConnection, order_id: UUID) -> Sequence[Any]:
    return [await orders.require_order(connection, order_id)]


_WHOLE: Final[Mapping[str, Callable[[AsyncConnection], Awaitable[Sequence[Any]]]]] = {
    "bodies": bodies.list_bodies,
    "bases": bases.list_bases,
    "registrars": registrars.list_registrars,
    "authorizations": statutes.list_authorizations,
    "orders": lambda connection: orders.list_orders(connection, waiting=False, most=_MOST_ORDERS),
    "waiting": lambda connection: orders.list_orders(connection, waiting=True, most=_MOST_ORDERS),
}
_OF_ONE: Final[Mapping[str, Callable[[AsyncConnection, UUID], Awaitable[Sequence[Any]]]]] = {
    "officers": bodies.list_officers,
    "conduct": conduct.conduct_file,
    "order": _order,
}
