"""Which verifier this is: what a reader of its findings needs to run the same one again."""

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

import cryptography

from access_log import VERSION


@dataclass(frozen=True, slots=True)
class Tool:
    """A verifier at work.

    Attributes:
        version: Of the project.
        sha256: Of the one file it runs from, in hex; None where it runs from a folder.
        python: The version of Python.
        cryptography: The version of the library that checks signatures.
    """

    version: str
    sha256: str | None
    python: str
    cryptography: str


def this_tool() -> Tool:
    """The verifier that is running."""
    file = Path(__file__).parents[2]  # Within a zip file that is the zip file.
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
    except OSError:
        digest = None
    return Tool(VERSION, digest, platform.python_version(), cryptography.__version__)
