"""Rows of an Arrow file, read where they lie: a few of ten million cost as much as a few of a thousand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agent.pool.arrow import integers, numbers
from agent.records import Rows

if TYPE_CHECKING:
    import pyarrow as pa


class ArrowRows:
    """A memory-mapped Arrow stream. Taking rows touches the batches that they are in, and no other.

    Args:
        path: as `agent.pool.build` wrote it.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
            self._batches: list[pa.RecordBatch] = list(stream)
        self._starts = np.cumsum([0, *(len(b) for b in self._batches)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, column: str, rows: Rows) -> npt.NDArray[np.object_]:
        """(n,) Python values of a column, in the order of `rows`."""
        out = np.empty(len(rows), object)
        for places, values in self._parts(column, rows):
            out[places] = values.to_pylist()
        return out

    def characters(self, column: str, rows: Rows) -> Rows:
        """(n,) int64: the length of each text; no string of it is made."""
        import pyarrow.compute as pc

        out = np.empty(len(rows), np.int64)
        for places, values in self._parts(column, rows):
            out[places] = numbers(pc.utf8_length(values))
        return out

    def _parts(self, column: str, rows: Rows) -> Any:
        """(places in `rows`, values there), a batch at a time."""
        inside = np.searchsorted(self._starts, rows, "right") - 1
        order = np.argsort(inside, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(inside[order])) + 1) if len(rows) else ():
            batch = int(inside[places[0]])
            wanted = integers(rows[places] - self._starts[batch])
            yield places, self._batches[batch].column(column).take(wanted)
