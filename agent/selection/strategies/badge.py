"""Texts whose gradients are large and point different ways: what they would teach the student differs.

The gradient of a text's own guess is the outer product of g (C numbers) and its vector x (d numbers). The two are
never multiplied out: the inner product of two gradients is (g.g')(x.x').
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from agent.records import Floats
from agent.selection import space
from agent.selection.seam import Choice, Indices, State
from agent.selection.strategies.composed import Composed, some
from agent.selection.strategies.options import one_of, whole

ROUNDING = 1e-6  # of the squared lengths: two gradients that are closer are copies
TAKEN_AT_ONCE = 128


@dataclass(frozen=True, kw_only=True)
class Badge(Composed):
    """Batch active learning by diverse gradient embeddings (Ash et al. 2020, arXiv 1906.03671): k-means++ seeding
    (Arthur and Vassilvitskii 2007) on the gradients of the loss for the class that the student holds likeliest.

    What is taken already counts as chosen; where nothing is, the first is the one of the longest gradient.
    For multilabel each decision is corrected by its own likelier answer; without probabilities g is the doubt.

    `score` is the length of g, which is that of the gradient for vectors of length one, as the encoders' are; so the
    pool is cut without reading its vectors.
    O(N C) time to cut the pool and O(m b (C + d)) to choose among the m candidates; O(N + m (C + d)) memory.

    Attributes:
        candidates: at most how many texts are looked at.
        among: which, where there are more: norm, those of the highest score, or random.
    """

    name: ClassVar[str] = "badge"
    candidates: int = 10_000
    among: str = "norm"

    def problems(self) -> Iterable[str | None]:
        yield whole("candidates", self.candidates)
        yield one_of("among", self.among, ("norm", "random"))

    def score(self, state: State) -> Floats:
        """(n,) float32: the length of g."""
        if state.probabilities is None:
            return np.asarray(state.doubt, dtype=np.float32)
        out = np.empty(len(state.candidates), dtype=np.float32)
        for block in state.blocks():
            p = np.asarray(state.probabilities[block], dtype=np.float32)
            out[block] = residual_lengths(p, state.multilabel)
        return out

    def compose(self, state: State, free: Indices, size: int, rng: np.random.Generator) -> Choice:
        ranks = self.score(state) if self.among == "norm" else None
        among = some(free, ranks, max(self.candidates, size), rng)
        left, right = _factors(state, among)
        start = _factors(state, state.taken) if len(state.taken) else None
        found, squared = seed(left, right, size, rng, start)
        lengths = np.sqrt(space.squared_lengths(left) * space.squared_lengths(right))[found]
        why = {
            "gradient": lengths.tolist(),
            "distance": [float(np.sqrt(d)) if np.isfinite(d) else None for d in squared],
            "looked_at": [len(among)] * size,
        }
        return Choice(among[found], lengths, why)


def residuals(p: Floats, multilabel: bool = False) -> Floats:
    """g (m, C), the gradient of the student's logits for its own guess: p with 1 subtracted at the likeliest class.

    For multilabel, p minus the likelier answer of each decision.
    """
    if multilabel:
        return np.asarray(p - (p >= 0.5), dtype=np.float32)
    out = np.array(p, dtype=np.float32)
    out[np.arange(len(p)), p.argmax(axis=1)] -= 1
    return out


def residual_lengths(p: Floats, multilabel: bool = False) -> Floats:
    """(m,) float32: the length of each row of `residuals`, without making them."""
    if multilabel:
        return np.sqrt(space.squared_lengths(np.minimum(p, 1 - p)))
    top = p.max(axis=1)
    return np.asarray(np.sqrt(np.maximum(space.squared_lengths(p) - top**2, 0) + (1 - top) ** 2), dtype=np.float32)


def seed(
    left: Floats, right: Floats, size: int, rng: np.random.Generator, start: tuple[Floats, Floats] | None = None
) -> tuple[Indices, Floats]:
    """k-means++ on the outer products of `left` (m, C) and `right` (m, d), row by row, never multiplied out.

    The first is the longest one, each next one is drawn with a chance in proportion to the squared distance to the
    nearest of those before it; by an even chance where all that is left are copies.

    Args:
        left, right: the two factors.
        size: how many, at most m.
        rng: the only source of chance.
        start: factors (t, C) and (t, d) of what counts as chosen before the first.

    Returns:
        Distinct indices (size,) in the order chosen, and the squared distance (size,) that each had then; infinite
        for the longest one.
    """
    chosen, at = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.float32)
    free = np.ones(len(left), dtype=bool)
    with space.one_thread():
        draws = _Draws(left, right)
        if start is not None:
            for begin in range(0, len(start[0]), TAKEN_AT_ONCE):
                part = slice(begin, begin + TAKEN_AT_ONCE)
                draws.cover(start[0][part], start[1][part])
        for i in range(size):
            chosen[i] = one = draws.longest() if i == 0 and start is None else _drawn(draws.near * free, free, rng)
            at[i], free[one] = draws.near[one], False
            draws.cover(left[one : one + 1], right[one : one + 1])
    return chosen, at


class _Draws:
    """The squared distance of each outer product to the nearest one chosen, kept up to date."""

    def __init__(self, left: Floats, right: Floats) -> None:
        self.left, self.right = left, right
        self.lengths: Floats = space.squared_lengths(left) * space.squared_lengths(right)
        self.near: Floats = np.full(len(left), np.inf, dtype=np.float32)

    def longest(self) -> int:
        return int(self.lengths.argmax())

    def cover(self, left: Floats, right: Floats) -> None:
        """These (k, C) and (k, d) are chosen from now on."""
        both = self.lengths[:, None] + space.squared_lengths(left) * space.squared_lengths(right)
        squared = both - 2 * (self.left @ left.T) * (self.right @ right.T)
        squared[squared < ROUNDING * both] = 0
        np.minimum(self.near, squared.min(axis=1), out=self.near)


def _drawn(weights: Floats, free: np.typing.NDArray[np.bool_], rng: np.random.Generator) -> int:
    """An index, with a chance in proportion to its weight; among the free ones where no weight is above 0."""
    reach = np.cumsum(weights, dtype=np.float64)
    if not reach[-1] > 0:
        return int(rng.choice(np.flatnonzero(free)))
    return int(np.searchsorted(reach, rng.random() * reach[-1], side="right"))


def _factors(state: State, indices: Indices) -> tuple[Floats, Floats]:
    right = space.read(state.vectors, state.candidates[indices])
    if state.probabilities is None:
        return np.asarray(state.doubt[indices], dtype=np.float32)[:, None], right
    return residuals(np.asarray(state.probabilities[indices], dtype=np.float32), state.multilabel), right
