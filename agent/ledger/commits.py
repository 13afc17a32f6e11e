"""Group commit: one thread writes for everybody, and one commit makes durable whatever queued up meanwhile.

A commit waits for the disk, so a hundred callers that each waited for their own would wait a hundred times.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from agent.store import Store

T = TypeVar("T")

LARGEST_GROUP = 256


@dataclass(frozen=True, slots=True)
class Write(Generic[T]):
    """One caller's writing, and where the caller waits."""

    operation: Callable[[Connection], T]
    future: Future[T]


class GroupCommits:
    """Runs operations in order on a thread of its own. A future resolves only after its operation is on disk.

    An operation that raises is rolled back alone; its neighbours are not touched. Where the database itself fails,
    the whole group fails and nothing of it is kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: SimpleQueue[Write[Any] | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def submit(self, operation: Callable[[Connection], T]) -> Future[T]:
        """Queue an operation that is given the open transaction. Raises RuntimeError after `close`."""
        if self._closed and threading.current_thread() is not self._thread:
            raise RuntimeError("the ledger is closed")
        write: Write[T] = Write(operation, Future())
        write.future.set_running_or_notify_cancel()  # from here on it is written, whoever stops waiting
        self._queue.put(write)
        return write.future

    def close(self) -> None:
        """Commit what is queued and end the thread. Closing twice is fine."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        closing = False
        while not (closing and self._queue.empty()):
            group = self._next_group()
            closing = closing or None in group
            self._commit([write for write in group if write is not None])

    def _next_group(self) -> list[Write[Any] | None]:
        group = [self._queue.get()]
        while len(group) < LARGEST_GROUP:
            try:
                group.append(self._queue.get_nowait())
            except Empty:
                break
        return group

    def _commit(self, group: list[Write[Any]]) -> None:
        if not group:
            return
        try:
            with self._store.transaction() as tx:
                ended = [_attempt(write, tx) for write in group]
        except BaseException as error:  # whatever it is, those who wait must learn of it
            for write in group:
                write.future.set_exception(error)
            return
        for write, (result, problem) in zip(group, ended, strict=True):
            if problem is None:
                write.future.set_result(result)
            else:
                write.future.set_exception(problem)


def _attempt(write: Write[Any], tx: Connection) -> tuple[Any, Exception | None]:
    savepoint = tx.begin_nested()
    try:
        result = write.operation(tx)
    except OperationalError:  # disk full, connection lost: the transaction is gone, and the savepoint with it
        raise
    except Exception as problem:
        savepoint.rollback()
        return None, problem
    savepoint.commit()
    return result, None
