"""An act on a register is done: the one place that knows which function of which register does it.

Whoever calls has decided that it may be done (orders.py), and holds the head lock.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.log import Writing
from consent import acts, bases, bodies, body_keys, body_scope, conduct, guardians, merging, registrars, terms
from consent.acts import Act, RegisterAct
from consent.bases import NewBasis
from consent.bodies import Contact, NewBody, NewOfficer
from consent.body_scope import Particulars, Scope
from consent.conduct import Finding
from consent.errors import InvalidError, StateError, UnknownError
from consent.guardians import NewGuardian
from consent.journal import Actor, write_register_event
from consent.merging import Grounds, Joined
from consent.oauth.errors import KeysNotFetchedError
from consent.oauth.jwks_uri import PublishedKeys
from consent.permit import Person
from consent.registrars import NewRegistrar
from consent.tables import registrar

SIGNATORIES = 2
"""How many registrars an act of weight needs, and so how many there must always be once there were."""


@dataclass(frozen=True, slots=True)
class Nameable:
    """What an act may name: a register would keep anything else, and every query would then fail.

    Attributes:
        purposes: of the catalogue, like the three behind it.
        jurisdiction: of the catalogue.
        person: finds a person by their id; None where there is nobody.
        joined: which identities are one person's.
    """

    purposes: Collection[str]
    body_kinds: Collection[str]
    fields: Collection[str]
    categories: Collection[str]
    jurisdiction: str
    person: Callable[[AsyncConnection, UUID], Awaitable[Person | None]]
    joined: Joined

    def require(self, stated: Collection[str], known: Collection[str], what: str) -> None:
        """Refuses a code the catalogue does not hold.

        Raises:
            InvalidError: there is one.
        """
        if not all(code in known for code in stated):
            raise InvalidError(f"{what}: the catalogue has no such code; use {', '.join(known)}")


async def carry_out(writing: Writing, act: RegisterAct, actor: Actor, nameable: Nameable) -> UUID:
    """Does an act; returns the id of what it is about.

    Raises:
        UnknownError: it is about what is in no register.
        StateError: it does not fit the present state.
        InvalidError: a part breaks a rule of the register.
        KeyPolicyError: a key does not meet the profile.
    """
    check(act, nameable)
    if isinstance(act, _OfBody):
        return await _body(writing, act, actor)
    if isinstance(act, acts.ErasePerson):
        # Decided here, done where the person is (vault/rights/erasure.py). The document names nobody.
        content = {"basis": terms.text(act.basis, "basis"), "log": act.log}
        await write_register_event(writing, "erasure.ordered", uuid4(), actor, content)
        return act.person
    if isinstance(act, acts.AppointGuardian | acts.EndGuardian):
        return await _guardian(writing, act, actor, nameable)
    if isinstance(act, acts.MergePersons | acts.SplitPerson):
        grounds = Grounds(actor, act.reason, act.document_sha256)
        if isinstance(act, acts.MergePersons):
            await merging.merge(writing, nameable.joined, act.person, act.other, grounds)
        else:
            await merging.split(writing, nameable.joined, act.person, grounds)
        return act.person
    return await _other(writing, act, actor, nameable)


def check(act: Act, nameable: Nameable) -> None:
    """What can be said of an act without a register.

    Raises:
        InvalidError: it names a code that the catalogue does not hold, or an address without keys.
    """
    if isinstance(act, acts.AdmitBody):
        nameable.require([act.kind], nameable.body_kinds, "kind")
    if isinstance(act, acts.AdmitBody | acts.CertifyBody | acts.NarrowBody | acts.AddBasis):
        nameable.require(act.purposes, nameable.purposes, "purpose")
    if isinstance(act, acts.AdmitBody | acts.ReplaceKeys) and act.jwks_uri is not None:
        try:
            # Whether it may be on this very machine is said by who fetches the keys there.
            PublishedKeys(loopback=True).check(act.jwks_uri)
        except KeysNotFetchedError as error:
            raise InvalidError(f"the address of the keys cannot be used: {error}") from error
    if isinstance(act, acts.AddBasis):
        nameable.require(act.categories, nameable.categories, "category")


_OfBody = (
    acts.AdmitBody | acts.CertifyBody | acts.NarrowBody | acts.AmendBody | acts.ReplaceKeys
    | acts.SuspendBody | acts.ReinstateBody | acts.StrikeOffBody | acts.MarkBody | acts.DecideAppeal
)  # fmt: skip


async def _body(writing: Writing, act: _OfBody, actor: Actor) -> UUID:
    """An act on the register of bodies."""
    match act:
        case acts.AdmitBody():
            return await bodies.add_body(writing, _new_body(act), actor)
        case acts.CertifyBody() | acts.NarrowBody():
            await body_scope.certify(
                writing,
                act.body,
                Scope(act.purposes, act.capacities),
                act.reason,
                actor,
                narrower=isinstance(act, acts.NarrowBody),
            )
        case acts.AmendBody():
            particulars = Particulars(act.name, Contact(act.address, act.contact), act.redirect_uris)
            await body_scope.amend(writing, act.body, particulars, actor)
        case acts.ReplaceKeys():
            await body_keys.replace_keys(writing, act.body, act.jwks, actor, jwks_uri=act.jwks_uri)
        case acts.SuspendBody():
            await bodies.suspend_body(writing, act.body, act.reason, actor, appeal=act.appeal)
        case acts.ReinstateBody():
            await bodies.reinstate_body(writing, act.body, act.reason, actor)
        case acts.StrikeOffBody():
            await bodies.strike_off_body(writing, act.body, act.reason, actor, appeal=act.appeal)
        case acts.MarkBody():
            finding = Finding(act.mark, act.reason, act.appeal, act.public, act.note)
            await conduct.mark(writing, act.body, finding, actor)
        case acts.DecideAppeal():
            return await conduct.decide_appeal(writing, act.event, act.outcome, act.reason, actor)
    return act.body


async def _other(
    writing: Writing,
    act: acts.AddOfficer
    | acts.EndOfficer
    | acts.AddBasis
    | acts.EndBasis
    | acts.AddRegistrar
    | acts.EndRegistrar,
    actor: Actor,
    nameable: Nameable,
) -> UUID:
    """An act on another register."""
    match act:
        case acts.AddOfficer():
            return await bodies.add_officer(writing, NewOfficer(act.body, act.name, act.role), actor)
        case acts.EndOfficer():
            await bodies.stand_down_officer(writing, act.officer, act.reason, actor)
            return act.officer
        case acts.AddBasis():
            return await bases.add_basis(writing, _new_basis(act, nameable.jurisdiction), actor)
        case acts.EndBasis():
            await _require_earlier(writing, act)
            await bases.end_basis(writing, act.basis, act.last_day, act.reason, actor)
            return act.basis
        case acts.AddRegistrar():
            return await registrars.add_registrar(writing, NewRegistrar(act.name, act.jwk), actor)
        case acts.EndRegistrar():
            await _require_two_left(writing, act.registrar)
            await registrars.stand_down_registrar(writing, act.registrar, act.reason, actor)
            return act.registrar


async def _guardian(
    writing: Writing, act: acts.AppointGuardian | acts.EndGuardian, actor: Actor, nameable: Nameable
) -> UUID:
    """An act on the mandates that registrars give."""
    person = await nameable.person(writing.connection, act.person)
    if person is None:
        raise UnknownError("the vault knows nobody under this id: name the person first")
    if isinstance(act, acts.EndGuardian):
        await guardians.end(writing, person, act.mandate, act.reason, actor)
        return act.mandate
    guardian = await nameable.person(writing.connection, act.guardian)
    if guardian is None:
        raise UnknownError("the vault knows nobody under this id: name the guardian first")
    joined = await nameable.joined.members(writing.connection, act.person)
    if any(one.subject_id == act.guardian for one in joined[1:]):
        raise InvalidError("nobody is their own guardian, under another number neither")
    new = NewGuardian(act.ground, frozenset(act.rights), act.until, bytes.fromhex(act.document_sha256))
    return await guardians.appoint(writing, person, guardian, new, actor)


def _new_body(act: acts.AdmitBody) -> NewBody:
    return NewBody(
        uscc=act.uscc,
        name=act.name,
        kind=act.kind,
        contact=Contact(act.address, act.contact),
        jwks=act.jwks,
        redirect_uris=act.redirect_uris,
        purposes=act.purposes,
        capacities=act.capacities,
        jwks_uri=act.jwks_uri,
    )


def _new_basis(act: acts.AddBasis, jurisdiction: str) -> NewBasis:
    return NewBasis(
        code=act.code,
        title=act.title,
        article=act.article,
        jurisdiction=jurisdiction,
        in_force_from=act.in_force_from,
        in_force_until=act.in_force_until,
        purposes=act.purposes,
        categories=act.categories,
        notice_delay_days=act.notice_delay_days,
    )


async def _require_earlier(writing: Writing, act: acts.EndBasis) -> None:
    """One registrar ends a law; to prolong one would be to register it."""
    basis = await bases.read_basis(writing.connection, act.basis)
    if basis is not None and basis.in_force_until is not None and act.last_day > basis.in_force_until:
        raise StateError("this legal basis ends earlier already: what is in force longer is registered anew")


async def _require_two_left(writing: Writing, leaving: UUID) -> None:
    """Whoever could end all registrars but one, or all, could begin anew with people of their own."""
    others = (registrar.c.status == "active") & (registrar.c.registrar_id != leaving)
    counted = select(func.count(), func.count().filter(others)).select_from(registrar)
    ever, left = (await writing.connection.execute(counted)).one()
    if ever >= SIGNATORIES > left:
        raise StateError("two registrars must always be left: register another first, then end this one")
