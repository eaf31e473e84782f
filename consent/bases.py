"""The register of legal bases: the articles of law that statutory authorizations rest on."""

from dataclasses import asdict, dataclass
from datetime import date
from uuid import UUID, uuid4

from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.log import Writing
from consent import terms
from consent.errors import InvalidError, UnknownError
from consent.journal import Actor, write_register_event
from consent.tables import legal_basis


@dataclass(frozen=True, slots=True)
class NewBasis:
    """A legal basis to be registered.

    Attributes:
        code: for instance `civil-procedure-253`.
        title: of the law.
        article: within it.
        jurisdiction: for instance `cn`.
        in_force_from: first day, in the jurisdiction's time zone.
        purposes: the purposes it supports.
        categories: the categories of record it supports, for instance `FIN`.
        in_force_until: last day; None while it stands.
        notice_delay_days: for how long at most it allows notice to the person to be delayed; 0: not at all.
    """

    code: str
    title: str
    article: str
    jurisdiction: str
    in_force_from: date
    purposes: tuple[str, ...]
    categories: tuple[str, ...]
    in_force_until: date | None = None
    notice_delay_days: int = 0


@dataclass(frozen=True, slots=True)
class LegalBasis:
    """A registered legal basis; the attributes are those of `NewBasis`."""

    basis_id: UUID
    code: str
    title: str
    article: str
    jurisdiction: str
    in_force_from: date
    in_force_until: date | None
    purposes: frozenset[str]
    categories: frozenset[str]
    notice_delay_days: int


async def add_basis(writing: Writing, new: NewBasis, actor: Actor) -> UUID:
    """Registers a legal basis; returns its id.

    Raises:
        InvalidError: a part breaks the rules of the register, or the code is registered already.
    """
    values = {
        **asdict(new),
        "code": terms.code(new.code, "code of a legal basis"),
        "title": terms.text(new.title, "title"),
        "article": terms.text(new.article, "article"),
        "jurisdiction": terms.code(new.jurisdiction, "jurisdiction"),
        "purposes": terms.purposes(new.purposes),
        "categories": terms.categories(new.categories),
    }
    if new.in_force_until is not None and new.in_force_until < new.in_force_from:
        raise InvalidError("a legal basis cannot end before it begins")
    if new.notice_delay_days < 0:
        raise InvalidError("the delay of notice is a number of days, or 0")
    known = select(legal_basis.c.basis_id).where(legal_basis.c.code == values["code"])
    if (await writing.connection.execute(known)).one_or_none() is not None:
        raise InvalidError("a legal basis with this code is registered already")
    basis_id = uuid4()
    await writing.connection.execute(legal_basis.insert(), {**values, "basis_id": basis_id})
    await write_register_event(
        writing,
        "basis.registered",
        basis_id,
        actor,
        {
            **values,
            "in_force_from": new.in_force_from.isoformat(),
            "in_force_until": None if new.in_force_until is None else new.in_force_until.isoformat(),
        },
        basis_id=basis_id,
    )
    return basis_id


async def end_basis(writing: Writing, basis_id: UUID, last_day: date, reason: str, actor: Actor) -> None:
    """States the last day on which a legal basis is in force.

    Raises:
        UnknownError: no such basis.
        InvalidError: it would end before it begins, or the reason says nothing.
    """
    basis = await read_basis(writing.connection, basis_id)
    if basis is None:
        raise UnknownError("no legal basis is registered under this id")
    if last_day < basis.in_force_from:
        raise InvalidError("a legal basis cannot end before it begins")
    content = {"in_force_until": last_day.isoformat(), "reason": terms.text(reason, "reason")}
    await writing.connection.execute(
        update(legal_basis).where(legal_basis.c.basis_id == basis_id).values(in_force_until=last_day)
    )
    await write_register_event(writing, "basis.ended", basis_id, actor, content, basis_id=basis_id)


async def read_basis(connection: AsyncConnection, basis_id: UUID) -> LegalBasis | None:
    """The legal basis as registered now."""
    found = await connection.execute(select(legal_basis).where(legal_basis.c.basis_id == basis_id))
    row = found.mappings().one_or_none()
    return None if row is None else _basis(row)


async def list_bases(connection: AsyncConnection) -> list[LegalBasis]:
    """All legal bases ever registered, by code."""
    rows = await connection.execute(select(legal_basis).order_by(legal_basis.c.code))
    return [_basis(row) for row in rows.mappings()]


def _basis(row: RowMapping) -> LegalBasis:
    return LegalBasis(
        **{**row, "purposes": frozenset(row["purposes"]), "categories": frozenset(row["categories"])}
    )
