"""Opening a database and holding transactions on it: what is special about SQLite and PostgreSQL is here.

SQLite before 3.51.3 can lose commits in WAL mode with several connections (https://sqlite.org/wal.html#walresetbug),
so below it the rollback journal is used. Writers in one process take turns on a lock: waiting for SQLite's own lock
is polling, and whoever waits for PostgreSQL's must not hold a connection that the one before may need to read.

SQLite lets one transaction write at a time. PostgreSQL lets many, so there what belongs to one job is written under a
lock on the job's row: what is read in such a transaction holds until it ends, on both.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Select,
    Table,
    create_engine,
    event,
    func,
    insert,
    literal,
    make_url,
    select,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.sql.dml import ReturningInsert

from agent.errors import ExtraMissing, StoreError
from agent.job import without_secrets
from agent.store import tables as t
from agent.store.blanks import JOB
from agent.store.explain import BUSY_TIMEOUT_S, explain

T = TypeVar("T")
WITH_TEXT = 250
"""Rows of a part that brings whole texts along: one may be a megabyte."""

WAL_IS_SAFE = (3, 51, 3)
WRITES = "labelwright_writes"
KEPT_OPEN = 20
"""Connections that stay open once there were so many: to open one takes PostgreSQL longer than what it is for."""

BY_INDEX = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""How PostgreSQL plans a transaction that is about few rows."""

KNOWN_URLS = "known are sqlite:///path/to/file.db and postgresql://user@host/database"


class Database:
    """One database: short transactions, one writer at a time in this process where it is SQLite.

    Safe to use from any thread. Every error that a person can fix is a StoreError that names the database.
    """

    def __init__(self, url: str) -> None:
        self._url = _parse(url)
        self.name = _shown(self._url)
        self._engine = _engine(self._url, self.name)
        self._writer = threading.RLock()
        self._here = _Here()

    @property
    def url(self) -> URL:
        """The address, password included: not to be shown."""
        return self._url

    @property
    def file(self) -> Path | None:
        """The database's file, None where a server has it."""
        return _file(self._url)

    def close(self) -> None:
        """Let go of every connection. Closing twice is fine."""
        self._engine.dispose()

    def check(self) -> None:
        """Look through a whole SQLite file for damage, in 1.3 s for a million attempts; a server does so by itself.

        Raises StoreError where something is broken.
        """
        if self.file is None:
            return
        with self._read(None) as tx:
            said = str(tx.exec_driver_sql("PRAGMA quick_check(1)").scalars().first())
        if said != "ok":
            problem = " ".join(said.replace("*", "").split())
            raise StoreError(f"store {self.name}: the file is damaged ({problem}); restore it from a copy")

    def take_stock(self) -> None:
        """Have PostgreSQL look how many rows there are, before many short transactions: it looks once a minute at
        best, and plans for tables as small as they were then. An empty table is left to be guessed at, which is the
        better guess for one that is about to grow."""
        if self._engine.dialect.name != "postgresql":
            return
        with self.transaction() as tx:
            for table in t.metadata.sorted_tables:
                if tx.execute(select(literal(1)).select_from(table).limit(1)).first() is not None:
                    tx.exec_driver_sql(f"ANALYZE (SKIP_LOCKED) {table.name}")

    @contextmanager
    def transaction(self, job: str | None = None, *, few: bool = False) -> Iterator[Connection]:
        """One write transaction: committed at the end, rolled back if the block raises.

        Give it to other methods as `tx=`. Do not open a second one inside (it would wait for itself); what this
        thread reads meanwhile is read in it. With `job`, nothing of that job is written by anybody else until it
        ends, so that what is read inside holds; with `few` it is about few rows, see `_locking`. Inside of `joined`
        it is that transaction, which ends later. Raises StoreError where the database cannot be written.
        """
        if self._here.joined is not None:
            with self._explained():
                if job is not None:
                    self._lock(self._here.joined, job)
                yield self._here.joined
            return
        if self._here.writing:
            raise RuntimeError("a transaction is already open in this thread: pass it on as tx=")
        with (
            self._writer,
            self._explained(),
            self._engine.connect().execution_options(**{WRITES: True}) as tx,
            tx.begin(),
        ):
            if job is not None:
                self._lock(tx, job, few=few)
            with self._here.all_in(tx, writing=True, locked=job):
                yield tx

    @contextmanager
    def joined(self, tx: Connection) -> Iterator[None]:
        """Everything that this thread does until the end belongs to a transaction that it has opened, also what would
        be a transaction of its own: so the acts of several people become one commit."""
        self._here.joined = tx
        try:
            yield
        finally:
            self._here.joined = None

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Everything that this thread reads until the end is as it was at one moment, and costs one transaction."""
        if self._here.open is not None:
            yield
            return
        with self.snapshot() as tx, self._here.all_in(tx):
            yield

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """One read transaction, in which everything is as it was at its first query."""
        options = {"isolation_level": "REPEATABLE READ"} if self._engine.dialect.name == "postgresql" else {}
        with self._explained(), self._engine.connect().execution_options(**options) as tx, tx.begin():
            yield tx

    @contextmanager
    def _glance(self) -> Iterator[Connection]:
        """For one statement that reads, and nothing more: PostgreSQL needs no transaction around it, which would cost
        two more."""
        if self._here.open is not None or self._engine.dialect.name != "postgresql":
            with self._read(None) as tx:
                yield tx
            return
        with self._explained(), self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as tx:
            yield tx

    def _write(self, tx: Connection | None, job: str | None = None) -> AbstractContextManager[Connection]:
        if tx is None:
            return self.transaction(job, few=True)
        if job is not None:
            self._lock(tx, job)
        return nullcontext(tx)

    def _lock(self, tx: Connection, job: str, *, few: bool = False) -> None:
        """Wait until nobody else writes to a job, and keep it so until the transaction ends."""
        if tx.dialect.name != "postgresql":  # SQLite has locked the whole file by now
            return
        if tx is not self._here.open or job != self._here.locked:
            tx.execute(_locking(few=few), {JOB.key: job})

    def _read(self, tx: Connection | None) -> AbstractContextManager[Connection]:
        found = tx if tx is not None else self._here.open
        return self.snapshot() if found is None else nullcontext(found)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            explain(error, self.name)


class _Here(threading.local):
    """What a thread is in the middle of: the transaction that its queries belong to, and whether it writes."""

    open: Connection | None = None
    joined: Connection | None = None
    writing = False
    locked: str | None = None
    """The job whose lock `open` has, from its beginning: no savepoint that is rolled back gives it up."""

    @contextmanager
    def all_in(self, tx: Connection, *, writing: bool = False, locked: str | None = None) -> Iterator[None]:
        before = self.open, self.writing, self.locked
        self.open, self.writing, self.locked = tx, writing, locked
        try:
            yield
        finally:
            self.open, self.writing, self.locked = before


@cache
def _locking(*, few: bool) -> Select[Any]:
    """Has a job's lock, one that lets others add rows that point at the job, as the ledger does.

    With `few` the transaction finds its rows by indexes. The server would guess how many rows each table has from
    what it was a minute ago, and scan or sort a table that has grown since, again for each statement.
    """
    settings = [func.set_config(name, value, True) for name, value in BY_INDEX.items()] if few else []
    return select(t.jobs.c.name, *settings).where(t.jobs.c.name == JOB).with_for_update(key_share=True)


def file_of(url: str) -> Path | None:
    """The file that a store at an address would have, None where a server has it. Raises StoreError."""
    return _file(_parse(url))


def _file(url: URL) -> Path | None:
    return Path(str(url.database)).resolve() if url.get_backend_name() == "sqlite" else None


def _shown(url: URL) -> str:
    """The address as a message may show it."""
    hidden = {key: "hidden" if "password" in key else value for key, value in url.query.items()}
    return url.set(query=hidden).render_as_string(hide_password=True)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise StoreError(f"store: {without_secrets(url)!r} is not a database URL; {KNOWN_URLS}") from None
    if parsed.get_backend_name() in ("postgresql", "postgres"):  # whatever driver: there is one that we know
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError(f"store: cannot keep state in {parsed.get_backend_name()!r}; {KNOWN_URLS}")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StoreError("store: a store in memory would be lost with the process; give it a file: sqlite:///jobs.db")
    return parsed


def _engine(url: URL, name: str) -> Engine:
    if url.get_backend_name() == "postgresql":
        return _postgresql(url, name)
    _check_folder(Path(str(url.database)))
    try:
        engine = create_engine(url, pool_size=KEPT_OPEN)
    except (ArgumentError, NoSuchModuleError) as error:
        raise StoreError(f"store {name}: {error}; {KNOWN_URLS}") from None
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql(url: URL, name: str) -> Engine:
    ours = {"client_encoding": "utf8", "fallback_application_name": "labelwright", "connect_timeout": 10}
    extra = {key: value for key, value in ours.items() if key not in url.query}
    try:
        # whatever the server's default is, a statement sees what was committed before it began
        engine = create_engine(
            url,
            pool_size=KEPT_OPEN,
            pool_use_lifo=True,  # a connection that was just used has its statements planned
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
            connect_args=extra,
        )
    except ImportError:  # also where psycopg finds no libpq
        raise ExtraMissing(
            f"store {name}: the driver for PostgreSQL is not installed: pip install 'labelwright[postgres]'"
        ) from None
    except (ArgumentError, NoSuchModuleError) as error:
        raise StoreError(f"store {name}: {error}; {KNOWN_URLS}") from None
    event.listen(engine, "connect", _set_up_postgresql)
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


def _set_up_postgresql(connection: Any, _record: Any) -> None:
    """A commit is on disk when it returns, also where the server was told to be quick about it."""
    _connections.add(connection)
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false) "
        "WHERE current_setting('synchronous_commit') IN ('off', 'local')"
    )
    connection.commit()


_connections: weakref.WeakSet[Any] = weakref.WeakSet()


def let_go_in_child(connection: Any) -> None:
    """In a forked child: a socket that it shares would keep the dead parent's locks on the server."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, connection.fileno())
    os.close(nothing)


def _let_go_of_all() -> None:
    for connection in _connections:
        if not connection.closed:
            let_go_in_child(connection)


os.register_at_fork(after_in_child=_let_go_of_all)


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its lock at once: upgrading a read lock later can fail at once, without waiting.
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def tried(tx: Connection, operation: Callable[[Connection], T]) -> tuple[T | None, Exception | None]:
    """What an operation came to, or what it raised: that is rolled back alone. Raises where the database fails."""
    savepoint = tx.begin_nested()
    try:
        result = operation(tx)
    except OperationalError:  # disk full, connection lost: the transaction is gone, and the savepoint with it
        raise
    except Exception as problem:
        savepoint.rollback()
        return None, problem
    savepoint.commit()
    return result, None


def append(tx: Connection, table: Table, row: Mapping[str, Any]) -> int:
    """Insert one row into a table with a numbered key; returns its number."""
    return append_all(tx, table, [row])[0]


def append_all(tx: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Insert rows into a table with a numbered key, in few statements; returns their numbers in the same order."""
    return list(tx.execute(_numbering(table), list(rows)).scalars()) if rows else []


@cache
def _numbering(table: Table) -> ReturningInsert[Any]:
    return insert(table).returning(table.c.id, sort_by_parameter_order=True)


def in_parts(values: Iterable[T], size: int = 1000) -> Iterator[list[T]]:
    """Lists of at most `size` values: databases limit how many a statement takes."""
    todo = list(values)
    for start in range(0, len(todo), size):
        yield todo[start : start + size]
