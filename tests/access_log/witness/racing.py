"""A witness process of its own, on a memory others use too.

python racing.py <folder> <number> <rounds>   submits continuations of its own, and hears which one won
python racing.py <folder> <step>              kills itself, -9, before or after the commit
"""

import os
import signal
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

from access_log.checkpoint import Checkpoint
from access_log.signing_keys import CosigningKey
from access_log.verifier_keys import ED25519_COSIGNATURE
from access_log.witness.protocol import parse_submission, write_submission
from access_log.witness.store import Store
from tests.access_log.simulator import naive_consistency, naive_root
from tests.access_log.witness.logs import ORIGIN, SIGNER, TRUE

THREADS = 4
COSIGNER = CosigningKey.from_seed("witness.example/w1", ED25519_COSIGNATURE, bytes(32))


def added(tag: str, round_: int) -> list[bytes]:
    """The leaves a racer's thread wants to add in a round: one to four, and nobody else's."""
    count = 1 + int(tag.partition("/")[2])
    return [sha256(f"{tag} {round_} {number}".encode()).digest() for number in range(count)]


def submission(before: list[bytes], new: list[bytes]) -> bytes:
    """A log of some leaves and what is added to it, as a witness is asked about it."""
    tree = before + new
    note = SIGNER.sign(Checkpoint(ORIGIN, len(tree), naive_root(tree)))
    proof = naive_consistency(len(before), tree) if before else []
    return write_submission(len(before), proof, note)


def _race(store: Store, number: str, rounds: int) -> None:
    tags = [f"{number}/{at}" for at in range(THREADS)]
    tree: list[bytes] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for round_ in range(rounds):
            bodies = [submission(tree, added(tag, round_)) for tag in tags]
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            sys.stdin.readline()
            answers = pool.map(
                lambda body: store.cosign(parse_submission(body), [COSIGNER], lambda: 1_800_000_000), bodies
            )
            said = [tag if isinstance(each, str) else "lost" for tag, each in zip(tags, answers, strict=True)]
            sys.stdout.write(" ".join(said) + "\n")
            sys.stdout.flush()
            tree += added(sys.stdin.readline().strip(), round_)


class _Killing(sqlite3.Connection):
    step = ""

    def execute(self, statement: str, *rest: Any) -> sqlite3.Cursor:
        if statement == "COMMIT" and self.step == "before-commit":
            os.kill(os.getpid(), signal.SIGKILL)
        done = super().execute(statement, *rest)
        if statement == "COMMIT" and self.step == "after-commit":
            os.kill(os.getpid(), signal.SIGKILL)
        return done


def _die(folder: Path, step: str) -> None:
    connect = sqlite3.connect
    sqlite3.connect = lambda *given, **named: connect(*given, **named, factory=_Killing)  # type: ignore[assignment]
    store = Store(folder / "witness.db")
    _Killing.step = step
    store.cosign(parse_submission(TRUE.submission(3, 5)), [COSIGNER], lambda: 1_800_000_000)


def main() -> None:
    folder, *rest = sys.argv[1:]
    if len(rest) == 1:
        _die(Path(folder), rest[0])
    else:
        _race(Store(Path(folder) / "witness.db"), rest[0], int(rest[1]))


if __name__ == "__main__":
    main()
