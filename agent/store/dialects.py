"""How each endpoint wants to be asked, as it was found out: of the store, not of a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, insert, select

from agent.store import tables as t
from agent.store.columns import now
from agent.store.engine import Database


class Dialects(Database):
    """Queries about dialects, plain JSON here: what is in one is the oracle's business."""

    def dialect(self, endpoint: str, model: str) -> dict[str, Any] | None:
        """What is known of an endpoint and model; None where nothing is."""
        query = select(t.dialects.c.found).where(t.dialects.c.endpoint == endpoint, t.dialects.c.model == model)
        with self._read(None) as tx:
            found = tx.execute(query).scalar_one_or_none()
        return None if found is None else dict(found)

    def keep_dialect(self, endpoint: str, model: str, found: Mapping[str, Any]) -> None:
        """Keep it in the place of what was known before."""
        mine = (t.dialects.c.endpoint == endpoint) & (t.dialects.c.model == model)
        row = {"endpoint": endpoint, "model": model, "found": dict(found), "changed_at": now()}
        with self._write(None) as sql:
            sql.execute(delete(t.dialects).where(mine))
            sql.execute(insert(t.dialects).values(**row))
