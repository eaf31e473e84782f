"""What can go wrong in the access log, under one root.

No error of this room names an HTTP status, and none carries a payload's value: messages name
positions, lengths and files only.
"""


class AccessLogError(Exception):
    """Root of every error the access log raises."""


class FormatError(AccessLogError):
    """Bytes or text that are not of the format FORMAT.md describes."""


class VerificationError(AccessLogError):
    """Something well-formed that does not verify: a signature, a proof, a chain, an entry.

    Attributes:
        reason: What is wrong, in plain words.
        index: The first bad entry of the log, counted from 0, where one can be named.
    """

    def __init__(self, reason: str, index: int | None = None) -> None:
        super().__init__(reason if index is None else f"entry {index}: {reason}")
        self.reason = reason
        self.index = index


class SourceError(AccessLogError):
    """A log, file or key could not be read; the message says what to do. It says nothing of tampering."""


class LogUnavailableError(AccessLogError):
    """The log cannot append or release now; the same act may be tried again."""


class LogStateError(AccessLogError):
    """The stored log contradicts itself or its settings: this worker does not append."""


class LogClosedError(LogStateError):
    """The log was closed and takes no more entries; the message names the one opened in its place."""


class OutsideLockError(AccessLogError):
    """The outside lock is missing, damaged, or ahead of the database; the message says what to do."""


class FolderError(AccessLogError):
    """A folder of published or archived files cannot be used, or holds what must not be replaced."""


class WitnessStateError(AccessLogError):
    """A witness's key or database is missing, damaged or open to others; the message says what to do."""


class WitnessUnavailableError(AccessLogError):
    """A witness cannot cosign now; the same checkpoint may be submitted again."""


class ArchiveError(AccessLogError):
    """Entries may not be taken out of the database; the message says why, and what to do."""
