"""Jobs and their rounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError

from agent.errors import StoreError
from agent.records import MicroDollars
from agent.store import tables as t
from agent.store.columns import InCodePoints, now
from agent.store.engine import Database
from agent.store.rows import JobRow, RoundRow


class Jobs(Database):
    """Queries about jobs as a whole."""

    def open_job(
        self,
        job: str,
        settings: Mapping[str, Any],
        fingerprint: str,
        cap: MicroDollars,
        *,
        keep: bool = False,
        tx: Connection | None = None,
    ) -> None:
        """Make the job, or take its newer settings and cap (micro-dollars); with `keep`, a job that is there stays as
        it is.

        A cap below what is already spent stops further spending and forgets nothing. Raises StoreError where the
        stored job has another fingerprint: its labels would answer another question.
        """
        if cap < 0:
            raise ValueError(f"a cap below zero: {cap}")
        taken = {"settings": dict(settings), "cap": int(cap)}
        with self._write(tx, job) as sql:
            stored = select(t.jobs.c.fingerprint).where(t.jobs.c.name == job)
            known = sql.execute(stored).scalar_one_or_none()
            if known is None and _make(sql, {"name": job, "fingerprint": fingerprint, **taken}):
                return
            known = known or sql.execute(stored).scalar_one()
            if known == fingerprint and keep:
                return
            if known == fingerprint:
                sql.execute(update(t.jobs).where(t.jobs.c.name == job).values(**taken))
            else:
                raise StoreError(
                    f"store {self.name}: job {job!r} was begun with another task or other texts; "
                    "give this one another `name` or `output`, or put the old task and data back"
                )

    def take_over(self, job: str, owner: str, *, tx: Connection | None = None) -> None:
        """From now on only `owner` may reserve; whoever did before is refused, should it still be alive.

        Only the one who holds the job's lock may do this. Raises StoreError where there is no such job.
        """
        with self._write(tx, job) as sql:
            if sql.execute(update(t.jobs).where(t.jobs.c.name == job).values(owner=owner)).rowcount == 0:
                raise StoreError(f"store {self.name}: no job {job!r}")

    def jobs(self) -> list[JobRow]:
        """Every job, oldest first."""
        with self._read(None) as tx:
            return [_job(row) for row in tx.execute(_IN_ORDER)]

    def job(self, job: str) -> JobRow:
        """One job. Raises StoreError where there is none of that name."""
        with self._read(None) as tx:
            row = tx.execute(select(t.jobs).where(t.jobs.c.name == job)).one_or_none()
            if row is None:
                names = tx.execute(select(t.jobs.c.name).order_by(InCodePoints(t.jobs.c.name))).scalars().all()
                held = f"it has {', '.join(names[:5])}" if names else "it has none; `labelwright run` makes one"
                raise StoreError(f"store {self.name}: no job {job!r}; {held}")
            return _job(row)

    def finish_round(self, job: str, round: int, figures: Mapping[str, Any], *, tx: Connection | None = None) -> None:  # noqa: A002
        """Note a round's figures. Finishing a round again (after a crash) replaces them."""
        this = (t.rounds.c.job == job) & (t.rounds.c.round == int(round))
        values = {"figures": dict(figures), "finished_at": now()}
        with self._write(tx, job) as sql:
            if sql.execute(update(t.rounds).where(this).values(**values)).rowcount == 0:
                sql.execute(insert(t.rounds).values(job=job, round=int(round), **values))

    def rounds(self, job: str) -> list[RoundRow]:
        """The finished rounds in order."""
        found = select(t.rounds).where(t.rounds.c.job == job).order_by(t.rounds.c.round)
        with self._read(None) as tx:
            return [RoundRow(r.round, r.figures, r.finished_at) for r in tx.execute(found)]


_IN_ORDER = select(t.jobs).order_by(t.jobs.c.created_at, InCodePoints(t.jobs.c.name))


def _make(tx: Connection, row: Mapping[str, Any]) -> bool:
    """Insert a new job; False where another process has just done it."""
    savepoint = tx.begin_nested()
    try:
        tx.execute(insert(t.jobs).values(**row, spent=0, reserved=0, created_at=now()))
    except IntegrityError:
        savepoint.rollback()
        return False
    savepoint.commit()
    return True


def _job(row: Row[Any]) -> JobRow:
    return JobRow(
        name=row.name,
        settings=row.settings,
        fingerprint=row.fingerprint,
        cap=row.cap,
        spent=row.spent,
        reserved=row.reserved,
        created_at=row.created_at,
    )
