"""What several people did at the same time, saved in one commit: a commit waits for the disk."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from agent.store import Store
from agent.store.engine import tried

T = TypeVar("T")
MOST = 64
"""Acts of one commit: the first of them waits for the last."""


class Clerk:
    """Does what it is asked for from any thread, in the order of asking, in transactions of one job.

    Whoever finds nobody at work does what all have asked for meanwhile; the others find theirs done when it is their
    turn. What raises is rolled back alone; where the database fails, nothing of that commit is kept.
    """

    def __init__(self, store: Store, job: str) -> None:
        self._store, self._job = store, job
        self._asked: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._at_work = threading.Lock()

    def done(self, act: Callable[[], T]) -> T:
        """Do this, and return once it is on disk. Everything that the act does in the store is one transaction, which
        others may share. Raises what it raises, and StoreError where the database fails."""
        future: Future[T] = Future()
        self._asked.append((act, future))
        with self._at_work:
            while not future.done():
                self._commit()
        return future.result()

    def _commit(self) -> None:
        """One commit with what was asked for first."""
        group = [self._asked.popleft() for _ in range(min(MOST, len(self._asked)))]
        try:
            with self._store.transaction(self._job) as tx, self._store.joined(tx):
                ends = [tried(tx, lambda _, act=act: act()) for act, _ in group]  # type: ignore[misc]
        except BaseException as problem:  # whatever it is, those who wait must learn of it
            for _, future in group:
                future.set_exception(problem)
            return
        for (_, future), (result, failed) in zip(group, ends, strict=True):
            if failed is None:
                future.set_result(result)
            else:
                future.set_exception(failed)
