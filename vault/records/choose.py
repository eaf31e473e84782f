"""Which record versions and fields a permit opens today: pure, and fixed before anything is opened."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import msgspec

from access_log.payload import JSON
from consent.decide import decide_record
from consent.facts import RecordFacts
from consent.permit import Annotation, Permit, Withheld
from vault.records.store import ANNULLED, HELD, REPAIRED, SHOWN, SealedRecord

DOCUMENT = "_document"
"""The sealed field that holds a record's source document; it travels with whatever is shown.

The underscore keeps it apart from the catalogue's fields, which no query can spell so.
"""


@dataclass(frozen=True, slots=True)
class ChosenVersion:
    """One record version that is to be opened, and which of its fields."""

    record: SealedRecord
    fields: tuple[str, ...]
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """What a query opens, and what it does not open because a rule of section 8 says so."""

    opened: tuple[ChosenVersion, ...]
    withheld: tuple[tuple[SealedRecord, str], ...]

    def record_versions(self) -> list[JSON]:
        """The payload's `record_versions`: [record id, version, [fields]] or [record id, version, rule]."""
        opened: list[JSON] = [
            [str(one.record.record_id), one.record.version, list(one.fields)] for one in self.opened
        ]
        return opened + [[str(record.record_id), record.version, rule] for record, rule in self.withheld]


NOTHING = Choice((), ())


def opened_versions(record_versions: JSON) -> list[tuple[UUID, int]]:
    """The versions a payload says were to be opened: what `Choice.record_versions` wrote, read back."""
    written = msgspec.convert(record_versions or (), list[tuple[UUID, int, list[str] | str]])
    return [(record_id, version) for record_id, version, what in written if isinstance(what, list)]


def category_of(field: str) -> str:
    """The category a field's name begins with: `FIN` of `FIN.type`."""
    return field.partition(".")[0]


def choose(
    permit: Permit,
    fields: Iterable[str],
    records: Sequence[SealedRecord],
    today: date,
    *,
    never_shown: frozenset[str],
) -> Choice:
    """Which of a person's records a permitted query opens.

    Args:
        permit: the decision.
        fields: asked for, as `FIN.type`.
        records: the person's current versions.
        today: the legal date.
        never_shown: categories that no answer shows.
    """
    asked: dict[str, list[str]] = {}
    for each in fields:
        category, _, name = each.partition(".")
        asked.setdefault(category, []).append(name)
    opened: list[ChosenVersion] = []
    withheld: list[tuple[SealedRecord, str]] = []
    for record in records:
        names = [name for name in asked.get(record.category, ()) if name in record.sealed]
        if not names:
            continue
        verdict = decide_record(
            _facts(record, never_shown=record.category in never_shown), today, permit.data_range
        )
        if isinstance(verdict, Withheld):
            withheld.append((record, verdict.rule))
        else:
            shown = names if DOCUMENT in names or DOCUMENT not in record.sealed else [*names, DOCUMENT]
            opened.append(ChosenVersion(record, tuple(shown), verdict.annotations))
    return Choice(tuple(opened), tuple(withheld))


def _facts(record: SealedRecord, *, never_shown: bool) -> RecordFacts:
    return RecordFacts(
        dated=record.display_from,
        display_from=record.display_from,
        display_until=record.display_until,
        never_shown=never_shown,
        annulled=record.state == ANNULLED,
        repaired=record.state == REPAIRED,
        held_for_notice=record.state == HELD,
        # Fail closed: a state this release does not know is not shown.
        sealed_juvenile=record.state not in (SHOWN, HELD, REPAIRED, ANNULLED),
    )
