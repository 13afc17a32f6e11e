"""Machines' labels that a person accepts many at once, after some of them, drawn by chance, were checked one by one.

Whatever was matched is kept in the order in which it was drawn; the first so many of it are checked. To accept is
one review of the person, and a row in `bulk_accepts` for each decision (`routes`) that it is about: a newer decision
about a text is not accepted by it. The label stays the machine's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, and_, delete, func, insert, literal, select, update

from agent.records import Source, TextId
from agent.store import tables as t
from agent.store.columns import InCodePoints, now
from agent.store.engine import Database, append, in_parts
from agent.store.filters import narrowed
from agent.store.rows import BulkItem, BulkRow, Filter
from agent.store.waiting import ACCEPT, add_to_count, requeue, skipped_of, undone, withdrawn

W, B, I = t.waiting.c, t.bulks.c, t.bulk_items.c  # noqa: E741
MACHINES = (Source.ORACLE.value, Source.STUDENT.value)


class Bulks(Database):
    """Queries about what is accepted many at once."""

    def acceptable(self, job: str, person: str, only: Filter) -> int:
        """How many texts that fit a filter a person could accept at once: see `_acceptable`."""
        with self._read(None) as tx:
            found = narrowed(_acceptable(job, person), only, person, tx.dialect.name).subquery()
            return int(tx.execute(select(func.count()).select_from(found)).scalar_one())

    def draw_bulk(
        self,
        job: str,
        person: str,
        only: Filter,
        asked: Mapping[str, Any],
        rng: np.random.Generator,
        *,
        most_wrong: float,
        alpha: float,
        tx: Connection | None = None,
    ) -> BulkRow | None:
        """Put all that fits a filter in an order by chance, of which nothing is to be checked yet (`draw_more`). None
        where nothing fits it.

        `asked` is the filter as it is to be kept; fewer than `most_wrong` of the labels are to be shown to be wrong,
        with a chance of `alpha` to be mistaken.
        """
        with self._write(tx, job) as sql:
            found = narrowed(_acceptable(job, person), only, person, sql.dialect.name)
            routes = list(sql.execute(found.order_by(InCodePoints(W.text_id))).scalars())
            if not routes:
                return None
            row = {
                "job": job,
                "person": person,
                "asked": dict(asked),
                "population": len(routes),
                "drawn": 0,
                "most_wrong": most_wrong,
                "alpha": alpha,
                "created_at": now(),
            }
            made = append(sql, t.bulks, row)
            order = rng.permutation(len(routes)).tolist()
            rows = [{"bulk_id": made, "place": k, "route_id": routes[at]} for k, at in enumerate(order)]
            for part in in_parts(rows, 5000):
                sql.execute(insert(t.bulk_items), part)
            return _bulk(sql.execute(_bulks(job).where(B.id == made)).one())

    def draw_more(self, job: str, bulk_id: int, drawn: int, *, tx: Connection | None = None) -> None:
        """Have the first `drawn` items of a bulk be checked."""
        with self._write(tx, job) as sql:
            sql.execute(update(t.bulks).where(B.job == job, B.id == bulk_id).values(drawn=drawn))

    def bulks(self, job: str) -> list[BulkRow]:
        """Every bulk of a job, oldest first."""
        with self._read(None) as tx:
            return [_bulk(row) for row in tx.execute(_bulks(job).order_by(B.id))]

    def bulk(self, job: str, bulk_id: int) -> BulkRow | None:
        """One of them."""
        with self._read(None) as tx:
            row = tx.execute(_bulks(job).where(B.id == bulk_id)).one_or_none()
            return None if row is None else _bulk(row)

    def bulk_items(self, job: str, bulk: BulkRow) -> list[BulkItem]:
        """The items of a bulk that are to be checked, in the order of drawing, but for those that something else was
        decided about since: what is left of them is still drawn by chance from what is left of all."""
        machine, newer = t.labels.alias(), t.routes.alias()
        person = t.labels.alias()
        # who draws a bulk checks it; where somebody else labelled an item, that counts as well
        given = (
            select(person.c.id)
            .where(
                person.c.job == job,
                person.c.text_id == t.routes.c.text_id,
                person.c.source == Source.PERSON.value,
                ~withdrawn(person.c.id),
            )
            .order_by((person.c.given_by == bulk.person).desc(), person.c.id.desc())
            .limit(1)
            .correlate(t.routes)
            .scalar_subquery()
        )
        said = t.labels.alias()
        query = (
            select(t.routes.c.text_id, machine.c.value, said.c.id, said.c.value, skipped_of(t.routes))
            .select_from(t.bulk_items)
            .join(t.routes, t.routes.c.id == I.route_id)
            .join(machine, machine.c.id == t.routes.c.label_id)
            .outerjoin(said, said.c.id == given)
            .where(I.bulk_id == bulk.id, I.place < bulk.drawn, ~_is_newer(newer, t.routes))
            .order_by(I.place)
        )
        with self._read(None) as tx:
            return [BulkItem(row[0], row[1], row[2] is not None, row[3], bool(row[4])) for row in tx.execute(query)]

    def decided_since(self, job: str, bulk_id: int) -> int:
        """About how many texts of a bulk something else was decided since it was drawn."""
        newer = t.routes.alias()
        query = (
            select(func.count())
            .select_from(t.bulk_items)
            .join(t.routes, t.routes.c.id == I.route_id)
            .where(I.bulk_id == bulk_id, _is_newer(newer, t.routes))
        )
        with self._read(None) as tx:
            return int(tx.execute(query).scalar_one())

    def to_accept(self, job: str, bulk: BulkRow) -> int:
        """How many texts `accept_bulk` would take."""
        with self._read(None) as tx:
            found = _rest_of(job, bulk).subquery()
            return int(tx.execute(select(func.count()).select_from(found)).scalar_one())

    def accept_bulk(
        self, job: str, bulk: BulkRow, seconds: float = 0.0, note: str = "", *, tx: Connection | None = None
    ) -> tuple[int, int]:
        """Accept the labels of a bulk's texts that still wait, for the person who drew it, in one commit.

        Returns the review's id and how many texts it was. What somebody else has before them, was labelled, put off
        or drawn by an audit since, or got another label is left as it is. `note` is kept beside it.
        """
        with self._write(tx, job) as sql:
            first = select(t.routes.c.text_id).join(t.bulk_items, I.route_id == t.routes.c.id)
            about = sql.execute(first.where(I.bulk_id == bulk.id, I.place == 0)).scalar_one()
            row = {
                "job": job,
                "text_id": about,
                "person": bulk.person,
                "action": ACCEPT,
                "seconds": float(seconds),
                "blind": False,
                "note": note,
                "bulk_id": bulk.id,
            }
            made = append(sql, t.reviews, row | {"created_at": now()})
            taken = t.bulk_accepts
            rest = _rest_of(job, bulk).subquery()
            chosen = select(literal(made), rest.c.route_id)
            sql.execute(insert(taken).from_select(["review_id", "route_id"], chosen))
            of = select(t.routes.c.text_id).join(taken, taken.c.route_id == t.routes.c.id)
            texts = of.where(taken.c.review_id == made)
            held = t.leases.c
            sql.execute(delete(t.leases).where(held.job == job, held.text_id.in_(texts)))
            # as `requeue` would: nothing else keeps them waiting
            gone = sql.execute(delete(t.waiting).where(W.job == job, W.text_id.in_(texts))).rowcount
            add_to_count(sql, job, -gone)
            return made, gone

    def accepted_by(self, job: str, review_id: int, *, tx: Connection | None = None) -> list[TextId]:
        """The texts whose labels a review accepted."""
        taken, r = t.bulk_accepts.c, t.routes.c
        query = select(r.text_id).join(t.bulk_accepts, taken.route_id == r.id)
        with self._read(tx) as sql:
            return list(sql.execute(query.where(r.job == job, taken.review_id == review_id)).scalars())

    def wait_again(self, job: str, review_id: int, *, tx: Connection | None = None) -> int:
        """After a review was taken back: the texts that it had accepted wait as before. How many those were."""
        with self._write(tx, job) as sql:
            texts = self.accepted_by(job, review_id, tx=sql)
            requeue(sql, job, texts)
            return len(texts)

    def acceptances(self, job: str, bulk_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Of these bulks that are accepted now: the review that did it, and how many texts that took."""
        r, taken = t.reviews.c, t.bulk_accepts.c
        query = (
            select(r.bulk_id, r.id, func.count(taken.route_id))
            .select_from(t.reviews.outerjoin(t.bulk_accepts, taken.review_id == r.id))
            .where(r.job == job, r.bulk_id.in_(bulk_ids), r.action == ACCEPT, ~undone())
            .group_by(r.bulk_id, r.id)
        )
        with self._read(None) as tx:
            return {int(of): (int(review), int(count)) for of, review, count in tx.execute(query)}


def _acceptable(job: str, person: str) -> Select[Any]:
    """The newest decisions about texts that wait and that a person may accept at once: a machine labelled them, that
    label counts, nobody else labelled or put them off or has them before them, and no audit ever drew them. What is
    blind or torn is never among them."""
    r, current, label, item = t.routes.alias(), t.current_labels.alias(), t.labels.alias(), t.audit_items.c
    lease = t.leases.c
    audited = select(item.text_id).where(item.job == W.job, item.text_id == W.text_id).correlate(t.waiting)
    before = select(lease.text_id).where(
        lease.job == W.job, lease.text_id == W.text_id, lease.person != person, lease.until > now()
    )
    return (
        select(W.route_id)
        .select_from(t.waiting)
        .join(r, r.c.id == W.route_id)
        .join(current, and_(current.c.job == W.job, current.c.text_id == W.text_id))
        .join(label, label.c.id == current.c.label_id)
        .where(
            W.job == job,
            W.routed.is_(True),
            W.skipped.is_(False),
            W.torn.is_(False),
            W.votes == 0,
            W.by_audit.is_(None),
            r.c.blind.is_(False),
            r.c.label_id == label.c.id,
            label.c.source.in_(MACHINES),
            ~audited.exists(),
            ~before.correlate(t.waiting).exists(),
        )
    )


def _rest_of(job: str, bulk: BulkRow) -> Select[Any]:
    """What of a bulk may still be accepted."""
    return _acceptable(job, bulk.person).join(t.bulk_items, and_(I.bulk_id == bulk.id, I.route_id == W.route_id))


def _is_newer(newer: Any, than: Any) -> Any:
    return (
        select(newer.c.id)
        .where(newer.c.job == than.c.job, newer.c.text_id == than.c.text_id, newer.c.id > than.c.id)
        .correlate(than)
        .exists()
    )


def _bulks(job: str) -> Select[Any]:
    return select(t.bulks).where(B.job == job)


def _bulk(row: Any) -> BulkRow:
    return BulkRow(
        row.id, row.person, row.asked, row.population, row.drawn, row.most_wrong, row.alpha, row.created_at
    )
