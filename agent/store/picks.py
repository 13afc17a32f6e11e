"""Texts that were picked, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, func, insert, select

from agent.errors import StoreError
from agent.records import Pick, TextId
from agent.store import tables as t
from agent.store.columns import known
from agent.store.engine import Database, in_parts
from agent.store.rows import PickRow


class Picks(Database):
    """Queries about picked texts."""

    def add_picks(
        self,
        job: str,
        round: int,  # noqa: A002
        picks: Sequence[Pick],
        texts: Mapping[TextId, str],
        *,
        tx: Connection | None = None,
    ) -> None:
        """Keep picks with their texts in one commit. A text that was picked before keeps its first pick.

        Raises KeyError where `texts` lacks a picked text.
        """
        with self._write(tx, job) as sql:
            ids = list(dict.fromkeys(p.text_id for p in picks))
            self.add_texts(job, {i: texts[i] for i in ids}, tx=sql)
            seen: set[str] = set()
            for part in in_parts(ids):
                query = select(t.picks.c.text_id).where(t.picks.c.job == job, t.picks.c.text_id.in_(part))
                seen.update(sql.execute(query).scalars())
            first = {p.text_id: p for p in reversed(picks) if p.text_id not in seen}
            if first:
                rows = [_values(job, round, first[i]) for i in ids if i in first]
                sql.execute(insert(t.picks), rows)

    def add_texts(self, job: str, texts: Mapping[TextId, str], *, tx: Connection | None = None) -> None:
        """Keep texts, so that they can be shown without the pool. One that is known stays as it was."""
        with self._write(tx, job) as sql:
            new = dict(texts)
            for part in in_parts(texts):
                query = select(t.texts.c.text_id).where(t.texts.c.job == job, t.texts.c.text_id.in_(part))
                for text_id in sql.execute(query).scalars():
                    del new[text_id]
            if new:
                sql.execute(insert(t.texts), [{"job": job, "text_id": i, "text": text} for i, text in new.items()])

    def picks(self, job: str, round: int | None = None) -> list[PickRow]:  # noqa: A002
        """What was picked, in the order of picking."""
        found = (
            select(t.picks, t.texts.c.text)
            .join(t.texts, (t.texts.c.job == t.picks.c.job) & (t.texts.c.text_id == t.picks.c.text_id))
            .where(t.picks.c.job == job)
            .order_by(t.picks.c.id)
        )
        if round is not None:
            found = found.where(t.picks.c.round == int(round))
        with self._read(None) as tx:
            return [
                PickRow(
                    text_id=r.text_id,
                    row=r.row,
                    round=r.round,
                    slice=r.slice,
                    score=float("nan") if r.score is None else r.score,
                    probability=r.probability,
                    why=r.why,
                    text=r.text,
                )
                for r in tx.execute(found)
            ]

    def count_picks(self, job: str) -> int:
        """How many texts were picked so far."""
        with self._read(None) as tx:
            return tx.execute(select(func.count()).select_from(t.picks).where(t.picks.c.job == job)).scalar_one()

    def text(self, job: str, text_id: TextId) -> str:
        """One kept text. Raises StoreError where it is not kept."""
        found = self.texts(job, [text_id])
        if text_id not in found:
            raise StoreError(f"store {self.name}: job {job!r} has no text {text_id!r}")
        return found[text_id]

    def texts(self, job: str, ids: Iterable[TextId]) -> dict[TextId, str]:
        """Kept texts by id, in the order of `ids`; an id that is not kept is left out."""
        wanted = list(dict.fromkeys(ids))
        found: dict[TextId, str] = {}
        with self._read(None) as tx:
            for part in in_parts(wanted):
                query = select(t.texts).where(t.texts.c.job == job, t.texts.c.text_id.in_(part))
                found.update((r.text_id, r.text) for r in tx.execute(query))
        return {i: found[i] for i in wanted if i in found}


def _values(job: str, round: int, pick: Pick) -> dict[str, object]:  # noqa: A002
    return {
        "job": job,
        "text_id": pick.text_id,
        "row": int(pick.row),
        "round": int(round),
        "slice": pick.slice,
        "score": known(pick.score),
        "probability": known(pick.probability),
        "why": dict(pick.why),
    }
