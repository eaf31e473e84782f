"""A log that witnesses are asked about: its trees, its notes, its proofs, all made the naive way."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from access_log.checkpoint import Checkpoint
from access_log.signing_keys import SigningKey
from access_log.verifier_keys import VerifierKey
from access_log.witness.protocol import write_submission
from tests.access_log.simulator import naive_consistency, naive_root

ORIGIN = "vault.example/log/2026"
SIGNER = SigningKey.from_seed(ORIGIN, bytes(range(32)))
KEY = VerifierKey.parse(SIGNER.verifier_key())


def leaves(count: int, history: str = "true") -> list[bytes]:
    """The leaf hashes of one history; another history has others."""
    return [sha256(f"{history} {number}".encode()).digest() for number in range(count)]


@dataclass(frozen=True)
class Tree:
    """One history of the log, of any size."""

    history: str = "true"
    signer: SigningKey = SIGNER

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint(self.signer.name, size, naive_root(leaves(size, self.history)))

    def note(self, size: int) -> str:
        return self.signer.sign(self.checkpoint(size))

    def proof(self, old: int, size: int) -> Sequence[bytes]:
        return naive_consistency(old, leaves(size, self.history)) if 0 < old < size else []

    def submission(self, old: int, size: int) -> bytes:
        return write_submission(old, self.proof(old, size), self.note(size))


TRUE = Tree()
OTHER = Tree("other")
