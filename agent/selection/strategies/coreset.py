"""A core-set: each text the farthest from everything labelled and from what was chosen before it.

Looks at vectors alone: what the student thinks plays no part, unless `candidates` cuts the pool by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from agent.records import Floats, Rows
from agent.selection import space
from agent.selection.seam import Choice, Indices, State
from agent.selection.strategies.composed import Composed, some
from agent.selection.strategies.options import one_of, whole
from agent.selection.strategies.uncertainty import Margin

HELD_NUMBERS = 2**24  # float32 numbers of the far vectors that are kept in memory: 64 MB
COVERED_AT_ONCE = 16_384  # labelled texts that one pass over the pool compares it with


@dataclass(frozen=True, kw_only=True)
class KCenter(Composed):
    """Greedy k-center (Gonzalez 1985), as a core-set (Sener and Savarese 2018, arXiv 1708.00489): exact, over the
    whole pool.

    `score` is the distance to the nearest labelled or taken text, 0 for all where there is none.
    O(N l d) time for the first pass over l labelled texts, then O(b h d) among the h far texts that are held, and now
    and then a look at those that are not; O(N + h d) memory.

    Attributes:
        metric: euclidean or cosine.
        candidates: at most how many texts are looked at; none is all of them.
        among: which, where there are more: random, or uncertain, those of the smallest margins.
    """

    name: ClassVar[str] = "k_center"
    metric: str = "euclidean"
    candidates: int | None = None
    among: str = "random"

    def problems(self) -> Iterable[str | None]:
        yield one_of("metric", self.metric, space.METRICS)
        yield None if self.candidates is None else whole("candidates", self.candidates)
        yield one_of("among", self.among, ("random", "uncertain"))

    def score(self, state: State) -> Floats:
        """(n,) float32: the distance to the nearest labelled or taken text."""
        read = space.measured(state.vectors, self.metric)
        squared = distances(read, state.candidates, _covered(state))
        return space.shown(np.where(np.isfinite(squared), squared, 0), self.metric)

    def compose(self, state: State, free: Indices, size: int, rng: np.random.Generator) -> Choice:
        ranks = Margin().score(state) if self.among == "uncertain" and self.candidates else None
        among = some(free, ranks, None if self.candidates is None else max(self.candidates, size), rng)
        read = space.measured(state.vectors, self.metric)
        found, squared = k_center(read, state.candidates[among], _covered(state), size, rng)
        away = space.shown(np.where(np.isfinite(squared), squared, 0), self.metric)
        told = [float(d) if np.isfinite(s) else None for d, s in zip(away, squared, strict=True)]
        return Choice(among[found], away, {"distance": told, "looked_at": [len(among)] * size})


def _covered(state: State) -> Rows:
    return np.concatenate([state.labelled, state.candidates[state.taken]])


def distances(read: Callable[[Rows], Floats], rows: Rows, covered: Rows) -> Floats:
    """(n,) float32: the squared distance of each row to the nearest of `covered`; infinite where there is none."""
    out = np.full(len(rows), np.inf, dtype=np.float32)
    with space.one_thread():
        for start in range(0, len(covered), COVERED_AT_ONCE):
            centres = read(covered[start : start + COVERED_AT_ONCE])
            for chunk in space.chunks(len(rows)):
                out[chunk] = np.minimum(out[chunk], space.nearest_squared(read(rows[chunk]), centres))
    return out


def k_center(
    read: Callable[[Rows], Floats], rows: Rows, covered: Rows, size: int, rng: np.random.Generator
) -> tuple[Indices, Floats]:
    """`size` of `rows` (n,), each the farthest from `covered` and from those before it, the earliest of equals.

    The same as measuring every row anew after each choice. The first is drawn by chance where nothing is covered.

    Returns:
        Indices (size,) into `rows` in the order chosen, and the squared distance (size,) float32 that each had then;
        infinite for one drawn by chance.
    """
    chosen, at = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.float32)
    drawn = 0 if len(covered) else 1
    if drawn:
        chosen[0], at[0] = rng.integers(len(rows)), np.inf
        covered = rows[chosen[:1]]
    greedy = _Greedy(read, rows, distances(read, rows, covered))
    greedy.bounds[chosen[:drawn]] = -1
    with space.one_thread():
        for i in range(drawn, size):
            chosen[i], at[i] = greedy.take()
    return chosen, at


@dataclass(eq=False)
class _Greedy:
    """Distances only shrink, so a distance measured earlier bounds what it is now, and a row whose old distance is
    below the best one need not be measured again. The rows of the largest bounds are held in memory and kept up to
    date; while the best of them is above every other bound it is the best of all, and then others are held.

    Attributes:
        bounds: (n,) float32 squared, -1 for what was chosen.
        seen: (n,) int32: how many of the centres each bound counts.
        centres: those chosen so far.
        held: (h,) int64, ascending.
        points, lengths: (h, d) and (h,) their vectors, and the squares of their lengths.
        near: (h,) their distances, squared and up to date.
        bar: the largest bound of those not held, and the first of them that has it.
    """

    read: Callable[[Rows], Floats]
    rows: Rows
    bounds: Floats
    centres: list[Floats] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seen: npt.NDArray[np.int32] = np.zeros(len(self.rows), dtype=np.int32)
        self.held: Indices = np.empty(0, dtype=np.int64)
        self.near: Floats = np.empty(0, dtype=np.float32)
        self.bar = (np.inf, 0)

    def take(self) -> tuple[int, float]:
        """The farthest row and its distance, squared; it is a centre from now on."""
        while not self._holds_the_best():
            self._hold()
        best = int(self.near.argmax())
        distance, centre = float(self.near[best]), self.points[best].copy()
        squared = self.lengths + self.lengths[best] - 2 * (self.points @ centre)
        np.minimum(self.near, np.fmax(squared, 0), out=self.near)
        self.near[best] = -1
        self.centres.append(centre)
        return int(self.held[best]), distance

    def _holds_the_best(self) -> bool:
        if not len(self.near):
            return False
        best = int(self.near.argmax())
        bound, first = self.bar
        return bool(self.near[best] > bound or (self.near[best] == bound and self.held[best] < first))

    def _hold(self) -> None:
        """Remember what was measured, and hold those of the largest bounds, the earliest of equals."""
        self.bounds[self.held], self.seen[self.held] = self.near, len(self.centres)
        count = min(len(self.rows), max(1, HELD_NUMBERS // self._width()))
        least = np.partition(self.bounds, len(self.rows) - count)[len(self.rows) - count]
        above = np.flatnonzero(self.bounds > least)
        level = np.flatnonzero(self.bounds == least)[: count - len(above)]
        self.held = np.sort(np.concatenate([above, level]))
        self.near = self.bounds[self.held]
        self._measure()
        others = self.bounds.copy()
        others[self.held] = -2
        first = int(others.argmax())
        self.bar = (float(others[first]), first)

    def _width(self) -> int:
        return int(self.read(self.rows[:1]).shape[1])

    def _measure(self) -> None:
        self.points = np.empty((len(self.held), self._width()), dtype=np.float32)
        self.lengths = np.empty(len(self.held), dtype=np.float32)
        centres = np.array(self.centres, dtype=np.float32)
        for chunk in space.chunks(len(self.held)):
            held = self.held[chunk]
            self.points[chunk] = points = self.read(self.rows[held])
            self.lengths[chunk] = space.squared_lengths(points)
            unseen = centres[self.seen[held].min() :]
            if len(unseen):
                fresh = np.minimum(self.near[chunk], space.nearest_squared(points, unseen))
                self.near[chunk] = np.where(self.near[chunk] < 0, -1, fresh)
