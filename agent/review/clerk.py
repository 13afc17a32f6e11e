"""What several people did at the same time, saved in one commit: a commit waits for the disk."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from agent.store import Store
from agent.store.engine import tried

T = TypeVar("T")
Act = Callable[[], Any]
End = tuple[Any, Exception | None]
MOST = 4
"""Acts of one commit. The first of them waits for the last, each of which takes longer than the commit itself: with a
dozen, the slowest twentieth of fifty people's requests took twice as long."""


class Clerk:
    """Does what it is asked for from any thread, in the order of asking, in transactions of one job.

    Whoever finds nobody at work does what all have asked for meanwhile; the others find theirs done when it is their
    turn. What raises is rolled back alone; where the database fails, nothing of that commit is kept.

    Args:
        refusals: what acts raise before they have changed anything, so that there is nothing to roll back.
        few: acts are about few texts each, and so are to be planned (`Store.transaction`).
    """

    def __init__(
        self, store: Store, job: str, refusals: tuple[type[Exception], ...] = (), *, few: bool = True
    ) -> None:
        self._store, self._job, self._refusals, self._few = store, job, refusals, few
        self._asked: deque[tuple[Act, Future[Any]]] = deque()
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
            ends = self._ends([act for act, _ in group])
        except BaseException as problem:  # whatever it is, those who wait must learn of it
            for _, future in group:
                future.set_exception(problem)
            return
        for (_, future), (result, failed) in zip(group, ends, strict=True):
            if failed is None:
                future.set_result(result)
            else:
                future.set_exception(failed)

    def _ends(self, acts: Sequence[Act]) -> list[End]:
        """What came of each act. They are done without savepoints, which cost two statements an act, and once more
        with them where one fails, which is a bug or a full disk."""
        try:
            with self._store.transaction(self._job, few=self._few) as tx, self._store.joined(tx):
                return [self._refused_or_done(act) for act in acts]
        except Exception:
            if len(acts) == 1:
                raise
            with self._store.transaction(self._job, few=self._few) as tx, self._store.joined(tx):
                return [tried(tx, lambda _, act=act: act()) for act in acts]  # type: ignore[misc]

    def _refused_or_done(self, act: Act) -> End:
        try:
            return act(), None
        except self._refusals as refused:
            return None, refused
