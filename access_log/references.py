"""What others hold of this log, to be held against the database at start (FORMAT 9).

The outside lock is the first of them and always there. A published log, and a witness, keep a checkpoint of
their own: whoever put back the lock from an old copy, together with an equally old database, meets them.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from access_log.checkpoint import MAX_NOTE, Checkpoint, VerifierKey, open_note
from access_log.errors import AccessLogError, FormatError, OutsideLockError, SourceError
from access_log.sources import Source
from access_log.web import Website
from access_log.witness.protocol import origin_hash

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
        foreign: Whether others write there, as a witness does. What they write speaks against this log only
            with its own signature: without, it is told and passed over, or anybody could stop it.
        closed: Every key of the logs that were closed before this one: a place that still shows one of them
            shows nothing of this log yet.
    """

    name: str
    source: Source
    tell: Tell
    foreign: bool = False
    closed: Sequence[VerifierKey] = ()

    def read(self, keys: Sequence[VerifierKey]) -> Checkpoint | None:
        """The checkpoint; None where there is none, or it cannot be read now.

        Raises:
            OutsideLockError: What stands there is no checkpoint of this log that the log signed.
        """
        shown = self.read_note(keys)
        return None if shown is None else shown[0]

    def read_note(self, keys: Sequence[VerifierKey]) -> tuple[Checkpoint, str] | None:
        """The checkpoint and its note, as `read`.

        Blocking; call it in a thread from asynchronous code.

        Args:
            keys: Every key the log ever signed with.

        Raises:
            OutsideLockError: What stands there is no checkpoint of this log that the log signed.
        """
        try:
            note = read_note(self.source)
            if self._is_of_closed(note):
                self.tell(f"{self.name} was not compared: it still shows a log closed before this one")
                return None
            return open_note(note, keys), note
        except SourceError as error:
            self.tell(f"{self.name} was not compared: {error}")
            return None
        except AccessLogError as error:
            if self.foreign:
                self.tell(f"{self.name} was not compared: what it shows is not signed by this log ({error})")
                return None
            raise OutsideLockError(
                f"the checkpoint of {self.name} does not verify: {error}. Find out who altered it, and "
                "publish the log anew or name another place; until then this log does not start"
            ) from None

    def _is_of_closed(self, note: str) -> bool:
        try:
            open_note(note, self.closed)
        except AccessLogError:
            return False
        return True


async def shown_by(
    references: Sequence[Reference], keys: Sequence[VerifierKey]
) -> list[tuple[str, Checkpoint]]:
    """What these places show, by their names; all are asked at once, and one that shows nothing is left out.

    Raises:
        OutsideLockError: What stands in one of them is no checkpoint of this log that the log signed.
    """
    found = await asyncio.gather(*[asyncio.to_thread(each.read, keys) for each in references])
    return [(each.name, one) for each, one in zip(references, found, strict=True) if one is not None]


def read_checkpoint(source: Source, keys: Sequence[VerifierKey]) -> Checkpoint:
    """The checkpoint a published log shows, signed by its own key. Blocking.

    Raises:
        SourceError: There is none, or it cannot be read.
        VerificationError, FormatError: It is no checkpoint that one of these keys signed.
    """
    return open_note(read_note(source), keys)


def read_note(source: Source) -> str:
    """The signed note a published log shows, not verified yet. Blocking.

    Raises:
        SourceError: There is none, or it cannot be read.
        FormatError: It is no text.
    """
    raw = source.read("checkpoint", MAX_NOTE)
    if raw is None:
        raise SourceError("there is no checkpoint: name the log's root, which holds 'checkpoint' and 'tile'")
    try:
        return raw.decode()
    except UnicodeError:
        raise FormatError("the note is not UTF-8") from None


def witness_reference(name: str, url: str, origin: str, tell: Tell) -> Reference:
    """What a witness cosigned last of a log, as c2sp.org/tlog-witness serves it (FORMAT 8.2).

    Args:
        name: How the policy names it.
        url: Its submission prefix.
        origin: The log's name.
        tell: As `Reference`.

    Raises:
        SourceError: The URL is of no witness.
    """
    source = Website(f"{url}/{origin_hash(origin)}")
    return Reference(f"the witness {name}", patient(source), tell, foreign=True)


def patient(source: Source) -> Source:
    """The same source, asked once and not for long."""
    if isinstance(source, Website):
        return replace(source, timeout=PATIENCE, patience=PATIENCE, pauses=())
    return source
