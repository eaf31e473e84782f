"""A loaded pack: the law as the rooms ask for it. Everything is looked up in constant time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from vault.catalogue import display
from vault.catalogue.display import DisplayWindow
from vault.catalogue.months import MONTHS_A_YEAR, add_months
from vault.catalogue.schema import (
    Basis,
    BodyKind,
    Category,
    Field,
    ForbiddenKind,
    Pack,
    Purpose,
    Source,
)
from vault.catalogue.screening import Screen


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One jurisdiction's rules, checked; made by `load_catalogue` alone.

    Attributes:
        pack: Which law this is, and its general limits.
        digest: SHA-256 of the pack's files in hex: names exactly the rules that were applied.
        timezone: Where legal dates, working days and expiry months are counted.
        categories: By code.
        fields: By full name, as `FIN.type`.
        sources: By code, like all that follow.
        bases: What a furnisher may cite for collecting.
        exemptions: What a furnisher may cite instead of a proof of notice.
        purposes: What a query may be for.
        body_kinds: Who may ask.
        forbidden: Kinds of data that are refused.
        screen: Finds them by name and by word.
        reach: The full names of the fields each kind of body reaches.
    """

    pack: Pack
    digest: str
    timezone: ZoneInfo
    categories: Mapping[str, Category]
    fields: Mapping[str, Field]
    sources: Mapping[str, Source]
    bases: Mapping[str, Basis]
    exemptions: Mapping[str, Basis]
    purposes: Mapping[str, Purpose]
    body_kinds: Mapping[str, BodyKind]
    forbidden: Mapping[str, ForbiddenKind]
    screen: Screen
    reach: Mapping[str, frozenset[str]]

    @property
    def version(self) -> str:
        """The pack's code and version, as `cn 2026.1`."""
        return f"{self.pack.code} {self.pack.version}"

    @property
    def jurisdiction(self) -> str:
        """The ISO 3166 code of the jurisdiction."""
        return self.pack.jurisdiction

    def field(self, full_name: str) -> Field | None:
        """Returns the field of that name, as `FIN.type`, or None where the catalogue has none."""
        return self.fields.get(full_name)

    def field_names(self, category: str) -> tuple[str, ...]:
        """Returns the full names of a category's fields; none where the catalogue has no such category."""
        found = self.categories.get(category)
        return tuple(field.full_name for field in found.fields.values()) if found else ()

    def allows(self, kind_of_body: str, full_name: str) -> bool:
        """Says whether a kind of body reaches a field at all. What is unknown is refused."""
        return full_name in self.reach.get(kind_of_body, frozenset())

    def purpose_allows(self, purpose: str, full_name: str) -> bool:
        """Says whether a purpose reaches a field's category. What is unknown is refused."""
        known, field = self.purposes.get(purpose), self.fields.get(full_name)
        return known is not None and field is not None and field.category in known.categories

    def today(self, now: datetime) -> date:
        """Returns the legal date at an instant (aware)."""
        return now.astimezone(self.timezone).date()

    def of_age_from(self, birth_date: date) -> date:
        """Returns the first day of adult life, the day after the birthday that completes the years.

        So a person born on 29 February comes of age on 1 March of a common year. Counted like every other
        period (Civil Code 201, 202), which is also how the Supreme People's Court counts full years of life
        (unverified).
        """
        birthday = add_months(birth_date, self.pack.limits.adult_years * MONTHS_A_YEAR)
        return date.fromordinal(min(birthday.toordinal() + 1, date.max.toordinal()))

    def display_window(
        self, category: Category | str, values: Mapping[str, object], document_date: date | None
    ) -> DisplayWindow:
        """Counts from when until when a record may be shown.

        Args:
            category: The category or its code.
            values: The record's field values by name; dates as `date`.
            document_date: The date of the document the record rests on.

        Returns:
            The window, in days of the pack's time zone.

        Raises:
            KeyError: The catalogue has no such category.
            ValueError: A date the category requires is missing.
        """
        known = self.categories[category] if isinstance(category, str) else category
        return display.count(known, self.pack.adverse, values, document_date)

    def expiry_month(self, window: DisplayWindow, today: date) -> int:
        """Returns the month (yyyymm) whose expiry key a record with this window is sealed under."""
        return display.expiry_month(window, today, self.pack.limits)

    def rolling_month(self, today: date) -> int:
        """Returns the month (yyyymm) that records without a known end hang on when they are wrapped today."""
        return display.rolling_month(today, self.pack.limits)

    def carried_before(self, today: date) -> int:
        """Returns the month (yyyymm) before which nothing with a longer display may hang any more today."""
        return display.carried_before(today, self.pack.limits)
