"""Distances among embeddings: clusters, typical members, and what lies far from everything known.

Functions on vectors take what fits in memory (some ten thousand rows); what is larger is read by `chunks`. Nothing
here holds an array of all pairs.
scikit-learn is imported when first used, so that a command line that selects nothing starts fast.

Sums of floating-point numbers depend on how many threads share them, and a k-means can tip over such a difference,
so everything runs on one thread: the same seed gives the same batch on any machine shape.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, cast

import numpy as np

from agent.records import Floats, Rows
from agent.selection.seam import Indices

NEIGHBOURS = 20  # as in TypiClust's experiments
CHUNK = 8_192  # rows of the pool that are read together: 12 MB of float32 at 384 dimensions
CENTRES = 1_024  # centres that a chunk is compared with together
METRICS = ("euclidean", "cosine")


def one_thread() -> AbstractContextManager[object]:
    """Linear algebra on one thread inside: rounding then does not depend on the number of threads."""
    return cast(AbstractContextManager[object], _libraries(len(sys.modules)).limit(limits=1))


@lru_cache(maxsize=1)
def _libraries(_imported: int) -> Any:
    """All that have threads; kept until another module is imported: to look for them takes some milliseconds."""
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()


def read(vectors: Callable[[Rows], Floats], rows: Rows) -> Floats:
    """The vectors of `rows` (m,) in their order, read in the pool's order: a memmap then moves forward only."""
    order = np.argsort(rows, kind="stable")
    forward = np.asarray(vectors(rows[order]), dtype=np.float32)
    out = np.empty_like(forward)
    out[order] = forward
    return out


def chunks(count: int) -> Iterator[slice]:
    """0 to `count` cut into runs whose vectors may be held."""
    return (slice(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK))


def unit(vectors: Floats) -> Floats:
    """The vectors (m, d) at length one; a vector of zeros stays as it is."""
    lengths = np.sqrt(squared_lengths(vectors))
    return cast(Floats, vectors / np.where(lengths > 0, lengths, 1)[:, None])


def squared_lengths(vectors: Floats) -> Floats:
    """(m,) for vectors (m, d)."""
    return cast(Floats, np.einsum("ij,ij->i", vectors, vectors))


def measured(vectors: Callable[[Rows], Floats], metric: str) -> Callable[[Rows], Floats]:
    """Reads vectors so that Euclidean distance among them serves: at length one where the metric is cosine.

    Half the square of the distance is 1 minus the cosine then; a vector of zeros is at 0.5 from every other.
    """
    return (lambda rows: unit(read(vectors, rows))) if metric == "cosine" else (lambda rows: read(vectors, rows))


def shown(squared: Floats, metric: str) -> Floats:
    """Squared Euclidean distances of what `measured` read, in the metric's own terms."""
    return cast(Floats, np.float32(0.5) * squared if metric == "cosine" else np.sqrt(squared))


def nearest_squared(vectors: Floats, centres: Floats) -> Floats:
    """(m,) float32: from each of the vectors (m, d) to the nearest of the centres (c, d), squared. O(m c d) time.

    What is not a number is at 0 from everything, so that nobody goes far to look at it.
    """
    halves = squared_lengths(centres) / 2
    closest = np.full(len(vectors), -np.inf, dtype=np.float32)  # of x.c - c.c/2, which is largest where c is nearest
    for start in range(0, len(centres), CENTRES):
        some = slice(start, start + CENTRES)
        products = vectors @ centres[some].T
        products -= halves[some]
        np.maximum(closest, products.max(axis=1), out=closest)
    return cast(Floats, np.fmax(squared_lengths(vectors) - 2 * closest, 0))


def nearest(vectors: Floats, centres: Floats) -> Indices:
    """(m,) int64: which of the centres (c, d) is the nearest to each of the vectors (m, d), the first of equals."""
    return np.asarray((vectors @ centres.T - squared_lengths(centres) / 2).argmax(axis=1), dtype=np.int64)


def clusters(vectors: Floats, count: int, rng: np.random.Generator, weights: Floats | None = None) -> Indices:
    """The cluster (0 to `count` - 1) of each of the vectors (m, d), by mini-batch k-means (Sculley 2010).

    Some clusters may be empty, as where there are fewer distinct vectors than clusters. With `weights` (m,), above 0,
    a vector draws its centre that much more than another.
    """
    from sklearn.cluster import MiniBatchKMeans

    count = min(count, len(vectors))
    if count <= 1:
        return np.zeros(len(vectors), dtype=np.int64)
    seed = int(rng.integers(2**31 - 1))
    with one_thread():
        found = MiniBatchKMeans(count, random_state=seed, n_init=1).fit_predict(vectors, sample_weight=weights)
    return np.asarray(found, dtype=np.int64)


def means(vectors: Floats, groups: Indices, weights: Floats | None = None) -> Floats:
    """(k, d) float32: the mean of each group's vectors, weighted where there are `weights` (m,) above 0.

    A group without members has zeros.
    """
    from scipy import sparse

    heavy = np.ones(len(vectors), dtype=np.float32) if weights is None else weights
    count = int(groups.max()) + 1
    members = sparse.csr_array((heavy, (groups, np.arange(len(groups)))), shape=(count, len(groups)))
    total = np.bincount(groups, heavy, minlength=count)
    return cast(Floats, ((members @ vectors) / np.where(total > 0, total, 1)[:, None]).astype(np.float32))


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
