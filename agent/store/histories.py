"""What became of each text: every label that stands, who took how long, and the newest decision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import select

from agent.records import Label, TextId
from agent.store import tables as t
from agent.store.columns import InCodePoints
from agent.store.engine import WITH_TEXT, in_parts
from agent.store.labels import Labels
from agent.store.queue import Queue
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

    def _histories(self, job: str, ids: Sequence[TextId]) -> Iterator[History]:
        labels: dict[TextId, list[Label]] = {}
        for label in self.standing(job, ids):
            labels.setdefault(label.text_id, []).append(label)
        routes = self.newest_routes(job, ids)
        r, x, p = t.reviews.c, t.texts.c, t.picks.c
        with self._read(None) as tx:
            kept = select(x.text_id, x.text).where(x.job == job, x.text_id.in_(ids))
            texts = {row.text_id: row.text for row in tx.execute(kept)}
            picked = select(p.text_id, p.round, p.slice).where(p.job == job, p.text_id.in_(ids))
            picks = {row.text_id: (row.round, row.slice) for row in tx.execute(picked)}
            timed = select(r.label_id, r.seconds).where(r.job == job, r.text_id.in_(ids), r.label_id.is_not(None))
            seconds = {row.label_id: row.seconds for row in tx.execute(timed)}
            item = t.audit_items.c
            audited = select(item.text_id).where(item.job == job, item.text_id.in_(ids))
            blind = {*tx.execute(audited).scalars(), *(i for i, route in routes.items() if route.blind)}
        for text_id in ids:
            if text_id in texts and text_id in labels:
                number, name = picks.get(text_id, (None, ""))
                said = tuple(labels[text_id])
                yield History(
                    text_id, texts[text_id], said, seconds, routes.get(text_id), number, name, text_id in blind
                )
