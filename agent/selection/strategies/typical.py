"""Typical texts of clusters that hold no label yet: TypiClust, for the cold start and for any later round.

Hacohen, Dekel and Weinshall 2022, "Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets": with
few labels, typical texts teach more than unsure ones. Knows no probabilities: only vectors, and which have a label.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from agent.records import Floats
from agent.selection import space
from agent.selection.batch import draw
from agent.selection.seam import Choice, Indices, Ranked, State
from agent.selection.strategies.options import check, whole

TINY = 5  # a cluster of fewer members is likely noise (TypiClust leaves those out)
SCORED = 5_000  # candidates that `score` alone looks at,
BATCH = 100  # as for a batch of so many


def typicality(distance: Floats) -> Floats:
    """1 / the mean distance to the nearest of the same cluster (Hacohen et al. 2022, eq. 4): (m,) to (m,).

    0 for the only member of a cluster, whose distance is infinite.
    """
    return np.asarray(1 / np.maximum(distance, np.float32(1e-6)), dtype=np.float32)


def typical_order(distance: Floats, groups: Indices, held: Indices | None = None) -> Indices:
    """Indices, the most wanted first: the most typical of each cluster, largest cluster first, then the second of
    each, and so on. A tiny cluster waits one turn: the second text of a large cluster tells more than an outlier. A
    cluster that holds labelled texts already waits one turn for each.

    Tiny is relative, so that a small pool cut into many clusters does not lose most of them.

    Args:
        distance: (m,) mean distance of each to its neighbours.
        groups: (m,) the cluster of each.
        held: (clusters,) how many labelled texts each cluster holds; none where it is not given.
    """
    sizes = np.bincount(groups)
    by_typicality = np.argsort(distance, kind="stable")
    ordered = groups[by_typicality]
    tiny = sizes[ordered] < min(TINY, len(groups) / np.count_nonzero(sizes) / 4)
    turns = space.turn(ordered) + tiny
    if held is not None:
        turns += held[ordered]
    return by_typicality[np.lexsort((ordered, -sizes[ordered], turns))]


@dataclass(frozen=True, kw_only=True)
class TypiClust(Ranked):
    """The most typical text of each of the largest clusters that hold no labelled text.

    As many clusters as there are labelled texts and texts to choose, so that enough of them are free. Costs
    O(s K d) for the clusters and O(s² d / K) for the typicality, s the sample and K the clusters, and s d numbers of
    memory, whatever the size of the pool.

    Attributes:
        sample: candidates that are clustered; drawn at random where there are more. As many labelled texts at most.
        clusters: never more clusters than this, as in the authors' code.

    Raises:
        JobFileError: a setting is out of range.
    """

    name: ClassVar[str] = "typiclust"
    uncovered: float = 0.0
    sample: int = 20_000
    clusters: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        check(whole("sample", self.sample), whole("clusters", self.clusters))

    def score(self, state: State) -> Floats:
        """(n,) float32 in 0 to 1: 1 for what a batch of 100 would take first, 0 outside a sample of 5,000."""
        out = np.zeros(len(state.candidates), dtype=np.float32)
        if len(state.free()):
            small = replace(self, sample=min(self.sample, SCORED))
            found = small._ranked(state, BATCH, state.rng(1))
            out[found.sample[found.order]] = 1 - np.arange(len(found.order)) / len(found.order)
        return out

    def choose(self, state: State, size: int, rng: np.random.Generator) -> Choice:
        """Texts in the order of `typical_order`, scored by their typicality."""
        size = min(size, len(state.free()))
        if size <= 0:
            return Choice(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
        found = self._ranked(state, size, rng)
        best = found.order[:size]
        scores = typicality(found.distance[best])
        group = found.groups[best]
        why = {
            "cluster": group.tolist(),
            "cluster_size": np.bincount(found.groups)[group].tolist(),
            "labelled_in_cluster": found.held[group].tolist(),
            "looked_at": [len(found.sample)] * size,
        }
        return Choice(found.sample[best], scores, why)

    def _ranked(self, state: State, size: int, rng: np.random.Generator) -> _Ranking:
        sample = at_most(state.free(), max(self.sample, size), rng)
        known = np.concatenate([state.labelled, state.candidates[state.taken]])
        known = at_most(known, self.sample, rng)
        points = space.read(state.vectors, np.concatenate([state.candidates[sample], known]))
        groups = space.clusters(points, min(len(known) + size, self.clusters), rng)
        distance = space.neighbour_distance(points, groups)
        m = len(sample)
        held = np.bincount(groups[m:], minlength=int(groups.max()) + 1)
        return _Ranking(sample, distance[:m], groups[:m], held, typical_order(distance[:m], groups[:m], held))


@dataclass(frozen=True, eq=False)
class _Ranking:
    sample: Indices  # (m,) into the candidates
    distance: Floats  # (m,)
    groups: Indices  # (m,)
    held: Indices  # (clusters,)
    order: Indices  # (m,) into the sample


def at_most(values: Indices, most: int, rng: np.random.Generator) -> Indices:
    """All of the values, or `most` of them drawn at random, in their order."""
    return values if len(values) <= most else values[np.sort(draw(len(values), most, rng))]
