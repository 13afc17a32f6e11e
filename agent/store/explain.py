"""What a database's errors mean: those that a person can fix become one message with a way out."""

from __future__ import annotations

import re
import sqlite3
from typing import NoReturn

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError

from agent.errors import StoreError

BUSY_TIMEOUT_S = 30

# what the driver's library adds, which is said better below
GUESSES = re.compile(r" Is the server running[^?]*\?|\.? This probably means the server [^.]*\.")
# the first whose words are in what the database said
HINTS = {
    "is locked": f" for more than {BUSY_TIMEOUT_S} s: another process is writing to it; wait for it, or end it",
    "readonly database": ": the file or its folder is not writable; change that, or give another `output` or `store`",
    "unable to open database": ": its folder is not writable; change that, or give another `output` or `store`",
    "not a database": ": give another `output` or `store`, or move that file away",
    "image is malformed": ": the file is damaged; restore it from a copy",
    "disk is full": ": make room, then run the job again: it goes on where it was",
    # PostgreSQL
    "No space left on device": ": make room on the server, then run the job again: it goes on where it was",
    "password authentication failed": ": correct user and password in `store`, or keep them in ~/.pgpass",
    "no password supplied": ": give one in `store`, in PGPASSWORD or in ~/.pgpass",
    "no pg_hba.conf entry": ": the server lets nobody in from here under that name; ask who runs it",
    "permission denied": ": ask the database's owner for the right (GRANT USAGE, CREATE ON SCHEMA ... TO ...), or "
    "give a database of your own",
    "read-only transaction": ": that server takes no writes; give `store` the address of the one that does",
    "too many clients": ": end what is connected to it, or ask who runs the server to raise max_connections",
    "connection slots are reserved": ": end what is connected, or ask who runs the server to raise max_connections",
    "index row": ": an id or name is longer than PostgreSQL can index (2,600 bytes); shorten it, or keep the "
    "store in SQLite",
    "the database system is": ": it is restarting; what was committed is kept. Run the command again when the server "
    "is back",
    "deadlock detected": ": two writers got into each other's way; run the command again: it goes on where it was",
    "could not serialize": ": two writers got into each other's way; run the command again: it goes on where it was",
}
MISSING = ": make it there, or correct `store`"
UNREACHABLE = ": start the server, or correct the address in `store`"
LOST = ": the connection was lost; what was committed is kept. Run the command again when the server is back"

# SQLSTATEs (https://www.postgresql.org/docs/15/errcodes-appendix.html) of what a person can fix, outside the classes
# that the driver calls operational: no such database or schema, insufficient privilege, read-only
FIXABLE = {"3D000", "3F000", "42501", "25006"}


def explain(error: DBAPIError, name: str) -> NoReturn:
    """Raise what a person can fix as StoreError, and a bug (a wrong statement, a broken constraint) as it is."""
    said = GUESSES.sub("", " ".join(str(error.orig).split()))
    if isinstance(error.orig, sqlite3.Error):
        ours = type(error.orig) is sqlite3.DatabaseError or _is_about_the_file(said)
    else:
        ours = isinstance(error, OperationalError | InterfaceError) or _code(error) in FIXABLE
    if isinstance(error, IntegrityError) or not ours:
        raise error
    raise StoreError(f"store {name}: {said}{_hint(error, said)}") from error


def _hint(error: DBAPIError, said: str) -> str:
    for words, hint in HINTS.items():
        if words in said:
            return hint
    if isinstance(error.orig, sqlite3.Error):
        return ""
    if "does not exist" in said and ("database" in said or "role" in said):
        return MISSING
    if said.startswith(("connection failed", "connection is bad", "connection timeout", "failed to resolve")):
        return UNREACHABLE
    return LOST if error.connection_invalidated or isinstance(error, InterfaceError) else ""


def _code(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _is_about_the_file(said: str) -> bool:
    return "disk I/O error" in said or any(words in said for words in HINTS)
