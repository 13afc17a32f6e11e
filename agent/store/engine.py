"""Opening a database and holding transactions on it: what is special about SQLite, and what errors mean, is here.

SQLite before 3.51.3 can lose commits in WAL mode with several connections (https://sqlite.org/wal.html#walresetbug),
so below it the rollback journal is used. Writers in one process take turns on a lock, as waiting for SQLite's own
lock is polling.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from sqlalchemy import URL, Connection, Engine, Insert, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, NoSuchModuleError, OperationalError

from agent.errors import StoreError

T = TypeVar("T")

WAL_IS_SAFE = (3, 51, 3)
BUSY_TIMEOUT_S = 30
WRITES = "labelwright_writes"

KNOWN_URLS = "known are sqlite:///path/to/file.db and postgresql+psycopg://user@host/database"


class Database:
    """One database: short transactions, one writer at a time in this process where it is SQLite.

    Safe to use from any thread. Every error that a person can fix is a StoreError that names the database.
    """

    def __init__(self, url: str) -> None:
        self._url = _parse(url)
        self.name = self._url.render_as_string(hide_password=True)
        self._engine = _engine(self._url, self.name)
        self._writer = threading.RLock() if self._url.get_backend_name() == "sqlite" else None
        self._writing = threading.local()

    def close(self) -> None:
        """Let go of every connection. Closing twice is fine."""
        self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One write transaction: committed at the end, rolled back if the block raises.

        Give it to other methods as `tx=`. Do not open a second one inside (it would wait for itself).
        Raises StoreError where the database cannot be written.
        """
        if getattr(self._writing, "now", False):
            raise RuntimeError("a transaction is already open in this thread: pass it on as tx=")
        with self._writer or nullcontext():
            self._writing.now = True
            try:
                with self._explained(), self._engine.connect().execution_options(**{WRITES: True}) as tx, tx.begin():
                    yield tx
            finally:
                self._writing.now = False

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        with self._explained(), self._engine.connect() as tx, tx.begin():
            yield tx

    def _write(self, tx: Connection | None) -> AbstractContextManager[Connection]:
        return self.transaction() if tx is None else nullcontext(tx)

    def _read(self, tx: Connection | None) -> AbstractContextManager[Connection]:
        return self._snapshot() if tx is None else nullcontext(tx)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            explain(error, self.name)


def explain(error: DatabaseError, name: str) -> NoReturn:
    """Raise what a person can fix as StoreError, and a bug (a wrong statement, a broken constraint) as it is."""
    said = str(error.orig)
    if isinstance(error.orig, sqlite3.Error):
        ours = type(error.orig) is sqlite3.DatabaseError or _is_about_the_file(said)
    else:
        ours = isinstance(error, OperationalError)
    if isinstance(error, IntegrityError) or not ours:
        raise error
    hint = next((h for words, h in HINTS.items() if words in said), "")
    raise StoreError(f"store {name}: {said.strip()}{hint}") from error


HINTS = {
    "is locked": f" for more than {BUSY_TIMEOUT_S} s: another process is writing to it; wait for it, or end it",
    "readonly database": ": the file or its folder is not writable; change that, or give another `output` or `store`",
    "unable to open database": ": its folder is not writable; change that, or give another `output` or `store`",
    "not a database": ": give another `output` or `store`, or move that file away",
    "image is malformed": ": the file is damaged; restore it from a copy",
    "disk is full": ": make room, then run the job again: it goes on where it was",
}


def _is_about_the_file(said: str) -> bool:
    return "disk I/O error" in said or any(words in said for words in HINTS)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError(f"store: {url!r} is not a database URL; {KNOWN_URLS}") from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError(f"store: cannot keep state in {parsed.get_backend_name()!r}; {KNOWN_URLS}")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StoreError("store: a store in memory would be lost with the process; give it a file: sqlite:///jobs.db")
    return parsed


def _engine(url: URL, name: str) -> Engine:
    if url.get_backend_name() == "sqlite":
        _check_folder(Path(str(url.database)))
    try:
        engine = create_engine(url, pool_pre_ping=url.get_backend_name() != "sqlite")
    except ModuleNotFoundError as error:
        raise StoreError(f"store {name}: needs the package {error.name}: pip install {error.name}") from None
    except (ArgumentError, NoSuchModuleError) as error:
        raise StoreError(f"store {name}: {error}; {KNOWN_URLS}") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _check_folder(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"store {file}: cannot make its folder: {error.strerror}; give another `output`") from None
    # SQLite needs the folder too, for its journal
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise StoreError(f"store {file}: the folder {file.parent} is not writable; give another `output` or `store`")
    if file.is_dir():
        raise StoreError(f"store {file}: is a folder; name a file in it")


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: _begin_sqlite says what and when
    journal = "WAL" if sqlite3.sqlite_version_info >= WAL_IS_SAFE else "TRUNCATE"
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_S * 1000}",
        f"journal_mode = {journal}",
        "synchronous = FULL",
        "foreign_keys = ON",
        "cache_spill = OFF",  # a large open transaction must not shut out readers before it commits
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its lock at once: upgrading a read lock later can fail at once, without waiting.
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def append(tx: Connection, made: Insert) -> int:
    """Insert one row into a table with a numbered key; returns its number."""
    key = tx.execute(made).inserted_primary_key
    assert key is not None  # such a table always has one
    return int(key[0])


def in_parts(values: Iterable[T], size: int = 1000) -> Iterator[list[T]]:
    """Lists of at most `size` values: databases limit how many a statement takes."""
    todo = list(values)
    for start in range(0, len(todo), size):
        yield todo[start : start + size]
