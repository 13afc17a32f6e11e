"""Distances among embeddings: clusters, typical members, and what lies far from everything known.

Every function here takes vectors that fit in memory (some ten thousand rows) and holds no array of all pairs.
scikit-learn is imported when first used, so that a command line that selects nothing starts fast.

Sums of floating-point numbers depend on how many threads share them, and a k-means can tip over such a difference,
so everything runs on one thread: the same seed gives the same batch on any machine shape.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import cast

import numpy as np

from agent.records import Floats, Rows
from agent.selection.seam import Indices

NEIGHBOURS = 20  # as in TypiClust's experiments


def one_thread() -> AbstractContextManager[object]:
    """Linear algebra on one thread inside: rounding then does not depend on the number of threads."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return cast(AbstractContextManager[object], threadpool_limits(limits=1))


def read(vectors: Callable[[Rows], Floats], rows: Rows) -> Floats:
    """The vectors of `rows` (m,) in their order, read in the pool's order: a memmap then moves forward only."""
    order = np.argsort(rows, kind="stable")
    forward = np.asarray(vectors(rows[order]), dtype=np.float32)
    out = np.empty_like(forward)
    out[order] = forward
    return out


def clusters(vectors: Floats, count: int, rng: np.random.Generator) -> Indices:
    """The cluster (0 to `count` - 1) of each of the vectors (m, d), by mini-batch k-means (Sculley 2010).

    Some clusters may be empty, as where there are fewer distinct vectors than clusters.
    """
    from sklearn.cluster import MiniBatchKMeans

    count = min(count, len(vectors))
    if count <= 1:
        return np.zeros(len(vectors), dtype=np.int64)
    seed = int(rng.integers(2**31 - 1))
    with one_thread():
        found = MiniBatchKMeans(count, random_state=seed, n_init=1).fit_predict(vectors)
    return np.asarray(found, dtype=np.int64)


def neighbour_distance(vectors: Floats, groups: Indices, neighbours: int = NEIGHBOURS) -> Floats:
    """The mean distance of each vector (m, d) to its nearest neighbours within its own group: (m,) float32.

    A group smaller than `neighbours` counts all its others; the only member of a group has infinity.
    """
    from sklearn.neighbors import NearestNeighbors

    out = np.full(len(vectors), np.inf, dtype=np.float32)
    order = np.argsort(groups, kind="stable")
    with one_thread():
        for members in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
            if len(members) > 1:
                near = NearestNeighbors(n_neighbors=min(neighbours, len(members) - 1), algorithm="brute")
                distances, _ = near.fit(vectors[members]).kneighbors()
                out[members] = distances.mean(axis=1)
    return out


def farthest_first(vectors: Floats, covered: Floats, size: int) -> tuple[Indices, Floats]:
    """`size` of the vectors (m, d), each the farthest from all of `covered` (c, d) and from those chosen before it.

    The greedy k-center of Gonzalez 1985, used as a core-set by Sener and Savarese 2018.

    Returns:
        Indices (size,) in the order chosen, and the distance (size,) float32 that each had when it was chosen.
    """
    from sklearn.metrics import pairwise_distances_argmin_min

    chosen, at = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.float32)
    with one_thread():
        _, found = pairwise_distances_argmin_min(vectors, covered)
        distance = np.asarray(found, dtype=np.float32)
        for i in range(size):
            chosen[i] = best = int(distance.argmax())
            at[i] = distance[best]
            distance = np.minimum(distance, np.linalg.norm(vectors - vectors[best], axis=1))
            distance[chosen[: i + 1]] = -1  # never twice, even where everything left is a duplicate
    return chosen, at


def turn(groups: Indices) -> Indices:
    """How many of its own group come before each element: (m,), 0 for the first of each group.

    Sorted by it, a list gives one of each group, then a second of each, and so on.
    """
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    first = np.searchsorted(ordered, ordered, side="left")
    out = np.empty(len(groups), dtype=np.int64)
    out[order] = np.arange(len(groups)) - first
    return out
