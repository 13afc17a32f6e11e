"""Attempts to buy an answer, and the purse they are paid from (law 1).

A job's row holds `cap`, `spent` and `reserved`. The guard is in the statement itself: one UPDATE reserves only where
the cap allows it, and one UPDATE ends an attempt only where it is still reserved, so neither can happen twice.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.engine import Row

from agent.errors import BudgetExceeded, StoreError
from agent.records import MicroDollars, TextId, Usage
from agent.store import tables as t
from agent.store.answers import Answers, insert_answer
from agent.store.columns import now
from agent.store.engine import append
from agent.store.rows import AttemptRow, AttemptState, StoredAnswer


class Attempts(Answers):
    """Reserve, then settle, release or call ambiguous: used by the ledger only."""

    def reserve(
        self,
        job: str,
        oracle: str,
        question_key: str,
        text_id: TextId,
        worst: MicroDollars,
        *,
        owner: str,
        tx: Connection | None = None,
    ) -> int:
        """Set `worst` micro-dollars aside for one attempt and return the attempt's id.

        Raises BudgetExceeded where spent + reserved + worst would pass the cap: then nothing has changed.
        """
        if worst < 0:
            raise ValueError(f"a reservation below zero: {worst}")
        worst = MicroDollars(int(worst))
        room = t.jobs.c.spent + t.jobs.c.reserved + worst <= t.jobs.c.cap
        with self._write(tx) as sql:
            taken = update(t.jobs).where(t.jobs.c.name == job, room).values(reserved=t.jobs.c.reserved + worst)
            if sql.execute(taken).rowcount != 1:
                raise self._no_room(sql, job, worst)
            row = {"job": job, "oracle": oracle, "question_key": question_key, "text_id": text_id, "owner": owner}
            made = insert(t.attempts).values(
                **row, worst=worst, charged=0, state=AttemptState.RESERVED, reason="", created_at=now()
            )
            return append(sql, made)

    def settle(
        self,
        attempt_id: int,
        charged: MicroDollars,
        usage: Usage | None,
        answer: StoredAnswer,
        *,
        tx: Connection | None = None,
    ) -> int:
        """End an attempt that was answered: its charge and the raw answer in one commit. Returns the answer's id.

        A charge above the reservation is recorded as it is, even where it passes the cap: the money is gone. The
        attempt's `reason` and `Spending.overcharged` say so.
        Raises StoreError where the attempt has ended before.
        """
        if charged < 0:
            raise ValueError(f"a charge below zero: {charged}")
        tokens = {
            "prompt_tokens": usage.prompt_tokens if usage else None,
            "completion_tokens": usage.completion_tokens if usage else None,
            "cached_tokens": usage.cached_tokens if usage else None,
        }
        with self._write(tx) as sql:
            worst = self._end(sql, attempt_id, AttemptState.SETTLED, {"charged": int(charged), **tokens})
            if charged > worst:
                said = f"charged {int(charged) - worst} micro-dollars more than its worst case"
                sql.execute(update(t.attempts).where(t.attempts.c.id == attempt_id).values(reason=said))
            return insert_answer(sql, attempt_id, answer)

    def release(self, attempt_id: int, reason: str, *, tx: Connection | None = None) -> None:
        """End an attempt that certainly cost nothing. Raises StoreError where it has ended before."""
        with self._write(tx) as sql:
            self._end(sql, attempt_id, AttemptState.RELEASED, {"charged": 0, "reason": reason})

    def mark_ambiguous(self, attempt_id: int, reason: str, *, tx: Connection | None = None) -> None:
        """End an attempt that may have cost money: its worst case is spent. StoreError where it has ended before."""
        with self._write(tx) as sql:
            self._end(sql, attempt_id, AttemptState.AMBIGUOUS, {"charged": t.attempts.c.worst, "reason": reason})

    def abandon_reservations(
        self, job: str, owner: str, reason: str = "the process that sent it ended", *, tx: Connection | None = None
    ) -> int:
        """Call every open attempt that is not `owner`'s ambiguous; returns how many.

        Only the one who holds the job's lock may do this, as then every other owner is dead.
        """
        left = (t.attempts.c.job == job, t.attempts.c.state == AttemptState.RESERVED, t.attempts.c.owner != owner)
        ended = {"state": AttemptState.AMBIGUOUS, "charged": t.attempts.c.worst, "reason": reason, "ended_at": now()}
        with self._write(tx) as sql:
            worsts = sql.execute(update(t.attempts).where(*left).values(**ended).returning(t.attempts.c.worst))
            amounts = worsts.scalars().all()
            _pay(sql, job, reserved=sum(amounts), charged=sum(amounts))
            return len(amounts)

    def attempts(self, job: str) -> list[AttemptRow]:
        """Every attempt, oldest first."""
        query = (
            select(t.attempts, t.answers.c.id.label("answer_id"))
            .outerjoin(t.answers, t.answers.c.attempt_id == t.attempts.c.id)
            .where(t.attempts.c.job == job)
            .order_by(t.attempts.c.id)
        )
        with self._read(None) as tx:
            return [_attempt(row) for row in tx.execute(query)]

    def _end(self, tx: Connection, attempt_id: int, state: AttemptState, values: dict[str, Any]) -> int:
        """The one way out of `reserved`: it can be taken once. Returns what was reserved."""
        ended = (
            update(t.attempts)
            .where(t.attempts.c.id == attempt_id, t.attempts.c.state == AttemptState.RESERVED)
            .values(state=state, ended_at=now(), **values)
            .returning(t.attempts.c.job, t.attempts.c.worst, t.attempts.c.charged)
        )
        row = tx.execute(ended).one_or_none()
        if row is None:
            known = tx.execute(select(t.attempts.c.state).where(t.attempts.c.id == attempt_id)).scalar_one_or_none()
            what = f"is {known} already" if known else "is not known"
            raise StoreError(f"store {self.name}: attempt {attempt_id} {what}, so it cannot become {state}")
        _pay(tx, row.job, reserved=row.worst, charged=row.charged)
        return int(row.worst)

    def _no_room(self, tx: Connection, job: str, worst: int) -> Exception:
        row = tx.execute(
            select(t.jobs.c.spent, t.jobs.c.reserved, t.jobs.c.cap).where(t.jobs.c.name == job)
        ).one_or_none()
        if row is None:
            return StoreError(f"store {self.name}: no job {job!r}: open it before anything is reserved")
        return BudgetExceeded(spent=row.spent, reserved=row.reserved, wanted=worst, cap=row.cap)


def _pay(tx: Connection, job: str, *, reserved: int, charged: int) -> None:
    tx.execute(
        update(t.jobs)
        .where(t.jobs.c.name == job)
        .values(reserved=t.jobs.c.reserved - reserved, spent=t.jobs.c.spent + charged)
    )


def _attempt(row: Row[Any]) -> AttemptRow:
    usage = None
    if row.prompt_tokens is not None:
        usage = Usage(row.prompt_tokens, row.completion_tokens, row.cached_tokens)
    return AttemptRow(
        id=row.id,
        oracle=row.oracle,
        question_key=row.question_key,
        text_id=row.text_id,
        worst=row.worst,
        charged=row.charged,
        state=AttemptState(row.state),
        reason=row.reason,
        owner=row.owner,
        usage=usage,
        answer_id=row.answer_id,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )
