"""What became of each text: every label that stands, who took how long, and the newest decision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Select, and_, func, select

from agent.records import Label, Source, TextId
from agent.store import tables as t
from agent.store.blanks import JOB, TEXTS
from agent.store.columns import Among, InCodePoints
from agent.store.engine import WITH_TEXT, in_parts
from agent.store.labels import Labels
from agent.store.queue import DECIDED, Queue, in_bulk, to_route
from agent.store.rows import History


class Histories(Labels, Queue):
    """Queries about texts with all that was said of them."""

    def histories(self, job: str) -> Iterator[History]:
        """Every text that has a label, by text id, read a few hundred at a time; nothing is locked in between."""
        p = t.current_labels.c
        with self._read(None) as tx:
            ids = list(tx.execute(select(p.text_id).where(p.job == job).order_by(InCodePoints(p.text_id))).scalars())
        for part in in_parts(ids, WITH_TEXT):
            yield from self._histories(job, part)

    def _histories(self, job: str, ids: Sequence[TextId]) -> list[History]:
        labels: dict[TextId, list[Label]] = {i: [] for i in ids}
        with self.at_once(), self._read(None) as tx:
            for label in self.standing(job, ids):
                labels[label.text_id].append(label)
            rows = tx.execute(_with_route(), {JOB.key: job, TEXTS.key: ids}).all()
            bulks = in_bulk(tx, job, [row.id for row in rows if row.id is not None])
            by_people = {i for i, said in labels.items() for x in said if x.source is Source.PERSON}
            seconds: dict[int, float] = {}
            for part in in_parts(by_people):
                seconds.update(map(tuple, tx.execute(_timed(), {JOB.key: job, TEXTS.key: part})))
        found = {}
        for text_id, text, number, name, drawn, *decided in rows:
            route = None if decided[0] is None else to_route(decided, bulks)
            blind = bool(drawn) or (route is not None and route.blind)
            said = tuple(labels[text_id])
            found[text_id] = History(text_id, text, said, seconds, route, number, name or "", blind)
        return [found[i] for i in ids if i in found and labels[i]]


@cache
def _with_route() -> Select[Any]:
    """Some texts, each with how it was picked, whether an audit drew it, and the newest decision (`DECIDED`; all
    null where there is none)."""
    x, p, item, routes = t.texts.c, t.picks.c, t.audit_items.c, t.routes.alias()
    newest = select(func.max(routes.c.id)).where(routes.c.job == x.job, routes.c.text_id == x.text_id)
    drawn = select(item.text_id).where(item.job == x.job, item.text_id == x.text_id).correlate(t.texts).exists()
    return (
        select(x.text_id, x.text, p.round, p.slice, drawn, *DECIDED)
        .outerjoin(t.picks, and_(p.job == x.job, p.text_id == x.text_id))
        .outerjoin(t.routes, t.routes.c.id == newest.correlate(t.texts).scalar_subquery())
        .where(x.job == JOB, Among(x.text_id, TEXTS))
    )


@cache
def _timed() -> Select[Any]:
    """The labels that people gave to some texts, and the seconds each took."""
    r = t.reviews.c
    return select(r.label_id, r.seconds).where(r.job == JOB, Among(r.text_id, TEXTS), r.label_id.is_not(None))
