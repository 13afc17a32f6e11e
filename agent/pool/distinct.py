"""Equal texts by their hashes: which rows are copies of which, in arrays, whatever their number.

Knows no text: two texts are equal where their first 128 bits of SHA-256 are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.records import Rows

DIGEST_BYTES = 16
DIGEST = f"S{DIGEST_BYTES}"
Digests = np.ndarray[tuple[int], np.dtype[np.bytes_]]
"""(n,) S16. NumPy drops trailing zero bytes when it shows one, but compares all alike, so equality holds."""


def digest(text: str) -> bytes:
    """The first 16 bytes of the text's SHA-256; in hex, the id of a text that has no other."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:DIGEST_BYTES]


def as_array(digests: Sequence[bytes]) -> Digests:
    return np.array(list(digests), DIGEST)


def collapse(digests: Digests) -> tuple[Rows, Rows]:
    """Give each distinct digest a number, in order of first occurrence.

    Returns:
        first: (m,) int64, where each of the m distinct digests occurs first.
        number: (n,) int64, the number of each digest; `first[number[i]] <= i`.
    """
    order = np.argsort(digests, kind="stable")
    arranged = digests[order]
    starts = np.ones(len(digests), bool)
    starts[1:] = arranged[1:] != arranged[:-1]
    group = np.cumsum(starts) - 1
    earliest = order[starts]  # stable: the first of a group of equals is the first in the file
    by_occurrence = np.argsort(earliest)
    rank = np.empty_like(by_occurrence)
    rank[by_occurrence] = np.arange(len(by_occurrence))
    number = np.empty(len(digests), np.int64)
    number[order] = rank[group]
    return earliest[by_occurrence].astype(np.int64), number


@dataclass(frozen=True)
class Index:
    """Digest → row, by bisection in arrays that may lie on disk.

    Attributes:
        digests: (n,) sorted.
        rows: (n,) int64, beside them.
    """

    digests: Digests
    rows: Rows

    @classmethod
    def of(cls, digests: Digests, rows: Rows) -> Index:
        """Equal digests should have equal rows: see `clashing`."""
        order = np.argsort(digests, kind="stable")
        return cls(digests[order], rows[order])

    def clashing(self) -> bytes | None:
        """A digest that has two different rows; None where there is none."""
        differ = self.rows[1:] != self.rows[:-1]
        differ &= self.digests[1:] == self.digests[:-1]
        at = np.flatnonzero(differ)
        return bytes(self.digests[at[0]]) if len(at) else None

    def find(self, wanted: Sequence[bytes]) -> Rows:
        """(len(wanted),) int64: the row of each, or -1."""
        if not len(self.rows) or not len(wanted):
            return np.full(len(wanted), -1, np.int64)
        asked = as_array(wanted)
        at = np.minimum(np.searchsorted(self.digests, asked), len(self.rows) - 1)
        found: Rows = np.where(self.digests[at] == asked, self.rows[at], -1)
        return found

    def save(self, folder: Path, name: str) -> None:
        np.save(folder / f"{name}-digests.npy", self.digests)
        np.save(folder / f"{name}-rows.npy", self.rows)

    @classmethod
    def load(cls, folder: Path, name: str) -> Index:
        """Memory-mapped."""
        digests = np.load(folder / f"{name}-digests.npy", mmap_mode="r")
        return cls(digests, np.load(folder / f"{name}-rows.npy", mmap_mode="r"))
