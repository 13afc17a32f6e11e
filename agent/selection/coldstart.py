"""The first batch, before any student: texts that are typical of the pool's clusters.

TypiClust (Hacohen, Dekel and Weinshall 2022, "Active Learning on a Budget"): with few labels, typical texts teach
more than unsure ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agent.records import Floats, Rows
from agent.selection import space
from agent.selection.batch import draw, random_count
from agent.selection.seam import Chosen, Indices

SAMPLE = 20_000  # candidates that are clustered; drawn at random where the pool has more
TINY = 5  # a cluster of fewer members is likely noise (TypiClust leaves those out)


def cold_start(
    candidates: Rows,
    vectors: Callable[[Rows], Floats],
    size: int,
    random_share: float,
    rng: np.random.Generator,
) -> list[Chosen]:
    """`min(size, n)` distinct candidates: a random slice, then the most typical text of each of as many clusters.

    The random slice is drawn first from all candidates, with its chance recorded, as in `compose`. Of the others at
    most 20,000, drawn at random, are clustered: a cluster that holds 1 in 1,000 texts still has about 20 members
    there, so ten million texts take no longer than twenty thousand.

    Args:
        candidates: (n,) int64 pool rows without a label.
        vectors: pool rows to embeddings (m, d) float32.
        size: how many to choose.
        random_share: 0 to 1.
        rng: the only source of chance.
    """
    n = len(candidates)
    size = min(size, n)
    if size <= 0:
        return []
    chance = random_count(size, random_share)
    drawn = draw(n, chance, rng)
    batch = [
        Chosen(int(candidates[i]), "random", 0.0, chance / n, {"strategy": "typical", "drawn": chance, "of": n})
        for i in drawn
    ]
    free = np.ones(n, dtype=bool)
    free[drawn] = False
    left = np.flatnonzero(free)
    if len(left) > SAMPLE:
        left = np.sort(left[draw(len(left), max(SAMPLE, size), rng)])
    return batch + _typical(candidates[left], vectors, size - chance, rng)


def _typical(rows: Rows, vectors: Callable[[Rows], Floats], count: int, rng: np.random.Generator) -> list[Chosen]:
    if not count:
        return []
    points = space.read(vectors, rows)
    groups = space.clusters(points, count, rng)
    distance = space.neighbour_distance(points, groups)
    sizes = np.bincount(groups)
    typicality = 1 / np.maximum(distance, np.float32(1e-6))  # 0 for the only member of a cluster
    return [
        Chosen(
            int(rows[i]),
            "cold",
            float(typicality[i]),
            None,
            {
                "strategy": "typical",
                "typicality": float(typicality[i]),
                "cluster_size": int(sizes[groups[i]]),
                "clusters": int((sizes > 0).sum()),
                "looked_at": len(rows),
            },
        )
        for i in _order(distance, groups)[:count]
    ]


def _order(distance: Floats, groups: Indices) -> Indices:
    """Indices, the most wanted first: the most typical of each cluster, largest cluster first, then the second of
    each, and so on. A tiny cluster waits one turn: the second text of a large cluster tells more than an outlier.

    Tiny is relative, so that a small pool cut into many clusters does not lose most of them.
    """
    sizes = np.bincount(groups)
    by_typicality = np.argsort(distance, kind="stable")
    ordered = groups[by_typicality]
    tiny = sizes[ordered] < min(TINY, len(groups) / np.count_nonzero(sizes) / 4)
    turns = space.turn(ordered) + tiny
    return by_typicality[np.lexsort((ordered, -sizes[ordered], turns))]
