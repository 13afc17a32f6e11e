"""Group commit: one thread writes for everybody, and one commit makes durable whatever queued up meanwhile.

A commit waits for the disk, so a hundred callers that each waited for their own would wait a hundred times. What many
callers want alike (reservations, ends of attempts) is written for all of them in a few statements: a lane.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from agent.errors import StoreError
from agent.store import Store
from agent.store.engine import tried

T = TypeVar("T")
Wish = TypeVar("Wish")

LARGEST_GROUP = 1024
LOCKED_OUT = 10  # times that another process may keep the database for the whole of its time-out


@dataclass(frozen=True, slots=True)
class Lane(Generic[Wish, T]):
    """Something that many callers want alike.

    Args:
        write: what writes wishes in one go, all or none of them; an exception as a result is raised to that caller.
        lost: called with a result that nobody waits for any more, from any thread.
    """

    write: Callable[[Connection, Sequence[Wish]], Sequence[T | Exception]]
    lost: Callable[[T], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Waiting(Generic[Wish, T]):
    """One caller of a lane, on its event loop."""

    lane: Lane[Wish, T]
    wish: Wish
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[T]

    def deliver(self, result: T | Exception) -> None:
        """Wake the caller. On its loop."""
        if self.future.cancelled():
            if not isinstance(result, BaseException):
                self.lane.lost(result)
        elif isinstance(result, BaseException):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


@dataclass(frozen=True, slots=True)
class Write(Generic[T]):
    """One writing of its own, and where its caller waits."""

    operation: Callable[[Connection], T]
    future: Future[T]


class GroupCommits:
    """Writes on a thread of its own. Whoever waits learns of it only after it is on disk.

    What raises is rolled back alone; its neighbours are not touched. Where the database itself fails, the whole
    group fails and nothing of it is kept. Within a group the lanes are written first, in the order given here.
    """

    def __init__(self, store: Store, lanes: Sequence[Lane[Any, Any]] = ()) -> None:
        self._store, self._lanes = store, lanes
        self._queue: SimpleQueue[Waiting[Any, Any] | Write[Any] | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def submit(self, operation: Callable[[Connection], T]) -> Future[T]:
        """Queue an operation that is given the open transaction. Raises RuntimeError after `close`."""
        self._check_open()
        write: Write[T] = Write(operation, Future())
        write.future.set_running_or_notify_cancel()  # from here on it is written, whoever stops waiting
        self._queue.put(write)
        return write.future

    def join(self, lane: Lane[Wish, T], wish: Wish) -> asyncio.Future[T]:
        """Queue a wish in a lane, from an event loop. It is written, whoever stops waiting."""
        self._check_open()
        loop = asyncio.get_running_loop()
        waiting = Waiting(lane, wish, loop, loop.create_future())
        self._queue.put(waiting)
        return waiting.future

    def close(self) -> None:
        """Commit what is queued and end the thread. Closing twice is fine."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _check_open(self) -> None:
        if self._closed and threading.current_thread() is not self._thread:
            raise RuntimeError("the ledger is closed")

    def _run(self) -> None:
        closing = False
        while not (closing and self._queue.empty()):
            group = self._next_group()
            closing = closing or None in group
            self._commit([entry for entry in group if entry is not None])

    def _next_group(self) -> list[Waiting[Any, Any] | Write[Any] | None]:
        group = [self._queue.get()]
        while len(group) < LARGEST_GROUP:
            try:
                group.append(self._queue.get_nowait())
            except Empty:
                break
        return group

    def _commit(self, group: list[Waiting[Any, Any] | Write[Any]]) -> None:
        if not group:
            return
        alone = [entry for entry in group if isinstance(entry, Write)]
        waiting = [entry for entry in group if isinstance(entry, Waiting)]
        alike = [(lane, [w for w in waiting if w.lane is lane]) for lane in self._lanes]
        try:
            lined, ended = self._written(alike, alone)
        except BaseException as error:  # whatever it is, those who wait must learn of it
            _wake([(w, error) for w in waiting])
            for write in alone:
                write.future.set_exception(error)
            return
        _wake([pair for found, results in lined for pair in zip(found, results, strict=True)])
        for write, (result, problem) in zip(alone, ended, strict=True):
            if problem is None:
                write.future.set_result(result)
            else:
                write.future.set_exception(problem)

    def _written(
        self, alike: Sequence[tuple[Lane[Any, Any], list[Waiting[Any, Any]]]], alone: Sequence[Write[Any]]
    ) -> tuple[list[tuple[list[Waiting[Any, Any]], list[Any]]], list[tuple[Any, Exception | None]]]:
        """One transaction; tried again where another process holds the database, as what was paid waits for it."""
        for left in reversed(range(LOCKED_OUT)):
            try:
                with self._store.transaction() as tx:
                    lined = [(found, _in_lane(lane, [w.wish for w in found], tx)) for lane, found in alike if found]
                    return lined, [tried(tx, write.operation) for write in alone]
            except StoreError as error:
                if not left or "is locked" not in str(error):
                    raise
        raise AssertionError  # never reached


def _in_lane(lane: Lane[Any, T], wishes: Sequence[Any], tx: Connection) -> list[T | Exception]:
    """All in one go; where that raises, each by itself, so that one that cannot be written fails alone."""
    results, problem = tried(tx, lambda sql: list(lane.write(sql, wishes)))
    if problem is None and results is not None:
        return results
    found: list[T | Exception] = []
    for wish in wishes:
        single, problem = tried(tx, lambda sql, wish=wish: lane.write(sql, [wish])[0])  # type: ignore[misc]
        found.append(problem if problem is not None else single)  # type: ignore[arg-type]
    return found


def _wake(results: Iterable[tuple[Waiting[Any, Any], Any]]) -> None:
    """Tell callers what came of their wishes: one call into each event loop, however many wait there."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Waiting[Any, Any], Any]]] = {}
    for waiting, result in results:
        if waiting.future.cancelled():  # seen here too, as its loop may be busy closing the ledger
            waiting.deliver(result)
        else:
            by_loop.setdefault(waiting.loop, []).append((waiting, result))
    for loop, pairs in by_loop.items():
        with suppress(RuntimeError):  # the loop has ended: nobody waits there any more
            loop.call_soon_threadsafe(_deliver, pairs)


def _deliver(pairs: list[tuple[Waiting[Any, Any], Any]]) -> None:
    for waiting, result in pairs:
        waiting.deliver(result)
