"""The tamper campaign on published logs: ten thousand random alterations, each of them found.

Set `TAMPER_SEED` to repeat a run; the seed and the counts are printed.
"""

import os
import secrets
from collections import Counter
from random import Random

import pytest

from access_log.checkpoint import open_note
from access_log.contradiction import ContradictionError, Signed
from access_log.errors import AccessLogError, FormatError, SourceError, VerificationError
from access_log.verify import verify_log
from tests.access_log.simulator import KEYS, Memory
from tests.tamper.alterations import ALTERATIONS, GOOD, NOTES, SIZES, Alteration, Altered

LEAST = 10_000


def seed() -> int:
    return int(os.environ.get("TAMPER_SEED") or secrets.randbelow(2**32))


def require_good() -> None:
    """Every log of the campaign verifies as it is, alone and against its own checkpoint."""
    for size in SIZES:
        known = Signed(open_note(NOTES[size], KEYS), NOTES[size])
        assert verify_log(Memory(dict(GOOD[size])), KEYS, earlier=[known]).checkpoint.size == size


def finding(altered: Altered) -> AccessLogError | None:
    """What the verifier says of an altered log; None if it says nothing."""
    known = [] if altered.known is None else [Signed(open_note(altered.known, KEYS), altered.known)]
    if known:  # Without what was kept nothing is wrong: the key itself signed it.
        verify_log(altered.log, KEYS)
    try:
        verify_log(altered.log, KEYS, earlier=known)
    except AccessLogError as error:
        return error
    return None


def require_found(alteration: Alteration, random: Random) -> None:
    altered = alteration(random, random.choice(SIZES))
    error = finding(altered)
    assert isinstance(error, VerificationError | FormatError), error
    assert not isinstance(error, SourceError)
    if altered.known is not None:
        assert isinstance(error, ContradictionError)
    if altered.index is not None:
        assert isinstance(error, VerificationError)
        assert error.index == altered.index, error


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_alterations_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    start = seed()
    with capsys.disabled():
        print(f"\ntamper campaign on published logs, TAMPER_SEED={start}")
    require_good()
    found: Counter[str] = Counter()
    for name, (alteration, times) in ALTERATIONS.items():
        random = Random(f"{start} {name}")
        for number in range(times):
            try:
                require_found(alteration, random)
            except AssertionError as error:
                raise AssertionError(f"{name}, number {number}, TAMPER_SEED={start}: {error}") from error
            found[name] += 1
    require_good()
    with capsys.disabled():
        for name, count in found.items():
            print(f"  {count:5} {name}")
        print(f"  {found.total():5} alterations, each found")
    assert found == {name: times for name, (_, times) in ALTERATIONS.items()}
    assert found.total() >= LEAST


@pytest.mark.parametrize("name", ALTERATIONS)
def test_a_few_of_each_are_found(name: str) -> None:
    require_good()
    random = Random(name)
    for _ in range(3):
        require_found(ALTERATIONS[name][0], random)
