"""Who may review a job, and with which token: only its hash is kept."""

from __future__ import annotations

import hashlib
import secrets
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, Connection, Select, String, bindparam, insert, select, update
from sqlalchemy.engine import Row

from agent.errors import StoreError
from agent.store import tables as t
from agent.store.blanks import JOB
from agent.store.columns import now
from agent.store.engine import Database
from agent.store.rows import Reviewer


class Role(StrEnum):
    """What somebody may do."""

    reviewer = "reviewer"
    lead = "lead"


REVIEWER, LEAD = Role.reviewer.value, Role.lead.value
R = t.reviewers.c
TOKEN: BindParameter[str] = bindparam("its_token", type_=String())


class Reviewers(Database):
    """Queries about the people who review a job."""

    def add_reviewer(self, job: str, name: str, role: str = REVIEWER, *, tx: Connection | None = None) -> str:
        """Let a person in; returns the token that lets them in, which nobody can read afterwards.

        Who was let in before gets a new token and this role, and the old token opens nothing any more.
        """
        if role not in set(Role):
            raise ValueError(f"not a role: {role!r}")
        token = secrets.token_urlsafe(24)
        values = {"role": role, "token_hash": hash_of(token), "created_at": now(), "revoked_at": None}
        with self._write(tx, job) as sql:
            known = sql.execute(select(R.name).where(R.job == job, R.name == name)).one_or_none()
            if known is None:
                sql.execute(insert(t.reviewers).values(job=job, name=name, **values))
            else:
                sql.execute(update(t.reviewers).where(R.job == job, R.name == name).values(**values))
        return token

    def revoke_reviewer(self, job: str, name: str, *, tx: Connection | None = None) -> None:
        """Let a person in no more, at once. What they labelled stays. Raises StoreError where nobody is called so."""
        with self._write(tx, job) as sql:
            if sql.execute(select(R.name).where(R.job == job, R.name == name)).one_or_none() is None:
                raise StoreError(f"store {self.name}: job {job!r} has no reviewer {name!r}")
            here = update(t.reviewers).where(R.job == job, R.name == name, R.revoked_at.is_(None))
            sql.execute(here.values(revoked_at=now()))
            l = t.leases.c  # noqa: E741
            sql.execute(t.leases.delete().where(l.job == job, l.person == name))

    def reviewers(self, job: str) -> list[Reviewer]:
        """Everybody who was ever let in, in the order of names."""
        with self._read(None) as tx:
            return [_reviewer(row) for row in tx.execute(select(t.reviewers).where(R.job == job).order_by(R.name))]

    def reviewer(self, job: str, token: str) -> Reviewer | None:
        """Whose token this is; None for one that nobody has, or that was taken back."""
        with self._glance() as tx:
            row = tx.execute(_with_token(), {JOB.key: job, TOKEN.key: hash_of(token)}).one_or_none()
            return None if row is None else _reviewer(row)


@cache
def _with_token() -> Select[Any]:
    return select(t.reviewers).where(R.job == JOB, R.token_hash == TOKEN, R.revoked_at.is_(None))


def hash_of(token: str) -> str:
    """What is kept of a token. It is long and by chance: it needs no salt, and no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _reviewer(row: Row[Any]) -> Reviewer:
    return Reviewer(name=row.name, role=row.role, created_at=row.created_at, revoked_at=row.revoked_at)
