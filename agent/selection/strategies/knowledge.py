"""Coverage of a knowledge graph: texts that mention what no labelled text has mentioned yet.

The weight of everything that a set of texts mentions is a submodular function of the set, so taking the text that
adds most, again and again, gives at least 63 % of the best that any batch could cover (Nemhauser, Wolsey and Fisher
1978, "An analysis of approximations for maximizing submodular set functions"). Knows columns, not what they mean.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from agent.errors import JobFileError
from agent.records import Floats, Rows
from agent.selection import space
from agent.selection.seam import Choice, Indices, Mentions, Ranked, State, top
from agent.selection.strategies.options import check, one_of
from agent.selection.strategies.uncertainty import Margin

WEIGHTS = ("count", "idf")
AT_ONCE = 20_000  # texts whose mentions are looked up together
NAMED = 20  # of the newly covered entities, how many are told by name
GRAIN = 2.0**-20  # weights are whole multiples of it: sums are exact, in whatever order, so that ties are ties
LEAST = 0.01  # what uncertainty may add to a score: less than any new entity does

Gains = npt.NDArray[np.float64]
Covered = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Knowledge(Ranked):
    """Cover as much as possible of the job's knowledge graph (`selection.knowledge`), of equal texts the unsure ones.

    Where nothing new is left to cover, the rest of a batch goes to unsure texts (margin), one of each cluster.

    Attributes:
        weight: what an entity or relation counts: 1 each (`count`), or more the fewer texts mention it (`idf`, the
            inverse document frequency of Spärck Jones 1972).
        share: share of the batch that coverage may choose, 0 to 1; unsure texts get the rest.
    """

    name: ClassVar[str] = "knowledge"
    weight: str = "count"
    share: float = 1.0
    uncovered: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range = type(self.share) in (int, float) and 0 <= self.share <= 1
        share = None if in_range else f"`selection.options.share`: a share from 0 to 1 is needed, not {self.share!r}"
        check(one_of("weight", self.weight, WEIGHTS), share)

    def score(self, state: State) -> Floats:
        """(n,) float32: the weight of what each candidate would newly cover, and a little for being unsure of it.

        O(mentions) time. Raises JobFileError: the job names no knowledge graph.
        """
        new = self._uncovered(state, np.arange(len(state.candidates)))
        return (new.gains() + LEAST * _unsure(state)).astype(np.float32)

    def choose(self, state: State, size: int, rng: np.random.Generator) -> Choice:
        """Greedy maximum coverage of what neither labelled nor taken texts mention; then unsure texts.

        O(mentions + n log n) time; memory is what the candidates mention that is not covered yet, 4 bytes a piece.
        """
        free = state.free()
        size = min(size, len(free))
        unsure = _unsure(state)
        new = self._uncovered(state, free)
        turn = rng.permutation(len(free))  # equals in random order, so that the order of the pool never decides
        found, gains, columns = greedy_cover(new, unsure[free], turn, round(size * self.share))
        chosen, rest = free[found], np.delete(free, found)
        more = rest[_spread(state, rest, unsure, size - len(chosen), rng)]
        names = getattr(_mentions(state), "names", None)
        covers = [[i if names is None else names[i] for i in c[:NAMED].tolist()] for c in columns]
        indices = np.concatenate([chosen, more])
        why = {
            "new": [len(c) for c in columns] + [0] * len(more),
            "covers": [*covers, *([] for _ in more)],
            "unsure": unsure[indices].astype(float).tolist(),
        }
        return Choice(indices, np.concatenate([gains, unsure[more]]).astype(np.float32), why)

    def _uncovered(self, state: State, indices: Indices) -> Uncovered:
        """What the candidates at `indices` mention that no labelled and no taken text does."""
        mentions = _mentions(state)
        done = np.concatenate([state.labelled, state.candidates[state.taken]])
        frequency = _frequency(mentions, done)
        covered = frequency > 0
        if self.weight == "idf":
            frequency = frequency + _frequency(mentions, state.candidates[state.free()])
            weights = idf(frequency, len(done) + len(state.candidates) - len(state.taken))
        else:
            weights = np.ones(len(covered))
        return Uncovered.of(mentions, state.candidates[indices], covered, weights)


@dataclass(frozen=True, eq=False)
class Uncovered:
    """What n texts mention that is not covered yet, row after row.

    Attributes:
        starts: (n + 1,) int64, where each row's columns begin and end.
        columns: (k,) int32, ascending within a row.
        weights: (E,) float64, whole multiples of `GRAIN`.
    """

    starts: Indices
    columns: npt.NDArray[np.int32]
    weights: Gains

    @classmethod
    def of(cls, mentions: Mentions, rows: Rows, covered: Covered, weights: Gains) -> Uncovered:
        """Looked up block by block."""
        counts, columns = [np.zeros(1, np.int64)], [np.empty(0, np.int32)]
        for block in _blocks(rows):
            found = _csr(mentions, block)
            new = ~covered[found.indices]
            before = np.concatenate([[0], np.cumsum(new)])
            counts.append(np.diff(before[found.indptr]))
            columns.append(found.indices[new].astype(np.int32))
        return cls(np.cumsum(np.concatenate(counts)), np.concatenate(columns), weights)

    def row(self, i: int) -> npt.NDArray[np.int32]:
        return self.columns[self.starts[i] : self.starts[i + 1]]

    def gains(self) -> Gains:
        """(n,) float64: the weight of each row."""
        before = np.concatenate([[0.0], np.cumsum(self.weights[self.columns])])
        return np.diff(before[self.starts])


def greedy_cover(
    new: Uncovered, unsure: Floats, turn: Indices, size: int
) -> tuple[Indices, Gains, Sequence[npt.NDArray[np.int32]]]:
    """At most `size` rows, each the one that adds most to what those before it cover; fewer where nothing is new.

    Equal gains go to the higher of `unsure` (n,), then to the lower `turn` (n,). Lazy: what a row adds never grows,
    so only rows whose last known gain is the highest are looked at again (Minoux 1978, "Accelerated greedy algorithms
    for maximizing submodular set functions"); the result is that of the plain greedy.

    Returns:
        The rows (b,) in the order chosen, the weight (b,) and the columns that each newly covered.
    """
    rows: list[int] = []
    gains: list[float] = []
    columns: list[npt.NDArray[np.int32]] = []
    covered = np.zeros(len(new.weights), bool)
    queue = _Queue(new.gains(), unsure, turn)
    while len(rows) < size and (row := queue.highest()) is not None:
        left = new.row(row)
        left = left[~covered[left]]
        gain = float(new.weights[left].sum())
        if gain < queue.known(row):
            queue.lower(row, gain)
            continue
        rows.append(row)
        gains.append(gain)
        columns.append(left)
        covered[left] = True
        queue.lower(row, 0.0)
    return np.array(rows, np.int64), np.array(gains, np.float64), columns


class _Queue:
    """Rows by their last known gain, the highest first. Only rows that were looked at are Python objects."""

    def __init__(self, gains: Gains, unsure: Floats, turn: Indices) -> None:
        self._gains, self._unsure, self._turn = gains, unsure, turn
        worth = np.flatnonzero(gains > 0)
        self._sorted = worth[np.lexsort((turn[worth], -unsure[worth], -gains[worth]))]  # not looked at yet
        self._at = 0
        self._heap: list[tuple[float, float, int, int]] = []
        self._advance()

    def highest(self) -> int | None:
        """The row to look at, which then must be lowered. None where no row has any gain left."""
        return self._heap[0][-1] if self._heap else None

    def known(self, row: int) -> float:
        return float(self._gains[row])

    def lower(self, row: int, gain: float) -> None:
        """The highest row adds only this much, or nothing."""
        assert self._heap[0][-1] == row
        self._gains[row] = gain
        heapq.heappop(self._heap)
        if gain > 0:
            heapq.heappush(self._heap, self._key(row))
        self._advance()

    def _advance(self) -> None:
        """Bring in sorted rows until one of the heap is no worse than all that are not looked at."""
        while self._at < len(self._sorted):
            key = self._key(int(self._sorted[self._at]))
            if self._heap and self._heap[0] < key:
                break
            heapq.heappush(self._heap, key)
            self._at += 1

    def _key(self, row: int) -> tuple[float, float, int, int]:
        return -float(self._gains[row]), -float(self._unsure[row]), int(self._turn[row]), row


def idf(frequency: Indices, texts: int) -> Gains:
    """log(1 + N / df), (E,) float64, for E columns that `frequency` of N texts mention (at least one is assumed)."""
    exact = np.log1p(texts / np.maximum(frequency, 1))
    return np.round(exact / GRAIN) * GRAIN


def _unsure(state: State) -> Floats:
    return np.asarray(Margin().score(state), np.float32)


def _spread(state: State, left: Indices, unsure: Floats, count: int, rng: np.random.Generator) -> Indices:
    """`count` of the least sure of `left`, one of each cluster among a shortlist, as `compose` does for margin."""
    if count <= 0:
        return np.empty(0, np.int64)
    short = top(unsure[left], Ranked.shortlist * count, rng)
    groups = space.clusters(space.read(state.vectors, state.candidates[left[short]]), count, rng)
    return short[np.argsort(space.turn(groups), kind="stable")[:count]]


def _mentions(state: State) -> Mentions:
    if state.mentions is None:
        said = "`selection.strategy`: knowledge needs `selection.knowledge`, a file of entities or triples"
        raise JobFileError("job", [(0, said)])
    return state.mentions


def _frequency(mentions: Mentions, rows: Rows) -> Indices:
    """(E,) int64: how many of the rows mention each column."""
    found = np.zeros(_csr(mentions, rows[:0]).shape[1], np.int64)
    for block in _blocks(rows):
        found += np.bincount(_csr(mentions, block).indices, minlength=len(found))
    return found


def _csr(mentions: Callable[[Rows], Any], rows: Rows) -> Any:
    """What the rows mention: each column once a row, ascending."""
    found = mentions(rows).tocsr(copy=True)
    found.sum_duplicates()
    found.eliminate_zeros()
    return found


def _blocks(rows: Rows) -> list[Rows]:
    return [rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)]
