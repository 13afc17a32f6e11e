"""Locks that end with whoever holds them, however that comes: on a file, and on a job in a store.

SQLite's job lock is on a file beside the database (`labelwright.db.JOB.lock`), PostgreSQL's is an advisory lock of a
connection that stays open as long as the job is owned.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from sqlalchemy import NullPool, column, create_engine, func, select, table, text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from agent.errors import JobLocked, StoreError
from agent.store.engine import Database, let_go_in_child
from agent.store.explain import explain

NAME_BYTES = 63  # of an application's name, as PostgreSQL keeps it
PATIENCE = "500ms"
LOCK_NOT_AVAILABLE = "55P03"
# Without these a machine that lost its power would hold its lock for two hours
NOTICED = {"tcp_keepalives_idle": "15", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
NEVER = {"idle_session_timeout": "0", "statement_timeout": "0"}


class FileLock:
    """A lock on a file. Held from `FileLock(path, ...)` until `close` or the end of the process.

    Args:
        path: the file, made where missing; its folder too.
        owned: what is owned, for "another run owns ...".
        way_out: what a person can do about it.

    Raises JobLocked at once, naming pid and host, where it is held; StoreError where the file cannot be written.
    """

    def __init__(self, path: Path, owned: str, way_out: str) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreError(f"{path}: cannot be written ({error.strerror}); change that, or {way_out}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = self._holder()
            os.close(self._file)
            if not isinstance(error, BlockingIOError):
                raise StoreError(f"{path}: cannot be locked ({error.strerror}); {way_out}") from None
            raise JobLocked(f"{path}: another run owns {owned}: {holder}; wait for it, or end it") from None
        _files.add(self._file)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        said = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, said.encode(), 0)
        except OSError as error:  # a full disk
            self.close()
            raise StoreError(f"{path}: cannot be written ({error.strerror}); make room, or {way_out}") from None

    def close(self) -> None:
        """Let go. The file stays: removing it would let two runs hold one name. Closing twice is fine."""
        if self._file in _files:
            _files.discard(self._file)
            with suppress(OSError):  # a disk that has become read-only
                os.ftruncate(self._file, 0)
            os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _holder(self) -> str:
        try:
            said = json.loads(os.pread(self._file, 4096, 0))
            return f"pid {said['pid']} on host {said['host']}, since {said['since']}"
        except (ValueError, KeyError, TypeError):
            return "it has not said who it is"


class JobLock:
    """One job of a store is one run's, whatever folder it writes to. Held until `close` or the end of the process.

    Raises JobLocked at once, naming pid and host, where another run holds it; StoreError.
    """

    def __init__(self, store: Database, job: str) -> None:
        self._close: Callable[[], None]
        if store.file is not None:
            path = store.file.with_name(f"{store.file.name}.{_file_name(job)}.lock")
            self._close = FileLock(path, f"job {job!r}", "give another `store`").close
        else:
            self._close = _ServerLock(store, job).close

    def close(self) -> None:
        """Let go. Closing twice is fine."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _ServerLock:
    """An advisory lock of PostgreSQL, in a connection of its own."""

    def __init__(self, store: Database, job: str) -> None:
        self._engine = create_engine(
            _signed(store.url), poolclass=NullPool, isolation_level="AUTOCOMMIT",
            connect_args={"client_encoding": "utf8", "connect_timeout": 10},
        )  # fmt: skip
        try:
            self._connection = self._engine.connect()
        except DBAPIError as error:
            explain(error, store.name)
        try:
            holder = self._take(job)
        except DBAPIError as error:
            self.close()
            explain(error, store.name)
        if holder is not None:
            self.close()
            raise JobLocked(f"store {store.name}: another run owns job {job!r}: {holder}; wait for it, or end it")
        _servers.add(self)

    def close(self) -> None:
        _servers.discard(self)
        self._connection.close()
        self._engine.dispose()

    def let_go_in_child(self) -> None:
        let_go_in_child(self._connection.connection.dbapi_connection)

    def _take(self, job: str) -> str | None:
        """None where the lock is ours now, else who has it."""
        for name, value in (NOTICED | NEVER).items():
            self._connection.execute(select(func.set_config(name, value, False)))
        schema = self._connection.execute(select(func.current_schema())).scalar_one()
        key = _number(f"{schema}\0{job}")
        try:
            # not at once: a server takes a moment to see that the one before was killed
            self._connection.execute(select(func.set_config("lock_timeout", PATIENCE, False)))
            self._connection.execute(select(func.pg_advisory_lock(key)))
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            return _who_has(self._connection, key)
        return None


def _signed(url: URL) -> URL:
    """The address, saying who connects: the server shows it to whoever asks who holds a lock."""
    who = f"labelwright {os.getpid()}@{socket.gethostname()}"
    return url.set(query={**url.query, "application_name": who[:NAME_BYTES]})


def _who_has(connection: Connection, key: int) -> str:
    locks = table("pg_locks", *map(column, ("pid", "locktype", "classid", "objid")))
    people = table("pg_stat_activity", *map(column, ("pid", "application_name", "backend_start")))
    halves = (key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF
    here = text("granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
    query = (
        select(people.c.pid, people.c.application_name, people.c.backend_start)
        .join(locks, locks.c.pid == people.c.pid)
        .where(locks.c.locktype == "advisory", locks.c.classid == halves[0], locks.c.objid == halves[1], here)
    )
    row = connection.execute(query).first()
    if row is None:
        return "it has just ended; run the command again"
    who = re.fullmatch(r"labelwright (\d+)@(.*)", row.application_name or "")
    if who is None:
        return f"it has not said who it is (the server calls it process {row.pid})"
    began = row.backend_start  # null where the session is another user's
    since = f", since {began.astimezone(UTC).isoformat(timespec='seconds')}" if began else ""
    return f"pid {who[1]} on host {who[2]}{since}"


def _number(name: str) -> int:
    """A signed 64-bit number, the same for a name everywhere."""
    return int.from_bytes(hashlib.sha256(f"labelwright job\0{name}".encode()).digest()[:8], "big", signed=True)


def _file_name(job: str) -> str:
    """A job's name as part of a file name, different for different jobs."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", job)[:80]
    return plain if plain == job else f"{plain}-{hashlib.sha256(job.encode()).hexdigest()[:8]}"


_files: set[int] = set()
_servers: set[_ServerLock] = set()


def _let_go_in_child() -> None:
    """A forked child shares the locks, and would keep them after its parent died."""
    for file in _files:
        os.close(file)
    _files.clear()
    for server in _servers:
        server.let_go_in_child()
    _servers.clear()


os.register_at_fork(after_in_child=_let_go_in_child)
