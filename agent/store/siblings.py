"""Which endpoints serve one and the same model, as somebody said by putting them in one list: of the store, not of a
job. An answer that was bought at one of them is never bought again at another."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select

from agent.store import tables as t
from agent.store.engine import Database

CHANGING = int.from_bytes(b"lblwsibl", "big")  # the number of an advisory lock


class Siblings(Database):
    """Queries about endpoints that stood in one list. Once together they stay so, whatever the list is later."""

    def together(self, model: str, endpoints: Sequence[str]) -> tuple[str, ...]:
        """These endpoints, and every one that ever stood in one list with one of them, for this model."""
        with self._read(None) as tx:
            found = _families(tx, model, endpoints)
        return tuple(dict.fromkeys((*endpoints, *sorted(found))))

    def keep_together(self, model: str, endpoints: Sequence[str]) -> None:
        """Note that these endpoints, and so all that stood in one list with any of them, serve one model."""
        with self._read(None) as tx:
            found = _families(tx, model, endpoints)
        if set(endpoints) <= found.keys() and len(set(found.values())) == 1:
            return
        with self._write(None) as tx:
            if tx.dialect.name == "postgresql":  # two jobs that begin at once would both add the same rows
                tx.execute(select(func.pg_advisory_xact_lock(CHANGING)))
            found = _families(tx, model, endpoints)
            members = sorted({*endpoints, *found})
            s = t.siblings.c
            tx.execute(delete(t.siblings).where(s.model == model, s.endpoint.in_(members)))
            rows = [{"endpoint": e, "model": model, "family": members[0]} for e in members]
            tx.execute(insert(t.siblings), rows)


def _families(tx: Connection, model: str, endpoints: Sequence[str]) -> dict[str, str]:
    """Endpoint to family, for all that are of a family with one of these."""
    s = t.siblings.c
    mine = select(s.family).where(s.model == model, s.endpoint.in_(endpoints))
    query = select(s.endpoint, s.family).where(s.model == model, s.family.in_(mine))
    return {row.endpoint: row.family for row in tx.execute(query)}
