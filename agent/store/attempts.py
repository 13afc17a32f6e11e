"""Attempts to buy an answer, and the purse they are paid from (law 1).

A job's row holds `cap`, `spent` and `reserved`. The guard is in the statement itself: one UPDATE reserves only where
the cap allows it, and one UPDATE ends an attempt only where it is still reserved, so neither can happen twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, or_, select, update
from sqlalchemy.engine import Row

from agent.errors import BudgetExceeded, StoreError
from agent.records import MicroDollars, TextId, Usage
from agent.store import tables as t
from agent.store.answers import ABANDONED, Answers, insert_answers
from agent.store.columns import now
from agent.store.engine import append_all, in_parts
from agent.store.rows import AttemptRow, AttemptState, End, StoredAnswer, Wanted

ENDING = ("state", "charged", "reason", "ended_at", "prompt_tokens", "completion_tokens", "cached_tokens")


class Attempts(Answers):
    """Reserve, then settle, release or call ambiguous: used by the ledger only.

    The plural methods do for many attempts at once what the singular ones do for one, in a handful of statements:
    a ledger that commits in groups spends its time here.
    """

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
        with self._write(tx) as sql:
            wanted = Wanted(oracle, question_key, text_id, worst)
            attempt_id = self.reserve_many(job, [wanted], owner=owner, tx=sql)[0]
            if attempt_id is None:
                raise self.no_room(job, worst, tx=sql)
            return attempt_id

    def reserve_many(
        self,
        job: str,
        wanted: Sequence[Wanted],
        *,
        owner: str,
        batch_id: int | None = None,
        tx: Connection | None = None,
    ) -> list[int | None]:
        """Set money aside for each attempt in turn, as far as the cap has room; ids, None where it had none.

        Raises StoreError where there is no such job, or another run took it over.
        """
        if any(w.worst < 0 for w in wanted):
            raise ValueError("a reservation below zero")
        with self._write(tx) as sql:
            chosen = list(range(len(wanted)))
            if not self._take(sql, job, owner, sum(int(w.worst) for w in wanted)):
                chosen = _fitting(wanted, self._room(sql, job, owner))
                if chosen and not self._take(sql, job, owner, sum(int(wanted[i].worst) for i in chosen)):
                    raise StoreError(f"store {self.name}: the purse of job {job!r} changed under its lock")
            same = {"job": job, "owner": owner, "batch_id": batch_id, "created_at": now()}
            same |= {"charged": 0, "state": AttemptState.RESERVED, "reason": ""}
            rows = [wanted[i]._asdict() | {"worst": int(wanted[i].worst)} | same for i in chosen]
            ids = append_all(sql, t.attempts, rows)
            found: list[int | None] = [None] * len(wanted)
            for place, attempt_id in zip(chosen, ids, strict=True):
                found[place] = attempt_id
            return found

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
        ended = End(attempt_id, AttemptState.SETTLED, "", charged, usage, answer)
        answer_id = self.end_many([ended], tx=tx)[0]
        assert answer_id is not None  # it came with an answer
        return answer_id

    def release(self, attempt_id: int, reason: str, *, tx: Connection | None = None) -> None:
        """End an attempt that certainly cost nothing. Raises StoreError where it has ended before."""
        self.end_many([End(attempt_id, AttemptState.RELEASED, reason)], tx=tx)

    def mark_ambiguous(self, attempt_id: int, reason: str, *, tx: Connection | None = None) -> None:
        """End an attempt that may have cost money: its worst case is spent. StoreError where it has ended before."""
        self.end_many([End(attempt_id, AttemptState.AMBIGUOUS, reason)], tx=tx)

    def end_many(self, ends: Sequence[End], *, tx: Connection | None = None) -> list[int | None]:
        """End attempts, each in its own way; the ids of the answers that came, None where none did.

        The one way out of `reserved`, and it can be taken once: raises StoreError, and changes nothing, where any of
        them has ended before.
        """
        if any(e.charged < 0 for e in ends):
            raise ValueError("a charge below zero")
        with self._write(tx) as sql:
            self._lock_purses(sql, [e.attempt_id for e in ends])
            held = self._still_reserved(sql, [e.attempt_id for e in ends])
            if len(held) < len(ends):
                raise self._ended_before(sql, ends, held)
            rows = [_ended(e, held[e.attempt_id][1]) for e in ends]
            changed = sql.execute(ENDED, rows).rowcount
            if changed != len(rows):  # cannot be, under the lock that the reading above took
                raise StoreError(f"store {self.name}: {changed} of {len(rows)} attempts could be ended")
            for job in {job for job, _ in held.values()}:
                mine = [r for r in rows if held[r["this"]][0] == job]
                paid = sum(r["charged"] for r in mine if r["state"] != AttemptState.RELEASED)
                _pay(sql, job, reserved=sum(held[r["this"]][1] for r in mine), charged=paid)
            answered = [e for e in ends if e.answer is not None]
            ids = iter(insert_answers(sql, [(e.attempt_id, e.answer) for e in answered if e.answer is not None]))
            return [None if e.answer is None else next(ids) for e in ends]

    def abandon_reservations(
        self, job: str, owner: str, reason: str = ABANDONED, *, tx: Connection | None = None
    ) -> int:
        """Call every open attempt that is not `owner`'s ambiguous; returns how many.

        Attempts in a batch stay open: the provider works on without us, and what came of them is asked for later.
        Only the one who holds the job's lock may do this, as then every other owner is dead.
        """
        a = t.attempts.c
        left = (a.job == job, a.state == AttemptState.RESERVED, a.owner != owner, a.batch_id.is_(None))
        ended = {"state": AttemptState.AMBIGUOUS, "charged": t.attempts.c.worst, "reason": reason, "ended_at": now()}
        with self._write(tx, job) as sql:
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

    def no_room(self, job: str, worst: int, *, tx: Connection | None = None) -> BudgetExceeded:
        """The error that says how much was wanted and how much there is. StoreError where there is no such job."""
        with self._read(tx) as sql:
            row = self._purse(sql, job)
        return BudgetExceeded(spent=row.spent, reserved=row.reserved, wanted=worst, cap=row.cap)

    def _take(self, tx: Connection, job: str, owner: str, worst: int) -> bool:
        """The guard of law 1, in one statement: set `worst` aside where it fits."""
        room = t.jobs.c.spent + t.jobs.c.reserved + worst <= t.jobs.c.cap
        ours = or_(t.jobs.c.owner.is_(None), t.jobs.c.owner == owner)
        taken = update(t.jobs).where(t.jobs.c.name == job, ours, room).values(reserved=t.jobs.c.reserved + worst)
        return tx.execute(taken).rowcount == 1

    def _room(self, tx: Connection, job: str, owner: str) -> int:
        row = self._purse(tx, job)
        if row.owner not in (None, owner):
            raise StoreError(
                f"store {self.name}: another run ({row.owner.rpartition('/')[0]}) took job {job!r} over, as this run "
                "lost its lock; nothing more is sent from here"
            )
        return int(row.cap - row.spent - row.reserved)

    def _purse(self, tx: Connection, job: str) -> Any:
        j = t.jobs.c
        purse = select(j.spent, j.reserved, j.cap, j.owner).where(j.name == job)
        row = tx.execute(purse.with_for_update()).one_or_none()
        if row is None:
            raise StoreError(f"store {self.name}: no job {job!r}: open it before anything is reserved")
        return row

    def _lock_purses(self, tx: Connection, ids: Sequence[int]) -> None:
        """Everybody locks a job before its attempts: else whoever takes it over waits for us, and we for them."""
        if tx.dialect.name == "postgresql":
            for part in in_parts(dict.fromkeys(ids)):
                jobs = select(t.attempts.c.job).where(t.attempts.c.id.in_(part))
                query = select(t.jobs.c.name).where(t.jobs.c.name.in_(jobs)).order_by(t.jobs.c.name)
                tx.execute(query.with_for_update(key_share=True))

    def _still_reserved(self, tx: Connection, ids: Sequence[int]) -> dict[int, tuple[str, int]]:
        """Attempt to (job, worst), for those that are reserved; held until the transaction ends."""
        a = t.attempts.c
        found: dict[int, tuple[str, int]] = {}
        for part in in_parts(dict.fromkeys(ids)):
            query = select(a.id, a.job, a.worst).where(a.id.in_(part), a.state == AttemptState.RESERVED)
            found.update((row.id, (row.job, row.worst)) for row in tx.execute(query.with_for_update()))
        return found

    def _ended_before(self, tx: Connection, ends: Sequence[End], held: dict[int, tuple[str, int]]) -> StoreError:
        twice = [e for i, e in enumerate(ends) if e.attempt_id in {x.attempt_id for x in ends[:i]}]
        end = next((e for e in ends if e.attempt_id not in held), twice[0] if twice else ends[0])
        state = select(t.attempts.c.state).where(t.attempts.c.id == end.attempt_id)
        known = end.state if end.attempt_id in held else tx.execute(state).scalar_one_or_none()
        what = f"is {known} already" if known else "is not known"
        return StoreError(f"store {self.name}: attempt {end.attempt_id} {what}, so it cannot become {end.state}")


a = t.attempts.c
ENDED = (
    update(t.attempts)
    .where(a.id == bindparam("this"), a.state == AttemptState.RESERVED)
    .values({c: bindparam(c) for c in ENDING})
)


def _ended(end: End, worst: int) -> dict[str, Any]:
    """The row of an attempt that ended, for `ENDED`."""
    charged, reason, usage = int(end.charged), end.reason, end.usage
    if end.state is AttemptState.AMBIGUOUS:
        charged = worst
    elif charged > worst:
        reason = f"charged {charged - worst} micro-dollars more than its worst case"
    return {
        "this": end.attempt_id,
        "state": end.state,
        "charged": charged,
        "reason": reason,
        "ended_at": now(),
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "cached_tokens": usage.cached_tokens if usage else None,
    }


def _fitting(wanted: Sequence[Wanted], room: int) -> list[int]:
    """Which of them fit into the room, first come first served: a small one may fit where a large one did not."""
    chosen = []
    for place, w in enumerate(wanted):
        if w.worst <= room:
            chosen.append(place)
            room -= int(w.worst)
    return chosen


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
