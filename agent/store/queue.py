"""Triage's decisions, and what waits for a person because of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, FromClause, Select, and_, case, func, insert, null, or_, select

from agent.records import Route, TextId
from agent.store import tables as t
from agent.store.blanks import JOB, TEXTS, OneText
from agent.store.columns import Among, InCodePoints, by_hash, known, now
from agent.store.engine import WITH_TEXT, Database, in_parts
from agent.store.labels import to_label
from agent.store.rows import QueueRow, RouteRow
from agent.store.waiting import ACCEPT, requeue, same_text, undone

ROUTES = {route.value: route for route in Route}
AGAIN = "asked again"
"""How the reason begins of a text whose label was accepted, and is asked about again; alone it stands for one whose
second answer has not come."""


TOGETHER, SHORT = 10_000, 2_000
"""So many texts of the queue are looked up at once, and come along where they have no more characters: the order of
the queue is none that a database keeps its rows in, and of a few it would read a page for each."""


IN_BULK = "accepted in bulk by "
"""How the reason begins of a text whose label a person accepted with many others at once; their name follows."""


class Queue(Database):
    """Queries about routes, and the people's queue that they make."""

    def add_routes(
        self,
        job: str,
        round: int,  # noqa: A002
        routes: Sequence[RouteRow],
        *,
        tx: Connection | None = None,
    ) -> None:
        """Append decisions; the newest of a text holds. Their texts must be kept (`add_picks`, `add_texts`)."""
        rows = [
            {
                "job": job,
                "text_id": r.text_id,
                "round": int(round),
                "label_id": r.label_id,
                "route": Route(r.route).value,
                "reason": r.reason,
                "confidence": known(r.confidence),
                "blind": bool(r.blind),
                "probability": known(r.probability),
                "priority": priority(r),
                "created_at": now(),
            }
            for r in routes
        ]
        if rows:
            with self._write(tx, job) as sql:
                sql.execute(insert(t.routes), rows)
                requeue(sql, job, [r.text_id for r in routes])

    def routes(self, job: str) -> dict[TextId, RouteRow]:
        """The newest decision about every text that has one. Where a person accepted its label with many others at
        once, that is what was decided."""
        newest = _newest(job)
        query = select(*DECIDED).join(newest, newest.c.id == t.routes.c.id).order_by(t.routes.c.id)
        with self._read(None) as tx:
            bulks = in_bulk(tx, job)
            return {row.text_id: to_route(row, bulks) for row in tx.execute(query)}

    def asked_again(self, job: str) -> list[TextId]:
        """Texts that were to be asked about again, the first one first."""
        first = func.min(t.routes.c.id)
        query = select(t.routes.c.text_id).where(t.routes.c.job == job, t.routes.c.reason == AGAIN)
        with self._read(None) as tx:
            return list(tx.execute(query.group_by(t.routes.c.text_id).order_by(first)).scalars())

    def queue(
        self, job: str, *, include_skipped: bool = False, limit: int | None = None, audits: bool = True
    ) -> list[QueueRow]:
        """What waits for a person: texts that were last routed to one, are put off until a stronger oracle is asked,
        or were drawn by an audit, and have no current label of a person.

        In order of: not skipped first, priority (higher first), text id. The suggestion is the label that counts
        now, and None where the item is blind, as all are that an audit drew. Without `audits` it is what routes
        alone make it, for whoever decides about routes: an audit must change none.
        """
        query = items_of(job, audits=audits)
        if not include_skipped:
            query = query.where(t.waiting.c.skipped.is_(False))
        if limit is not None:
            query = query.limit(limit)
        with self._read(None) as tx:
            return [to_queue_row(row) for row in tx.execute(query)]

    def queue_in_parts(self, job: str) -> Iterator[list[QueueRow]]:
        """The whole queue, skipped texts last, a few hundred at a time. Some parts together are as they are when they
        are read, and nothing is locked afterwards: what was labelled meanwhile no longer comes."""
        with self._read(None) as tx:
            w = t.waiting.c
            only = select(w.text_id).where(w.job == job).order_by(w.skipped, w.place, InCodePoints(w.text_id))
            ids = list(tx.execute(only).scalars())
        for these in in_parts(ids, TOGETHER):
            with self._read(None) as tx:
                rows = map(to_queue_row, tx.execute(these_items(SHORT), {JOB.key: job, TEXTS.key: these}))
                found = {row.text_id: row for row in rows}
            for part in in_parts((found[i] for i in these if i in found), WITH_TEXT):
                yield self._with_text(job, part)

    def _with_text(self, job: str, rows: list[QueueRow]) -> list[QueueRow]:
        """Rows with the texts that were left out."""
        x, left_out = t.texts.c, [row.text_id for row in rows if not row.text]
        if not left_out:
            return rows
        with self._read(None) as tx:
            query = select(x.text_id, x.text).where(x.job == job, x.text_id.in_(left_out))
            texts = {row.text_id: row.text for row in tx.execute(query)}
        return [row if row.text else replace(row, text=texts[row.text_id]) for row in rows]

    def newest_routes(self, job: str, ids: Sequence[TextId]) -> dict[TextId, RouteRow]:
        """`routes` of some texts."""
        found: dict[TextId, RouteRow] = {}
        with self._read(None) as tx:
            for part in in_parts(ids):
                newest = _newest(job, part)
                rows = tx.execute(select(*DECIDED).join(newest, newest.c.id == t.routes.c.id)).all()
                bulks = in_bulk(tx, job, [row.id for row in rows])
                found.update((row.text_id, to_route(row, bulks)) for row in rows)
        return found

    def waiting(self, job: str, text_id: TextId) -> QueueRow | None:
        """One item of the queue, skipped or not; None where the text does not wait."""
        with self._read(None) as tx:
            row = tx.execute(these_items(), {JOB.key: job, TEXTS.key: [text_id]}).one_or_none()
            return None if row is None else to_queue_row(row)

    def queue_size(self, job: str, *, include_skipped: bool = False) -> int:
        """How many texts `queue` would give."""
        query = select(func.count()).select_from(t.waiting).where(t.waiting.c.job == job)
        if not include_skipped:
            query = query.where(t.waiting.c.skipped.is_(False))
        with self._read(None) as tx:
            return int(tx.execute(query).scalar_one())


AUDIT = "audit"  # why a text waits that an audit drew
_ITS = "its_"  # before the names of the label's columns, some of which a route has too
DECIDED = tuple(
    t.routes.c[name]
    for name in ("id", "text_id", "label_id", "route", "reason", "confidence", "blind", "probability", "priority")
)
"""What of a decision makes a record, see `to_route`."""
_LABEL = tuple(c.label(f"{_ITS}{c.name}") for c in t.labels.c)


def priority(route: RouteRow) -> float:
    """A route's place in the queue where triage left it to the store, see `RouteRow`: 0 to 1, higher first."""
    given = known(route.priority)
    if given is not None:
        return given
    if route.blind:
        return blind_priority(route.text_id)
    confidence = known(route.confidence)
    return 1.0 if confidence is None else 1.0 - confidence


def blind_priority(text_id: TextId) -> float:
    """The place in the queue of a text whose label must not show in it: by a hash of its id, 0 to 1."""
    return by_hash(text_id)


def _newest(job: str, ids: Sequence[TextId] | None = None) -> FromClause:
    routes = t.routes.alias()
    query = select(func.max(routes.c.id).label("id")).where(routes.c.job == job)
    if ids is not None:
        query = query.where(routes.c.text_id.in_(ids))
    return query.group_by(routes.c.text_id).subquery()


def waiting_rows(job: OneText, *what: Any, audits: bool = True) -> Select[Any]:
    """A query about what waits for a person: routes, with the label that counts where there is one. Without `audits`
    about what waits by its route alone."""
    its_current = t.current_labels.c.label_id
    query = (
        select(*what)
        .select_from(t.waiting)
        .join(t.routes, t.routes.c.id == t.waiting.c.route_id)
        .outerjoin(t.current_labels, same_text(t.current_labels))
        # who is asked as well must not see what another person said: the machine's label is the route's
        .outerjoin(t.labels, t.labels.c.id == case((t.waiting.c.votes > 0, t.routes.c.label_id), else_=its_current))
        .where(t.waiting.c.job == job)
    )
    return query if audits else query.where(t.waiting.c.routed.is_(True))


def items_of(job: OneText, *, audits: bool = True, longest: int | None = None) -> Select[Any]:
    """What waits, whole: rows for `to_queue_row`, in the queue's order. A text of more characters than the `longest`
    is left out: it is empty."""
    w, x = t.waiting.c, t.texts.c.text
    by_audit = w.by_audit if audits else null().label("by_audit")
    r = t.routes.c
    columns = (
        r.text_id,
        r.reason,
        r.blind,
        r.priority,
        r.round,
        x if longest is None else case((func.length(x) <= longest, x), else_=""),
        t.picks.c.slice,
        t.picks.c.why,
        w.skipped,
        w.votes,
        w.torn,
        by_audit,
        *_LABEL,
    )
    return (
        waiting_rows(job, *columns, audits=audits)
        .join(t.texts, same_text(t.texts))
        .outerjoin(t.picks, same_text(t.picks))
        .order_by(w.skipped, w.place if audits else t.routes.c.priority.desc(), InCodePoints(w.text_id))
    )


@cache
def these_items(longest: int | None = None) -> Select[Any]:
    """`items_of` for a job and some texts, as blanks, in no order: SQLite would go along the whole queue for it."""
    return items_of(JOB, longest=longest).where(Among(t.waiting.c.text_id, TEXTS)).order_by(None)


class InBulk(NamedTuple):
    """What a bulk that somebody accepted makes of a decision: whether its label was accepted, by whom, and the chance
    with which people saw it."""

    accepted: bool
    person: str
    chance: float


def in_bulk(tx: Connection, job: str, route_ids: Sequence[int] | None = None) -> dict[int, InBulk]:
    """The decisions (or those of some) that are part of a bulk that somebody accepted."""
    if tx.execute(_some_bulk(), {JOB.key: job}).first() is None:
        return {}
    query = _accepted()
    if route_ids is not None:
        query = query.where(t.bulk_items.c.route_id.in_(route_ids))
    rows = tx.execute(query, {JOB.key: job})
    return {row[0]: InBulk(row[1] is not None, row.person, row.drawn / row.population) for row in rows}


@cache
def _some_bulk() -> Select[Any]:
    return select(t.bulks.c.id).where(t.bulks.c.job == JOB).limit(1)


@cache
def _accepted() -> Select[Any]:
    """Decisions that are part of an accepted bulk."""
    review, item, bulk, taken = t.reviews.c, t.bulk_items.c, t.bulks.c, t.bulk_accepts.c
    return (
        select(item.route_id, taken.route_id, review.person, bulk.drawn, bulk.population)
        .select_from(t.bulks)
        .join(t.reviews, and_(review.job == JOB, review.bulk_id == bulk.id, review.action == ACCEPT))
        .join(t.bulk_items, item.bulk_id == bulk.id)
        .outerjoin(t.bulk_accepts, and_(taken.review_id == review.id, taken.route_id == item.route_id))
        # what was neither drawn to be checked nor accepted is left as if there had been no bulk
        .where(bulk.job == JOB, ~undone(), or_(taken.route_id.is_not(None), item.place < bulk.drawn))
        .order_by(review.id)
    )


def to_route(decided: Sequence[Any], bulks: Mapping[int, InBulk]) -> RouteRow:
    """A decision, a row of `DECIDED`, as a record: as bulks (`in_bulk`) left it."""
    number, text_id, label_id, route, reason, confidence, blind, chance, priority = decided
    bulk = bulks.get(number)
    if bulk is not None:
        chance = bulk.chance * (1.0 if chance is None else chance)
        if bulk.accepted:
            route, reason = Route.ACCEPTED.value, f"{IN_BULK}{bulk.person}"
    return RouteRow(text_id, label_id, ROUTES[route], reason, confidence, blind, chance, priority)


def to_queue_row(row: Sequence[Any]) -> QueueRow:
    """A row of `items_of`, in its columns' order, as a record."""
    text_id, reason, blind, priority, round_, text, slice_, why, skipped, votes, torn, by_audit, *its = row
    is_drawn = by_audit is not None
    blind = blind or is_drawn
    return QueueRow(
        text_id=text_id,
        text=text,
        reason=AUDIT if is_drawn else reason,
        blind=blind,
        priority=by_audit if is_drawn else priority,
        round=round_,
        slice=slice_ or "",
        why=why or {},
        suggestion=None if blind or its[0] is None else to_label(its),
        skipped=bool(skipped),
        votes=votes,
        torn=bool(torn),
    )
