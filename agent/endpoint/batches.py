"""Who asks while the model works is answered together, next; who asks while it rests is answered at once.

Knows texts and a function from texts to answers; no HTTP and no model. For one event loop.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

BATCH_TEXTS = 64
MOST_WAITING = 4096
LONGEST_WAIT_S = 60

T = TypeVar("T")
Batch = list[tuple["_Asked[T]", list[str]]]


class Busy(Exception):
    """Too many texts wait already. Says after how many whole seconds there may be room."""

    def __init__(self, waiting: int, wait_s: int) -> None:
        super().__init__(f"{waiting} texts wait already; try again in {wait_s} s")
        self.wait_s = wait_s


class Gone(Exception):
    """Whoever asked has left before the answer was begun."""


async def stays() -> bool:
    """Of somebody who does not leave."""
    return False


@dataclass(eq=False)
class _Asked(Generic[T]):
    """Texts of one who waits, and how far they got."""

    texts: list[str]
    gone: Callable[[], Awaitable[bool]]
    answer: asyncio.Future[list[T]]
    taken: int = 0
    said: list[T] = field(default_factory=list)


class Batches(Generic[T]):
    """A queue before a function.

    Args:
        predict: an answer for each text; runs in `pool`, one call at a time.
        noted: told (texts, seconds) of each call that ended well.
        most_waiting: texts, those in the function counted; who comes on top of them is sent away.

    Attributes:
        waiting: how many texts wait or are in the function.
    """

    def __init__(
        self,
        predict: Callable[[list[str]], list[T]],
        pool: Executor,
        noted: Callable[[int, float], None] = lambda texts, seconds: None,
        *,
        batch_texts: int = BATCH_TEXTS,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._predict, self._pool, self._noted = predict, pool, noted
        self._batch_texts, self._most_waiting = batch_texts, most_waiting
        self._queue: deque[_Asked[T]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._text_s = 0.0
        self.waiting = 0

    async def ask(self, texts: list[str], gone: Callable[[], Awaitable[bool]] = stays) -> list[T]:
        """The answers about some texts. Raises Busy, Gone, and what the function raises about these texts alone."""
        if self.waiting + len(texts) > self._most_waiting:
            raise Busy(self.waiting, min(LONGEST_WAIT_S, max(1, math.ceil(self.waiting * self._text_s))))
        asked = _Asked[T](texts, gone, asyncio.get_running_loop().create_future())
        self._queue.append(asked)
        self.waiting += len(texts)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await asked.answer

    async def _work(self) -> None:
        """Until nobody waits."""
        try:
            while self._queue:
                if batch := await self._next():
                    await self._answer(batch)
                    self.waiting -= sum(len(part) for _, part in batch)
        finally:
            self._worker = None

    async def _next(self) -> Batch[T]:
        """Those who waited longest. Of one with many texts, some, and they go on behind all others."""
        batch: Batch[T] = []
        room = self._batch_texts
        for _ in range(len(self._queue)):
            if not room:
                break
            asked = self._queue.popleft()
            if asked.answer.done() or await asked.gone():
                self.waiting -= len(asked.texts) - asked.taken
                if not asked.answer.done():
                    asked.answer.set_exception(Gone())
                continue
            part = asked.texts[asked.taken : asked.taken + room]
            asked.taken, room = asked.taken + len(part), room - len(part)
            batch.append((asked, part))
            if asked.taken < len(asked.texts):
                self._queue.append(asked)
        return batch

    async def _answer(self, batch: Batch[T]) -> None:
        texts = [text for _, part in batch for text in part]
        began = time.monotonic()
        try:
            said = await asyncio.get_running_loop().run_in_executor(self._pool, self._predict, texts)
        except Exception as error:
            if len(batch) > 1:  # nobody pays for what another one sent
                for one in batch:
                    await self._answer([one])
            elif not batch[0][0].answer.done():
                batch[0][0].answer.set_exception(error)
            return
        seconds = time.monotonic() - began
        self._text_s = seconds / len(texts)
        self._noted(len(texts), seconds)
        rest = iter(said)
        for asked, part in batch:
            asked.said += [next(rest) for _ in part]
            if len(asked.said) == len(asked.texts) and not asked.answer.done():
                asked.answer.set_result(asked.said)
