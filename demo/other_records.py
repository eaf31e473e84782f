"""Records of other categories, from whoever keeps them: court, labour and tax authorities, licence office.

All invented. Dates that must lie in the recent past move with the calendar month, and so do the references.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from demo.people import CITIZEN, DRIVER, EMPLOYER, NEIGHBOUR, Invented

ENDED_TAX_DECISION = "FICTITIOUS-TAX-2023-004"
ENFORCED_CASE = "FICTITIOUS-JUD-2024-0117"
_ENDED_ON = date(2023, 5, 8)
_LONG_AGO = date(2024, 1, 17)
# furnishing body, category, what allows the collection
_LICENCE = ("licensing", "LIC", "LICENSING")
_TAX = ("tax", "TAX", "TAXLAW")


@dataclass(frozen=True)
class OtherRecord:
    """One record: which body of the cast furnishes it, its category, and the whole submission."""

    furnisher: str
    category: str
    submission: Mapping[str, Any]


def other_records(today: date) -> Iterator[OtherRecord]:
    """Every one of them.

    Args:
        today: the present date.
    """
    recent = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    yield _record(
        ("court", "JUD", "SPC-LIST"),
        CITIZEN,
        ENFORCED_CASE,
        _LONG_AGO,
        {"case_number": "(2024) Demo Enforcement No. 3", "performance": "partial"},
    )
    yield _record(_LICENCE, CITIZEN, "FICTITIOUS-LIC-2024-77", _LONG_AGO, _licence("Bicycle workshop", "77"))
    yield _record(_LICENCE, DRIVER, "FICTITIOUS-LIC-2024-78", _LONG_AGO, _licence("Taxi driver", "78"))
    # A tax decision is shown for twelve months at most (Order 36): this one stands, and nobody is told of it.
    yield _record(_TAX, CITIZEN, ENDED_TAX_DECISION, _ENDED_ON, _tax("TAX-2023-4", _ENDED_ON))
    number = f"TAX-{recent:%Y-%m}"
    yield _record(_TAX, NEIGHBOUR, f"FICTITIOUS-{number}", recent, _tax(number, recent))
    number = f"LAB-{recent:%Y-%m}"
    yield _record(
        ("labour", "LAB", "WAGES"),
        EMPLOYER,
        f"FICTITIOUS-{number}",
        recent,
        {"order": number, "conduct_start": (recent - timedelta(days=90)).isoformat()},
    )


def _licence(what: str, number: str) -> dict[str, str]:
    return {
        "licence": what,
        "number": f"LIC-2024-{number}",
        "status": "valid",
        "validity_start": _LONG_AGO.isoformat(),
    }


def _tax(number: str, decided: date) -> dict[str, str]:
    conduct = (decided - timedelta(days=120)).isoformat()
    return {
        "decision_number": number,
        "article": "Article 62",
        "breach": "late-filing",
        "status": "remedied",
        "conduct_start": conduct,
        "conduct_end": conduct,
    }


def _record(
    kind: tuple[str, str, str], person: Invented, document: str, decided: date, fields: Mapping[str, str]
) -> OtherRecord:
    furnisher, category, basis = kind
    submission: dict[str, Any] = {
        "subject": person.full_subject,
        "category": category,
        "furnisher_reference": document,
        "basis": basis,
        "document": {
            "number": document,
            "date": decided.isoformat(),
            "sha256": hashlib.sha256(document.encode()).hexdigest(),
        },
        "fields": fields,
    }
    if kind != _LICENCE:  # a licence speaks against nobody, so nobody need be warned of it
        told = (decided - timedelta(days=14)).isoformat()
        submission["notice"] = {"date": told, "proof": f"{document}-NOTICE"}
    return OtherRecord(furnisher, category, submission)
