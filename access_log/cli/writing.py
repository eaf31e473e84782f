"""What a command leaves behind: files that are whole or not there."""

import os
from pathlib import Path
from typing import Final

from access_log.errors import SourceError

_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o644


def replace(file: str, text: str, *, private: bool = False) -> None:
    """Write a file in the place of the one that may be there, in one step.

    Args:
        file: Its path.
        text: The whole of it.
        private: Whether only its owner may read it.

    Raises:
        SourceError: It cannot be written; what was there is as it was.
    """
    target = Path(file)
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        made = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE if private else _PUBLIC)
        with open(made, "wb") as stream:  # noqa: PTH123 - made above with its mode
            stream.write(text.encode())
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(target)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such path"
        fresh_is_there = isinstance(error, OSError) and not isinstance(error, FileExistsError)
        if fresh_is_there:
            fresh.unlink(missing_ok=True)
        raise SourceError(f"{file} cannot be written ({reason}): name a file in a folder of yours") from None
