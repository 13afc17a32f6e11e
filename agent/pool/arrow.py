"""Arrow arrays made of their buffers. `pa.array` would do, but loads pandas, which takes as long as a small pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from agent.records import Rows

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST = 2**31 - 1  # bytes of all strings in an array of `pa.string()`


def strings(values: Sequence[str], *, large: bool) -> pa.Array:
    """(n,) strings: `pa.large_string()` or `pa.string()`. Raises ValueError where the latter cannot hold as many."""
    import pyarrow as pa

    encoded = [value.encode("utf-8") for value in values]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=offsets[1:])
    if not large and offsets[-1] > LONGEST:
        raise ValueError(f"{offsets[-1]} bytes of strings in one batch")
    kind, width = (pa.LargeStringArray, np.int64) if large else (pa.StringArray, np.int32)
    return kind.from_buffers(len(encoded), pa.py_buffer(offsets.astype(width)), pa.py_buffer(b"".join(encoded)))


def integers(values: Rows) -> pa.Array:
    """(n,) int64 as `pa.int64()`, not copied where they lie side by side."""
    import pyarrow as pa

    side_by_side = np.ascontiguousarray(values, np.int64)
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(side_by_side)])


def numbers(values: pa.Array) -> Rows:
    """The (n,) integers of an array without nulls, not copied: what `to_numpy` gives."""
    width = np.dtype(f"int{values.type.bit_width}")
    return np.frombuffer(values.buffers()[1], width, len(values), values.offset * width.itemsize)
