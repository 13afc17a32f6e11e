"""What people did, append-only: taking something back is one more row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.engine import Row

from agent.errors import StoreError
from agent.records import Label, Source, TextId
from agent.store import tables as t
from agent.store.columns import now
from agent.store.engine import append, in_parts
from agent.store.labels import Labels
from agent.store.rows import ReviewRow
from agent.store.waiting import DECIDE, FLAG, LABEL, drawn_of, requeue, undone

UNDO = "undo"
GIVES = (LABEL, DECIDE)
"""What comes with a label."""


class Reviews(Labels):
    """Queries about people's reviews."""

    def review(  # noqa: PLR0917 - one fact more than usual, all of them plain
        self,
        job: str,
        text_id: TextId,
        person: str,
        action: str,
        label: Label | None = None,
        seconds: float = 0.0,
        *,
        note: str | None = None,
        blind: bool | None = None,
        tx: Connection | None = None,
    ) -> int:
        """Keep what a person did with one item, in one commit with the label they gave; returns the review's id.

        `action` is "label" or "decide" (with a label of source person), "skip", "flag", or another word of the page's
        own; the person has it no longer before them. `blind` is how they saw it, where it is not shown so now.
        Raises StoreError where the text is not kept in the store.
        """
        self._check(text_id, action, label)
        with self._write(tx, job) as sql:
            now_blind = _blind(sql, job, [text_id])
            if text_id not in now_blind:
                raise StoreError(f"store {self.name}: job {job!r} has no text {text_id!r}")
            row = {
                "job": job,
                "text_id": text_id,
                "person": person,
                "action": action,
                "label_id": self.add_labels(job, [label], tx=sql)[0] if label is not None else None,
                "seconds": float(seconds),
                "blind": now_blind[text_id] if blind is None else blind,
                "note": note,
            }
            made = append(sql, insert(t.reviews).values(**row, created_at=now()))
            l = t.leases.c  # noqa: E741
            sql.execute(delete(t.leases).where(l.job == job, l.text_id == text_id, l.person == person))
            requeue(sql, job, [text_id])
            return made

    def review_all(self, job: str, given: Sequence[tuple[Label, float]], *, tx: Connection | None = None) -> None:
        """Keep labels of people with the seconds each took, as `review` would one by one, in few statements.

        Raises StoreError where a text is not kept in the store.
        """
        with self._write(tx, job) as sql:
            for part in in_parts(given):
                for label, _ in part:
                    self._check(label.text_id, LABEL, label)
                blind = _blind(sql, job, [label.text_id for label, _ in part])
                lost = next((label.text_id for label, _ in part if label.text_id not in blind), None)
                if lost is not None:
                    raise StoreError(f"store {self.name}: job {job!r} has no text {lost!r}")
                ids = self.add_labels(job, [label for label, _ in part], tx=sql)
                at = now()
                rows = [
                    {
                        "job": job,
                        "text_id": label.text_id,
                        "person": label.by,
                        "action": LABEL,
                        "label_id": label_id,
                        "seconds": float(seconds),
                        "blind": blind[label.text_id],
                        "created_at": at,
                    }
                    for (label, seconds), label_id in zip(part, ids, strict=True)
                ]
                sql.execute(insert(t.reviews), rows)

    def undo_review(
        self,
        job: str,
        person: str,
        act: int | None = None,
        *,
        reason: str | None = None,
        tx: Connection | None = None,
    ) -> TextId | None:
        """Take back the newest thing that this person did and has not taken back, or the `act` with this id; returns
        its text.

        Queue and labels are then as if it had not been done. None where there is nothing left to take back, or that
        act is not theirs or was taken back. `reason` is why the label is withdrawn.
        """
        with self._write(tx, job) as sql:
            last = sql.execute(_last_act(job, person, act)).one_or_none()
            if last is None:
                return None
            if last.label_id is not None:
                self.withdraw(job, last.label_id, reason or f"undone by {person}", tx=sql)
            row = {"job": job, "text_id": last.text_id, "person": person, "action": UNDO, "undoes": last.id}
            append(sql, insert(t.reviews).values(**row, seconds=0.0, blind=last.blind, created_at=now()))
            requeue(sql, job, [last.text_id])
            return TextId(last.text_id)

    def reviews(self, job: str, *, person: str | None = None) -> list[ReviewRow]:
        """Everything that people did (or one of them), oldest first, also what was undone and the undoing."""
        query = select(t.reviews, undone().label("undone")).where(t.reviews.c.job == job).order_by(t.reviews.c.id)
        if person is not None:
            query = query.where(t.reviews.c.person == person)
        with self._read(None) as tx:
            return [_review(row) for row in tx.execute(query)]

    def acts(self, job: str, person: str, limit: int, before: int | None = None) -> list[ReviewRow]:
        """What a person did and did not take back, newest first; with `before` what came before that act."""
        query = _acts(job, person).limit(limit)
        if before is not None:
            query = query.where(t.reviews.c.id < before)
        with self._read(None) as tx:
            return [_review(row) for row in tx.execute(query)]

    def act(self, job: str, person: str, act: int) -> ReviewRow | None:
        """One thing that a person did, whether or not it was taken back; None where it is not theirs."""
        r = t.reviews.c
        query = select(t.reviews, undone().label("undone")).where(r.job == job, r.id == act, r.person == person)
        with self._read(None) as tx:
            row = tx.execute(query.where(r.action != UNDO)).one_or_none()
            return None if row is None else _review(row)

    def replaced(self, job: str, act: ReviewRow) -> ReviewRow | None:
        """The act whose label an act's own took the place of; None where it took no other's."""
        r, gone = t.reviews.c, t.withdrawals.c
        mine = select(t.reviews).where(r.job == job, r.text_id == act.text_id, r.person == act.person)
        before = mine.where(r.id < act.id)
        with self._read(None) as tx:
            last = tx.execute(before.order_by(r.id.desc()).limit(1)).one_or_none()
            if last is None or last.undoes is None or act.label_id is None:
                return None
            query = (
                select(t.reviews, undone().label("undone"))
                .join(t.withdrawals, gone.label_id == r.label_id)
                .where(r.id == last.undoes, gone.reason == replaced_by(act.person))
            )
            row = tx.execute(query).one_or_none()
            return None if row is None else _review(row)

    def acts_on(self, job: str, text_id: TextId) -> list[ReviewRow]:
        """What people did with one text and did not take back, oldest first."""
        r = t.reviews.c
        query = select(t.reviews, undone().label("undone")).where(r.job == job, r.text_id == text_id)
        with self._read(None) as tx:
            rows = tx.execute(query.where(r.action != UNDO, ~undone()).order_by(r.id))
            return [_review(row) for row in rows]

    def is_blind(self, job: str, text_id: TextId) -> bool:
        """Whether people are not to see what the machine said of a text, as things are now."""
        with self._read(None) as tx:
            return _blind(tx, job, [text_id]).get(text_id, False)

    def flags(self, job: str, ids: Sequence[TextId]) -> dict[TextId, list[ReviewRow]]:
        """The flags of some texts that stand, oldest first."""
        r, found = t.reviews.c, dict[TextId, list[ReviewRow]]()
        with self._read(None) as tx:
            for part in in_parts(ids):
                query = select(t.reviews, undone().label("undone")).where(r.job == job, r.text_id.in_(part))
                for row in tx.execute(query.where(r.action == FLAG, ~undone()).order_by(r.id)):
                    found.setdefault(row.text_id, []).append(_review(row))
        return found

    def last_act(self, job: str, person: str) -> ReviewRow | None:
        """The newest thing that a person did and did not take back: what `undo_review` would take back."""
        with self._read(None) as tx:
            row = tx.execute(_last_act(job, person)).one_or_none()
            return None if row is None else _review(row)

    def labelled(self, job: str, person: str) -> int:
        """How many times a person labelled a text and did not take that back."""
        given, undo, r = t.reviews.alias(), t.reviews.alias(), t.reviews.c
        labels = select(func.count()).where(r.job == job, r.person == person, r.action.in_(GIVES))
        taken_back = (
            select(func.count())
            .select_from(undo.join(given, given.c.id == undo.c.undoes))
            .where(undo.c.job == job, undo.c.person == person, undo.c.action == UNDO, given.c.action.in_(GIVES))
        )
        with self._read(None) as tx:
            return int(tx.execute(labels).scalar_one()) - int(tx.execute(taken_back).scalar_one())

    def judged_blind(self, job: str) -> set[TextId]:
        """Texts that a person labelled who did not see the machine's label, and did not take that back."""
        r = t.reviews.c
        query = select(r.text_id).where(r.job == job, r.action == LABEL, r.blind, ~undone())
        with self._read(None) as tx:
            return set(tx.execute(query).scalars())

    @staticmethod
    def _check(text_id: TextId, action: str, label: Label | None) -> None:
        if action == UNDO:
            raise ValueError("undo_review is how a review is undone")
        if (action in GIVES) != (label is not None):
            raise ValueError(f"a review needs a label just where its action is one of {GIVES}, not for {action!r}")
        if label is not None and (label.text_id != text_id or label.source != Source.PERSON):
            raise ValueError(f"not a person's label of {text_id!r}: {label!r}")


def _blind(tx: Connection, job: str, ids: Sequence[TextId]) -> dict[TextId, bool]:
    """Whether each text that is kept is shown blind now: by its route, or since an audit drew it."""
    here = select(t.texts.c.text_id).where(t.texts.c.job == job, t.texts.c.text_id.in_(ids))
    found = dict.fromkeys(tx.execute(here).scalars(), False)
    newest = select(t.routes.c.text_id, t.routes.c.blind).where(t.routes.c.job == job, t.routes.c.text_id.in_(ids))
    found.update((row.text_id, bool(row.blind)) for row in tx.execute(newest.order_by(t.routes.c.id)))
    drawn = select(drawn_of(job, ids).c.text_id)
    return found | dict.fromkeys(tx.execute(drawn).scalars(), True)


def replaced_by(person: str) -> str:
    """Why a label was withdrawn that another one of the same person took the place of."""
    return f"replaced by {person}"


def _acts(job: str, person: str) -> Any:
    r = t.reviews.c
    return (
        select(t.reviews, undone().label("undone"))
        .where(r.job == job, r.person == person, r.action != UNDO, ~undone())
        .order_by(r.id.desc())
    )


def _last_act(job: str, person: str, act: int | None = None) -> Any:
    query = _acts(job, person).limit(1)
    return query if act is None else query.where(t.reviews.c.id == act)


def _review(row: Row[Any]) -> ReviewRow:
    return ReviewRow(
        id=row.id,
        text_id=row.text_id,
        person=row.person,
        action=row.action,
        label_id=row.label_id,
        undone=bool(row.undone),
        seconds=row.seconds,
        blind=row.blind,
        created_at=row.created_at,
        undoes=row.undoes,
        note=row.note,
        bulk_id=row.bulk_id,
    )
