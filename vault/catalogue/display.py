"""From when until when a record may be shown, and under which month's key it is sealed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from vault.catalogue.months import add_months, month_id
from vault.catalogue.schema import DOCUMENT_DATE, Adverse, Category, DisplayRule, Limits

NEVER = date.max
"""The first day of a window that never opens: whoever only compares dates shows nothing."""

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DisplayWindow:
    """The days on which a record may be shown, in the pack's time zone.

    Attributes:
        start: The first day shown.
        end: The last day shown, not before `start`; None while no end is known.
        how_counted: The rule in words. It names no date and no value, and is the same for every record of a
            category, so it may be kept unsealed.
        shown: False where the category is never shown.
        repair_from: The first day on which repair can be asked for, where the display tier has one.
    """

    start: date
    end: date | None
    how_counted: str
    shown: bool = True
    repair_from: date | None = None

    def shows(self, today: date) -> bool:
        """Says whether the record may be shown today."""
        return self.shown and self.start <= today and (self.end is None or today <= self.end)


def describe(rule: DisplayRule, adverse: Adverse, *, capped: bool) -> str:
    """Puts a display rule into words, for the person and for the reviewer of a pack."""
    anchor = rule.anchor.replace("_", " ")
    words = {
        "never": "never shown",
        "while-consented": "shown while the person consents",
        "validity": f"shown up to and including the {anchor}; no end is known while there is none",
        "until": f"shown until the day before the date {anchor}; no end is known while there is none",
        "months": f"shown until {rule.max_months} months after the {anchor}"
        + ("" if rule.anchor == DOCUMENT_DATE else "; no end is known while there is none"),
    }[rule.rule]
    tier = f", tier {rule.tier}" if rule.tier else ""
    cap = (
        f"; adverse data no longer than {adverse.months} months after the "
        f"{adverse.anchor.replace('_', ' ')} ({adverse.source})"
        if capped
        else ""
    )
    return f"{words} ({rule.source}{tier}){cap}"


def count(
    category: Category, adverse: Adverse, values: Mapping[str, object], document_date: date | None
) -> DisplayWindow:
    """Counts the display window of a record.

    Args:
        category: The record's category.
        adverse: The pack's limit on adverse data.
        values: The record's field values; dates as `date`.
        document_date: The date of the document it rests on.

    Returns:
        The window. Where the end comes before the start, the window is the single day of its end, which lies
        in the past.

    Raises:
        ValueError: A date that the category makes required is missing from `values`.
    """
    rule = category.display
    capped = category.adverse != "never" and adverse.anchor in category.fields
    how = describe(rule, adverse, capped=capped)
    if rule.rule == "never":
        return DisplayWindow(NEVER, NEVER, how, shown=False)
    start = _date(rule.start, values, document_date)
    if start is None:
        raise ValueError("the date from which display is counted is missing")
    anchor = _date(rule.anchor, values, document_date)
    end = _end(rule, anchor)
    if capped and category.is_adverse(values):
        conduct_end = _date(adverse.anchor, values, document_date)
        if conduct_end is not None:
            cap = add_months(conduct_end, adverse.months)
            end = cap if end is None else min(end, cap)
    if end is not None:
        start = min(start, end)
    repair = add_months(anchor, rule.min_months) if rule.tier and anchor is not None else None
    return DisplayWindow(start, end, how, repair_from=repair)


def expiry_month(window: DisplayWindow, today: date, limits: Limits) -> int:
    """Returns the month, as yyyymm, whose expiry key the record is sealed under.

    A record with no end yet, or one never shown, hangs on a rolling month and is re-wrapped forward. A month
    that is over is never returned, because its key is destroyed.
    """
    if window.end is None or not window.shown:
        return rolling_month(today, limits)
    return max(month_id(window.end), month_id(today))


def rolling_month(today: date, limits: Limits) -> int:
    """Returns the month, as yyyymm, that records without a known end hang on when they are wrapped today."""
    return month_id(add_months(today, limits.open_months))


def carried_before(today: date, limits: Limits) -> int:
    """Returns the month, as yyyymm, before which nothing with a longer display may hang any more today.

    Half of the rolling month's distance: each record is wrapped anew every half year or so rather than each
    month, and the key it hung on outlives every backup in which it still does: one of them may be restored.
    """
    return month_id(add_months(today, max(1, limits.open_months // 2)))


def _date(name: str, values: Mapping[str, object], document_date: date | None) -> date | None:
    if name == DOCUMENT_DATE:
        return document_date
    value = values.get(name)
    return value if isinstance(value, date) else None


def _end(rule: DisplayRule, anchor: date | None) -> date | None:
    if anchor is None:
        return None
    if rule.rule == "until":
        return anchor - _ONE_DAY
    if rule.max_months is not None:
        return add_months(anchor, rule.max_months)
    return anchor
