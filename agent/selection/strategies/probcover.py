"""The fewest texts that leave the most of the pool near a label: coverage by balls of one radius.

Yehuda, Dekel, Hacohen and Weinshall 2022, "Active Learning Through a Covering Lens" (ProbCover). Knows no
probabilities: only vectors, and which have a label.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from agent.errors import JobFileError
from agent.records import Floats
from agent.selection import space
from agent.selection.neighbours import Metric, squared_distances, unit
from agent.selection.seam import Choice, Indices, Ranked, State
from agent.selection.strategies.options import check, one_of, whole
from agent.selection.strategies.typical import at_most

Bools = npt.NDArray[np.bool_]

AT_ONCE = 1_024  # rows of the graph that are made together
SCORED = 2_000  # candidates that `score` alone looks at
DENSEST = 0.2  # a ball holds this share of the sample at most, in the mean: it bounds the graph's memory
CLUSTERS = 20  # pseudo-labels where the task has no classes


def purity_radius(points: Floats, labels: Indices, alpha: float) -> float:
    """The largest radius at which at least `alpha` of the open balls around `points` (m, d) are pure.

    A ball is pure where all points in it have its centre's label (Yehuda et al. 2022, section 3.2, with the labels of
    a k-means). A ball is pure up to the nearest point of another label, so the radius is a quantile of those
    distances. Infinity where all have one label. O(m² d), and m numbers beside a block.
    """
    nearest = np.full(len(points), np.inf, dtype=np.float32)
    for at in range(0, len(points), AT_ONCE):
        block = squared_distances(points[at : at + AT_ONCE], points)
        block[labels[at : at + AT_ONCE, None] == labels] = np.inf
        nearest[at : at + AT_ONCE] = block.min(axis=1)
    falling = -np.sort(-nearest)
    return math.sqrt(float(falling[max(1, math.ceil(alpha * len(falling) - 1e-9)) - 1]))


def balls(points: Floats, delta: float) -> Any:
    """Which of `points` (m, d) lie nearer than `delta` to which: scipy.sparse CSR (m, m), each in its own ball.

    O(m² d); as many numbers of memory as there are pairs, in blocks of 1,024 rows.
    """
    from scipy.sparse import csr_array

    m = len(points)
    columns: list[npt.NDArray[np.int32]] = []
    counts = np.zeros(m + 1, dtype=np.int64)
    for at in range(0, m, AT_ONCE):
        near = squared_distances(points[at : at + AT_ONCE], points) < delta * delta
        rows = np.arange(len(near))
        near[rows, rows + at] = True
        counts[at + 1 : at + 1 + len(near)] = near.sum(axis=1)
        columns.append(np.nonzero(near)[1].astype(np.int32))
    pointers = np.cumsum(counts)
    found = np.concatenate(columns) if columns else np.empty(0, dtype=np.int32)
    return csr_array((np.ones(len(found), dtype=np.bool_), found, pointers), shape=(m, m))


def greedy_cover(graph: Any, covered: Bools, size: int, order: Indices) -> tuple[Indices, Indices]:
    """`size` balls, each the one that covers the most of what none before it covers (Nemhauser et al. 1978).

    Lazily (Minoux 1978): a ball's gain only falls, so the best of the queue is counted again, and taken where it
    still leads; nothing else is counted.

    Args:
        graph: CSR (m, m), row i is what ball i covers.
        covered: (m,) what is covered before.
        size: at most m.
        order: (m,) each ball's place where gains are equal; a permutation.

    Returns:
        The balls (size,) in the order chosen, and how many points each added (size,).
    """
    pointers, columns = graph.indptr, graph.indices
    open_ = ~covered
    gains = np.add.reduceat(open_[columns], pointers[:-1], dtype=np.int64) if graph.shape[0] else pointers[:-1]
    queue = [(-int(g), int(o), i) for i, (g, o) in enumerate(zip(gains, order, strict=True))]
    heapq.heapify(queue)
    chosen, added = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
    for j in range(size):
        while True:
            gain, place, i = queue[0]
            ball = columns[pointers[i] : pointers[i + 1]]
            now = int(open_[ball].sum())
            if now == -gain:
                break
            heapq.heapreplace(queue, (-now, place, i))
        heapq.heappop(queue)
        chosen[j], added[j] = i, now
        open_[ball] = False
    return chosen, added


@dataclass(frozen=True, kw_only=True)
class ProbCover(Ranked):
    """The texts whose balls cover the most of the pool that no labelled text's ball covers.

    Works on a sample. Costs O(s² d) twice (the radius, then the graph), O(s l d) for the labelled, O(pairs) for the
    choice; memory one block and at most s²/5 numbers of 4 bytes, whatever the size of the pool. Where everything is
    covered, the rest of the batch is drawn at random.

    Attributes:
        sample: candidates that are looked at, drawn at random where there are more; as many labelled at most.
        alpha: share of the balls that must be pure, 0 to 1 (0.95 in the paper), where `delta` is not given.
        delta: radius of a ball; found by the balls' purity where it is None.
        metric: euclidean, or cosine: the distances then are those of the vectors at length one.

    Raises:
        JobFileError: a setting is out of range.
    """

    name: ClassVar[str] = "probcover"
    uncovered: float = 0.0
    sample: int = 10_000
    alpha: float = 0.95
    delta: float | None = None
    metric: Metric = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        check(whole("sample", self.sample), one_of("metric", self.metric, ("euclidean", "cosine")))
        if type(self.alpha) not in (int, float) or not 0 < self.alpha <= 1:
            raise _wrong("alpha", "a share above 0, to 1", self.alpha)
        if self.delta is not None and (type(self.delta) not in (int, float) or not 0 < self.delta < math.inf):
            raise _wrong("delta", "a number above 0", self.delta)

    def score(self, state: State) -> Floats:
        """(n,) float32 in 0 to 1: the share of the pool that each would newly cover, in a sample of 2,000 candidates;
        0 outside it."""
        out = np.zeros(len(state.candidates), dtype=np.float32)
        free = state.free()
        if len(free):
            cover = replace(self, sample=min(self.sample, SCORED))._cover(state, 0, state.rng(1))
            open_ = (~cover.covered).astype(np.float32)
            out[cover.sample] = (cover.graph.astype(np.float32) @ open_) / len(cover.sample)
        return out

    def choose(self, state: State, size: int, rng: np.random.Generator) -> Choice:
        """Texts in the order in which the greedy choice takes them, scored by the share of the sample each adds."""
        size = min(size, len(state.free()))
        if size <= 0:
            return Choice(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
        cover = self._cover(state, size, rng)
        m = len(cover.sample)
        chosen, added = greedy_cover(cover.graph, cover.covered, size, rng.permutation(m))
        share = (cover.covered.sum() + np.cumsum(added)) / m
        why = {
            "newly_covered": added.tolist(),
            "covered_share": np.round(share, 4).tolist(),
            "radius": [round(cover.delta, 6)] * size,
            "looked_at": [m] * size,
        }
        return Choice(cover.sample[chosen], (added / m).astype(np.float32), why)

    def _cover(self, state: State, size: int, rng: np.random.Generator) -> _Cover:
        sample = at_most(state.free(), max(self.sample, size), rng)
        known = at_most(np.concatenate([state.labelled, state.candidates[state.taken]]), self.sample, rng)
        points, labelled = self._read(state, state.candidates[sample]), self._read(state, known)
        with space.one_thread():
            delta = self.delta or self._radius(points, _classes(state), rng)
            covered = np.zeros(len(points), dtype=np.bool_)
            for at in range(0, len(labelled), AT_ONCE):
                covered |= (squared_distances(labelled[at : at + AT_ONCE], points) < delta * delta).any(axis=0)
            return _Cover(sample, delta, balls(points, delta), covered)

    def _read(self, state: State, rows: Indices) -> Floats:
        points = space.read(state.vectors, rows)
        return unit(points) if self.metric == "cosine" else points

    def _radius(self, points: Floats, classes: int, rng: np.random.Generator) -> float:
        pure = purity_radius(points, space.clusters(points, classes, rng), self.alpha)
        few = points[at_most(np.arange(len(points)), AT_ONCE // 2, rng)]
        return min(pure, math.sqrt(float(np.quantile(squared_distances(few, points), DENSEST))))


@dataclass(frozen=True, eq=False)
class _Cover:
    sample: Indices  # (m,) into the candidates
    delta: float
    graph: Any  # CSR (m, m)
    covered: Bools  # (m,) by labelled texts


def _classes(state: State) -> int:
    """How many pseudo-labels: as many as the task has classes, at least 2."""
    if state.probabilities is not None:
        return max(2, int(state.probabilities.shape[1]))
    return CLUSTERS if state.class_vectors is None else max(2, len(state.class_vectors))


def _wrong(name: str, needed: str, value: object) -> JobFileError:
    return JobFileError("job", [(0, f"`selection.options.{name}`: {needed} is needed, not {value!r}")])
