"""What several people did at the same time, saved in one commit: a commit waits for the disk."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agent.store import Store
from agent.store.engine import tried

T = TypeVar("T")
Q = TypeVar("Q")
Act = Callable[[], Any]
ForAll = Callable[[Sequence[Any]], Sequence[Any]]
End = tuple[Any, Exception | None]
MOST = 4
"""Acts of one commit. The first of them waits for the last, each of which takes longer than the commit itself: with a
dozen, the slowest twentieth of fifty people's requests took twice as long."""


@dataclass(frozen=True, eq=False)
class _Asked:
    """What somebody waits for: an act of its own, or what is done `for_all` who ask for it, for `what` they ask."""

    act: Act
    for_all: ForAll | None = None
    what: object = None
    end: Future[Any] = field(default_factory=Future)


class Clerk:
    """Does what it is asked for from any thread, in transactions of one job.

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
        self._asked: deque[_Asked] = deque()
        self._at_work = threading.Lock()

    def done(self, act: Callable[[], T]) -> T:
        """Do this, and return once it is on disk. Everything that the act does in the store is one transaction, which
        others may share. Raises what it raises, and StoreError where the database fails."""
        found: T = self._wait_for(_Asked(act))
        return found

    def done_for_all(self, act: Callable[[Sequence[Q]], Sequence[T]], what: Q) -> T:
        """As `done`, for what can be done for several in few statements: it is given what each of those asked for who
        wait for it, and says what came of each."""
        found: T = self._wait_for(_Asked(lambda: act([what])[0], act, what))
        return found

    def _wait_for(self, asked: _Asked) -> Any:
        self._asked.append(asked)
        with self._at_work:
            while not asked.end.done():
                self._commit()
        return asked.end.result()

    def _commit(self) -> None:
        """One commit with what was asked for first, and all that is done for all."""
        waiting = [self._asked.popleft() for _ in range(len(self._asked))]
        alone = [asked for asked in waiting if asked.for_all is None]
        self._asked.extendleft(reversed(alone[MOST:]))
        group = [*alone[:MOST], *(asked for asked in waiting if asked.for_all is not None)]
        try:
            ends = self._ends(group)
        except BaseException as problem:  # whatever it is, those who wait must learn of it
            for asked in group:
                asked.end.set_exception(problem)
            return
        for asked, (result, failed) in zip(group, ends, strict=True):
            if failed is None:
                asked.end.set_result(result)
            else:
                asked.end.set_exception(failed)

    def _ends(self, group: Sequence[_Asked]) -> list[End]:
        """What came of each; what is done for all is done last. They are done without savepoints, which cost two
        statements an act, and once more with them, each alone, where one fails, which is a bug or a full disk."""
        try:
            with self._store.transaction(self._job, few=self._few) as tx, self._store.joined(tx):
                ends = {asked: self._refused_or_done(asked.act) for asked in group if asked.for_all is None}
                for act in dict.fromkeys(asked.for_all for asked in group if asked.for_all is not None):
                    those = [asked for asked in group if asked.for_all == act]
                    ends |= {a: (came, None) for a, came in zip(those, act([a.what for a in those]), strict=True)}
                return [ends[asked] for asked in group]
        except Exception:
            if len(group) == 1:
                raise
            with self._store.transaction(self._job, few=self._few) as tx, self._store.joined(tx):
                return [tried(tx, lambda _, act=asked.act: act()) for asked in group]  # type: ignore[misc]

    def _refused_or_done(self, act: Act) -> End:
        try:
            return act(), None
        except self._refusals as refused:
            return None, refused
