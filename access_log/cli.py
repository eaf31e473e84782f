"""The verifier's command line (FORMAT 10.4)."""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from io import TextIOWrapper
from pathlib import Path
from time import monotonic
from typing import Final, NoReturn, TextIO, TypeAlias

from access_log.checkpoint import MAX_NOTE, Checkpoint, VerifierKey, open_note, parse_keys
from access_log.encoding import to_base64
from access_log.entry import EntryType
from access_log.errors import AccessLogError, FormatError, SourceError, VerificationError
from access_log.payload import JSON, attribute_names, check_opening
from access_log.receipt import MAX_RECEIPT, VerifiedReceipt, verify_receipt
from access_log.sources import Website, source_of
from access_log.verify import verify_log

GOOD: Final = 0
TAMPERED: Final = 1
UNREADABLE: Final = 2

_MAX_KEYS: Final = 64 * 1024
_MAX_OPENING: Final = 1024 * 1024
_CONNECTIONS: Final = 8
_MAX_JOBS: Final = 256
_REDRAW: Final = 0.1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_WORDS: Final = {
    EntryType.QUERY_PERMITTED: "a query that was permitted",
    EntryType.QUERY_REFUSED: "a query that was refused",
    EntryType.CONSENT: "a consent given, changed or withdrawn",
    EntryType.AUTHORIZATION: "a statutory authorization",
    EntryType.RECORD: "a record entered or changed",
    EntryType.RIGHTS: "a right that was exercised",
    EntryType.KEY: "an event about keys",
    EntryType.INSPECTION: "an inspection",
    EntryType.OPERATOR: "an act of the operator",
    EntryType.NOT_RELEASED: "a query that was permitted but never answered",
    EntryType.HEARTBEAT: "a sign of life of the log",
}

_DESCRIPTION: Final = """\
Verify an access log, a receipt or an opening offline. Needs no database and trusts nothing but the
log's key, which you take once from a place you trust.
"""
_EPILOG: Final = """\
examples:
  python -m access_log verify https://vault.example/log --log-key log.key
  python -m access_log verify ./log --log-key vault.example/log/2026+1a2b3c4d+AQID... --json
  python -m access_log check-receipt answer.receipt --log-key log.key
  python -m access_log check-opening answer.receipt answer.opening.json --log-key log.key

exit codes: 0 good, 1 does not verify, 2 wrong usage or something could not be read
"""
_VERIFY_EPILOG: Final = """\
examples:
  python -m access_log verify https://vault.example/log --log-key log.key
  python -m access_log verify ./log --log-key log.key --from-checkpoint last-month.checkpoint
"""

Report: TypeAlias = "tuple[dict[str, JSON], str]"
"""What a command found: the members of its JSON object, and the same in plain words."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # A terminal may lack the letters of a value.
    options = _parser().parse_args(arguments)
    try:
        found, words = options.run(options)
    except SourceError as error:
        return _cannot_tell(options, str(error))
    except AccessLogError as error:
        return _does_not_verify(options, error)
    except KeyboardInterrupt:
        return _cannot_tell(options, "interrupted: nothing was decided, start again")
    _print(json.dumps({"ok": True, **found}) if options.json else words)
    return GOOD


def _does_not_verify(options: argparse.Namespace, error: AccessLogError) -> int:
    index = error.index if isinstance(error, VerificationError) else None
    reason = error.reason if isinstance(error, VerificationError) else str(error)
    if options.json:
        _print(json.dumps({"ok": False, "tampered": True, "index": index, "reason": reason}))
    else:
        _print(f"Does not verify: {_plain(str(error))}.")
    return TAMPERED


def _cannot_tell(options: argparse.Namespace, message: str) -> int:
    if options.json:
        _print(json.dumps({"ok": False, "tampered": False, "index": None, "reason": message}))
    else:
        sys.stderr.write(f"access_log: {_plain(message)}\n")
    return UNREADABLE


# ── Commands ─────────────────────────────────────────────────────────────────────────────────────


def _verify(options: argparse.Namespace) -> Report:
    keys = _keys(options.log_key)
    source = source_of(options.log)
    earlier = None
    if options.from_checkpoint is not None:
        earlier = _earlier(_read(options.from_checkpoint, MAX_NOTE), keys)
    jobs = options.jobs or (_CONNECTIONS if isinstance(source, Website) else 1)
    bar = _Bar(sys.stderr)
    try:
        audit = verify_log(source, keys, earlier=earlier, jobs=jobs, progress=bar.show)
    finally:
        bar.clear()
    checkpoint = audit.checkpoint
    first, last = _iso(audit.first_time), _iso(audit.last_time)
    found: dict[str, JSON] = {
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": to_base64(checkpoint.root),
        "chain": to_base64(audit.chain),
        "first_time": first,
        "last_time": last,
    }
    words = (
        f"Good: all {checkpoint.size:,} entries of {checkpoint.origin} verify.\n"
        "  Each is of the format, none is earlier than the one before, the chain runs through all of them,\n"
        "  and the tree over them has the root that the log signed.\n"
        f"  Root: {found['root']}"
    )
    if first and last:
        words += f"\n  From {first} to {last}."
    if earlier is not None:
        words += f"\n  The {earlier.size:,} entries of the earlier checkpoint are unchanged."
    return found, words


def _earlier(note: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    try:
        return open_note(note, keys)
    except AccessLogError as error:
        raise VerificationError(f"the earlier checkpoint itself does not verify ({error})") from None


def _check_receipt(options: argparse.Namespace) -> Report:
    verified = _verified_receipt(options)
    return _receipt_found(verified), _receipt_words(verified)


def _check_opening(options: argparse.Namespace) -> Report:
    verified = _verified_receipt(options)
    opening = _json(_read(options.opening, _MAX_OPENING))
    opened = check_opening(verified.entry, opening)
    withheld: list[JSON] = [name for name in attribute_names(verified.entry.type) if name not in opened]
    lines = [
        _receipt_words(verified),
        "Good: this is what it says.",
        *(f"  {name}: {_plain(json.dumps(value, ensure_ascii=False))}" for name, value in opened.items()),
    ]
    if withheld:
        lines.append(f"  Withheld from you: {', '.join(map(str, withheld))}.")
    return {**_receipt_found(verified), "opened": opened, "withheld": withheld}, "\n".join(lines)


def _verified_receipt(options: argparse.Namespace) -> VerifiedReceipt:
    keys = _keys(options.log_key)
    try:
        text = _read(options.receipt, MAX_RECEIPT).decode()
    except UnicodeDecodeError:
        raise FormatError("the receipt is not UTF-8") from None
    return verify_receipt(text, keys)


def _receipt_found(verified: VerifiedReceipt) -> dict[str, JSON]:
    return {
        "status": "logged",
        "index": verified.index,
        "type": int(verified.entry.type),
        "type_name": verified.entry.type.name.lower(),
        "time": _iso(verified.entry.time),
        "origin": verified.checkpoint.origin,
        "size": verified.checkpoint.size,
    }


def _receipt_words(verified: VerifiedReceipt) -> str:
    entry, checkpoint = verified.entry, verified.checkpoint
    return (
        f"Good: entry {verified.index:,} is logged in {checkpoint.origin}.\n"
        f"  It records {_WORDS[entry.type]} (type {int(entry.type)}) at {_iso(entry.time)}.\n"
        f"  The log signed that it holds this entry among {checkpoint.size:,}; it cannot take it back unseen."
    )


# ── Input and output ─────────────────────────────────────────────────────────────────────────────


def _keys(named: str) -> tuple[VerifierKey, ...]:
    """Read `--log-key`: a file with keys, or a key itself."""
    try:
        is_file = Path(named).is_file()
    except (OSError, ValueError):  # A key can be too long for a path.
        is_file = False
    if not is_file and "+" not in named:
        raise SourceError("--log-key names no file and is no key of the form name+id+key: give one of them")
    try:
        return parse_keys(_read(named, _MAX_KEYS).decode() if is_file else named)
    except (FormatError, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, FormatError) else "it is not text"
        raise SourceError(
            f"--log-key cannot be used ({reason}): take the log's key from its operator"
        ) from None


def _read(file: str, limit: int) -> bytes:
    try:
        with Path(file).open("rb") as stream:
            data = stream.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such file"
        raise SourceError(f"{file} cannot be read ({reason}): check the path") from None
    if len(data) > limit:
        raise SourceError(f"{file} is longer than {limit:,} bytes: it is not what this command reads")
    return data


def _json(data: bytes) -> dict[str, object]:
    try:
        opening = json.loads(data)
    except (ValueError, RecursionError):
        raise FormatError("the opening is not JSON") from None
    if not isinstance(opening, dict):
        raise FormatError("the opening is not a JSON object")
    return opening


def _iso(time: int | None) -> str | None:
    if time is None:
        return None
    moment = _EPOCH + timedelta(milliseconds=time)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(text: str) -> str:
    """Show what others wrote without letting it steer the terminal."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


class _Bar:
    """Progress on a terminal; silence anywhere else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream if stream.isatty() else None
        self._drawn = -_REDRAW

    def show(self, done: int, of: int) -> None:
        """Draw how many entries are verified, at most ten times a second."""
        now = monotonic()
        if self._stream is None or now - self._drawn < _REDRAW:
            return
        self._drawn = now
        self._stream.write(f"\r{done * 100 // of:3} %  {done:,} of {of:,} entries ")
        self._stream.flush()

    def clear(self) -> None:
        """Leave the line as it was."""
        if self._stream is not None:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


# ── Arguments ────────────────────────────────────────────────────────────────────────────────────


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m access_log",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    verify = _command(commands, "verify", "audit a whole published log", _VERIFY_EPILOG)
    verify.add_argument("log", metavar="DIRECTORY-or-URL", help="the root that holds 'checkpoint' and 'tile'")
    verify.add_argument(
        "--from-checkpoint",
        metavar="FILE",
        help="a checkpoint you kept: also show that nothing it covered was replaced or taken away",
    )
    verify.add_argument(
        "--jobs",
        type=_jobs,
        metavar="N",
        help=f"check N bundles side by side (default: 1 for a directory, {_CONNECTIONS} for a URL)",
    )
    verify.set_defaults(run=_verify)
    receipt = _command(
        commands,
        "check-receipt",
        "check that an entry was logged",
        "example:\n  python -m access_log check-receipt answer.receipt --log-key log.key\n",
    )
    receipt.add_argument("receipt", metavar="RECEIPT", help="the receipt's file")
    receipt.set_defaults(run=_check_receipt)
    opening = _command(
        commands,
        "check-opening",
        "check what a logged entry says",
        "example:\n  python -m access_log check-opening answer.receipt opening.json --log-key log.key\n",
    )
    opening.add_argument("receipt", metavar="RECEIPT", help="the receipt's file")
    opening.add_argument("opening", metavar="OPENING", help="the opening's file, JSON")
    opening.set_defaults(run=_check_opening)
    return parser


def _command(
    commands: "argparse._SubParsersAction[_Parser]", name: str, does: str, epilog: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=does,
        description=does[0].upper() + does[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--log-key", required=True, metavar="KEY", help="the log's verifier key, or a file that holds it"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of words")
    return parser


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_JOBS:
        raise argparse.ArgumentTypeError(f"give a number from 1 to {_MAX_JOBS}")
    return int(text)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong with the command."""
        self.exit(UNREADABLE, f"{self.prog}: {message}; see {self.prog} --help\n")
