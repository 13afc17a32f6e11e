"""Unsure, and like much of the pool: what is learnt of such a text serves many others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from agent.records import Floats, Rows
from agent.selection import space
from agent.selection.seam import Choice, Indices, Ranked, State
from agent.selection.strategies.composed import Composed, number, some
from agent.selection.strategies.options import one_of, whole
from agent.selection.strategies.uncertainty import Entropy, LeastConfidence, Margin

BASES: dict[str, type[Margin | Entropy | LeastConfidence]] = {s.name: s for s in (Margin, Entropy, LeastConfidence)}


@dataclass(frozen=True, kw_only=True)
class Density(Composed):
    """Information density: uncertainty times (the mean cosine to the pool)^beta (Settles and Craven 2008, "An
    analysis of active learning strategies for sequence labeling tasks", section 3.4).

    The mean over the pool of x.u is x.(the mean of u), so it is exact and takes two passes, O(N d) time, O(N) memory.
    A mean cosine below 0 counts as 0. The highest scores of all are close together, so the batch is one of each
    cluster of a shortlist, the best one.

    Attributes:
        base: the uncertainty: margin, entropy or least_confidence.
        beta: 0 leaves the uncertainty alone; the higher, the more density counts.
        shortlist: the batch is spread over this many times as many top-scoring candidates as it needs.
    """

    name: ClassVar[str] = "density"
    base: str = "margin"
    beta: float = 1.0
    shortlist: int = Ranked.shortlist

    def problems(self) -> Iterable[str | None]:
        yield one_of("base", self.base, list(BASES))
        yield number("beta", self.beta, 0)
        yield whole("shortlist", self.shortlist)

    def score(self, state: State) -> Floats:
        """(n,) float32 in 0 to 1."""
        unsure, near = self._parts(state)
        return weighted(unsure, near, self.beta)

    def compose(self, state: State, free: Indices, size: int, rng: np.random.Generator) -> Choice:
        unsure, near = self._parts(state)
        scores = weighted(unsure, near, self.beta)
        short = some(free, scores, size * self.shortlist, rng)
        short = short[np.argsort(-scores[short], kind="stable")]
        groups = space.clusters(space.read(state.vectors, state.candidates[short]), size, rng)
        best = np.argsort(space.turn(groups), kind="stable")[:size]
        found, sizes = short[best], np.bincount(groups)
        why = {
            self.base: unsure[found].tolist(),
            "similarity_to_the_pool": near[found].tolist(),
            "cluster": groups[best].tolist(),
            "cluster_size": sizes[groups[best]].tolist(),
        }
        return Choice(found, scores[found], why)

    def _parts(self, state: State) -> tuple[Floats, Floats]:
        return BASES[self.base]().score(state), mean_cosine(state.vectors, state.candidates)


def weighted(unsure: Floats, near: Floats, beta: float) -> Floats:
    """(n,) float32: uncertainty (n,) times the mean cosine (n,), where that is above 0, to the power of beta."""
    return np.asarray(unsure * np.maximum(near, 0) ** np.float32(beta), dtype=np.float32)


def mean_cosine(vectors: Callable[[Rows], Floats], rows: Rows) -> Floats:
    """(n,) float32: the mean over all of `rows` (n,), itself included, of the cosine of each to them; a vector of
    zeros has the cosine 0 to all."""
    total: npt.NDArray[np.float64] = np.zeros(1)
    out = np.zeros(len(rows), dtype=np.float32)
    with space.one_thread():
        for chunk in space.chunks(len(rows)):
            points = space.read(vectors, rows[chunk])
            out[chunk] = inverse = _inverse_lengths(points)
            total = total + (inverse @ points).astype(np.float64)
        mean = np.asarray(total / max(1, len(rows)), dtype=np.float32)
        for chunk in space.chunks(len(rows)):
            out[chunk] *= space.read(vectors, rows[chunk]) @ mean
    return out


def _inverse_lengths(points: Floats) -> Floats:
    lengths = np.sqrt(space.squared_lengths(points))
    return np.asarray((lengths > 0) / np.where(lengths > 0, lengths, 1), dtype=np.float32)
