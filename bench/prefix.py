"""The prefix tree of one month: memory, an update of 1,000 labels, and proofs.

python -m bench.prefix [--labels N]

It runs in a process of its own, so that what is measured is the tree's memory and nobody else's.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from hashlib import sha256
from statistics import median

import psutil

from access_log.prefix import verify_inclusion
from access_log.prefix_tree import PrefixTree

_UPDATE = 1_000
_PROOFS = 2_000


@dataclass(frozen=True)
class PrefixFigures:
    """Of a tree of so many labels: MB, seconds, milliseconds and bytes."""

    labels: int
    memory: float
    build: float
    update: float
    prove: float
    verify: float
    size: float


def measure(labels: int = 1_000_000) -> PrefixFigures:
    """Measures in a fresh process."""
    ran = subprocess.run(
        [sys.executable, "-m", "bench.prefix", "--labels", str(labels)],
        check=True,
        capture_output=True,
        text=True,
    )
    return PrefixFigures(**json.loads(ran.stdout))


def _measure(labels: int) -> PrefixFigures:
    before = _memory()
    tree = PrefixTree()
    started = time.perf_counter()
    for index in range(labels):
        tree.add(_label(index), index.to_bytes(8, "big") + _label(~index))
    root = tree.root()
    build, memory = time.perf_counter() - started, _memory() - before
    updates = []
    for first in range(labels, labels + 10 * _UPDATE, _UPDATE):
        batch = [
            (_label(index), index.to_bytes(8, "big") + bytes(32)) for index in range(first, first + _UPDATE)
        ]
        started = time.perf_counter()
        tree.extend(batch)
        root = tree.root()
        updates.append(time.perf_counter() - started)
    asked = [_label(index * labels // _PROOFS) for index in range(_PROOFS)]
    started = time.perf_counter()
    proofs = [tree.prove(label).encode() for label in asked]
    prove = time.perf_counter() - started
    started = time.perf_counter()
    for label, proof in zip(asked, proofs, strict=True):
        verify_inclusion(label, proof, root)
    verify = time.perf_counter() - started
    return PrefixFigures(
        labels=labels,
        memory=memory,
        build=build,
        update=median(updates) * 1000,
        prove=prove / _PROOFS * 1000,
        verify=verify / _PROOFS * 1000,
        size=sum(map(len, proofs)) / _PROOFS,
    )


def _label(number: int) -> bytes:
    return sha256(number.to_bytes(8, "big", signed=True)).digest()


def _memory() -> float:
    """What this process holds now, in MB: the most it ever held would count what its parent held."""
    return float(psutil.Process().memory_info().rss) / 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.prefix", description=__doc__)
    parser.add_argument("--labels", type=int, default=1_000_000, help="labels in the tree (default 1000000)")
    print(json.dumps(asdict(_measure(parser.parse_args().labels))))
