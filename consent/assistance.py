"""Who may help a person at a desk: the numbered rules of RULES.md, section 12, and the decision. Pure.

A clerk acts for a person who stands before them, and who showed who they are. The clerk is the requester, the
person the subject; what is opened and done is the person's own, and never a query.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from consent.facts import BodyFacts, OfficerFacts
from consent.permit import Refusal

MOST_PERSONS: Final = 40
"""Persons one clerk may help on one legal day (P)."""
MOST_USES: Final = 60
"""Uses by one clerk for one person on one legal day (P)."""


@dataclass(frozen=True, slots=True)
class Clerk:
    """Who helps whom, as a verified token of type `assistance` names them.

    Attributes:
        body_id: the authenticated client.
        officer_id: the clerk.
        visit: the desk's own number of the visit.
        document: the kind of document the person showed.
        subject_hash: keyed hash of the person's identifier.
    """

    body_id: UUID
    officer_id: UUID
    visit: str
    document: str
    subject_hash: bytes


@dataclass(frozen=True, slots=True)
class Use:
    """One use of such a token beside what it is judged by.

    Attributes:
        body: as registered now.
        officer: as registered now.
        subject_hash: of the person the request names.
        others: how many other persons the clerk helped on this legal day.
        uses: how often the clerk acted for this person on it.
    """

    clerk: Clerk
    body: BodyFacts
    officer: OfficerFacts
    subject_hash: bytes
    others: int = 0
    uses: int = 0


@dataclass(frozen=True, slots=True)
class AssistanceRule:
    """A rule about a use. What it says is the docstring of `holds`, word for word as in RULES.md."""

    holds: Callable[[Use], bool]
    refusal: Refusal


def _rule(number: str, reason: str) -> Callable[[Callable[[Use], bool]], AssistanceRule]:
    return lambda holds: AssistanceRule(holds, Refusal(f"RULES {number}", reason))


@_rule(
    "12.1", "This body is not active in the register of bodies. The register says why and where to appeal."
)
def body_is_active(use: Use) -> bool:
    """The desk's body is active in the register of bodies."""
    return use.body.status == "active"


@_rule("12.2", "This body is not registered in the capacity to run a desk. Ask the registrar for it.")
def body_runs_a_desk(use: Use) -> bool:
    """It is registered in the capacity to run a desk."""
    return "desk" in use.body.capacities


@_rule(
    "12.3",
    "The clerk named in the token is not an active officer of this body. Obtain a token for one who is.",
)
def clerk_acts_for_the_body(use: Use) -> bool:
    """The clerk the token names is an active officer of it."""
    return use.officer.status == "active" and use.officer.body_id == use.clerk.body_id


@_rule("12.4", "The token states no number of the visit. Obtain one that states the desk's own number.")
def visit_is_stated(use: Use) -> bool:
    """The token states the desk's own number of the visit, and which document the person showed."""
    return bool(use.clerk.visit.strip()) and bool(use.clerk.document)


@_rule("12.5", "The token is for another person. Obtain one for the person who stands at the desk.")
def person_is_the_tokens(use: Use) -> bool:
    """The token was issued for the person the request names: the keyed hashes are equal."""
    return use.subject_hash == use.clerk.subject_hash


@_rule("12.6", "This clerk has helped 40 persons today. Let another clerk help, or tomorrow.")
def few_persons_a_day(use: Use) -> bool:
    """The clerk has helped fewer than 40 other persons on this legal day."""
    return use.others < MOST_PERSONS


@_rule("12.7", "This clerk has acted for this person 60 times today. Let another clerk help, or tomorrow.")
def few_uses_a_day(use: Use) -> bool:
    """The clerk has acted for this person fewer than 60 times on this legal day."""
    return use.uses < MOST_USES


RULES: Final = (
    body_is_active,
    body_runs_a_desk,
    clerk_acts_for_the_body,
    visit_is_stated,
    person_is_the_tokens,
    few_persons_a_day,
    few_uses_a_day,
)


def refusal(use: Use) -> Refusal | None:
    """The first rule that does not hold; None when the use is allowed."""
    for rule in RULES:
        if not rule.holds(use):
            return rule.refusal
    return None
