"""What stands under a furnisher's references, and so what becomes of a row: pure (SUBMISSION 7).

A reference names a record for ever: the same content again is no second record, and a retry after a lost
answer, or after a crash, changes nothing that stands already. Other content is taken only where it says which
version it supersedes, and that is the newest.
"""

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID, uuid4

from vault.records.sealing import FIRST_VERSION
from vault.records.submission import Submission


@dataclass(frozen=True, slots=True)
class Held:
    """A record that stands under a reference, as far as its furnisher's next row depends on it.

    Attributes:
        owner: whose it is, as bytes: see `Row.owner` of `enrol`.
        record_id: which.
        version: the newest.
        category: of the newest version.
        shown: False where the newest was repaired, annulled, sealed or is held.
        contents: keyed digests of the submissions of all its versions.
    """

    owner: bytes
    record_id: UUID
    version: int
    category: str
    shown: bool
    contents: tuple[bytes, ...]


class Refusal(NamedTuple):
    """Why a row is turned away, as a `Rejected` says it."""

    column: str
    rule: str
    remedy: str


_OTHER_CONTENT = Refusal(
    "furnisher_reference",
    "7.1",
    "Give another reference, or say which version this supersedes: it names a record with other content.",
)
_NOTHING_HELD = Refusal(
    "supersedes", "7.2", "Leave it out: no record stands under this reference that could be superseded."
)
_ANOTHER = Refusal(
    "supersedes", "7.2", "Hand in another record: one that is superseded keeps its person and category."
)
_NOT_SHOWN = Refusal(
    "supersedes", "7.2", "Leave it out: this record was repaired, annulled or sealed, and stays as it is."
)


def take(submission: Submission, content: bytes, owner: bytes, held: Held | None) -> Held | Refusal | None:
    """What stands once a row is taken; None where it stood already, or why it is turned away.

    Args:
        submission: the row.
        content: its keyed digest.
        owner: its person.
        held: what stands under its reference.
    """
    supersedes = submission.supersedes
    if held is None:
        if supersedes is not None:
            return _NOTHING_HELD
        return Held(owner, uuid4(), FIRST_VERSION, submission.category, shown=True, contents=(content,))
    if _among(content, held.contents):
        return None
    if supersedes is None:
        return _OTHER_CONTENT
    refusal = _refusal(submission, supersedes.version, owner, held)
    if refusal is not None:
        return refusal
    return Held(
        owner,
        held.record_id,
        held.version + 1,
        held.category,
        shown=True,
        contents=(*held.contents, content),
    )


def _refusal(submission: Submission, superseded: int, owner: bytes, held: Held) -> Refusal | None:
    if held.owner != owner or held.category != submission.category:
        return _ANOTHER
    if not held.shown:
        return _NOT_SHOWN
    if superseded != held.version:
        return Refusal("supersedes.version", "7.2", f"Name the newest version: it is {held.version}.")
    return None


def _among(content: bytes, contents: Collection[bytes]) -> bool:
    return any(hmac.compare_digest(content, each) for each in contents)
