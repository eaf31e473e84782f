"""What a person grants, and the consent record that states it (ISO/IEC TS 27560, JSON).

The record holds every mandatory field of the specification: of the record itself, of the processing, of the
parties, and one event for each thing that happened to the consent.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import UUID

from consent import terms
from consent.bodies import Body
from consent.errors import InvalidError
from consent.permit import EVERY_DATE, DataRange, Person

SCHEMA_VERSION = "ISO/IEC TS 27560:2023, creditvault 1"
LONGEST_VALIDITY = 1826
"""Days a consent may last: five years."""

GIVEN = "given"
WITHDRAWN = "withdrawn"
EXPIRED = "expired"
SCHEMA = Path(__file__).parent / "consent_record.schema.json"
"""What every record is valid under (JSON Schema 2020-12), at each of its events."""

_HASH_SIZE = 32


class Signer(Protocol):
    """Signs the citizen's copy with a key this room never sees."""

    def sign(self, payload: bytes) -> str:
        """The compact JWS over exactly these bytes."""


@dataclass(frozen=True, slots=True)
class Keeper:
    """Who keeps this register of consents, as every consent record states it.

    Attributes:
        party_id: of the operator, for instance its unified social credit code.
        name: of the operator.
        address: of the operator.
        contact: for citizens.
        jurisdiction: for instance `cn`.
        storage_locations: where the data are kept.
        withdrawal_method: how to withdraw, usually the address of the page.
        privacy_rights: where the person's rights are explained.
        signer: signs the citizen's copies.
    """

    party_id: str
    name: str
    address: str
    contact: str
    jurisdiction: str
    storage_locations: tuple[str, ...]
    withdrawal_method: str
    privacy_rights: str
    signer: Signer


@dataclass(frozen=True, slots=True)
class Notice:
    """The privacy notice the person had before them; `sha256` is over the document served."""

    uri: str
    version: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Frequency:
    """At most `times` uses in each period of `days`, counted from the grant."""

    times: int
    days: int


@dataclass(frozen=True, slots=True)
class NewConsent:
    """What a person is about to grant.

    Attributes:
        body_id: to whom.
        purpose: the one purpose.
        fields: for instance `FIN.type`.
        mode: `view`, or `store`: whether the body may keep what it saw.
        validity_days: from the grant.
        data_life_days: for how long the body may keep what it saw.
        notice: the privacy notice shown.
        language: of the notice and the page, a BCP 47 tag.
        max_uses: 1 for one-time; None where the frequency alone bounds the use.
        frequency: None where `max_uses` alone bounds the use.
        data_range: dates of the records covered.
    """

    body_id: UUID
    purpose: str
    fields: tuple[str, ...]
    mode: Literal["view", "store"]
    validity_days: int
    data_life_days: int
    notice: Notice
    language: str
    max_uses: int | None = None
    frequency: Frequency | None = None
    data_range: DataRange = EVERY_DATE


def check(new: NewConsent, granted_to: Body) -> None:
    """Whether this may be granted to this body.

    Raises:
        InvalidError: a part breaks a rule.
    """
    if new.purpose not in granted_to.purposes:
        raise InvalidError("the body is not certified for this purpose: it could not use the consent")
    if not new.fields or len(terms.fields(new.fields)) != len(new.fields):
        raise InvalidError("a consent covers at least one field, and names each once")
    if not 1 <= new.validity_days <= LONGEST_VALIDITY:
        raise InvalidError(f"a consent lasts 1 to {LONGEST_VALIDITY} days")
    if new.data_life_days < 0:
        raise InvalidError("the life of the data is a number of days, or 0")
    if (
        len(new.notice.sha256) != _HASH_SIZE
        or not new.notice.uri
        or not new.notice.version
        or not new.language
    ):
        raise InvalidError(
            "a consent names its privacy notice by address, version and SHA-256, and a language"
        )
    if new.max_uses is None and new.frequency is None:
        raise InvalidError("a consent is bound by a number of uses or by a frequency")
    if new.max_uses is not None and new.max_uses < 1:
        raise InvalidError("a consent allows at least one use")
    if new.frequency is not None and (new.frequency.times < 1 or new.frequency.days < 1):
        raise InvalidError("a frequency allows at least one use in a period of at least one day")
    first, last = new.data_range.first, new.data_range.last
    if first is not None and last is not None and last < first:
        raise InvalidError("the data range ends before it begins")


def first_record(
    consent_id: UUID, person: Person, new: NewConsent, granted_to: Body, keeper: Keeper
) -> dict[str, Any]:
    """The consent record before its first event."""
    frequency, dates = new.frequency, new.data_range
    return {
        "schema_version": SCHEMA_VERSION,
        "record_id": str(consent_id),
        "pii_principal_id": str(person.subject_id),
        "pii_processing": {
            "validity_duration": f"P{new.validity_days}D",
            "privacy_notice": {
                "uri": new.notice.uri,
                "version": new.notice.version,
                "sha256": new.notice.sha256.hex(),
            },
            "language": new.language,
            "purposes": [
                {
                    "purpose": new.purpose,
                    "lawful_basis": "consent",
                    "pii_information": [{"pii_type": name} for name in new.fields],
                    "pii_controllers": [str(new.body_id), keeper.party_id],
                    "processing_method": {
                        "mode": new.mode,
                        "max_uses": new.max_uses,
                        "frequency": None
                        if frequency is None
                        else {"times": frequency.times, "days": frequency.days},
                        "data_from": None if dates.first is None else dates.first.isoformat(),
                        "data_until": None if dates.last is None else dates.last.isoformat(),
                    },
                    "storage_locations": list(keeper.storage_locations),
                    "retention_period": f"P{new.data_life_days}D",
                    "jurisdiction": keeper.jurisdiction,
                    "recipient_third_parties": [],
                    "withdrawal_method": keeper.withdrawal_method,
                    "privacy_rights": keeper.privacy_rights,
                }
            ],
        },
        "party_identification": [
            {
                "party_id": str(new.body_id),
                "party_address": granted_to.contact.address,
                "party_name": granted_to.name,
                "party_contact": granted_to.contact.contact,
                "party_type": granted_to.kind,
            },
            {
                "party_id": keeper.party_id,
                "party_address": keeper.address,
                "party_name": keeper.name,
                "party_contact": keeper.contact,
                "party_type": "operator",
            },
        ],
        "event": [],
    }


def add_event(record: dict[str, Any], state: str, entity_id: str, at: datetime) -> None:
    """Adds to a record what happened.

    Args:
        record: as it stood before.
        state: `GIVEN`, `WITHDRAWN` or `EXPIRED`.
        entity_id: who did it; the vault, where time did.
        at: when.
    """
    lasts = record["pii_processing"]["validity_duration"] if state == GIVEN else "P0D"
    record["event"].append(
        {
            "event_time": at.isoformat(),
            "validity_duration": lasts,
            "entity_id": entity_id,
            "event_type": "implicit" if state == EXPIRED else "explicit",
            "event_state": state,
        }
    )
