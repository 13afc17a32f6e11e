"""What a job's attempts add up to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.engine import Row

from agent.errors import StoreError
from agent.records import MicroDollars, Usage
from agent.store import tables as t
from agent.store.columns import InCodePoints
from agent.store.engine import Database
from agent.store.rows import AttemptState, OracleSpending
from agent.store.rows import Spending as Sums


class Spending(Database):
    """The sums of money."""

    def spending(self, job: str) -> Sums:
        """A job's money at this moment, in one consistent read. Raises StoreError where there is no such job."""
        a = t.attempts.c
        over = case((a.state == AttemptState.SETTLED, a.charged - a.worst), else_=0)
        sums = (
            select(
                a.oracle,
                a.state,
                func.count().label("attempts"),
                func.sum(a.worst).label("worst"),
                func.sum(a.charged).label("charged"),
                func.sum(case((over > 0, over), else_=0)).label("over"),
                func.coalesce(func.sum(a.prompt_tokens), 0).label("prompt"),
                func.coalesce(func.sum(a.completion_tokens), 0).label("completion"),
                func.coalesce(func.sum(a.cached_tokens), 0).label("cached"),
            )
            .where(a.job == job)
            .group_by(a.oracle, a.state)
            .order_by(InCodePoints(a.oracle))
        )
        purse = select(t.jobs.c.cap, t.jobs.c.spent, t.jobs.c.reserved).where(t.jobs.c.name == job)
        with self._read(None) as tx:
            row = tx.execute(purse).one_or_none()
            rows = tx.execute(sums).all()
        if row is None:
            raise StoreError(f"store {self.name}: no job {job!r}")
        by_oracle = {name: _of_oracle([r for r in rows if r.oracle == name]) for name in {r.oracle: 0 for r in rows}}
        every = by_oracle.values()
        return Sums(
            cap=row.cap,
            spent=row.spent,
            reserved=row.reserved,
            ambiguous=MicroDollars(sum(o.ambiguous for o in every)),
            settled_count=sum(o.settled_count for o in every),
            released_count=sum(o.released_count for o in every),
            ambiguous_count=sum(o.ambiguous_count for o in every),
            usage=sum((o.usage for o in every), Usage(0, 0, 0)),
            by_oracle=by_oracle,
            overcharged=MicroDollars(sum(int(r.over) for r in rows)),
        )


def _of_oracle(rows: list[Row[Any]]) -> OracleSpending:
    count = {r.state: int(r.attempts) for r in rows}
    charged = {r.state: int(r.charged) for r in rows}  # PostgreSQL sums integers to decimals
    return OracleSpending(
        spent=MicroDollars(sum(charged.values())),
        reserved=MicroDollars(sum(int(r.worst) for r in rows if r.state == AttemptState.RESERVED)),
        ambiguous=MicroDollars(charged.get(AttemptState.AMBIGUOUS, 0)),
        settled_count=count.get(AttemptState.SETTLED, 0),
        released_count=count.get(AttemptState.RELEASED, 0),
        ambiguous_count=count.get(AttemptState.AMBIGUOUS, 0),
        usage=Usage(*(sum(int(getattr(r, c)) for r in rows) for c in ("prompt", "completion", "cached"))),
    )
