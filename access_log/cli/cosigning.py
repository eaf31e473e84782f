"""How commands tell who cosigned, and when."""

from collections.abc import Sequence
from typing import Final

from access_log.cli.output import iso, plain
from access_log.cosigned import Cosigner
from access_log.payload import JSON

_LAST_MOMENT: Final = 253_402_300_799
"""POSIX seconds at the end of the year 9999; a cosignature may state more."""


def in_words(cosigners: Sequence[Cosigner]) -> str:
    """For a sentence; empty if nobody cosigned."""
    return ", ".join(f"{plain(each.name)}{f' at {_time(each)}' if each.time else ''}" for each in cosigners)


def in_json(cosigners: Sequence[Cosigner]) -> list[JSON]:
    """For a JSON object: name in the policy and time, which is null where none is stated."""
    return [{"name": each.name, "time": _time(each) if each.time else None} for each in cosigners]


def _time(cosigner: Cosigner) -> str:
    if cosigner.time > _LAST_MOMENT:
        return f"{cosigner.time} s after 1970"
    return iso(cosigner.time * 1000)
