"""What people did, append-only: taking something back is one more row."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Delete, Select, delete, false, func, insert, or_, select
from sqlalchemy.engine import Row

from agent.errors import StoreError
from agent.records import Label, Source, TextId
from agent.store import tables as t
from agent.store.blanks import JOB, LIMIT, NUMBER, PERSON, TEXT, TEXTS
from agent.store.columns import Among, now
from agent.store.engine import append, in_parts
from agent.store.labels import Labels
from agent.store.rows import ReviewRow
from agent.store.waiting import FLAG, GIVES, LABEL, POT, UNDO, drawn_of, requeue, undone


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

        `action` is "label" or "decide" (with a label of source person), "honey pot" (with one that never counts),
        "skip", "flag", or another word of the page's own; the person has it no longer before them. `blind` is how
        they saw it, where that is known: else as it is shown now.

        Raises StoreError where the text is not kept in the store.
        """
        self._check(text_id, action, label)
        with self._write(tx, job) as sql:
            if blind is None:
                blind = _blind(sql, job, [text_id]).get(text_id)
            if blind is None:
                raise StoreError(f"store {self.name}: job {job!r} has no text {text_id!r}")
            given = self._give(sql, job, [label])[0] if label is not None else None
            row = {
                "job": job,
                "text_id": text_id,
                "person": person,
                "action": action,
                "label_id": given,
                "seconds": float(seconds),
                "blind": blind,
                "note": note,
                "created_at": now(),
            }
            made = append(sql, t.reviews, row)
            if action == POT and given is not None:
                self._take_back(sql, job, given, "a honey pot: its answer is known")
            sql.execute(_no_longer_theirs(), {JOB.key: job, TEXT.key: text_id, PERSON.key: person})
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
            who = {JOB.key: job, PERSON.key: person}
            of = (_newest(), who | {LIMIT.key: 1}) if act is None else (_this(), who | {NUMBER.key: act})
            last = sql.execute(*of).one_or_none()
            if last is None:
                return None
            if last.label_id is not None:
                self._take_back(sql, job, last.label_id, reason or f"undone by {person}")
            row = {
                "job": job,
                "text_id": last.text_id,
                "person": person,
                "action": UNDO,
                "undoes": last.id,
                "seconds": 0.0,
                "blind": last.blind,
                "created_at": now(),
                "note": reason,
            }
            append(sql, t.reviews, row)
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
        query, who = _newest(), {JOB.key: job, PERSON.key: person, LIMIT.key: limit}
        if before is not None:
            query = query.where(t.reviews.c.id < before)
        with self._read(None) as tx:
            return [_review(row) for row in tx.execute(query, who)]

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
                .outerjoin(t.withdrawals, gone.label_id == r.label_id)
                # a check's label was withdrawn as it was given, for another reason
                .where(r.id == last.undoes, func.coalesce(last.note, gone.reason) == replaced_by(act.person))
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
            row = tx.execute(_newest(), {JOB.key: job, PERSON.key: person, LIMIT.key: 1}).one_or_none()
            return None if row is None else _review(row)

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
    return {row.text_id: bool(row.blind) for row in tx.execute(_seen(), {JOB.key: job, TEXTS.key: ids})}


@cache
def _seen() -> Select[Any]:
    x, r, drawn = t.texts.c, t.routes.c, drawn_of(JOB, TEXTS)
    newest = select(r.blind).where(r.job == x.job, r.text_id == x.text_id).order_by(r.id.desc()).limit(1)
    by_route = func.coalesce(newest.scalar_subquery(), false())
    return (
        select(x.text_id, or_(by_route, drawn.c.text_id.is_not(None)).label("blind"))
        .outerjoin(drawn, drawn.c.text_id == x.text_id)
        .where(x.job == JOB, Among(x.text_id, TEXTS))
    )


@cache
def _no_longer_theirs() -> Delete:
    l = t.leases.c  # noqa: E741
    return delete(t.leases).where(l.job == JOB, l.text_id == TEXT, l.person == PERSON)


def replaced_by(person: str) -> str:
    """Why a label was withdrawn that another one of the same person took the place of."""
    return f"replaced by {person}"


@cache
def _acts() -> Select[Any]:
    """What a person did and did not take back."""
    r = t.reviews.c
    standing = (r.job == JOB, r.person == PERSON, r.action != UNDO, ~undone())
    return select(t.reviews, false().label("undone")).where(*standing)


@cache
def _newest() -> Select[Any]:
    return _acts().order_by(t.reviews.c.id.desc()).limit(LIMIT)


@cache
def _this() -> Select[Any]:
    return _acts().where(t.reviews.c.id == NUMBER)


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
