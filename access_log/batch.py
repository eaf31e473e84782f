"""Group commit: callers that arrive within a few milliseconds share one transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


class Batcher(Generic[Asked, Answered]):
    """Gathers single requests into batches and hands each its own answer.

    Args:
        process: answers a batch, one answer or exception for each request, in order. What it raises is
            raised to every caller of the batch.
        window: seconds a first request waits for others.
        most: most requests in one batch.
    """

    def __init__(
        self,
        process: Callable[[Sequence[Asked]], Awaitable[Sequence[Answered | Exception]]],
        *,
        window: float,
        most: int,
    ) -> None:
        self._process = process
        self._window = window
        self._most = most
        self._waiting: list[tuple[Asked, asyncio.Future[Answered]]] = []
        self._collecting: asyncio.Task[None] | None = None

    async def ask(self, asked: Asked) -> Answered:
        """Joins the next batch and waits for its own answer; a caller that goes away disturbs no other."""
        answer: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._collecting is None:
            self._collecting = asyncio.create_task(self._collect())
        return await answer

    async def _collect(self) -> None:
        try:
            while self._waiting:
                if len(self._waiting) < self._most:
                    await asyncio.sleep(self._window)
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._answer(batch)
        finally:
            self._collecting = None

    async def _answer(self, batch: Sequence[tuple[Asked, asyncio.Future[Answered]]]) -> None:
        try:
            answers: Sequence[Answered | Exception] = await self._process([asked for asked, _ in batch])
        except Exception as error:  # noqa: BLE001 -- handed to every caller, who must not wait for ever
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.cancelled():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
