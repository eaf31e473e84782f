"""Group commit: whoever asks gets an answer of their own, whatever happens to the others."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.batch import Batcher


class _BadError(Exception):
    """What one request's own answer may be."""


@dataclass
class _Doubling:
    """Answers with the double; a negative request spoils its own answer, 13 spoils its whole batch."""

    batches: list[list[int]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, asked: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(asked))
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        else:
            await asyncio.sleep(0)
        if 13 in asked:
            raise ConnectionError
        return [_BadError(str(one)) if one < 0 else 2 * one for one in asked]


def batcher(process: _Doubling, most: int = 4, window: float = 0) -> Batcher[int, int]:
    return Batcher(process, window=window, most=most)


@given(
    arrivals=st.lists(st.lists(st.integers(-5, 20), min_size=1, max_size=9), min_size=1, max_size=4),
    most=st.integers(1, 6),
    window=st.sampled_from([0, 0.0005]),
)
async def test_each_gets_its_own_answer(arrivals: list[list[int]], most: int, window: float) -> None:
    process = _Doubling()
    batches = batcher(process, most, window)
    tasks: list[tuple[int, asyncio.Task[int]]] = []
    for together in arrivals:
        tasks += [(one, asyncio.create_task(batches.ask(one))) for one in together]
        await asyncio.sleep(0)
    answers = await asyncio.gather(*(task for _, task in tasks), return_exceptions=True)
    assert all(0 < len(batch) <= most for batch in process.batches)
    assert [one for batch in process.batches for one in batch] == [one for one, _ in tasks]
    of_asked = iter(answers)
    for batch in process.batches:
        for one in batch:
            answer = next(of_asked)
            if 13 in batch:
                assert isinstance(answer, ConnectionError)
            elif one < 0:
                assert isinstance(answer, _BadError)
                assert str(answer) == str(one)
            else:
                assert answer == 2 * one


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.booleans())
async def test_whoever_goes_away_disturbs_no_other(leaving: list[bool], while_answered: bool) -> None:  # noqa: FBT001 -- Hypothesis fills it in
    process = _Doubling(gate=asyncio.Event())
    assert process.gate is not None
    batches = batcher(process, most=5)
    tasks = [asyncio.create_task(batches.ask(at)) for at in range(len(leaving))]
    await asyncio.sleep(0)
    if while_answered:
        await process.entered.wait()
    for task, leaves in zip(tasks, leaving, strict=True):
        if leaves:
            task.cancel()
    process.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    for at, (answer, leaves) in enumerate(zip(answers, leaving, strict=True)):
        if leaves:
            assert isinstance(answer, asyncio.CancelledError)
        else:
            assert answer == 2 * at
    # What was asked is done, whether somebody still waits for it or not: it may be logged already.
    assert Counter(one for batch in process.batches for one in batch) == Counter(range(len(leaving)))


async def test_after_a_failure_it_goes_on() -> None:
    batches = batcher(_Doubling())
    for _ in range(3):
        with pytest.raises(ConnectionError):
            await batches.ask(13)
        assert await batches.ask(4) == 8


async def test_those_who_come_while_a_batch_is_answered_make_the_next() -> None:
    process = _Doubling(gate=asyncio.Event())
    assert process.gate is not None
    batches = batcher(process, most=100)
    first = asyncio.create_task(batches.ask(1))
    await process.entered.wait()
    others = [asyncio.create_task(batches.ask(one)) for one in range(20, 60)]
    await asyncio.sleep(0)
    process.gate.set()
    assert await asyncio.gather(first, *others) == [2, *range(40, 120, 2)]
    assert process.batches == [[1], list(range(20, 60))]


async def test_a_full_batch_does_not_wait() -> None:
    process = _Doubling()
    batches = batcher(process, most=3, window=3600)
    tasks = [asyncio.create_task(batches.ask(one)) for one in range(3)]
    assert await asyncio.wait_for(asyncio.gather(*tasks), 5) == [0, 2, 4]
    assert process.batches == [[0, 1, 2]]
