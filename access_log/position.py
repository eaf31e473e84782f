"""Where an audit stands between two bundles, and the file in which a later one takes it up (FORMAT 10.6).

The file is the verifier's own word to itself. Its sum guards against accidents, not against whoever may
write it: they could have a later audit pass over entries that none has seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from access_log.checkpoint import MAX_NOTE, VerifierKey, open_note
from access_log.contradiction import Signed
from access_log.encoding import HASH_SIZE, from_base64, from_decimal, to_base64
from access_log.entry import LAST_TIME, first_chain
from access_log.errors import AccessLogError, FormatError
from access_log.merkle import Frontier
from access_log.tiles import HEIGHT, WIDTH

MAX_STATE: Final = MAX_NOTE + 128 * 1024
"""The longest state file that is read, in bytes."""

_HEADER: Final = "creditvault verifier state v1"
_SUM: Final = "sha256 "
_LEVELS: Final = 7


@dataclass(frozen=True, slots=True)
class Position:
    """What an audit has to know of the full bundles behind it: O(log n) hashes, whatever their number.

    Attributes:
        size: The number of entries behind it, a multiple of 256.
        chain: The chain value after them.
        time: Of the last of them, in milliseconds since the epoch; 0 before the first.
        first_time: Of the first of them; None before it.
        rows: For each tile level from 1 the hashes of its unfinished tile, without empty rows at the
            end.

    Raises:
        FormatError: The parts do not fit each other.
    """

    size: int
    chain: bytes
    time: int
    first_time: int | None
    rows: tuple[tuple[bytes, ...], ...]

    def __post_init__(self) -> None:
        counts = [self.size >> HEIGHT * level & WIDTH - 1 for level in range(1, _LEVELS + 1)]
        while counts and not counts[-1]:
            counts.pop()
        if self.size % WIDTH or [len(row) for row in self.rows] != counts:
            raise FormatError("the hashes of the state do not fit its size")
        if len(self.chain) != HASH_SIZE or any(len(each) != HASH_SIZE for row in self.rows for each in row):
            raise FormatError("a hash of the state does not have 32 bytes")
        if (self.first_time is None) != (self.size == 0) or not 0 <= (
            self.first_time or 0
        ) <= self.time <= LAST_TIME:
            raise FormatError("the times of the state do not fit")

    @classmethod
    def start(cls, origin: str) -> "Position":
        """Before the first entry of a log."""
        return cls(0, first_chain(origin), 0, None, ())

    def frontier(self) -> Frontier:
        """The tree behind it: the unfinished tiles are its full subtrees, the largest in the highest."""
        frontier = Frontier.empty()
        for level in reversed(range(len(self.rows))):
            for each in self.rows[level]:
                frontier = frontier.append_subtree(HEIGHT * (level + 1), each)
        return frontier


def write_state(position: Position, seen: Signed) -> str:
    """Write the state file of an audit that found everything good.

    Args:
        position: After the last full bundle.
        seen: The checkpoint that was audited to its end.
    """
    lines = [
        f"size {position.size}",
        f"chain {to_base64(position.chain)}",
        f"first {0 if position.first_time is None else position.first_time}",
        f"time {position.time}",
        *(f"tile {level} {to_base64(b''.join(row))}" for level, row in enumerate(position.rows, start=1)),
        "",
        seen.note,
    ]
    body = "\n".join(lines)
    return f"{_HEADER}\n{_SUM}{to_base64(sha256(body.encode()).digest())}\n{body}"


def read_state(text: str, keys: Sequence[VerifierKey]) -> tuple[Position, Signed]:
    """Read a state file; whatever is accepted re-encodes to the same text.

    Args:
        text: The whole file.
        keys: The keys the caller trusts.

    Raises:
        FormatError: It is no state file, was damaged, or its checkpoint does not open with these keys.
    """
    header, _, rest = text.partition("\n")
    summed, _, body = rest.partition("\n")
    if header != _HEADER or not summed.startswith(_SUM):
        raise FormatError(f"a state file begins with {_HEADER!r} and its sum")
    expected = to_base64(sha256(body.encode()).digest())
    if not compare_digest(summed.removeprefix(_SUM).encode(), expected.encode()):
        raise FormatError("the state file was damaged: its sum does not fit")
    head, _, note = body.partition("\n\n")
    try:
        seen = Signed(open_note(note, keys), note)
    except AccessLogError as error:
        raise FormatError(f"the checkpoint in the state file does not verify ({error})") from None
    position = _position(head.split("\n"))
    if position.size != seen.checkpoint.size // WIDTH * WIDTH:
        raise FormatError("the state does not stand where its checkpoint leaves off")
    if write_state(position, seen) != text:
        raise FormatError("the state file is not written as this verifier writes it")
    return position, seen


def _position(lines: Sequence[str]) -> Position:
    names = ["size ", "chain ", "first ", "time "]
    values = [line.removeprefix(name) for name, line in zip(names, lines, strict=False)]
    if len(values) != len(names):
        raise FormatError("the state file is cut")
    tiles = lines[len(names) :]
    if len(tiles) > _LEVELS:
        raise FormatError("the state file has too many tiles")
    size = from_decimal(values[0], "the state's size")
    rows = [from_base64(line.rpartition(" ")[2], "a tile of the state") for line in tiles]
    return Position(
        size=size,
        chain=from_base64(values[1], "the state's chain value", HASH_SIZE),
        first_time=from_decimal(values[2], "the state's first time") if size else None,
        time=from_decimal(values[3], "the state's time"),
        rows=tuple(tuple(row[at : at + HASH_SIZE] for at in range(0, len(row), HASH_SIZE)) for row in rows),
    )
