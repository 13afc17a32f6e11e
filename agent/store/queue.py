"""Triage's decisions, and what waits for a person because of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, FromClause, Select, and_, case, func, insert, null, select
from sqlalchemy.engine import Row

from agent.records import Route, TextId
from agent.store import tables as t
from agent.store.columns import InCodePoints, known, now
from agent.store.engine import WITH_TEXT, Database, in_parts
from agent.store.labels import to_label
from agent.store.rows import QueueRow, RouteRow
from agent.store.waiting import ACCEPT, requeue, same_text

AGAIN = "asked again"
"""How the reason begins of a text whose label was accepted, and is asked about again; alone it stands for one whose
second answer has not come."""


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
        query = _with_bulk(select(t.routes, *_BULK)).join(newest, newest.c.id == t.routes.c.id)
        with self._read(None) as tx:
            return {row.text_id: _route(row) for row in tx.execute(query.order_by(t.routes.c.id))}

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
        """The whole queue, skipped texts last, a few hundred at a time. Each part is as it is when it is read, and
        nothing is locked between two: what was labelled meanwhile no longer comes."""
        with self._read(None) as tx:
            w = t.waiting.c
            only = select(w.text_id).where(w.job == job).order_by(w.skipped, w.place, InCodePoints(w.text_id))
            ids = list(tx.execute(only).scalars())
        for part in in_parts(ids, WITH_TEXT):
            place = {text_id: k for k, text_id in enumerate(part)}
            with self._read(None) as tx:
                rows = [to_queue_row(row) for row in tx.execute(items_of(job).where(w.text_id.in_(part)))]
            yield sorted(rows, key=lambda row: place[row.text_id])

    def newest_routes(self, job: str, ids: Sequence[TextId]) -> dict[TextId, RouteRow]:
        """`routes` of some texts."""
        found: dict[TextId, RouteRow] = {}
        with self._read(None) as tx:
            for part in in_parts(ids):
                newest = _newest(job, part)
                query = _with_bulk(select(t.routes, *_BULK)).join(newest, newest.c.id == t.routes.c.id)
                found.update((row.text_id, _route(row)) for row in tx.execute(query))
        return found

    def waiting(self, job: str, text_id: TextId) -> QueueRow | None:
        """One item of the queue, skipped or not; None where the text does not wait."""
        with self._read(None) as tx:
            row = tx.execute(items_of(job).where(t.waiting.c.text_id == text_id)).one_or_none()
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
    digest = hashlib.sha256(text_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _newest(job: str, ids: Sequence[TextId] | None = None) -> FromClause:
    routes = t.routes.alias()
    query = select(func.max(routes.c.id).label("id")).where(routes.c.job == job)
    if ids is not None:
        query = query.where(routes.c.text_id.in_(ids))
    return query.group_by(routes.c.text_id).subquery()


def waiting_rows(job: str, *what: Any, audits: bool = True) -> Select[Any]:
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


def items_of(job: str, *, audits: bool = True) -> Select[Any]:
    """What waits, whole: rows for `to_queue_row`, in the queue's order."""
    w = t.waiting.c
    by_audit = w.by_audit if audits else null().label("by_audit")
    columns = (
        t.routes,
        t.texts.c.text,
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


_ACCEPT, _ITEM = t.reviews.alias(), t.bulk_items.alias()
_BULK = (
    _ACCEPT.c.person.label("accepted_by"),
    t.bulk_accepts.c.route_id.label("in_bulk"),
    _ITEM.c.place,
    t.bulks.c.drawn,
    t.bulks.c.population,
)


def _with_bulk(query: Select[Any]) -> Select[Any]:
    """A query about routes, joined with the bulk that a route was part of and a person accepted, where one did."""
    accept, item, taken = t.reviews.alias(), t.bulk_items.alias(), t.bulk_accepts.c
    undo = t.reviews.alias()
    stands = ~select(undo.c.id).where(undo.c.undoes == accept.c.id).correlate(accept).exists()
    newest = (
        select(func.max(accept.c.id))
        .join(item, item.c.bulk_id == accept.c.bulk_id)
        .where(item.c.route_id == t.routes.c.id, accept.c.action == ACCEPT, stands)
        .correlate(t.routes)
        .scalar_subquery()
    )
    return (
        query.select_from(t.routes)
        .outerjoin(_ACCEPT, _ACCEPT.c.id == newest)
        .outerjoin(t.bulks, t.bulks.c.id == _ACCEPT.c.bulk_id)
        .outerjoin(_ITEM, and_(_ITEM.c.bulk_id == t.bulks.c.id, _ITEM.c.route_id == t.routes.c.id))
        .outerjoin(t.bulk_accepts, and_(taken.review_id == _ACCEPT.c.id, taken.route_id == t.routes.c.id))
    )


def _route(row: Row[Any]) -> RouteRow:
    by_bulk, chance = row.in_bulk is not None, row.probability
    if by_bulk or (row.place is not None and row.place < row.drawn):  # people saw what was drawn to be checked
        chance = (1.0 if chance is None else chance) * row.drawn / row.population
    return RouteRow(
        text_id=row.text_id,
        label_id=row.label_id,
        route=Route.ACCEPTED if by_bulk else Route(row.route),
        reason=f"{IN_BULK}{row.accepted_by}" if by_bulk else row.reason,
        confidence=row.confidence,
        blind=row.blind,
        probability=chance,
        priority=row.priority,
    )


def to_queue_row(row: Row[Any]) -> QueueRow:
    """A row of `items_of` as a record."""
    is_drawn = row.by_audit is not None
    blind = row.blind or is_drawn
    return QueueRow(
        text_id=row.text_id,
        text=row.text,
        reason=AUDIT if is_drawn else row.reason,
        blind=blind,
        priority=row.by_audit if is_drawn else row.priority,
        round=row.round,
        slice=row.slice or "",
        why=row.why or {},
        suggestion=None if blind or row.its_id is None else to_label(row[-len(_LABEL) :]),
        skipped=bool(row.skipped),
        votes=row.votes,
        torn=bool(row.torn),
    )
