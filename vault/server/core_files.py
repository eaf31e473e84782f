"""No core file: keys and opened values are in memory, and a crash must not write them to a disk.

Set by the program itself, because a command is run without the units of `deploy/`, too. Not dumpable means
besides that other processes of the same user can neither trace this one nor read its memory or environment.
"""

import ctypes
import os
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4  # prctl(2)


def forbid() -> None:
    """Forbids them for this process, and those that inherit its limits.

    Raises:
        OSError: the system refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
