"""The file in which an auditor keeps what it saw, so that the next audit goes on from there (FORMAT 10.7).

It is the auditor's own word to itself: whoever may write it can have the next audit pass over entries.
"""

import json
from collections.abc import Sequence
from typing import Final

from access_log.checkpoint import MAX_NOTE, VerifierKey, open_note
from access_log.contradiction import Signed
from access_log.encoding import HASH_SIZE, LARGEST, from_base64, to_base64
from access_log.entry import LAST_TIME
from access_log.errors import AccessLogError, FormatError
from access_log.merkle import Frontier
from access_log.roots.audit import Seen
from access_log.roots.derivation import Milestone

MAX_STATE: Final = 2 * MAX_NOTE + 64 * 1024
"""The longest state file that is read, in bytes."""

_VERSION: Final = "creditvault auditor state v1"


def write_state(seen: Seen) -> str:
    """Write the state file of an audit that found everything good."""
    milestone = seen.milestone
    return (
        json.dumps(
            {
                "v": _VERSION,
                "log": seen.log.note,
                "roots": seen.roots.note,
                "index": milestone.index,
                "before": milestone.roots,
                "chain": to_base64(milestone.chain),
                "time": milestone.time,
                "frontier": to_base64(milestone.frontier.encode()),
            },
            indent=1,
        )
        + "\n"
    )


def read_state(text: str, log_keys: Sequence[VerifierKey], roots_keys: Sequence[VerifierKey]) -> Seen:
    """Read a state file; whatever is accepted re-encodes to the same text.

    Args:
        text: The whole file.
        log_keys: The log's key.
        roots_keys: The key of the log of roots.

    Raises:
        FormatError: It is no state file, was damaged, or its checkpoints do not open with these keys.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise FormatError("it is no state file of an auditor") from None
    if not isinstance(found, dict) or found.get("v") != _VERSION:
        raise FormatError("it is no state file of an auditor")
    try:
        seen = Seen(
            _signed(found.get("log"), log_keys),
            _signed(found.get("roots"), roots_keys),
            Milestone(
                _number(found.get("index"), LARGEST),
                _number(found.get("before"), LARGEST),
                from_base64(str(found.get("chain")), "the state's chain value", HASH_SIZE),
                _number(found.get("time"), LAST_TIME),
                Frontier.decode(
                    _number(found.get("index"), LARGEST),
                    from_base64(str(found.get("frontier")), "the state's frontier"),
                ),
            ),
        )
    except AccessLogError as error:
        raise FormatError(f"the state file was damaged ({error})") from None
    if write_state(seen) != text or not (
        seen.milestone.index <= seen.log.checkpoint.size
        and seen.milestone.roots <= seen.roots.checkpoint.size
    ):
        raise FormatError("the state file is not as this auditor writes it")
    return seen


def _signed(note: object, keys: Sequence[VerifierKey]) -> Signed:
    return Signed(open_note(str(note), keys), str(note))


def _number(value: object, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise FormatError("a number is out of its bounds")
    return value
