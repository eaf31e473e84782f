"""The acts on registers that registrars order: what each states, and how many registrars it needs.

An act is the content of an order (statements.py): JSON, closed, told apart by `do`. What lets somebody do
more, or puts back what was taken away, needs two registrars; what stops somebody, or writes down a fault,
must not wait for a second one. An authorization has statements of its own (statutes.py).
"""

from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from consent.errors import InvalidError
from consent.mandates import Ground, Right

_Text = Annotated[str, Meta(min_length=1, max_length=2000)]
_Code = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,63}\Z")]
_Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Names = Annotated[tuple[Annotated[str, Meta(max_length=100)], ...], Meta(max_length=100)]


class _Act(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="do"):
    """What all acts have in common.

    Attributes:
        pair: whether it needs two registrars.
    """

    pair: ClassVar[bool] = True


class AdmitBody(_Act, frozen=True, kw_only=True, tag="admit-body"):
    """Registers a body; with `jwks_uri`, `jwks` holds the keys found there."""

    uscc: _Text
    name: _Text
    kind: _Text
    address: _Text
    contact: _Text
    jwks: dict[str, Any]
    redirect_uris: _Names = ()
    purposes: _Names = ()
    capacities: _Names = ("ask",)
    jwks_uri: str | None = None


class CertifyBody(_Act, frozen=True, kw_only=True, tag="certify-body"):
    """States all purposes and capacities of a body anew, however wide."""

    body: UUID
    purposes: _Names
    capacities: _Names
    reason: _Text


class NarrowBody(_Act, frozen=True, kw_only=True, tag="narrow-body"):
    """Leaves a body these of its purposes and capacities, and no other."""

    pair: ClassVar[bool] = False
    body: UUID
    purposes: _Names
    capacities: _Names
    reason: _Text


class AmendBody(_Act, frozen=True, kw_only=True, tag="amend-body"):
    """States name, contact and redirect URIs of a body anew."""

    body: UUID
    name: _Text
    address: _Text
    contact: _Text
    redirect_uris: _Names = ()


class ReplaceKeys(_Act, frozen=True, kw_only=True, tag="replace-keys"):
    """Replaces the keys of a body: whoever holds them speaks for it."""

    body: UUID
    jwks: dict[str, Any]
    jwks_uri: str | None = None


class SuspendBody(_Act, frozen=True, kw_only=True, tag="suspend-body"):
    """Suspends a body, from its next query on."""

    pair: ClassVar[bool] = False
    body: UUID
    reason: _Text
    appeal: _Text | None = None


class ReinstateBody(_Act, frozen=True, kw_only=True, tag="reinstate-body"):
    """Makes a suspended body active again."""

    body: UUID
    reason: _Text


class StrikeOffBody(_Act, frozen=True, kw_only=True, tag="strike-off-body"):
    """Strikes a body off, for good: to stop it at once, it is suspended."""

    body: UUID
    reason: _Text
    appeal: _Text | None = None


class MarkBody(_Act, frozen=True, kw_only=True, tag="mark-body"):
    """Writes a warning or a violation into a body's conduct file."""

    pair: ClassVar[bool] = False
    body: UUID
    mark: Literal["warning", "violation"] = "warning"
    reason: _Text
    appeal: _Text | None = None
    public: bool = True
    note: _Text | None = None


class DecideAppeal(_Act, frozen=True, kw_only=True, tag="decide-appeal"):
    """Writes down what became of an appeal against one line of a conduct file."""

    event: UUID
    outcome: Literal["upheld", "dismissed"]
    reason: _Text


class AddOfficer(_Act, frozen=True, kw_only=True, tag="add-officer"):
    """Registers an officer of a body."""

    pair: ClassVar[bool] = False
    body: UUID
    name: _Text
    role: _Text


class EndOfficer(_Act, frozen=True, kw_only=True, tag="end-officer"):
    """Ends an officer's right to act, for good."""

    pair: ClassVar[bool] = False
    officer: UUID
    reason: _Text


class AddBasis(_Act, frozen=True, kw_only=True, tag="add-basis"):
    """Registers a legal basis of this vault's jurisdiction."""

    code: _Text
    title: _Text
    article: _Text
    in_force_from: date
    purposes: _Names
    categories: _Names
    in_force_until: date | None = None
    notice_delay_days: Annotated[int, Meta(ge=0, le=36_600)] = 0


class EndBasis(_Act, frozen=True, kw_only=True, tag="end-basis"):
    """States the last day of a legal basis; none that ends already is prolonged."""

    pair: ClassVar[bool] = False
    basis: UUID
    last_day: date
    reason: _Text


class AddRegistrar(_Act, frozen=True, kw_only=True, tag="add-registrar"):
    """Registers another registrar by name and public key."""

    name: _Text
    jwk: dict[str, Any]


class EndRegistrar(_Act, frozen=True, kw_only=True, tag="end-registrar"):
    """Ends a registrar's right to sign, for good."""

    pair: ClassVar[bool] = False
    registrar: UUID
    reason: _Text


class ErasePerson(_Act, frozen=True, kw_only=True, tag="erase-person"):
    """Has a person erased, on a basis of law; an operator carries it out (vault/rights/erasure.py).

    Attributes:
        log: whether what the log's entries about them say is `kept` until its retention ends, because the law
            wants it kept, or `erased` too.
    """

    person: UUID
    basis: _Text
    reason: _Text
    log: Literal["kept", "erased"] = "kept"


class AppointGuardian(_Act, frozen=True, kw_only=True, tag="appoint-guardian"):
    """Lets somebody act for a minor, or for a person without capacity, who did not appoint them.

    The ids are those that a registrar learns by naming a person (statements.py): no number stands in an act.
    """

    person: UUID
    guardian: UUID
    ground: Ground
    rights: Annotated[tuple[Right, ...], Meta(min_length=1, max_length=len(Right))] = tuple(Right)
    until: Annotated[datetime, Meta(tz=True)]
    document_sha256: _Sha256


class EndGuardian(_Act, frozen=True, kw_only=True, tag="end-guardian"):
    """Ends a guardian's mandate."""

    pair: ClassVar[bool] = False
    person: UUID
    mandate: UUID
    reason: _Text


class MergePersons(_Act, frozen=True, kw_only=True, tag="merge-persons"):
    """Joins two identities that were found to be one person's (merging.py).

    Attributes:
        person: one of the two, by the id that a registrar learns by naming them (statements.py).
        other: the other one.
        reason: a code, for instance `number-replaced`; it stands in the streams of both.
        document_sha256: of what shows that they are one.
    """

    person: UUID
    other: UUID
    reason: _Code
    document_sha256: _Sha256


class SplitPerson(_Act, frozen=True, kw_only=True, tag="split-person"):
    """Takes one identity out of those it was joined with.

    Attributes:
        reason: a code, for instance `merged-wrongly`.
        document_sha256: of what shows that it is another person's.
    """

    person: UUID
    reason: _Code
    document_sha256: _Sha256


class DropOrder(_Act, frozen=True, kw_only=True, tag="drop-order"):
    """Drops an order that waits for a second registrar."""

    pair: ClassVar[bool] = False
    order: UUID
    reason: _Text


RegisterAct = (
    AdmitBody | CertifyBody | NarrowBody | AmendBody | ReplaceKeys
    | SuspendBody | ReinstateBody | StrikeOffBody | MarkBody | DecideAppeal
    | AddOfficer | EndOfficer | AddBasis | EndBasis | AddRegistrar | EndRegistrar | ErasePerson
    | AppointGuardian | EndGuardian | MergePersons | SplitPerson
)  # fmt: skip
Act = RegisterAct | DropOrder
_DECODER: msgspec.json.Decoder[Act] = msgspec.json.Decoder(Act)


def read(content: str) -> Act:
    """An act, from the content of an order.

    Raises:
        InvalidError: it is no act of this form; the message says where, and never what stands there.
    """
    try:
        return _DECODER.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        at = str(error).rpartition(" - at ")[2] if " - at " in str(error) else "`$`"
        raise InvalidError(
            f"this is no act: mend it at {at}; docs/api.md lists each one's members"
        ) from error


def write(act: Act) -> str:
    """The content of an order."""
    return msgspec.json.encode(act).decode()


def name(act: Act) -> str:
    """As `do` names it, for instance `suspend-body`."""
    return str(act.__struct_config__.tag)
