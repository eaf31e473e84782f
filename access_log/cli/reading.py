"""What a command is given: logs, keys and files, each within a limit."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from access_log.checkpoint import MAX_NOTE, VerifierKey, open_note, parse_keys
from access_log.contradiction import Signed
from access_log.errors import AccessLogError, FormatError, SourceError, VerificationError
from access_log.policy import MAX_POLICY, Policy
from access_log.sources import Directory, Source, source_of
from access_log.web import Website

ROOTS: Final = "roots"
"""Where a log of roots lies below its log."""
_MAX_KEYS: Final = 64 * 1024
_State = TypeVar("_State")


def source(options: argparse.Namespace) -> Source:
    """Open the log named by `parsing.log_source`.

    Raises:
        SourceError: There is no such directory, or it is no address of a log.
    """
    return source_of(options.log, plain=options.plain_http)


def roots_of(log: Source) -> Source:
    """Where the log of roots of a published log lies: below the log's root (FORMAT 4.3).

    Raises:
        SourceError: There is none.
    """
    if isinstance(log, Website):
        return Website(f"{log.url.rstrip('/')}/{ROOTS}", plain=log.plain)
    if isinstance(log, Directory) and (log.root / ROOTS).is_dir():
        return Directory(log.root / ROOTS)
    raise SourceError("there is no 'roots' below the log: name a log whose roots are published with it")


def keys(named: str, option: str = "--log-key") -> tuple[VerifierKey, ...]:
    """Read an option that names keys: a file with keys, or a key itself.

    Args:
        named: What the option was given.
        option: Its name, for messages.

    Raises:
        SourceError: It is neither.
    """
    try:
        is_file = Path(named).is_file()
    except (OSError, ValueError):  # A key can be too long for a path.
        is_file = False
    if not is_file and "+" not in named:
        raise SourceError(f"{option} names no file and is no key of the form name+id+key: give one of them")
    try:
        return parse_keys(read(named, _MAX_KEYS).decode() if is_file else named)
    except (FormatError, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, FormatError) else "it is not text"
        raise SourceError(
            f"{option} cannot be used ({reason}): take the key from a place you trust"
        ) from None


def policy(file: str) -> Policy:
    """Read a policy.

    Raises:
        SourceError: It cannot be read, or is none.
    """
    try:
        return Policy.parse(read(file, MAX_POLICY))
    except FormatError as error:
        raise SourceError(f"{file} cannot be used as a policy ({error})") from None


def log_keys(named: str | None, policy: Policy | None) -> tuple[VerifierKey, ...]:
    """The log's keys, which a policy's `log` lines name, or else `--log-key`.

    Args:
        named: What `--log-key` was given, if it was.
        policy: That of `--policy`, if there is one.

    Raises:
        SourceError: Neither names a key, both do, or `--log-key` cannot be used.
    """
    listed = () if policy is None else policy.log_keys
    if listed and named is not None:
        raise SourceError("the policy names the log's keys itself: leave --log-key out, or its log lines")
    if listed:
        return listed
    if named is None:
        lacking = "" if policy is None else "the policy has no log line: "
        raise SourceError(f"{lacking}give the log's key with --log-key, from a place you trust")
    return keys(named)


def checkpoint(file: str, keys: Sequence[VerifierKey], what: str) -> Signed:
    """Read a checkpoint that was kept, and verify its signature.

    Args:
        file: Where it is.
        keys: The keys the caller trusts.
        what: Which checkpoint it is, for the message: "the earlier checkpoint".

    Raises:
        SourceError: The file cannot be read.
        VerificationError: It is no checkpoint, or not signed by the log's key.
    """
    note = read(file, MAX_NOTE)
    try:
        return Signed(open_note(note, keys), note.decode())
    except AccessLogError as error:
        raise VerificationError(f"{what} itself does not verify ({error})") from None


def read(file: str, limit: int) -> bytes:
    """Read a whole file of at most so many bytes.

    Raises:
        SourceError: It cannot be read, or is longer.
    """
    try:
        with Path(file).open("rb") as stream:
            data = stream.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such file"
        raise SourceError(f"{file} cannot be read ({reason}): check the path") from None
    if len(data) > limit:
        raise SourceError(f"{file} is longer than {limit:,} bytes: it is not what this command reads")
    return data


def text(file: str, limit: int, what: str) -> str:
    """Read a whole file as UTF-8.

    Raises:
        SourceError: It cannot be read, or is longer.
        FormatError: It is not UTF-8; the message names `what`.
    """
    try:
        return read(file, limit).decode()
    except UnicodeDecodeError:
        raise FormatError(f"{what} is not UTF-8") from None


def state(file: str, limit: int, parse: Callable[[str], _State]) -> _State | None:
    """Read where the last run with a file ended; None if there was none.

    Args:
        file: Its path.
        limit: Bytes it has at the most.
        parse: Reads the text; raises FormatError where it is no such state.

    Raises:
        SourceError: It cannot be read or used.
    """
    try:
        if not Path(file).exists():
            return None
    except (OSError, ValueError):  # Reading it says what is wrong with the path.
        pass
    try:
        return parse(text(file, limit, "it"))
    except FormatError as error:
        raise SourceError(
            f"{file} cannot be used ({error}): move it away to audit the log from its first entry"
        ) from None


def json_object(file: str, limit: int, what: str) -> dict[str, object]:
    """Read a file that holds one JSON object.

    Raises:
        SourceError: It cannot be read, or is longer.
        FormatError: It is no JSON object; the message names `what`.
    """
    try:
        found = json.loads(read(file, limit))
    except (ValueError, RecursionError):
        raise FormatError(f"{what} is not JSON") from None
    if not isinstance(found, dict):
        raise FormatError(f"{what} is not a JSON object")
    return found
