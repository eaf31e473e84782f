"""Who may inspect: the numbered rules of RULES.md, section 11, and the decision that asks them. Pure.

An inspection is no query: it reads entries of the log, and what was written down about them, never a record.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from consent.facts import BodyFacts, OfficerFacts
from consent.permit import Refusal

LONGEST_RANGE: Final = timedelta(days=31)
"""What a list of entries may cover at once (P)."""


@dataclass(frozen=True, slots=True)
class Inspector:
    """Who inspects, as a verified token of type `inspection` names them.

    Attributes:
        body_id: the authenticated client.
        officer_id: the officer who acts.
        case_reference: the inspecting body's own reference of the case.
    """

    body_id: UUID
    officer_id: UUID
    case_reference: str


@dataclass(frozen=True, slots=True)
class Use:
    """One use of such a token beside what it is judged by.

    Attributes:
        body: as registered now.
        officer: as registered now.
        covers: the range of time a list asks for; zero for anything else.
    """

    inspector: Inspector
    body: BodyFacts
    officer: OfficerFacts
    covers: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class InspectionRule:
    """A rule about a use. What it says is the docstring of `holds`, word for word as in RULES.md."""

    holds: Callable[[Use], bool]
    refusal: Refusal


def _rule(number: str, reason: str) -> Callable[[Callable[[Use], bool]], InspectionRule]:
    return lambda holds: InspectionRule(holds, Refusal(f"RULES {number}", reason))


@_rule(
    "11.1", "This body is not active in the register of bodies. The register says why and where to appeal."
)
def body_is_active(use: Use) -> bool:
    """The inspecting body is active in the register of bodies."""
    return use.body.status == "active"


@_rule("11.2", "This body is not registered in the capacity to inspect. Ask the registrar for it.")
def body_may_inspect(use: Use) -> bool:
    """It is registered in the capacity to inspect."""
    return "inspect" in use.body.capacities


@_rule(
    "11.3",
    "The officer named in the token is not an active officer of this body. Obtain a token for one who is.",
)
def officer_acts_for_the_body(use: Use) -> bool:
    """The officer the token names belongs to it and is active."""
    return use.officer.status == "active" and use.officer.body_id == use.inspector.body_id


@_rule("11.4", "The token states no case reference. Obtain one that states this body's own reference.")
def case_is_stated(use: Use) -> bool:
    """The token states the reference of the case that is inspected."""
    return bool(use.inspector.case_reference.strip())


@_rule("11.5", "The list covers more than 31 days. Ask for a shorter range, one after the other.")
def range_is_bounded(use: Use) -> bool:
    """A list of entries covers at most 31 days."""
    return use.covers <= LONGEST_RANGE


RULES: Final = (
    body_is_active,
    body_may_inspect,
    officer_acts_for_the_body,
    case_is_stated,
    range_is_bounded,
)


def refusal(use: Use) -> Refusal | None:
    """The first rule that does not hold; None when the use is allowed."""
    for rule in RULES:
        if not rule.holds(use):
            return rule.refusal
    return None
