"""Calendar arithmetic of periods of law.

A period counted in months begins on the day after its anchor, and its last day is the corresponding day of
the last month, or that month's last day where it has none (Civil Code 201, 202; the same in most laws).
"""

from calendar import monthrange
from datetime import date

MONTHS_A_YEAR = 12


def add_months(day: date, months: int) -> date:
    """Returns the last day of a period of `months` (0 or more) counted from `day`.

    Past the end of the calendar it stays on the calendar's last day.
    """
    year, month = divmod(day.year * MONTHS_A_YEAR + day.month - 1 + months, MONTHS_A_YEAR)
    if year > date.max.year:
        return date.max
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def month_id(day: date) -> int:
    """Returns the calendar month of `day` as yyyymm, the id of its expiry key."""
    return day.year * 100 + day.month
