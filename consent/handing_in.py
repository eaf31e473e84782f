"""A registrar's statement is handed in: the API and the command line both end here."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from access_log.log import Writing
from consent import orders, statutes
from consent.carrying_out import Nameable
from consent.errors import StatementError
from consent.orders import RegisteredOrder
from consent.statements import Agreement, Approval, Order, Proposal, Revocation, read_statement

_NO_ACT: Final = "this statement asks for something and changes nothing: send it where registers are read"


@dataclass(frozen=True, slots=True)
class HandedIn:
    """What a statement came to.

    Attributes:
        id: of the order, or of the authorization.
        state: of an order `waiting` or `done`; of an authorization `proposed`, `approved` or `revoked`.
        object_id: what the act was about or made; None while it waits.
    """

    id: UUID
    state: str
    object_id: UUID | None


async def hand_in(writing: Writing, compact: str, vault: str, nameable: Nameable) -> HandedIn:
    """Does what a statement says, or has it wait.

    Args:
        writing: the transaction; its receipts prove what was done.
        compact: the statement, a compact JWS.
        vault: this vault's issuer.
        nameable: what the catalogue knows.

    Raises:
        StatementError: the statement does not hold.
        UnknownError: it is about what is in no register.
        StateError: it does not fit the present state.
        InvalidError: what it states breaks a rule of the registers.
        KeyPolicyError: a key in it does not meet the profile.
    """
    stated = read_statement(compact).statement
    match stated:
        case Order():
            return _of_order(await orders.order(writing, compact, vault, nameable))
        case Agreement():
            return _of_order(await orders.agree(writing, compact, vault, nameable))
        case Proposal():
            proposed = statutes.read_terms(stated.content)
            nameable.require(proposed.purposes, nameable.purposes, "purpose")
            nameable.require(proposed.fields, nameable.fields, "field")
            await statutes.propose(writing, compact)
            return HandedIn(stated.authorization, "proposed", stated.authorization)
        case Approval():
            await statutes.approve(writing, stated.authorization, compact)
            return HandedIn(stated.authorization, "approved", stated.authorization)
        case Revocation():
            await statutes.revoke(writing, stated.authorization, compact)
            return HandedIn(stated.authorization, "revoked", stated.authorization)
    raise StatementError(_NO_ACT)


def _of_order(found: RegisteredOrder) -> HandedIn:
    return HandedIn(found.order_id, found.state, found.object_id)
