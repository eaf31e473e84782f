"""The numbered rules of RULES.md, sections 1 to 8: when each holds, and what is answered when it does not.

The text of a refusal is static and names the next step; it is read by the body. A withheld record has only
its number, which stands in the sealed payload.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from hmac import compare_digest

from consent import cases
from consent.facts import CatalogueFacts, RecordFacts, State
from consent.permit import DataRange, Flow, QueryRequest, Refusal, Withheld


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One request beside everything it is judged by."""

    request: QueryRequest
    state: State
    now: datetime
    catalogue: CatalogueFacts


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule about a query. What it says is the docstring of `holds`, word for word as in RULES.md.

    Attributes:
        number: for instance `3.5`.
        refusal: what is answered; of another rule where the body is not to tell the two apart.
    """

    number: str
    holds: Callable[[Inquiry], bool]
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Showing:
    """One record of a permitted query, on one legal date."""

    facts: RecordFacts
    today: date
    data_range: DataRange


@dataclass(frozen=True, slots=True)
class RecordRule:
    """A rule about a record, stated likewise."""

    holds: Callable[[Showing], bool]
    withheld: Withheld


def _rule(number: str, reason: str) -> Callable[[Callable[[Inquiry], bool]], Rule]:
    return lambda holds: Rule(number, holds, Refusal(f"RULES {number}", reason))


def _answered_as(other: Rule, number: str) -> Callable[[Callable[[Inquiry], bool]], Rule]:
    return lambda holds: Rule(number, holds, other.refusal)


def _record_rule(number: str) -> Callable[[Callable[[Showing], bool]], RecordRule]:
    return lambda holds: RecordRule(holds, Withheld(f"RULES {number}"))


# 1 The body


@_rule("1.1", "This body is not active in the register of bodies. The register says why and where to appeal.")
def body_is_active(inquiry: Inquiry) -> bool:
    """The body is active in the register of bodies: not unknown, suspended or struck off."""
    return inquiry.state.body.status == "active"


@_rule(
    "1.2", "This body is not certified for the purpose stated. State a certified one, or ask the registrar."
)
def body_is_certified_for_the_purpose(inquiry: Inquiry) -> bool:
    """The body is certified for the purpose stated."""
    return inquiry.request.purpose in inquiry.state.body.purposes


@_rule("1.3", "This body is not registered in the capacity to ask. Ask the registrar for it.")
def body_may_ask(inquiry: Inquiry) -> bool:
    """The body is registered in the capacity to ask."""
    return "ask" in inquiry.state.body.capacities


@_rule(
    "1.4",
    "The officer named is not an active officer of this body. Name one who is, or register the officer.",
)
def officer_acts_for_the_body(inquiry: Inquiry) -> bool:
    """The officer named belongs to the body and is active."""
    officer = inquiry.state.officer
    return officer.status == "active" and officer.body_id == inquiry.request.body_id


# 2 The token


@_rule("2.1", "A statutory query needs a token issued by client credentials. Obtain such a token.")
def token_came_from_the_client(inquiry: Inquiry) -> bool:
    """A token for a statutory query was issued to the body itself, by client credentials."""
    return inquiry.request.token.flow is Flow.CLIENT


@_rule(
    "2.1", "A consented query needs a token issued through the code flow. Ask the person for their consent."
)
def token_came_from_the_person(inquiry: Inquiry) -> bool:
    """A token for a consented query was issued with the person's consent, by the code flow."""
    return inquiry.request.token.flow is Flow.CODE


@_rule("2.2", "The access token was issued for another officer. Obtain a token for the officer named.")
def token_is_for_the_officer(inquiry: Inquiry) -> bool:
    """A token that names an officer names the one in the request."""
    return inquiry.request.token.officer_id in (None, inquiry.request.officer_id)


# 3 The grant


@_rule("3.1", "The authorization named in the token is none of this body's. Name one that is.")
def authorization_is_the_bodys(inquiry: Inquiry) -> bool:
    """The authorization is one of the body's own."""
    return inquiry.state.authorization.body_id == inquiry.request.body_id


@_rule("3.1", "The consent named in the token was not given to this body. Ask the person for their consent.")
def consent_is_to_the_body(inquiry: Inquiry) -> bool:
    """The consent was given to this body."""
    return inquiry.state.consent.body_id == inquiry.request.body_id


@_rule("3.2", "The authorization is not approved, or was revoked. Ask the registrar who proposed it.")
def authorization_is_approved(inquiry: Inquiry) -> bool:
    """The authorization is approved and not revoked."""
    return inquiry.state.authorization.state == "approved"


@_rule("3.3", "The authorization is outside its validity. Have a new one proposed.")
def authorization_is_valid_now(inquiry: Inquiry) -> bool:
    """The authorization is within its validity."""
    authorization = inquiry.state.authorization
    return authorization.valid_from <= inquiry.now < authorization.valid_until


@_rule("3.4", "The legal basis of the authorization is not in force. Have one on another basis proposed.")
def legal_basis_is_in_force(inquiry: Inquiry) -> bool:
    """The legal basis of the authorization is in force on the legal date."""
    authorization, today = inquiry.state.authorization, inquiry.state.today
    if today < authorization.basis_from:
        return False
    return authorization.basis_until is None or today <= authorization.basis_until


@_rule("3.5", "The consent does not stand any more. Stop relying on it; the person may be asked once again.")
def consent_stands(inquiry: Inquiry) -> bool:
    """The consent's newest event is its grant or its expiry: it was not withdrawn."""
    return inquiry.state.consent.last_event in ("granted", "expired")


@_answered_as(consent_stands, "3.7")
def consents_are_not_frozen(inquiry: Inquiry) -> bool:
    """The person has not frozen their consents."""
    return not inquiry.state.consent.frozen


@_rule("3.6", "The consent has expired. Ask the person for a new one.")
def consent_is_valid_now(inquiry: Inquiry) -> bool:
    """The consent was granted before now and has not expired."""
    consent = inquiry.state.consent
    return consent.last_event != "expired" and consent.granted_at <= inquiry.now < consent.expires_at


# 4 The person and the case


@_rule("4.1", "The access token was issued for another person. Obtain a token for the person asked about.")
def token_is_for_the_person(inquiry: Inquiry) -> bool:
    """The token was issued for the person asked about: the keyed hashes are equal."""
    held = inquiry.request.token.subject_hash
    return held is not None and compare_digest(held, inquiry.request.subject_hash)


@_rule("4.2", "The authorization does not reach the person asked about. Have one that does proposed.")
def authorization_reaches_the_person(inquiry: Inquiry) -> bool:
    """The authorization reaches the person: by name, by case, or as any person."""
    authorization = inquiry.state.authorization
    if authorization.scope == "named":
        return authorization.names_subject
    return authorization.scope in ("case", "any")


@_rule("4.3", "The consent is not that of the person asked about. Ask that person for their consent.")
def person_consented(inquiry: Inquiry) -> bool:
    """The person asked about, the one the token names and the one who consented are the same."""
    # A person nobody knows (None) and another person than the one who consented fail alike.
    request, consented = inquiry.request, inquiry.state.consent.subject_id
    if consented != request.token.subject_id:
        return False
    return consented == request.subject_id or consented in request.joined


@_rule("4.4", "No case reference is stated. State this body's own reference of the case.")
def case_is_stated(inquiry: Inquiry) -> bool:
    """The request states a case reference."""
    return bool(inquiry.request.case_reference.strip())


@_rule("4.5", "The access token was issued for another case reference. Obtain a token for this case.")
def token_is_for_the_case(inquiry: Inquiry) -> bool:
    """A token that names a case names the one in the request."""
    return inquiry.request.token.case_reference in (None, inquiry.request.case_reference)


@_rule("4.6", "The case reference is none the authorization allows. State the reference of an allowed case.")
def authorization_reaches_the_case(inquiry: Inquiry) -> bool:
    """Where the authorization is bound to a case, the case reference fits its pattern."""
    authorization = inquiry.state.authorization
    if authorization.scope != "case":
        return True
    pattern = authorization.case_pattern
    return pattern is not None and cases.fits(pattern, inquiry.request.case_reference)


# 5 The purpose


@_rule("5.1", "The access token was issued for another purpose. Obtain a token for the purpose stated.")
def token_is_for_the_purpose(inquiry: Inquiry) -> bool:
    """The purpose stated is the token's."""
    return inquiry.request.purpose == inquiry.request.token.purpose


@_rule("5.2", "The authorization is for another purpose. State its purpose, or have another one proposed.")
def authorization_is_for_the_purpose(inquiry: Inquiry) -> bool:
    """The purpose stated is one of the authorization's."""
    return inquiry.request.purpose in inquiry.state.authorization.purposes


@_rule("5.2", "The consent is for another purpose. State its purpose, or ask the person for another consent.")
def consent_is_for_the_purpose(inquiry: Inquiry) -> bool:
    """The purpose stated is the consent's."""
    return inquiry.request.purpose == inquiry.state.consent.purpose


@_rule(
    "5.3", "The legal basis does not support the purpose. Have an authorization on another basis proposed."
)
def legal_basis_supports_the_purpose(inquiry: Inquiry) -> bool:
    """The legal basis supports the purpose."""
    return inquiry.request.purpose in inquiry.state.authorization.basis_purposes


# 6 The fields


@_rule("6.1", "The request must name at least one field, and each field once.")
def fields_are_stated_once(inquiry: Inquiry) -> bool:
    """The request names at least one field, and none twice."""
    fields = inquiry.request.fields
    return 0 < len(fields) == len(set(fields))


@_rule("6.2", "A field asked for is outside the access token. Obtain a token for it, or leave it out.")
def token_covers_the_fields(inquiry: Inquiry) -> bool:
    """Every field is inside the token."""
    return inquiry.request.token.fields.issuperset(inquiry.request.fields)


@_rule("6.3", "A field asked for is outside the authorization. Leave it out, or have another one proposed.")
def authorization_covers_the_fields(inquiry: Inquiry) -> bool:
    """Every field is inside the authorization."""
    return inquiry.state.authorization.fields.issuperset(inquiry.request.fields)


@_rule(
    "6.3", "A field asked for is outside the consent. Leave it out, or ask the person for another consent."
)
def consent_covers_the_fields(inquiry: Inquiry) -> bool:
    """Every field is inside the consent."""
    return inquiry.state.consent.fields.issuperset(inquiry.request.fields)


@_rule("6.4", "A field asked for is of a category the legal basis does not support. Leave it out.")
def legal_basis_supports_the_categories(inquiry: Inquiry) -> bool:
    """The legal basis supports the category of every field."""
    categories = inquiry.state.authorization.basis_categories
    return all(field.partition(".")[0] in categories for field in inquiry.request.fields)


@_rule(
    "6.5", "A field asked for is not open to bodies of this kind. Leave it out; the catalogue lists what is."
)
def catalogue_opens_the_fields(inquiry: Inquiry) -> bool:
    """The catalogue knows every field, and opens its tier to bodies of this kind."""
    allows, kind = inquiry.catalogue.allows, inquiry.state.body.kind
    return all(allows(kind, field) for field in inquiry.request.fields)


# 7 Quota, frequency and uses


@_rule("7.1", "The authorization's quota for today is used up. Ask again tomorrow.")
def day_has_room(inquiry: Inquiry) -> bool:
    """The authorization's quota for the legal day is not used up."""
    return inquiry.state.used_today < inquiry.state.authorization.per_day


@_rule("7.2", "The authorization's quota for this case is used up. Have a larger one proposed.")
def case_has_room(inquiry: Inquiry) -> bool:
    """The authorization's quota for the case, where it has one, is not used up."""
    per_case = inquiry.state.authorization.per_case
    return per_case is None or inquiry.state.used_for_case < per_case


@_rule("7.3", "The consent's uses in the present period are used up. Ask again in the next period.")
def period_has_room(inquiry: Inquiry) -> bool:
    """The consent's uses in the present period, where it has a frequency, are not used up."""
    times = inquiry.state.consent.frequency_times
    return times is None or inquiry.state.used_in_period < times


@_rule("7.4", "The consent's uses are used up. Ask the person for a new one.")
def consent_has_uses_left(inquiry: Inquiry) -> bool:
    """The consent's uses, where they are limited, are not used up."""
    max_uses = inquiry.state.consent.max_uses
    return max_uses is None or inquiry.state.used < max_uses


# 8 The record


@_record_rule("8.1")
def record_is_for_showing(showing: Showing) -> bool:
    """The record is of a category that is shown at all."""
    return not showing.facts.never_shown


@_record_rule("8.2")
def record_is_not_annulled(showing: Showing) -> bool:
    """The decision behind the record was not annulled."""
    return not showing.facts.annulled


@_record_rule("8.3")
def record_is_not_repaired(showing: Showing) -> bool:
    """The record was not repaired."""
    return not showing.facts.repaired


@_record_rule("8.4")
def person_had_notice(showing: Showing) -> bool:
    """The record is not held until the person had notice."""
    return not showing.facts.held_for_notice


@_record_rule("8.5")
def record_is_not_a_sealed_juvenile_one(showing: Showing) -> bool:
    """The record does not concern conduct as a minor: such records are sealed."""
    return not showing.facts.sealed_juvenile


@_record_rule("8.6")
def display_has_begun(showing: Showing) -> bool:
    """The first day of display has come."""
    return showing.facts.display_from <= showing.today


@_record_rule("8.7")
def display_has_not_ended(showing: Showing) -> bool:
    """The last day of display has not passed."""
    until = showing.facts.display_until
    return until is None or showing.today <= until


@_record_rule("8.8")
def record_is_within_the_data_range(showing: Showing) -> bool:
    """The record's date is within the data range of the consent."""
    return showing.facts.dated in showing.data_range
