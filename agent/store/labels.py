"""Labels: append-only, with a derived pointer to the one that counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Delete, Select, Update, delete, func, insert, select, update

from agent.errors import StoreError
from agent.records import Label, Source, TextId
from agent.store import tables as t
from agent.store.blanks import JOB, NUMBER, TEXT, TEXTS
from agent.store.columns import Among, known, now, pack_json
from agent.store.engine import Database, append_all, in_parts
from agent.store.waiting import requeue, withdrawn

# (text, answer) to the (id, value as JSON) of every label derived from it
Derived = dict[tuple[TextId, int | None], list[tuple[int, str]]]

SOURCES = {source.value: source for source in Source}
RANK = {Source.PERSON: 3, Source.SEED: 2, Source.ORACLE: 1, Source.STUDENT: 0}


class Labels(Database):
    """Queries about labels. A person's label beats a seed's, a seed's an oracle's, an oracle's a student's; of one
    rank the newest counts; one that was withdrawn never counts."""

    def add_labels(self, job: str, labels: Sequence[Label], *, tx: Connection | None = None) -> list[int]:
        """Give labels; returns their ids in order.

        A label that was derived from the same answer before, with the same value, is not given again: its id is
        returned, so that a run that goes on after a crash may derive all anew. One that was withdrawn stays so.
        """
        with self._write(tx, job) as sql:
            before = self._derived(sql, job, [x.answer_id for x in labels if x.answer_id is not None])
            known_ids = [_same(x, before) for x in labels]
            new = [x for x, i in zip(labels, known_ids, strict=True) if i is None]
            made = iter(self._give(sql, job, new))
            requeue(sql, job, [x.text_id for x in new])
            return [next(made) if i is None else i for i in known_ids]

    def _give(self, tx: Connection, job: str, labels: Sequence[Label]) -> list[int]:
        """Append labels; ids in order. The texts are to be queued anew afterwards."""
        made = append_all(tx, t.labels, [_values(job, label) for label in labels])
        if len(labels) == 1 and labels[0].source is Source.PERSON:
            _point_at(tx, job, labels[0].text_id, made[0])  # it counts, whatever was said before
        else:
            point(tx, job, [x.text_id for x in labels])
        return made

    def labels(self, job: str, *, source: Source | None = None) -> list[Label]:
        """Every label that was ever given, oldest first, also superseded and withdrawn ones."""
        query = select(t.labels).where(t.labels.c.job == job).order_by(t.labels.c.id)
        if source is not None:
            query = query.where(t.labels.c.source == source.value)
        with self._read(None) as tx:
            return [to_label(row) for row in tx.execute(query)]

    def asked(self, job: str) -> list[tuple[str, str]]:
        """Which oracles gave labels, and the hashes of the prompts that they were asked with, in order."""
        l = t.labels.c  # noqa: E741
        query = select(l.given_by, l.prompt_hash).where(l.job == job, l.source == Source.ORACLE.value).distinct()
        with self._read(None) as tx:
            return sorted((str(by), str(hashed)) for by, hashed in tx.execute(query))

    def label(self, job: str, label_id: int) -> Label | None:
        """One label, whether or not it stands."""
        with self._read(None) as tx:
            row = tx.execute(_one(), {JOB.key: job, NUMBER.key: label_id}).one_or_none()
            return None if row is None else to_label(row)

    def labels_with(self, job: str, ids: Iterable[int]) -> dict[int, Label]:
        """Labels by their ids, whether or not they stand."""
        l, found = t.labels.c, dict[int, Label]()  # noqa: E741
        with self._read(None) as tx:
            for part in in_parts(dict.fromkeys(ids)):
                query = select(t.labels).where(l.job == job, l.id.in_(part))
                found.update((row.id, to_label(row)) for row in tx.execute(query))
        return found

    def label_of(self, job: str, text_id: TextId) -> Label | None:
        """The label that counts for one text."""
        with self._read(None) as tx:
            row = tx.execute(_counting(), {JOB.key: job, TEXT.key: text_id}).one_or_none()
            return None if row is None else to_label(row)

    def current(self, job: str) -> dict[TextId, Label]:
        """The label that counts for every text that has one."""
        query = (
            select(t.labels)
            .join(t.current_labels, t.current_labels.c.label_id == t.labels.c.id)
            .where(t.current_labels.c.job == job)
            .order_by(t.labels.c.id)
        )
        with self._read(None) as tx:
            return {label.text_id: label for label in map(to_label, tx.execute(query))}

    def contested(self, job: str) -> list[Label]:
        """The labels that stand of every text that has more than one, oldest first."""
        l = t.labels.c  # noqa: E741
        gone = select(t.withdrawals.c.label_id)
        several = select(l.text_id).where(l.job == job, l.id.not_in(gone)).group_by(l.text_id)
        query = (
            select(t.labels)
            .where(l.job == job, l.id.not_in(gone), l.text_id.in_(several.having(func.count() > 1)))
            .order_by(l.id)
        )
        with self._read(None) as tx:
            return [to_label(row) for row in tx.execute(query)]

    def standing(self, job: str, ids: Iterable[TextId], *, tx: Connection | None = None) -> list[Label]:
        """The labels that stand of these texts, oldest first."""
        found: list[Label] = []
        with self._read(tx) as sql:
            for part in in_parts(dict.fromkeys(ids)):
                found += [to_label(row) for row in sql.execute(_standing(), {JOB.key: job, TEXTS.key: part})]
        return sorted(found, key=lambda label: label.id or 0)

    def withdraw(self, job: str, label_id: int, reason: str, *, tx: Connection | None = None) -> None:
        """Take a label back. It stays in `labels`; what counted before counts again. Twice is the same as once.

        Raises StoreError where the job has no such label.
        """
        with self._write(tx, job) as sql:
            text_id = self._take_back(sql, job, label_id, reason)
            if text_id is not None:
                requeue(sql, job, [text_id])

    def _take_back(self, tx: Connection, job: str, label_id: int, reason: str) -> TextId | None:
        """`withdraw`, but for the queue: its text, None where it was taken back before."""
        row = tx.execute(_one(), {JOB.key: job, NUMBER.key: label_id}).one_or_none()
        if row is None:
            raise StoreError(f"store {self.name}: job {job!r} has no label {label_id}")
        if tx.execute(_gone(), {NUMBER.key: label_id}).one_or_none() is not None:
            return None
        tx.execute(insert(t.withdrawals), [{"label_id": label_id, "reason": reason, "created_at": now()}])
        point(tx, job, [row.text_id])
        return TextId(row.text_id)

    def withdrawn(self, job: str) -> dict[int, str]:
        """Label id to the reason why it was taken back."""
        query = (
            select(t.withdrawals.c.label_id, t.withdrawals.c.reason)
            .join(t.labels, t.labels.c.id == t.withdrawals.c.label_id)
            .where(t.labels.c.job == job)
            .order_by(t.withdrawals.c.label_id)
        )
        with self._read(None) as tx:
            return {row.label_id: row.reason for row in tx.execute(query)}

    def _derived(self, tx: Connection, job: str, answer_ids: Iterable[int]) -> Derived:
        found: Derived = {}
        c = t.labels.c
        for part in in_parts(dict.fromkeys(answer_ids)):
            query = select(c.id, c.text_id, c.answer_id, c.value).where(c.job == job, c.answer_id.in_(part))
            for row in tx.execute(query.order_by(c.id)):
                found.setdefault((row.text_id, row.answer_id), []).append((row.id, pack_json(row.value)))
        return found


def _same(label: Label, derived: Derived) -> int | None:
    same = [i for i, value in derived.get((label.text_id, label.answer_id), []) if value == pack_json(label.value)]
    return same[-1] if same else None


def _values(job: str, label: Label) -> dict[str, Any]:
    return {
        "job": job,
        "text_id": label.text_id,
        "value": label.value,
        "source": Source(label.source).value,
        "given_by": label.by,
        "probabilities": None if label.probabilities is None else dict(label.probabilities),
        "confidence": known(label.confidence),
        "lost_mass": known(label.lost_mass) or 0.0,
        "prompt_hash": label.prompt_hash,
        "answer_id": label.answer_id,
        "cost": int(label.cost),
        "created_at": label.created_at or now(),
        "signs": None if label.signs is None else dict(label.signs),
    }


def point(tx: Connection, job: str, text_ids: Iterable[TextId]) -> None:
    """Point at the labels that count now, for these texts, which are to be queued anew afterwards."""
    for part in in_parts(dict.fromkeys(text_ids)):
        these = {JOB.key: job, TEXTS.key: part}
        rows = sorted(tx.execute(_ranked(), these), key=lambda r: (RANK[Source(r.source)], r.id))
        best = {row.text_id: row.id for row in rows}  # the last one wins
        tx.execute(_unpointed(), these)
        if best:
            pointers = [{"job": job, "text_id": text_id, "label_id": i} for text_id, i in best.items()]
            tx.execute(insert(t.current_labels), pointers)


def _point_at(tx: Connection, job: str, text_id: TextId, label_id: int) -> None:
    what = {JOB.key: job, TEXT.key: text_id, NUMBER.key: label_id}
    if not tx.execute(_pointed(), what).rowcount:
        tx.execute(insert(t.current_labels), [{"job": job, "text_id": text_id, "label_id": label_id}])


@cache
def _pointed() -> Update:
    p = t.current_labels.c
    return update(t.current_labels).where(p.job == JOB, p.text_id == TEXT).values(label_id=NUMBER)


@cache
def _one() -> Select[Any]:
    return select(t.labels).where(t.labels.c.job == JOB, t.labels.c.id == NUMBER)


@cache
def _counting() -> Select[Any]:
    """The label that counts for one text."""
    p = t.current_labels.c
    return select(t.labels).join(t.current_labels, p.label_id == t.labels.c.id).where(p.job == JOB, p.text_id == TEXT)


@cache
def _standing() -> Select[Any]:
    return select(t.labels).where(t.labels.c.job == JOB, Among(t.labels.c.text_id, TEXTS), ~withdrawn(t.labels.c.id))


@cache
def _ranked() -> Select[Any]:
    l = t.labels.c  # noqa: E741
    return select(l.id, l.text_id, l.source).where(l.job == JOB, Among(l.text_id, TEXTS), ~withdrawn(l.id))


@cache
def _gone() -> Select[Any]:
    return select(t.withdrawals.c.label_id).where(t.withdrawals.c.label_id == NUMBER)


@cache
def _unpointed() -> Delete:
    return delete(t.current_labels).where(t.current_labels.c.job == JOB, Among(t.current_labels.c.text_id, TEXTS))


def to_label(values: Sequence[Any]) -> Label:
    """The columns of one row of the labels table, in the table's order, as a record."""
    number, _, text_id, value, source, by, chances, confidence, lost, prompt_hash, answer, cost, at, signs = values
    return Label(
        text_id, value, SOURCES[source], by, chances, confidence, lost, prompt_hash, answer, cost, at, number, signs
    )
