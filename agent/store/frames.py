"""What stood beside each text in the question about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, delete, insert, select

from agent.records import TextId
from agent.store import tables as t
from agent.store.columns import now
from agent.store.engine import Database, in_parts
from agent.store.rows import FrameRow


class Frames(Database):
    """Queries about frames. They are kept before a text is asked about: who asks again after a crash asks the same,
    and so buys nothing twice, whatever people said and the student learnt meanwhile."""

    def frames(self, job: str, texts: Iterable[TextId]) -> dict[TextId, FrameRow]:
        """Those of the texts that have one."""
        found: dict[TextId, FrameRow] = {}
        with self._read(None) as tx:
            for part in in_parts(dict.fromkeys(texts)):
                query = select(t.frames).where(t.frames.c.job == job, t.frames.c.text_id.in_(part))
                for r in tx.execute(query):
                    found[r.text_id] = FrameRow(tuple(r.names), _examples(r.examples))
        return found

    def keep_frames(self, job: str, frames: Mapping[TextId, FrameRow], *, tx: Connection | None = None) -> None:
        """Keep frames; that of a text which has one is replaced."""
        rows = [
            {"job": job, "text_id": i, "names": f.names, "examples": f.examples, "created_at": now()}
            for i, f in frames.items()
        ]
        with self._write(tx, job) as sql:
            for part in in_parts(frames):
                sql.execute(delete(t.frames).where(t.frames.c.job == job, t.frames.c.text_id.in_(part)))
            if rows:
                sql.execute(insert(t.frames), rows)


def _examples(kept: list[tuple[str, str]] | None) -> tuple[tuple[TextId, str], ...] | None:
    return None if kept is None else tuple((TextId(text_id), value) for text_id, value in kept)
