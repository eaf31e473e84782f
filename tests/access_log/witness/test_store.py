"""What a witness remembers: one step under a lock, durable, and never back."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from access_log.errors import WitnessStateError, WitnessUnavailableError
from access_log.note import verify_note
from access_log.signing_keys import CosigningKey
from access_log.verifier_keys import ED25519_COSIGNATURE, VerifierKey
from access_log.witness.protocol import Refusal, Status, origin_hash, parse_submission
from access_log.witness.store import Store
from tests.access_log.simulator import naive_root
from tests.access_log.witness import racing
from tests.access_log.witness.logs import KEY, ORIGIN, OTHER, TRUE, Tree

COSIGNER = CosigningKey.from_seed("witness.example/w1", ED25519_COSIGNATURE, bytes(32))
NOW = 1_800_000_000
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.create(tmp_path / "witness.db")
    made.trust(KEY)
    return made


def cosign(store: Store, old: int, size: int, tree: Tree = TRUE, now: int = NOW) -> Refusal | str:
    return store.cosign(parse_submission(tree.submission(old, size)), [COSIGNER], lambda: now)


def held(store: Store) -> int | None:
    (watched,) = store.watched()
    return None if watched.last is None else watched.last.size


def test_what_was_cosigned_is_remembered(store: Store, tmp_path: Path) -> None:
    assert held(store) is None
    assert store.checkpoint(origin_hash(ORIGIN)) is None
    lines = cosign(store, 0, 3)
    assert isinstance(lines, str)
    note = Store(tmp_path / "witness.db").checkpoint(origin_hash(ORIGIN))
    assert note is not None
    text, signatures = verify_note(note, [KEY, COSIGNER.key])
    assert text == TRUE.checkpoint(3).text()
    assert [(each.key, each.time) for each in signatures] == [(KEY, None), (COSIGNER.key, NOW)]
    assert note.endswith(lines)


def test_a_refusal_changes_nothing(store: Store) -> None:
    cosign(store, 0, 3)
    before = store.checkpoint(origin_hash(ORIGIN))
    for refused in (cosign(store, 2, 5), cosign(store, 3, 5, OTHER), cosign(store, 3, 3, OTHER)):
        assert isinstance(refused, Refusal)
    assert store.checkpoint(origin_hash(ORIGIN)) == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=12))
def test_against_a_model(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[int, int, bool]]
) -> None:
    """A model that knows every leaf: the log only grows, and stays the history that was first seen."""
    store = Store.create(tmp_path_factory.mktemp("witness") / "witness.db")
    store.trust(KEY)
    size, history = 0, None
    for old, new, honest in asked:
        tree = TRUE if honest else OTHER
        good = old == size <= new and (size == 0 or tree is history)
        answer = cosign(store, old, max(old, new), tree) if old <= new else None
        if answer is None:
            continue
        assert isinstance(answer, str) == good
        if good:
            size, history = new, tree if new else history
    assert held(store) in ((None, 0) if size == 0 else (size,))
    store.close()


def test_keys_are_trusted_and_distrusted_while_others_look(store: Store, tmp_path: Path) -> None:
    cosign(store, 0, 3)
    other = Store(tmp_path / "witness.db")
    second = VerifierKey(ORIGIN, KEY.type, bytes(31) + b"\1")
    other.trust(second)
    other.trust(second)
    assert store.keys_of(ORIGIN) == (KEY, second)
    assert other.distrust(KEY)
    assert not other.distrust(KEY)
    other.distrust(second)
    assert store.keys_of(ORIGIN) == ()
    assert held(store) == 3, "a log that is no longer trusted is not forgotten"


def test_times_never_decrease(store: Store) -> None:
    cosign(store, 0, 3)
    lines = cosign(store, 3, 4, now=NOW - 60)
    assert isinstance(lines, str)
    _, (signature,) = verify_note(TRUE.note(4) + lines, [COSIGNER.key])
    assert signature.time == NOW
    with pytest.raises(WitnessUnavailableError, match="clock"):
        cosign(store, 4, 5, now=NOW - 61)
    assert held(store) == 4


def test_what_is_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "witness.db"
    with pytest.raises(WitnessStateError, match="missing"):
        Store(path)
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(WitnessStateError, match="cannot be opened"):
        Store(path)
    path.write_bytes(b"")
    with pytest.raises(WitnessStateError, match="version 0"):
        Store(path)
    with pytest.raises(WitnessStateError, match="never made over another"):
        Store.create(path)


def test_commits_are_synced(store: Store) -> None:
    """Measured at the database itself: what a crash may not take back."""
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def _racers(folder: Path, count: int, rounds: int) -> Sequence[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            [sys.executable, racing.__file__, str(folder), str(number), str(rounds)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]


def _tell(racers: Sequence[subprocess.Popen[str]], what: str) -> None:
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write(what + "\n")
        racer.stdin.flush()


def _hear(racers: Sequence[subprocess.Popen[str]]) -> list[str]:
    said = []
    for racer in racers:
        assert racer.stdout is not None
        said.extend(racer.stdout.readline().split())
    return said


def test_the_rollback_race_between_processes(store: Store, tmp_path: Path) -> None:
    """c2sp.org/tlog-witness, "add-checkpoint": of all continuations of one size exactly one is cosigned."""
    rounds = 40
    racers = _racers(tmp_path, 2, rounds)
    tree: list[bytes] = []
    winners = set()
    for round_ in range(rounds):
        assert _hear(racers) == ["ready"] * len(racers)
        _tell(racers, "go")
        said = _hear(racers)
        assert len(said) == len(racers) * racing.THREADS
        (winner,) = [each for each in said if each != "lost"]
        winners.add(winner)
        tree += racing.added(winner, round_)
        (watched,) = store.watched()
        assert watched.last is not None
        assert (watched.last.size, watched.last.root) == (len(tree), naive_root(tree))
        _tell(racers, winner)
    for racer in racers:
        assert racer.stdin is not None
        assert racer.stdout is not None
        assert racer.wait(20) == 0
        racer.stdin.close()
        racer.stdout.close()
    assert len(winners) > 1, "nobody ever raced"


@pytest.mark.parametrize("step", ["before-commit", "after-commit"])
def test_killed_between_write_and_reply(store: Store, tmp_path: Path, step: str) -> None:
    cosign(store, 0, 3)
    killed = subprocess.run(
        [sys.executable, racing.__file__, str(tmp_path), step],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=30,
    )
    assert killed.returncode == -signal.SIGKILL
    again = Store(tmp_path / "witness.db")
    if step == "before-commit":
        assert held(again) == 3
        assert isinstance(cosign(again, 3, 5), str)
    else:
        # What may have been cosigned binds: the log learns the size and goes on from there.
        assert held(again) == 5
        conflict = cosign(again, 3, 6)
        assert isinstance(conflict, Refusal)
        assert (conflict.status, conflict.size) == (Status.CONFLICT, 5)
        assert isinstance(cosign(again, 5, 6), str)
        assert isinstance(cosign(again, 6, 6, OTHER), Refusal)
