"""A store copied to another database, whole or not at all."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from sqlalchemy import Connection, MetaData, String, Table, Text, func, insert, select

from agent.errors import StoreError
from agent.job import Job
from agent.records import MicroDollars
from agent.store import tables as t
from agent.store.columns import AnyText, InCodePoints, Json
from agent.store.engine import file_of
from agent.store.locks import JobLock
from agent.store.store import Store

ROWS = 1000  # at a time: memory does not grow with the store
MONEY = {
    "jobs": ("cap", "spent", "reserved"),
    "attempts": ("worst", "charged"),
    "labels": ("cost",),
    "reuses": ("saved",),
}


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied: rows by table, the jobs, what they had spent in micro-dollars, and where to (no password)."""

    rows: dict[str, int]
    jobs: tuple[str, ...]
    spent: MicroDollars
    target: str

    def figures(self) -> dict[str, object]:
        """As plain JSON."""
        return {
            "store": self.target,
            "jobs": list(self.jobs),
            "rows": self.rows,
            "spent_dollars": self.spent / 1e6,
        }


def address(given: str) -> str:
    """The store's address that somebody meant by `given`: an address, or a job file. Raises JobFileError."""
    return given if "://" in given else Job.load(given).store_url


def copy_store(source: str, target: str) -> Copied:
    """Copy every row of the store at one address into the one at another, of either kind, and compare the sums.

    Ids stay as they are. It is one transaction at the target: whoever dies halfway leaves it empty. Both are brought
    to the newest schema first. Nobody can run a job of the source meanwhile; people must not label there.

    Raises StoreError where there is nothing to copy, the target holds rows, a run owns a job of the source
    (JobLocked), or the copy is not what the source is.
    """
    file, _ = file_of(source), file_of(target)  # whether both are addresses, before anything is made
    if file is not None and not file.is_file():
        raise StoreError(f"store {file}: no such file, so there is nothing to copy")
    with ExitStack() as opened:
        old = opened.enter_context(Store.open(source))
        new = opened.enter_context(Store.open(target))
        for job in old.jobs():
            opened.enter_context(JobLock(old, job.name))
        reading = opened.enter_context(old.snapshot())
        jobs = tuple(reading.execute(select(t.jobs.c.name).order_by(InCodePoints(t.jobs.c.name))).scalars())
        if not jobs:
            raise StoreError(f"store {old.name}: holds no job, so there is nothing to copy")
        with new.transaction() as writing:
            _prepare(writing, new.name)
            for table in t.metadata.sorted_tables:
                _copy(reading, writing, PLAIN.tables[table.name])
            sums = _sums(reading)
            if _sums(writing) != sums:
                raise StoreError(f"store {new.name}: the copy's sums are not those of {old.name}; nothing was kept")
    rows = {name: found["rows"] for name, found in sums.items()}
    return Copied(rows, jobs, MicroDollars(sums["jobs"]["spent"]), new.name)


def _plain() -> MetaData:
    """The tables with packed text and JSON as the strings that they are kept as: nothing is read into them."""
    plain = MetaData()
    for table in t.metadata.sorted_tables:
        for column in table.to_metadata(plain).columns:
            if isinstance(column.type, AnyText | Json):
                column.type = Text()
    return plain


PLAIN = _plain()


def _prepare(tx: Connection, name: str) -> None:
    if tx.dialect.name == "sqlite":  # what was written so far may go to disk before the commit, as nobody reads here
        tx.exec_driver_sql("PRAGMA cache_spill = ON")
    held = [table.name for table in t.metadata.sorted_tables if tx.execute(select(table).limit(1)).first()]
    if held:
        raise StoreError(
            f"store {name}: is not empty (it has {', '.join(held[:3])}); copy into a new file or an empty database"
        )


def _copy(reading: Connection, writing: Connection, table: Table) -> None:
    """All rows of a table in the order of its key, with their ids."""
    order = [InCodePoints(c) if isinstance(c.type, String) else c for c in table.primary_key.columns]
    rows = reading.execution_options(yield_per=ROWS).execute(select(table).order_by(*order))
    for part in rows.mappings().partitions(ROWS):
        writing.execute(insert(table), [dict(row) for row in part])
    if writing.dialect.name == "postgresql" and "id" in table.columns:
        # SQLite goes on after the highest id by itself
        highest = select(func.max(table.c.id)).scalar_subquery()
        sequence = func.pg_get_serial_sequence(table.name, "id")
        writing.execute(select(func.setval(sequence, highest)).where(highest.is_not(None)))


def _sums(tx: Connection) -> dict[str, dict[str, int]]:
    """Rows and money of every table."""
    found = {}
    for table in t.metadata.sorted_tables:
        columns = MONEY.get(table.name, ())
        sums = (func.coalesce(func.sum(table.c[name]), 0) for name in columns)
        row = tx.execute(select(func.count(), *sums).select_from(table)).one()
        found[table.name] = dict(zip(("rows", *columns), map(int, row), strict=True))
    return found
