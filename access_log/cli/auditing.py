"""`audit-roots` and `auditor-key`: derive the roots of all months anew, and cosign them."""

import argparse
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

from access_log.checkpoint import VerifierKey
from access_log.cli import reading, writing
from access_log.cli.output import Report, progress
from access_log.cli.parsing import Command, Parser, log_key, log_source
from access_log.encoding import to_base64
from access_log.errors import FormatError, SourceError, WitnessStateError
from access_log.payload import JSON
from access_log.roots.audit import RootsAudit, Seen, audit_roots
from access_log.roots.key_history import followed
from access_log.roots.state import MAX_STATE, read_state, write_state
from access_log.signing_keys import CosigningKey
from access_log.sources import Source
from access_log.verifier_keys import COSIGNATURE_TYPES, ED25519_COSIGNATURE, ML_DSA_44
from access_log.web import TIMEOUT, Website
from access_log.witness.keys import make_key_file, read_key_file

_ROOTS: Final = reading.ROOTS
_URL: Final = "https://vault.example/log"
_KINDS: Final = {"both": COSIGNATURE_TYPES, "ed25519": (ED25519_COSIGNATURE,), "ml-dsa-44": (ML_DSA_44,)}


def _arguments(parser: Parser) -> None:
    log_source(parser)
    log_key(parser)
    parser.add_argument(
        "--roots-key",
        required=True,
        metavar="KEY",
        help="a verifier key of the log of roots, or a file that holds it",
    )
    parser.add_argument(
        "--auditor-key", metavar="FILE", help="cosign what was found good with the keys of this file"
    )
    parser.add_argument(
        "--cosigned",
        metavar="FILE",
        help="write the cosigned checkpoint here, to be delivered or published",
    )
    parser.add_argument(
        "--deliver", action="store_true", help="send the cosignature to the address of the log"
    )
    parser.add_argument(
        "--state",
        metavar="FILE",
        help="go on from where the last good run with this file ended, and note where this one does; "
        "keep the file where nobody else can write it",
    )


def _run(options: argparse.Namespace) -> Report:
    log_keys, log = reading.keys(options.log_key), reading.source(options)
    cosigners = _cosigners(options, log)
    roots = reading.roots_of(log)
    # Whoever trusts a former key is led to the one in force; a state file may be older than it, too.
    succession = followed(roots, reading.keys(options.roots_key, "--roots-key"))
    known = tuple(dict.fromkeys(key for period in succession.periods for key in period.keys))
    before = None if options.state is None else _before(options.state, log_keys, known)
    with progress() as show:
        audit = audit_roots(
            log,
            roots,
            log_keys=log_keys,
            roots_keys=succession.keys,
            before=before,
            reached=_keeping(options.state, before),
            progress=show,
        )
    # What was seen is kept before it is cosigned: whoever cosigned remembers it.
    if options.state is not None:
        writing.replace(options.state, write_state(audit.seen), private=True)
    cosigned = _cosigned(audit, cosigners)
    if options.cosigned is not None:
        writing.replace(options.cosigned, cosigned)
    if options.deliver and isinstance(log, Website):
        _deliver(log, cosigned)
    return _report(audit, cosigners, delivered=options.deliver)


def _cosigners(options: argparse.Namespace, log: Source) -> list[CosigningKey]:
    if options.auditor_key is None:
        if options.deliver or options.cosigned is not None:
            raise SourceError("only a cosignature can be delivered or written: give --auditor-key FILE too")
        return []
    if options.deliver and not isinstance(log, Website):
        raise SourceError("--deliver needs the address of the log: name it by its URL, or use --cosigned")
    if not options.deliver and options.cosigned is None:
        raise SourceError("say where the cosignature goes: --cosigned FILE, --deliver, or both")
    try:
        return read_key_file(Path(options.auditor_key))
    except WitnessStateError as error:
        raise SourceError(str(error)) from None


def _before(file: str, log_keys: tuple[VerifierKey, ...], roots_keys: tuple[VerifierKey, ...]) -> Seen | None:
    """Where the last run with this file ended; None if there was none."""
    return reading.state(file, MAX_STATE, lambda text: read_state(text, log_keys, roots_keys))


def _keeping(file: str | None, before: Seen | None) -> Callable[[Seen], None]:
    """Notes each month that is behind the audit, so that an interrupted one goes on from there.

    Nothing is believed for it: the tree over all entries must still have the signed root in the end.
    """

    def reached(seen: Seen) -> None:
        further = before is None or seen.milestone.index > before.log.checkpoint.size
        if file is not None and further:
            writing.replace(file, write_state(seen), private=True)

    return reached


def _cosigned(audit: RootsAudit, cosigners: list[CosigningKey]) -> str:
    """The checkpoint as it was read, with our lines behind it."""
    now = int(time.time())
    signed = audit.seen.roots
    return signed.note + "".join(key.line(signed.checkpoint, now) for key in cosigners)


def _deliver(log: Website, cosigned: str) -> None:
    address = f"{log.url.rstrip('/')}/{_ROOTS}/cosignature"
    request = urllib.request.Request(  # noqa: S310 - the address was checked when the source was made
        address, cosigned.encode(), {"Content-Type": "text/plain; charset=utf-8"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT):  # noqa: S310 - the same
            return
    except urllib.error.HTTPError as error:
        error.close()
        raise SourceError(
            f"{address} answered {error.code}: the vault must know your verifier key "
            "(CREDITVAULT_AUDITOR_KEYS); the audit itself found everything good"
        ) from None
    except OSError:
        raise SourceError(f"{address} cannot be reached: check the network, then deliver again") from None


def _report(audit: RootsAudit, cosigners: list[CosigningKey], *, delivered: bool) -> Report:
    roots, log = audit.seen.roots.checkpoint, audit.seen.log.checkpoint
    found: dict[str, JSON] = {
        "origin": roots.origin,
        "size": roots.size,
        "root": to_base64(roots.root),
        "months": audit.months,
        "covered": audit.covered,
        "log_size": log.size,
        "begun_at": audit.begun_at,
        "cosigned_by": [str(key.key) for key in cosigners],
        "delivered": delivered,
    }
    words = (
        f"Good: all {roots.size:,} roots of {roots.origin} are those of the labels in the log.\n"
        f"  {audit.months:,} months have their final root; the newest root covers {audit.covered:,} of the "
        f"log's {log.size:,} entries."
    )
    if audit.begun_at:
        words += f"\n  Entries before {audit.begun_at:,} were audited earlier and are unchanged."
    for key in cosigners:
        words += f"\n  Cosigned by {key.name}{' and delivered' if delivered else ''}."
    return Report(found, words)


# ── Keys ─────────────────────────────────────────────────────────────────────────────────────────


def _key_arguments(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="the file to make, readable by you alone")
    parser.add_argument(
        "--name", required=True, help="the auditor's own name, for example inspectorate.example/auditor"
    )
    parser.add_argument(
        "--kind", choices=tuple(_KINDS), default="both", help="which keys to make (default: %(default)s)"
    )


def _make_key(options: argparse.Namespace) -> Report:
    try:
        keys = make_key_file(Path(options.file), options.name, _KINDS[options.kind])
    except (FormatError, WitnessStateError) as error:
        raise SourceError(str(error)) from None
    public: list[JSON] = [key.verifier_key() for key in keys]
    lines = "\n".join(f"  {each}" for each in public)
    return Report(
        {"file": options.file, "keys": public},
        f"Made {options.file}. Its verifier keys, for the vault and whoever trusts you:\n{lines}",
    )


COMMANDS: Final = (
    Command(
        name="audit-roots",
        does="derive the roots of every month's labels anew, and cosign them",
        examples=(
            "audit-roots ./log --log-key log.key --roots-key roots.key",
            f"audit-roots {_URL} --log-key log.key --roots-key roots.key --auditor-key auditor.key --deliver",
            "audit-roots ./log --log-key log.key --roots-key roots.key --state auditor.state",
        ),
        arguments=_arguments,
        run=_run,
    ),
    Command(
        name="auditor-key",
        does="make an auditor's key",
        examples=("auditor-key auditor.key --name inspectorate.example/auditor",),
        arguments=_key_arguments,
        run=_make_key,
    ),
)
