"""Plain words: what codes of the catalogue, the rules and the log are called on a page.

The rules are those of consent/RULES.md, here from the side of the person asked about. A test holds every rule
to having its words.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from access_log.entry import EntryType
from consent import merging
from consent.journal import JOINED, VAULT
from vault.catalogue import Catalogue
from vault.catalogue.display import NEVER
from vault.records import covert
from vault.records.choose import category_of
from vault.records.companions import RULE as COMPANION
from vault.records.enrol import SUPERSEDED
from vault.records.query import DisclosedRecord
from vault.records.resealing import RESEALED
from vault.rights import access_cases, assistance, inspected, material, naming
from vault.rights.accesses import Access
from vault.rights.own_records import OwnRecord

RULES: Final[Mapping[str, str]] = {
    "RULES 1.1": "The organization was not active in the register of organizations that may ask.",
    "RULES 1.2": "The organization is not certified to ask for this purpose.",
    "RULES 1.3": "The organization is not registered as one that may ask.",
    "RULES 1.4": "The officer it named does not act for it.",
    "RULES 2.1": "It asked with the wrong kind of permission.",
    "RULES 2.2": "Its permission had been issued to another officer.",
    "RULES 3.1": "The authorization or consent it named was not its own.",
    "RULES 3.2": "Its authorization was not approved, or had been revoked.",
    "RULES 3.3": "Its authorization was not valid at that time.",
    "RULES 3.4": "The law its authorization rests on was not in force.",
    "RULES 3.5": "Your consent did not stand: it was withdrawn, or you had frozen your consents.",
    "RULES 3.6": "Your consent had expired.",
    "RULES 3.7": "You had frozen your consents.",
    "RULES 4.1": "Its permission was for another person.",
    "RULES 4.2": "Its authorization does not reach you.",
    "RULES 4.3": "The consent it showed was not yours.",
    "RULES 4.4": "It did not say for which case it asked.",
    "RULES 4.5": "Its permission was for another case.",
    "RULES 4.6": "Its authorization does not cover that case.",
    "RULES 5.1": "It stated another purpose than its permission was for.",
    "RULES 5.2": "It stated a purpose that its authorization or your consent does not cover.",
    "RULES 5.3": "The law its authorization rests on does not allow that purpose.",
    "RULES 6.1": "It did not say properly what it asked for.",
    "RULES 6.2": "It asked for more than its permission covers.",
    "RULES 6.3": "It asked for more than its authorization or your consent covers.",
    "RULES 6.4": "It asked for records that the law it named does not open to it.",
    "RULES 6.5": "It asked for records that are not open to this kind of organization.",
    "RULES 7.1": "It had used up its queries for that day.",
    "RULES 7.2": "It had used up its queries for that case.",
    "RULES 7.3": "It had used up the queries you allowed for that period.",
    "RULES 7.4": "It had used up the queries you allowed.",
    "RULES 8.1": "Records of this kind are shown to nobody.",
    "RULES 8.2": "The decision behind it was annulled.",
    "RULES 8.3": "It was repaired.",
    "RULES 8.4": "It is held back until you have been told of it.",
    "RULES 8.5": "It concerns the time when you were a minor.",
    "RULES 8.6": "Its first day of display had not come.",
    "RULES 8.7": "Its display had ended.",
    "RULES 8.8": "It is outside the dates you consented to.",
}
_OPEN: Final = "May be shown to others"
_STATES: Final[Mapping[str, str]] = {
    "shown": _OPEN,
    "held": "Held back until you have been told of it",
    "repaired": "Repaired: shown to nobody",
    "annulled": "Annulled: shown to nobody",
    "sealed": "Sealed: shown to nobody",
}
_CONSENT_STATES: Final[Mapping[str, str]] = {
    "active": "In force",
    "withdrawn": "Withdrawn",
    "expired": "Expired",
    "used-up": "Used up",
}
_CASE_STATES: Final[Mapping[str, str]] = {
    "open": "Nobody has taken it up yet",
    "taken up": "They are looking into it",
    "answered": "They have answered",
}
_RECORD_EVENTS: Final[Mapping[str, str]] = {
    "granted": "given",
    "withdrawn": "withdrawn",
    "expired": "expired",
}
_MANDATE_KINDS: Final[Mapping[str, str]] = {
    "lawyer": "Lawyer",
    "relative": "Relative",
    "other": "Somebody else",
    "guardian": "Guardian",
}
_MANDATE_RIGHTS: Final[Mapping[str, str]] = {
    "read": "see who asked, the records and the consents",
    "withdraw": "withdraw consents",
    "freeze": "freeze the consents",
}
_REPRESENTED: Final[Mapping[str, str]] = {
    "own records viewed": "Your representative looked at your records",
    "consent.withdrawn": "Your representative withdrew your consent from {body}",
    "freeze.begun": "Your representative froze your consents",
    "mandate.used": "Your representative began to act for you",
    "mandate.ended": "Your representative ended their mandate",
}
_AT_A_DESK: Final[Mapping[str, str]] = {
    "own records viewed": "A clerk looked at your records, at your request",
    "consent.withdrawn": "A clerk withdrew your consent from {body}, at your request",
    "freeze.begun": "A clerk froze your consents, at your request",
    access_cases.NOT_RECOGNISED: "A clerk said for you that you do not recognise a query",
}
_JOINED: Final[Mapping[str, str]] = {
    "own records viewed": "Your records were looked at under another of your identity numbers",
    "consent.withdrawn": "Your consent from {body} was withdrawn under another of your numbers",
    "freeze.begun": "Your consents were frozen under another of your identity numbers",
    "freeze.ended": "The freeze was ended under another of your identity numbers",
    "mandate.ended": "A mandate was ended under another of your identity numbers",
    material.GIVEN: "The keys of your log were downloaded under another of your identity numbers",
    access_cases.NOT_RECOGNISED: "Under another of your numbers you said that you do not recognise a query",
}
_BY_THE_VAULT: Final[Mapping[str, str]] = {
    "freeze.begun": "Your consents were frozen, as they are under another of your identity numbers",
}
_DOCUMENTS: Final[Mapping[str, str]] = {
    "identity-card": "identity card",
    "temporary-identity-card": "temporary identity card",
    "passport": "passport",
    "residence-permit": "residence permit",
}
_CONSENT_EVENTS: Final[Mapping[str, str]] = {
    "consent.granted": "You gave {body} your consent",
    "consent.withdrawn": "You withdrew your consent from {body}",
    "consent.expired": "Your consent to {body} expired",
    "freeze.begun": "You froze your consents",
    "freeze.ended": "You ended the freeze of your consents",
}
_BODY_STATES: Final[Mapping[str, str]] = {
    "active": "May act",
    "suspended": "Suspended",
    "struck-off": "Struck off",
}
_BODY_EVENTS: Final[Mapping[str, str]] = {
    "body.registered": "Registered",
    "body.warned": "Warned",
    "body.violation_found": "Violated the rules",
    "body.suspended": "Suspended",
    "body.reinstated": "Reinstated",
    "body.struck_off": "Struck off",
}
_APPEALS: Final[Mapping[str, str]] = {
    "upheld": "Its appeal was upheld: this was wrong",
    "dismissed": "Its appeal was dismissed",
}
_CAPACITIES: Final[Mapping[str, str]] = {
    "ask": "ask about people",
    "furnish": "hand in records",
    "inspect": "inspect the use of this vault",
    "desk": "help people at a desk",
}
_RIGHTS: Final[Mapping[str, str]] = {
    "own records viewed": "You looked at your records",
    "mandate.given": "You appointed a representative",
    "guardian.appointed": "Registrars registered a guardian for you",
    "guardian.ended": "Registrars ended a guardian's mandate",
    naming.NAMED: "A registrar looked up under which number you are known here",
    "mandate.ended": "You ended a mandate",
    material.GIVEN: "You downloaded the keys of your log",
    covert.DISCLOSED: "{body} had asked about you, and a court let you be told only now",
    access_cases.NOT_RECOGNISED: "You said that you do not recognise a query",
    access_cases.TAKEN_UP: "{body} took up a query that you do not recognise",
    access_cases.ANSWERED: "{body} answered you about a query that you do not recognise",
    assistance.ASSISTED: "A clerk of {body} helped you at a desk",
    assistance.REFUSED: "A clerk of {body} wanted to act for you at a desk, and was refused",
    merging.MERGED: "Registrars joined this identity number with another one, as yours",
    merging.SPLIT: "Registrars took identity numbers apart again that had been joined as one person's",
    inspected.LOOKED_AT: "An inspector of {body} looked at an entry about you",
}
_KEYS: Final[Mapping[str, str]] = {
    RESEALED: "Everything about you was sealed anew, under a new key of yours",
}
_SUPPORTING: Final[Mapping[str, str]] = {
    "reference": "Their reference",
    "notice": "Proof that you were told",
    "consent": "Your written consent to its collection",
    "scheme": "Kind of identity number",
    "supersedes": "In the place of an earlier version",
}
_SOMEBODY: Final = "An organization"
_RANGE: Final = re.compile(r"(\d\w?)-(?=\d)")


@dataclass(frozen=True, slots=True)
class FieldGroup:
    """Fields of one category, as (name, title)."""

    title: str
    fields: tuple[tuple[str, str], ...]


class Words:
    """Looks words up.

    Args:
        catalogue: the titles of what it knows.
    """

    open_to_others = _OPEN

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def purpose(self, code: str) -> str:
        """A purpose."""
        known = self._catalogue.purposes.get(code)
        return known.title if known else code

    def body_kind(self, code: str) -> str:
        """A kind of organization."""
        known = self._catalogue.body_kinds.get(code)
        return known.title if known else code

    def body_status(self, code: str) -> str:
        """How an organization stands in the register."""
        return _BODY_STATES[code]

    def status_event(self, event: str) -> str:
        """A line of its conduct file."""
        return _BODY_EVENTS[event]

    def document(self, kind: str) -> str:
        """What a person showed at a desk."""
        return _DOCUMENTS[kind]

    def appeal(self, outcome: str) -> str:
        """What became of an appeal."""
        return _APPEALS[outcome]

    def capacity(self, code: str) -> str:
        """What an organization is registered for."""
        return _CAPACITIES[code]

    def category(self, code: str) -> str:
        """A kind of record."""
        known = self._catalogue.categories.get(code)
        return known.title if known else code

    def collection_basis(self, code: str) -> str:
        """What allowed a record to be collected."""
        known = self._catalogue.bases.get(code)
        return known.title if known else code

    def groups(self, names: Iterable[str]) -> list[FieldGroup]:
        """Full field names by their category, in the order given. One that nobody knows keeps its name."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name in names:
            field = self._catalogue.field(name)
            groups.setdefault(category_of(name), []).append((name, field.title if field else name))
        return [FieldGroup(self.category(code), tuple(fields)) for code, fields in groups.items()]

    def field(self, category: str, name: str) -> str:
        """One field of a record."""
        field = self._catalogue.field(f"{category}.{name}")
        return field.title if field else name

    def value(self, category: str, name: str, value: object) -> str:
        """A value of a record, as one reads it."""
        field = self._catalogue.field(f"{category}.{name}")
        if isinstance(value, bool):
            return "yes" if value else "no"
        if field is not None and field.kind in ("enum", "class"):
            return _RANGE.sub("\\1\N{EN DASH}", str(value)).replace("-", " ")
        return self.plain(value)

    def supporting(self, name: str) -> str:
        """What came with a record."""
        return _SUPPORTING.get(name, name)

    def plain(self, value: object) -> str:
        """A value of no particular kind."""
        if isinstance(value, Mapping):
            return ", ".join(f"{name}: {self.plain(each)}" for name, each in value.items())
        return str(value)

    def rule(self, number: str | None) -> str:
        """Why a query was refused, or a record held back."""
        return RULES.get(number or "", "A rule of this vault did not allow it.")

    def state(self, own: OwnRecord, today: date) -> str:
        """Whether others may see a record."""
        category = self._catalogue.categories.get(own.record.category)
        if category is not None and category.display.rule == "never":
            return "Never shown to anybody"
        until = own.record.display_until
        if own.state == "shown" and until is not None and until < today:
            return "No longer shown to anybody"
        return _STATES.get(own.state, "Shown to nobody")

    def is_shown_on_some_day(self, record: DisclosedRecord) -> bool:
        """Whether a record has days on which others may see it at all."""
        return record.display_from != NEVER

    def consent_state(self, state: str) -> str:
        """How a consent stands."""
        return _CONSENT_STATES[state]

    def case_state(self, state: str) -> str:
        """How a case stands with the inspectors."""
        return _CASE_STATES[state]

    def mandate_kind(self, kind: str) -> str:
        """What a representative is to a person."""
        return _MANDATE_KINDS[kind]

    def mandate_right(self, right: str) -> str:
        """What a representative may do."""
        return _MANDATE_RIGHTS[right]

    def consent_event(self, event: str) -> str:
        """What happened to a consent."""
        return _RECORD_EVENTS[event]

    def happened(self, access: Access) -> str:
        """One line for one entry of the log."""
        body = access.body.name if access.body is not None else _SOMEBODY
        if access.is_query:
            joined = access.details.get("reason") == COMPANION
            return f"{body} asked about you{', under another of your identity numbers' if joined else ''}"
        if not access.details:
            return "An entry whose content is not kept any more"
        if access.type is EntryType.NOT_RELEASED:
            return "An answer about you was stopped and never left the vault"
        event = str(access.details.get("event"))
        if access.type is EntryType.RECORD:
            return self._recorded(access, body, event)
        if access.type is EntryType.KEY:
            return _KEYS.get(event, event.capitalize())
        own = {**_CONSENT_EVENTS, **_RIGHTS}
        by_others = {
            "representative": _REPRESENTED,
            assistance.CLERK: _AT_A_DESK,
            JOINED: _JOINED,
            VAULT.role: {**own, **_BY_THE_VAULT},
        }
        role = str(access.details.get("actor_role"))
        # A clerk's role as registered may be any word: only what `assistance` itself calls so counts.
        said = own if event in (assistance.ASSISTED, assistance.REFUSED) else by_others.get(role, own)
        return said[event].format(body=body) if event in said else event.capitalize()

    def _recorded(self, access: Access, body: str, event: str) -> str:
        kinds = ", ".join(self.category(code) for code in _categories(access.details.get("object")))
        if access.details.get("actor_role") == VAULT.role:
            return f"This vault recorded who you are: {kinds}"
        again = " again, in the place of an earlier version" if event == SUPERSEDED else ""
        return f"{body} handed in a record{again}: {kinds}"

    def today(self, now: datetime) -> date:
        """The legal date."""
        return self._catalogue.today(now)


def _categories(objects: Any) -> list[str]:  # noqa: ANN401 -- JSON of a log payload
    """The categories of the records an entry names, each once; a person's identity comes with the first."""
    if not isinstance(objects, list):
        return []
    codes = [each[2] for each in objects if isinstance(each, list) and len(each) > 2]  # noqa: PLR2004 -- the third part
    return list(dict.fromkeys(str(code) for code in codes))
