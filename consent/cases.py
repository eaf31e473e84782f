"""Case references: what a body writes on its file, and the patterns an authorization may bind it to.

A pattern is plain text with at most one `*`, which stands for one or more letters or digits. It is not a
regular expression: a registrar can read it, and no input makes it slow.
"""

import hashlib
import unicodedata
from uuid import UUID

_ANY = "*"


def normalized(reference: str) -> str:
    """The reference in one spelling: full-width forms, letter case and spaces make no other case."""
    return "".join(unicodedata.normalize("NFKC", reference).casefold().split())


def is_pattern(pattern: str) -> bool:
    """Whether the text can bind case references: it says something, and has at most one `*`."""
    return pattern.count(_ANY) <= 1 and bool(normalized(pattern.replace(_ANY, "")))


def fits(pattern: str, reference: str) -> bool:
    """Whether the reference is one the pattern allows."""
    head, star, tail = normalized(pattern).partition(_ANY)
    stated = normalized(reference)
    if not star:
        return stated == head
    middle = stated[len(head) : len(stated) - len(tail)]
    return stated.startswith(head) and stated.endswith(tail) and middle.isalnum()


def counter_key(authorization_id: UUID, reference: str) -> bytes:
    """Under which key a case's uses are counted: 32 bytes.

    A digest, because a court's case number in a register of counters could name a person to whoever reads
    the database. It hides the reference from a reader, not from a guesser: the space of numbers is small.
    """
    return hashlib.sha256(b"\x30" + authorization_id.bytes + normalized(reference).encode()).digest()
