"""The first batch, before any student: texts that are typical of the pool's clusters, and texts that sound like each
class's name.

TypiClust (Hacohen, Dekel and Weinshall 2022, "Active Learning on a Budget"): with few labels, typical texts teach
more than unsure ones. Where the classes' names and descriptions are known as vectors, a part of the batch is chosen
by them (zero-shot), so that every class is met early.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.records import Floats, Rows
from agent.selection import space
from agent.selection.batch import draw, random_count
from agent.selection.neighbours import unit
from agent.selection.seam import Chosen, Indices
from agent.selection.strategies.typical import typical_order, typicality

SAMPLE = 20_000  # candidates that are looked at; drawn at random where the pool has more
BY_NAME = 0.5  # of the part that is not random, where the classes' vectors are known
TEMPERATURE = 0.05  # of the softmax over cosines: sentence encoders keep related and unrelated some 0.2 apart
ALIKE = 0.9  # texts that reach this share of a class's best are as good as it; the most typical of them is taken


def cold_start(
    candidates: Rows,
    vectors: Callable[[Rows], Floats],
    size: int,
    random_share: float,
    rng: np.random.Generator,
    *,
    class_vectors: Floats | None = None,
) -> list[Chosen]:
    """`min(size, n)` distinct candidates: a random slice, then texts chosen by the classes' names where those are
    known, then the most typical text of each cluster.

    The random slice is drawn first from all candidates, with its chance recorded, as in `compose`. Of the others at
    most 20,000, drawn at random, are looked at: what makes up 1 in 1,000 texts still has about 20 members there, so
    ten million texts take no longer than twenty thousand.

    Args:
        candidates: (n,) int64 pool rows without a label.
        vectors: pool rows to embeddings (m, d) float32.
        size: how many to choose.
        random_share: 0 to 1.
        rng: the only source of chance.
        class_vectors: (C, d) float32, names and descriptions of the classes as the same encoder sees them, or None.
    """
    n = len(candidates)
    size = min(size, n)
    if size <= 0:
        return []
    chance = random_count(size, random_share)
    drawn = draw(n, chance, rng)
    batch = [Chosen(int(candidates[i]), "random", 0.0, chance / n, {"drawn": chance, "of": n}) for i in drawn]
    free = np.ones(n, dtype=bool)
    free[drawn] = False
    left = np.flatnonzero(free)
    if len(left) > SAMPLE:
        left = np.sort(left[draw(len(left), max(SAMPLE, size), rng)])
    if size == chance:
        return batch
    return batch + _Seeds.of(candidates[left], vectors, size - chance, rng).chosen(size - chance, class_vectors)


def zero_shot(vectors: Floats, class_vectors: Floats, temperature: float = TEMPERATURE) -> Floats:
    """What the encoder alone says of each text's class: softmax over the classes of cosine / temperature.

    vectors (m, d) and class_vectors (C, d) to (m, C) float32, rows sum to one. A text that resembles every class's
    name alike says little of any. Zero-shot classification by similarity (Yin, Hay and Roth 2019; with sentence
    encoders, Schopf, Braun and Matthes 2022, "Evaluating Unsupervised Text Classification").

    Raises ValueError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    with space.one_thread():
        logits = unit(vectors) @ (unit(class_vectors) / np.float32(temperature)).T
    logits -= logits.max(axis=1, keepdims=True, initial=-np.inf)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return np.asarray(logits, dtype=np.float32)


def most_like(likeness: Floats, distance: Floats, count: int) -> tuple[Indices, Indices]:
    """`count` texts, class by class, those most like each class: (count,) indices and their (count,) classes.

    Of the texts that reach 0.9 of a class's best the most typical one is taken. The class that is met most clearly
    comes first; a second turn begins when every class has had one.

    Args:
        likeness: (m, C) how much each text is like each class, relative to the others (`zero_shot`).
        distance: (m,) mean distance of each text to its neighbours; lower is more typical.
        count: at most m.
    """
    score = likeness.copy()
    texts, classes = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    order = np.argsort(-likeness.max(axis=0), kind="stable")
    for i in range(count):
        c = int(order[i % len(order)])
        near = np.flatnonzero(score[:, c] >= ALIKE * score[:, c].max())
        texts[i], classes[i] = near[np.argmin(distance[near])], c
        score[texts[i]] = -1
    return texts, classes


@dataclass(frozen=True, eq=False)
class _Seeds:
    """Candidates (m,) among which the batch is chosen, clustered."""

    rows: Rows
    points: Floats  # (m, d)
    groups: Indices  # (m,)
    distance: Floats  # (m,) to the nearest of its cluster

    @classmethod
    def of(cls, rows: Rows, vectors: Callable[[Rows], Floats], count: int, rng: np.random.Generator) -> _Seeds:
        points = space.read(vectors, rows)
        groups = space.clusters(points, count, rng)
        return cls(rows, points, groups, space.neighbour_distance(points, groups))

    def chosen(self, count: int, class_vectors: Floats | None) -> list[Chosen]:
        named: list[Chosen] = []
        taken = np.empty(0, dtype=np.int64)
        if class_vectors is not None and len(class_vectors):
            likeness = zero_shot(self.points, class_vectors)
            taken, classes = most_like(likeness, self.distance, round(count * BY_NAME))
            named = [
                self._told(int(i), float(likeness[i, c]), {"strategy": "zero_shot", "class": int(c)})
                for i, c in zip(taken, classes, strict=True)
            ]
        held = np.bincount(self.groups[taken], minlength=int(self.groups.max()) + 1)
        free = np.ones(len(self.rows), dtype=bool)
        free[taken] = False
        order = typical_order(self.distance, self.groups, held)
        typical = order[free[order]][: count - len(named)]
        scores = typicality(self.distance)
        return named + [self._told(int(i), float(scores[i]), {"strategy": "typical"}) for i in typical]

    def _told(self, i: int, score: float, why: Mapping[str, Any]) -> Chosen:
        sizes = np.bincount(self.groups)
        told = {
            **why,
            "typicality": float(typicality(self.distance[i : i + 1])[0]),
            "cluster_size": int(sizes[self.groups[i]]),
            "clusters": int((sizes > 0).sum()),
            "looked_at": len(self.rows),
        }
        return Chosen(int(self.rows[i]), "cold", score, None, told)
