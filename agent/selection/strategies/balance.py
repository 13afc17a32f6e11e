"""Rare classes: what would even out the labels is worth more, and a part of each batch looks for what is missing.

Costs O(n C) beside the base: one pass over the probabilities for the scores, one for the quota; and O(n d) while a
class without a label is sought by its name. Holds a block of
probabilities, and for each class short of labels as many indices as the quota has slots.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from agent.records import Floats
from agent.selection.batch import spread
from agent.selection.seam import Choice, Indices, State, top
from agent.selection.space import chunks, one_thread, read, unit
from agent.selection.strategies.basis import Doubles, OnBase, usefulness
from agent.selection.strategies.composed import number


def class_counts(targets: Any, classes: int) -> Doubles:
    """(C,) float64: how many labels each class has, a soft one in parts; zeros unless targets are (l, C)."""
    if getattr(targets, "ndim", 0) != 2 or targets.shape[1] != classes:
        return np.zeros(classes)
    return np.asarray(targets.sum(axis=0, dtype=np.float64))


def rarity(counts: Doubles, floor: float) -> Floats:
    """(C,) float32, `floor` to 1: 1 for a class without a label, `floor` for one with the mean number or more.

    The share that a class lacks of the mean, max(0, 1 - count / mean). A class-balanced sampler's weight, as of
    Aggarwal, Popescu and Hudelot 2020, "Active Learning for Imbalanced Datasets", on the deficit alone.
    """
    mean = counts.mean() if len(counts) else 0.0
    lack = np.clip(1 - counts / mean, 0, 1) if mean > 0 else np.ones(len(counts))
    return np.asarray(floor + (1 - floor) * lack, dtype=np.float32)


def slots(counts: Doubles, size: int, short: float = 1.0) -> Indices:
    """(C,) int64: how many of `size` slots go to each class, in proportion to what it lacks of `short` times the mean
    count.

    Largest remainders; never more than all classes lack together, so that almost even labels leave the slots free.
    """
    need = np.maximum(short * counts.mean() - counts, 0) if len(counts) else counts
    given = min(size, int(np.ceil(need.sum() - 1e-9)))
    if given <= 0:
        return np.zeros(len(counts), dtype=np.int64)
    exact = given * need / need.sum()
    whole = np.floor(exact).astype(np.int64)
    whole[np.argsort(whole - exact, kind="stable")[: given - int(whole.sum())]] += 1
    return np.asarray(whole)


class Sought(NamedTuple):
    """A candidate that was chosen for a class: its index, the class, how likely it is of it, or how like its name."""

    candidate: int
    of_class: int
    chance: float
    by_name: bool


class Likeliest:
    """The `most` likeliest candidates of one class so far, kept while blocks of probabilities go by."""

    def __init__(self, most: int) -> None:
        self.most, self.least = most, np.inf
        self.indices, self.chances = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)

    def add(self, indices: Indices, chances: Floats, rng: np.random.Generator) -> None:
        """One block: indices (m,) and their probability (m,) of the class. Ties at the bar are drawn by chance."""
        self.least = min(self.least, float(chances.min(initial=np.inf)))
        bar = self.chances[-1] if len(self.chances) == self.most else -np.inf
        over = np.flatnonzero(chances >= bar)
        if not len(over):
            return
        indices = np.concatenate([self.indices, indices[over]])
        chances = np.concatenate([self.chances, chances[over]])
        kept = top(chances, self.most, rng)
        self.indices, self.chances = indices[kept], chances[kept]

    def tells_apart(self) -> bool:
        """Whether some candidate is likelier than another: the same for all says nothing of where to look."""
        return len(self.chances) > 0 and float(self.chances[0]) > self.least


@dataclass(frozen=True, kw_only=True)
class Balanced(OnBase):
    """The base's usefulness, times how rare the foreseen classes are among the labels so far.

    score = base * sum over c of p_c * rarity_c. A batch first gives a quota to the classes that lack labels, each the
    candidates likeliest to be of it (after the class-conditional sampling of Bengar et al. 2022, "Class-Balanced
    Active Learning for Image Classification", and Attenberg and Provost 2010, "Why Label When You Can Search?");
    the rest are the highest scores, spread as `compose` spreads them. A class without a label, of which the student
    can know nothing, is sought by its name and description where the job has them as vectors: the candidates of the
    highest cosine. Without class probabilities it is the base.

    Attributes:
        base: gives the usefulness.
        floor: 0 to 1, what a class with labels enough still counts.
        quota: 0 to 1, the largest share of a batch that is given to classes short of labels.
        short: 0 to 1, the share of the mean count below which a class is short of labels.
    """

    uncovered: float = 0.0
    floor: float = 0.1
    quota: float = 0.5
    short: float = 1.0
    name: ClassVar[str] = "balanced"

    def problems(self) -> Iterable[str | None]:
        """What is wrong with the settings."""
        return (
            number("floor", self.floor, 0, 1),
            number("quota", self.quota, 0, 1),
            number("short", self.short, 0, 1),
        )

    def score(self, state: State) -> Floats:
        """(n,) float32, never below zero."""
        useful = usefulness(self.base, state)
        if state.probabilities is None:
            return useful
        weights = rarity(class_counts(state.targets, state.probabilities.shape[1]), self.floor)
        out = np.empty(len(useful), dtype=np.float32)
        with one_thread():
            for block in state.blocks():
                out[block] = np.asarray(state.probabilities[block], dtype=np.float32) @ weights
        return out * useful

    def choose(self, state: State, size: int, rng: np.random.Generator) -> Choice:
        """`size` free candidates: the quota, class by class, then the highest scores."""
        found = self._quota(state, min(size, len(state.free())), rng)
        indices = np.array([f.candidate for f in found], dtype=np.int64)
        beside = replace(state, taken=np.concatenate([state.taken, indices]))
        rest = spread(self, self.score(state), beside, size - len(found), rng)
        blank = [None] * len(rest.indices)
        told: dict[str, list[Any]] = {
            "short_class": [f.of_class for f in found] + blank,
            "probability": [None if f.by_name else f.chance for f in found] + blank,
            "similarity_to_name": [f.chance if f.by_name else None for f in found] + blank,
        }
        told.update({name: [None] * len(found) + list(column) for name, column in rest.why.items()})
        chances = np.array([f.chance for f in found], dtype=np.float32)
        return Choice(np.concatenate([indices, rest.indices]), np.concatenate([chances, rest.scores]), told)

    def _quota(self, state: State, size: int, rng: np.random.Generator) -> list[Sought]:
        """The candidates chosen for classes that lack labels; a class that lacks most first."""
        if state.probabilities is None:
            return []
        counts = class_counts(state.targets, state.probabilities.shape[1])
        shares = slots(counts, int(size * self.quota), self.short)
        wanted = [int(c) for c in np.argsort(counts, kind="stable") if shares[c]]
        unmet = [c for c in wanted if counts[c] == 0 and state.class_vectors is not None]
        pools = _by_name(state, unmet, int(shares.sum()), rng)
        pools |= _by_probability(state, [c for c in wanted if c not in pools], int(shares.sum()), rng)
        chosen: dict[int, Sought] = {}
        for c in wanted:
            if not pools[c].tells_apart():
                continue
            pairs = zip(pools[c].indices.tolist(), pools[c].chances.tolist(), strict=True)
            fresh = [Sought(i, c, chance, c in unmet) for i, chance in pairs if i not in chosen][: shares[c]]
            chosen.update({f.candidate: f for f in fresh})
        return list(chosen.values())


def _by_probability(state: State, classes: list[int], most: int, rng: np.random.Generator) -> dict[int, Likeliest]:
    """For each of the classes its likeliest free candidates, best first, found in one pass."""
    pools = {c: Likeliest(most) for c in classes}
    if not classes or state.probabilities is None:
        return pools
    open_ = _open(state)
    for block in state.blocks():
        rows = np.flatnonzero(open_[block])
        p = np.asarray(state.probabilities[block], dtype=np.float32)[rows]
        for c, pool in pools.items():
            pool.add(rows + block.start, p[:, c], rng)
    return pools


def _by_name(state: State, classes: list[int], most: int, rng: np.random.Generator) -> dict[int, Likeliest]:
    """For each of the classes the free candidates most like its name and description, found in one pass."""
    pools = {c: Likeliest(most) for c in classes}
    if not classes or state.class_vectors is None:
        return pools
    free, names = state.free(), state.class_vectors[classes]
    with one_thread():
        for chunk in chunks(len(free)):
            near = unit(read(state.vectors, state.candidates[free[chunk]])) @ names.T
            for j, pool in enumerate(pools.values()):
                pool.add(free[chunk], near[:, j], rng)
    return pools


def _open(state: State) -> npt.NDArray[np.bool_]:
    open_ = np.ones(len(state.candidates), dtype=bool)
    open_[state.taken] = False
    return open_
