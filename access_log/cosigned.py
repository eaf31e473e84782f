"""The checkpoint of a log that satisfies a policy, and who cosigned it (FORMAT 8.1; 10.1, step 8).

A log shows two checkpoints: the newest, and the newest that was witnessed, which may be behind it. What a
verifier needs is that the second satisfies its own policy and is of the tree it audits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from access_log.checkpoint import MAX_NOTE, VerifierKey, open_signed_note
from access_log.contradiction import Signed
from access_log.errors import AccessLogError, VerificationError
from access_log.note import Signature
from access_log.policy import Policy, open_under_policy
from access_log.sources import Source

WITNESSED: Final = "witnessed"
"""Where a log shows its newest witnessed checkpoint, below its root (FORMAT 6)."""


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A witness of a policy that cosigned.

    Attributes:
        name: Its name in the policy.
        time: When, in POSIX seconds; 0 if it does not say.
    """

    name: str
    time: int


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A checkpoint that satisfies a policy.

    Attributes:
        signed: The checkpoint, with its note.
        by: The witnesses of the policy that cosigned it, in the policy's order.
    """

    signed: Signed
    by: tuple[Cosigner, ...]


def cosigners(policy: Policy, signatures: Sequence[Signature]) -> tuple[Cosigner, ...]:
    """The witnesses of a policy among those whose signatures were verified."""
    times = {each.key: each.time for each in signatures}
    return tuple(
        Cosigner(each.name.decode(errors="backslashreplace"), times[each.key] or 0)
        for each in policy.witnesses.values()
        if each.key in times
    )


def read_witnessed(source: Source) -> bytes | None:
    """What a log shows as its witnessed checkpoint, not verified; None if it shows none.

    Read it before `checkpoint`: a log grows meanwhile, and the one read later must not be behind.

    Raises:
        SourceError: The log cannot be read.
    """
    return source.read(WITNESSED, MAX_NOTE)


def require_witnessed(
    policy: Policy, log_keys: Sequence[VerifierKey], newest: Signed, note: bytes | None
) -> Witnessed | None:
    """Find the checkpoint of a log that satisfies a policy: the newest itself, or the witnessed one.

    That the witnessed one is of the same tree is left to the audit, which is to be held to it as to an
    earlier checkpoint.

    Args:
        policy: Whose cosignatures are asked for.
        log_keys: The log's keys that the caller trusts.
        newest: The log's checkpoint.
        note: What `read_witnessed` read before it.

    Returns:
        The checkpoint; None where the policy asks for no cosignature.

    Raises:
        VerificationError: Neither satisfies the policy, a signature of a key that is known does not verify,
            or the witnessed one is another log's.
    """
    if policy.quorum is None:
        return None
    known = list(dict.fromkeys((*log_keys, *policy.witness_keys)))
    _, signatures = open_signed_note(newest.note, known)
    lacking = policy.shortfall(newest.checkpoint.origin, signatures)
    if lacking is None:
        return Witnessed(newest, cosigners(policy, signatures))
    if note is None:
        raise VerificationError(
            f"the log is not witnessed as the policy asks: its checkpoint does not satisfy it ({lacking}), "
            f"and there is no '{WITNESSED}' beside it"
        )
    try:
        checkpoint, signatures = open_under_policy(note, policy, log_keys)
    except AccessLogError as error:
        raise VerificationError(
            f"the log is not witnessed as the policy asks: its '{WITNESSED}': {error}"
        ) from None
    if checkpoint.origin != newest.checkpoint.origin:
        raise VerificationError(f"the '{WITNESSED}' of the log is another log's checkpoint")
    return Witnessed(Signed(checkpoint, note.decode()), cosigners(policy, signatures))
