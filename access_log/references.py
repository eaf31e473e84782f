"""What others hold of this log, to be held against the database at start (FORMAT 9).

The outside lock is the first of them and always there. A published log, and a witness, keep a checkpoint of
their own: whoever put back the lock from an old copy, together with an equally old database, meets them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from access_log.checkpoint import MAX_NOTE, Checkpoint, VerifierKey, open_note
from access_log.errors import AccessLogError, OutsideLockError, SourceError
from access_log.sources import Source
from access_log.web import Website

PATIENCE: Final = 5.0
"""Seconds a web server may stay silent: a start must not hang on it."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Reference:
    """One place that shows a signed checkpoint of this log.

    Attributes:
        name: Who holds it, as a message names it, for instance `the published log https://…`.
        source: Where `checkpoint` is read.
        tell: Told, in one line, why a place could not be read: no verdict, so no reason not to start.
    """

    name: str
    source: Source
    tell: Tell

    def read(self, keys: Sequence[VerifierKey]) -> Checkpoint | None:
        """The checkpoint; None where there is none, or it cannot be read now.

        Blocking; call it in a thread from asynchronous code.

        Args:
            keys: Every key the log ever signed with.

        Raises:
            OutsideLockError: What stands there is no checkpoint of this log that the log signed.
        """
        try:
            return read_checkpoint(self.source, keys)
        except SourceError as error:
            self.tell(f"{self.name} was not compared: {error}")
            return None
        except AccessLogError as error:
            raise OutsideLockError(
                f"the checkpoint of {self.name} does not verify: {error}. Find out who altered it, and "
                "publish the log anew or name another place; until then this log does not start"
            ) from None


def read_checkpoint(source: Source, keys: Sequence[VerifierKey]) -> Checkpoint:
    """The checkpoint a published log shows, signed by its own key. Blocking.

    Raises:
        SourceError: There is none, or it cannot be read.
        VerificationError, FormatError: It is no checkpoint that one of these keys signed.
    """
    note = source.read("checkpoint", MAX_NOTE)
    if note is None:
        raise SourceError("there is no checkpoint: name the log's root, which holds 'checkpoint' and 'tile'")
    return open_note(note, keys)


def patient(source: Source) -> Source:
    """The same source, asked once and not for long."""
    if isinstance(source, Website):
        return replace(source, timeout=PATIENCE, patience=PATIENCE, pauses=())
    return source
