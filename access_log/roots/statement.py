"""A root with the proof that the log of roots holds it, for whoever checks labels offline (FORMAT 4.4).

It has the form of a receipt (FORMAT 7), with the 86 bytes of the root in place of the entry.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from access_log.checkpoint import Checkpoint, VerifierKey, open_signed_note
from access_log.errors import VerificationError
from access_log.merkle import leaf_hash, verify_inclusion
from access_log.note import Signature
from access_log.receipt import parse_receipt, write_receipt
from access_log.roots.leaf import SIZE, PrefixRoot


@dataclass(frozen=True, slots=True)
class VerifiedRoot:
    """What a statement proves: the log of roots of this checkpoint holds this root.

    Attributes:
        root: Of one month's labels.
        index: Where it stands in the log of roots.
        checkpoint: Of the log of roots.
        cosigned: The auditors' signatures over it; whoever cosigned derived every root anew.
    """

    root: PrefixRoot
    index: int
    checkpoint: Checkpoint
    cosigned: tuple[Signature, ...]


def write_statement(root: bytes, index: int, proof: Sequence[bytes], note: str) -> str:
    """Write the statement of one root.

    Args:
        root: The leaf, 86 bytes.
        index: Where it stands in the log of roots.
        proof: Its inclusion proof in the tree of the note's checkpoint.
        note: The signed checkpoint of the log of roots, with its cosignatures.

    Raises:
        FormatError: A part is out of its bounds.
    """
    return write_receipt(root, index, proof, note, size=SIZE)


def verify_statement(
    text: str, keys: Sequence[VerifierKey], auditors: Sequence[VerifierKey] = ()
) -> VerifiedRoot:
    """Verify a statement offline.

    Args:
        text: The statement.
        keys: Of the log of roots.
        auditors: Those the caller trusts; if any are named, one of them must have cosigned.

    Raises:
        FormatError: The statement, its root or its note is malformed.
        VerificationError: A signature or the proof does not verify, or no auditor named cosigned.
    """
    stated = parse_receipt(text, size=SIZE)
    checkpoint, signatures = open_signed_note(stated.note, [*keys, *auditors])
    cosigned = tuple(each for each in signatures if each.key in auditors)
    if auditors and not cosigned:
        raise VerificationError("no auditor that was named has cosigned the checkpoint of the log of roots")
    verify_inclusion(stated.index, checkpoint.size, leaf_hash(stated.entry), stated.proof, checkpoint.root)
    return VerifiedRoot(PrefixRoot.decode(stated.entry), stated.index, checkpoint, cosigned)
