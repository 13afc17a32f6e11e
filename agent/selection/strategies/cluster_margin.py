"""Small margins from every corner: a shortlist of them, dealt out cluster by cluster, small clusters first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from agent.records import Floats, Rows
from agent.selection import space
from agent.selection.seam import Choice, Indices, State
from agent.selection.strategies.composed import Composed, number, some
from agent.selection.strategies.options import one_of, whole
from agent.selection.strategies.uncertainty import Margin

SAMPLE = 20_000  # rows of the pool that are clustered
FEWEST = 10  # members that a cluster of the sample should have on average
HASHED = 2**20  # rows that are hashed together
CLUSTERING = 4  # where the generator of the clustering stands, so that no other choice shares it


@dataclass(frozen=True, kw_only=True)
class ClusterMargin(Composed):
    """Cluster-Margin (Citovsky et al. 2021, "Batch active learning at scale", arXiv 2107.14263, algorithm 2).

    The pool is clustered once: theirs is an average linkage over everything, ours a k-means on at most 20,000 rows,
    drawn by the job's seed and the pool's size alone. The clusters are then the same in every round, and their
    numbers mean something. Only the shortlist is assigned to them. Within a cluster the smallest margin comes first,
    where the paper draws.

    `score` is the margin's, 0 to 1. O(N C) time for the margins and the shortlist, O((s + r b) k d) for k clusters on
    a sample of s; O(N + (s + r b) d) memory.

    Attributes:
        ratio: how many times the batch the shortlist of smallest margins is: 1.25 to 10 in the paper.
        clusters: at most how many clusters, fewer on a small pool.
        metric: euclidean or cosine.
    """

    name: ClassVar[str] = "cluster_margin"
    ratio: float = 10.0
    clusters: int = 250
    metric: str = "euclidean"

    def problems(self) -> Iterable[str | None]:
        yield number("ratio", self.ratio, 1)
        yield whole("clusters", self.clusters)
        yield one_of("metric", self.metric, space.METRICS)

    def score(self, state: State) -> Floats:
        """(n,) float32 in 0 to 1."""
        return Margin().score(state)

    def compose(self, state: State, free: Indices, size: int, rng: np.random.Generator) -> Choice:
        scores = self.score(state)
        short = some(free, scores, max(size, round(self.ratio * size)), rng)
        short = short[np.argsort(-scores[short], kind="stable")]
        groups = self.assign(state, state.candidates[short])
        order = round_robin(groups)[:size]
        found, sizes = short[order], np.bincount(groups)
        why = {
            "cluster": groups[order].tolist(),
            "cluster_on_shortlist": sizes[groups[order]].tolist(),
            "clusters_on_shortlist": [int((sizes > 0).sum())] * size,
            "shortlist": [len(short)] * size,
        }
        return Choice(found, scores[found], why)

    def assign(self, state: State, rows: Rows) -> Indices:
        """(m,) int64: the cluster of each of `rows` (m,), from 0. The job's seed and the pool alone decide."""
        read = space.measured(state.vectors, self.metric)
        job = state.seed[0] if state.seed else 0
        known = max(int(state.candidates.max(initial=0)), int(state.labelled.max(initial=0)))
        points = read(sample(known + 1, SAMPLE, job))
        count = min(self.clusters, max(1, len(points) // FEWEST))
        rng = np.random.default_rng([job, CLUSTERING])
        _, members = np.unique(space.clusters(points, count, rng), return_inverse=True)  # without the empty ones
        centres = space.means(points, members)
        with space.one_thread():
            return np.concatenate([space.nearest(read(rows[chunk]), centres) for chunk in space.chunks(len(rows))])


def sample(count: int, most: int, seed: int) -> Rows:
    """At most `most` of the rows 0 to `count` - 1, ascending: those of the smallest hash, so that a pool which has
    grown by a few rows has nearly the same sample. O(count) time, O(most) memory."""
    rows, hashes = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint64)
    for start in range(0, count, HASHED):
        more = np.arange(start, min(start + HASHED, count), dtype=np.int64)
        rows, hashes = np.concatenate([rows, more]), np.concatenate([hashes, _hashes(more, seed)])
        if len(rows) > most:
            low = np.argpartition(hashes, most - 1)[:most]
            rows, hashes = rows[low], hashes[low]
    return np.sort(rows)


def _hashes(rows: Rows, seed: int) -> npt.NDArray[np.uint64]:
    """(m,) uint64: the finaliser of SplitMix64 (Steele, Lea and Flood 2014), which no two rows share."""
    x = rows.astype(np.uint64) + np.random.default_rng([seed, CLUSTERING]).integers(0, 2**63, 1, dtype=np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(x ^ (x >> np.uint64(31)))


def round_robin(groups: Indices) -> Indices:
    """The order in which members are dealt out: the first of each group, those of the smallest groups in front, then
    the second of each, and so on. `groups` (m,), the most wanted first; groups of one size go by their number."""
    return np.lexsort((groups, np.bincount(groups)[groups], space.turn(groups)))
