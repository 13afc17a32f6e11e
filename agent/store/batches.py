"""Batches of attempts that somebody works through while we wait, or while nobody waits: they outlive a process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.engine import Row

from agent.errors import StoreError
from agent.store import tables as t
from agent.store.columns import now
from agent.store.engine import Database, append
from agent.store.rows import AttemptState, BatchRow, BatchState, OpenLine


class Batches(Database):
    """Queries about batches. Their attempts carry the batch's id and stay reserved until somebody says what came."""

    def add_batch(self, job: str, oracle: str, details: Mapping[str, Any], *, tx: Connection | None = None) -> int:
        """A new batch, prepared; returns its id. Reserve its attempts in the same transaction."""
        at = now()
        row = {"job": job, "oracle": oracle, "details": dict(details), "created_at": at, "changed_at": at}
        with self._write(tx) as sql:
            return append(sql, t.batches, row | {"state": BatchState.PREPARED, "remote_id": "", "reason": ""})

    def move_batch(
        self,
        batch_id: int,
        state: BatchState,
        *,
        remote_id: str | None = None,
        details: Mapping[str, Any] | None = None,
        reason: str | None = None,
        tx: Connection | None = None,
    ) -> BatchRow:
        """Note how far a batch is, and return it. `details` are added to what is known; None changes nothing.

        Raises StoreError where there is no such batch, or it was harvested: that state is the last one.
        """
        this = t.batches.c.id == batch_id
        with self._write(tx) as sql:
            row = sql.execute(select(t.batches).where(this)).one_or_none()
            if row is None or row.state == BatchState.HARVESTED:
                what = "is not known" if row is None else "was harvested already"
                raise StoreError(f"store {self.name}: batch {batch_id} {what}, so it cannot become {state}")
            values: dict[str, Any] = {"state": state, "changed_at": now()}
            values |= {} if remote_id is None else {"remote_id": remote_id}
            values |= {} if details is None else {"details": {**row.details, **details}}
            values |= {} if reason is None else {"reason": reason}
            sql.execute(update(t.batches).where(this).values(**values))
            return _batch(sql.execute(select(t.batches).where(this)).one())

    def batches(self, job: str, oracle: str | None = None, *, unfinished: bool = False) -> list[BatchRow]:
        """A job's batches, oldest first; with `unfinished` only those with attempts that nobody has looked at yet."""
        query = select(t.batches).where(t.batches.c.job == job).order_by(t.batches.c.id)
        if oracle is not None:
            query = query.where(t.batches.c.oracle == oracle)
        if unfinished:
            query = query.where(t.batches.c.state != BatchState.HARVESTED)
        with self._read(None) as tx:
            return [_batch(row) for row in tx.execute(query)]

    def open_lines(self, batch_id: int) -> list[OpenLine]:
        """The attempts of a batch that have not ended, in the order in which they were reserved."""
        a = t.attempts.c
        query = (
            select(a.id, a.question_key, a.text_id, a.worst)
            .where(a.batch_id == batch_id, a.state == AttemptState.RESERVED)
            .order_by(a.id)
        )
        with self._read(None) as tx:
            return [OpenLine(row.id, row.question_key, row.text_id, row.worst) for row in tx.execute(query)]

    def ended_lines(self, batch_id: int) -> set[int]:
        """The attempts of a batch that have ended."""
        a = t.attempts.c
        query = select(a.id).where(a.batch_id == batch_id, a.state != AttemptState.RESERVED)
        with self._read(None) as tx:
            return set(tx.execute(query).scalars())


def _batch(row: Row[Any]) -> BatchRow:
    return BatchRow(
        id=row.id,
        job=row.job,
        oracle=row.oracle,
        state=BatchState(row.state),
        remote_id=row.remote_id,
        details=row.details,
        reason=row.reason,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )
