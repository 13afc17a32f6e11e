"""One text of each cluster: the one nearest to the centre, among the texts that the student is least sure of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from agent.records import Floats
from agent.selection import space
from agent.selection.seam import Choice, Indices, State
from agent.selection.strategies.composed import Composed, some, yes_or_no
from agent.selection.strategies.options import one_of, whole
from agent.selection.strategies.uncertainty import Margin

LIGHTEST = 1e-6  # a text that the student is sure of still belongs somewhere


@dataclass(frozen=True, kw_only=True)
class KMeans(Composed):
    """As many clusters as texts are wanted, the text nearest to each centre (Zhdanov 2019, "Diverse mini-batch active
    learning", arXiv 1901.05954).

    `score` is the margin's, 0 to 1. O(N C) time to cut the pool, O(m b d) a step of k-means over the m candidates;
    O(N + m d) memory.

    Attributes:
        metric: euclidean or cosine.
        candidates: at most how many texts are clustered.
        among: which, where there are more: uncertain, those of the smallest margins, or random.
        weighted: a text that the student is less sure of draws its centre more.
    """

    name: ClassVar[str] = "k_means"
    metric: str = "euclidean"
    candidates: int = 10_000
    among: str = "uncertain"
    weighted: bool = False

    def problems(self) -> Iterable[str | None]:
        yield one_of("metric", self.metric, space.METRICS)
        yield whole("candidates", self.candidates)
        yield one_of("among", self.among, ("uncertain", "random"))
        yield yes_or_no("weighted", self.weighted)

    def score(self, state: State) -> Floats:
        """(n,) float32 in 0 to 1."""
        return Margin().score(state)

    def compose(self, state: State, free: Indices, size: int, rng: np.random.Generator) -> Choice:
        unsure = self.score(state)
        among = some(free, unsure if self.among == "uncertain" else None, max(self.candidates, size), rng)
        points = space.measured(state.vectors, self.metric)(state.candidates[among])
        weights = np.maximum(unsure[among], np.float32(LIGHTEST)) if self.weighted else None
        groups = space.clusters(points, size, rng, weights)
        order, squared = nearest_to_centres(points, groups, weights)
        found, sizes = order[:size], np.bincount(groups)
        why = {
            "cluster": groups[found].tolist(),
            "cluster_size": sizes[groups[found]].tolist(),
            "distance": space.shown(squared[found], self.metric).tolist(),
            "looked_at": [len(among)] * size,
        }
        return Choice(among[found], unsure[among[found]], why)


def nearest_to_centres(points: Floats, groups: Indices, weights: Floats | None = None) -> tuple[Indices, Floats]:
    """The order in which members stand for their groups, and their squared distance to its centre.

    The nearest member of each group first, those of the largest groups in front, then the second nearest of each, and
    so on: where some groups are empty, as with many copies, the others give more than one.

    Args:
        points: (m, d).
        groups: (m,) the group of each.
        weights: (m,) above 0, what each counts in its group's centre; None is all alike.

    Returns:
        (m,) int64 and (m,) float32, the latter in the order of `points`.
    """
    away = points - space.means(points, groups, weights)[groups]
    squared = space.squared_lengths(away)
    near = np.argsort(squared, kind="stable")
    sizes = np.bincount(groups)[groups[near]]
    return near[np.lexsort((-sizes, space.turn(groups[near])))], squared
