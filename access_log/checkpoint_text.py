"""The text of a checkpoint, and the names that may stand in one (FORMAT 5).

Source: c2sp.org/tlog-checkpoint. What is signed, and how it travels, is in `note`.
"""

from dataclasses import dataclass
from typing import Final

from access_log.encoding import HASH_SIZE, LARGEST, from_base64, from_decimal, to_base64
from access_log.errors import FormatError

_MAX_NAME: Final = 255
_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log that its operator signs.

    Attributes:
        origin: The log's name, 1 to 255 bytes without white space, control characters or plus.
        size: The number of entries.
        root: The Merkle root over them, 32 bytes.

    Raises:
        FormatError: A part is out of its bounds.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        require_name(self.origin)
        if not 0 <= self.size <= LARGEST or len(self.root) != HASH_SIZE:
            raise FormatError("a checkpoint has a size of 0 to 2^63 - 1 and a root of 32 bytes")

    def text(self) -> str:
        """The note text, which is what is signed."""
        return f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read a note text; whatever is accepted re-encodes to the same text.

        Raises:
            FormatError: The text is no checkpoint of ours; extension lines are refused.
        """
        lines = text.split("\n")
        if len(lines) != _LINES + 1 or lines[-1]:
            raise FormatError("a checkpoint's text has three lines: origin, size and root")
        origin, size, root, _ = lines
        return cls(origin, from_decimal(size, "the tree size"), from_base64(root, "the root hash", HASH_SIZE))


def require_name(name: str) -> None:
    """Refuse a name that may not stand in a signature line, or is too long to be an origin.

    Raises:
        FormatError: The name is empty, over 255 bytes, or has a space, a plus or a control character.
    """
    if not name or "+" in name or any(each.isspace() or not each.isprintable() for each in name):
        raise FormatError("a key name or origin has no spaces, plus signs or control characters")
    if len(name.encode()) > _MAX_NAME:
        raise FormatError(f"a key name or origin has at most {_MAX_NAME} bytes")
