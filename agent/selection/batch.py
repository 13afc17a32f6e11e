"""One round's batch: some by chance, some because the student is unsure, a few because nothing is known near them.

Knows no text and no model. Memory grows with the number of candidates (a few numbers each), never with its square.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agent.errors import UserError
from agent.records import Floats
from agent.selection import space
from agent.selection.seam import BatchStrategy, Choice, Chosen, Indices, Ranked, State, Strategy

LOOKED_AT = 5_000  # candidates among which the uncovered ones are sought
REMEMBERED = 20_000  # labelled texts that they are compared with


def compose(
    state: State, strategy: Strategy, size: int, random_share: float, rng: np.random.Generator
) -> list[Chosen]:
    """A batch of exactly `min(size, n)` distinct candidates, in the order random, unsure, uncovered.

    - **random**: drawn uniformly without replacement from all n candidates, whatever their scores, so each had
      the chance r/n, which is recorded. What the report says of the pool rests on this slice.
    - **unsure**: of the best `shortlist` times as many by score, one of each k-means cluster, the best one; the
      highest score of all is always among them (after Zhdanov 2019 and the Cluster-Margin of Citovsky et al. 2021).
      A strategy that composes its own batch (`BatchStrategy`) does so instead.
    - **uncovered**: those farthest from every labelled text and from this batch, among at most 5,000 candidates
      drawn at random (Sener and Savarese 2018); none while nothing is known to be far from.

    Args:
        state: what is known of the candidates.
        strategy: gives the scores; its `shortlist`, `uncovered` and `uniform`, where it has them, set the rest.
        size: how many to choose.
        random_share: 0 to 1, the share of the random slice; above 0 it has at least one text in a batch of two.
        rng: the only source of chance; the same seed gives the same batch, whatever the number of threads.

    Raises:
        UserError: the strategy gave scores or indices that cannot be used.
    """
    n = len(state.candidates)
    size = min(size, n)
    if size <= 0:
        return []
    chance = size if getattr(strategy, "uniform", Ranked.uniform) else random_count(size, random_share)
    far = min(round(size * float(getattr(strategy, "uncovered", Ranked.uncovered))), size - chance)
    work = _Work(state, strategy, _scores(strategy, state), np.ones(n, dtype=bool), rng)
    batch = work.random(chance)
    if not len(state.labelled) and not chance:
        far = 0
    batch += work.unsure(size - chance - far)
    return batch + work.uncovered(far)


def random_count(size: int, share: float) -> int:
    """How many of a batch are drawn by chance: the share, rounded; at least one where there is room for two."""
    least = 1 if share > 0 and size > 1 else 0
    return max(least, min(size, round(size * share)))


def draw(n: int, size: int, rng: np.random.Generator) -> Indices:
    """`size` of `n` indices, uniformly and without replacement: each has the chance size/n."""
    return np.asarray(rng.choice(n, size, replace=False), dtype=np.int64)


def named(strategy: Strategy) -> str:
    """What a person knows the strategy by."""
    return str(getattr(strategy, "name", type(strategy).__name__))


def spread(strategy: Strategy, scores: Floats, state: State, size: int, rng: np.random.Generator) -> Choice:
    """`size` free candidates of the best `shortlist` times as many by `scores` (n,): the best of each k-means
    cluster, the highest score first (after Zhdanov 2019). O(f) for f free ones, and a k-means of the shortlist.

    Raises UserError where `pick` of the strategy gave indices that cannot be used.
    """
    left = state.free()
    size = min(size, len(left))
    if not size:
        return Choice(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
    wanted = min(len(left), size * int(getattr(strategy, "shortlist", Ranked.shortlist)))
    found = _indices(strategy, strategy.pick(scores[left], wanted, rng), size, len(left))
    shortlist = left[found]
    groups = space.clusters(space.read(state.vectors, state.candidates[shortlist]), size, rng)
    best = np.argsort(space.turn(groups), kind="stable")[:size]
    sizes = np.bincount(groups)
    why = {
        "shortlist": [len(shortlist)] * size,
        "clusters": [int((sizes > 0).sum())] * size,
        "cluster_size": sizes[groups[best]].tolist(),
    }
    return Choice(shortlist[best], scores[shortlist[best]], why)


@dataclass(eq=False)
class _Work:
    """A batch in the making: which candidates are still free."""

    state: State
    strategy: Strategy
    scores: Floats
    free: np.typing.NDArray[np.bool_]
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.ordered = np.sort(self.scores)

    def random(self, count: int) -> list[Chosen]:
        n = len(self.free)
        drawn = draw(n, count, self.rng)
        self.free[drawn] = False
        return [self._chosen(i, "random", {"drawn": count}, count / n) for i in drawn.tolist()]

    def unsure(self, count: int) -> list[Chosen]:
        if not count:
            return []
        state = replace(self.state, taken=np.flatnonzero(~self.free))
        if not isinstance(self.strategy, BatchStrategy):
            return self._told(spread(self.strategy, self.scores, state, count, self.rng))
        made = self.strategy.choose(state, count, self.rng)
        if not isinstance(made, Choice):
            raise _unusable(self.strategy, "`choose`", "must return a `Choice`")
        least = min(count, int(self.free.sum()))
        found = _indices(self.strategy, made.indices, least, len(self.free), "choose")[:count]
        if not self.free[found].all():
            raise _unusable(self.strategy, "`choose`", "chose what was taken already")
        scores = _numbers(self.strategy, made.scores, "`choose`")
        columns = {"scores": scores, **made.why}
        short = [name for name, column in columns.items() if len(column) < len(found)]
        if short:
            said = f"chose {len(found)} texts and gave fewer {' and '.join(short)}; one is needed for each"
            raise _unusable(self.strategy, "`choose`", said)
        why = {"chosen_for": scores.tolist(), **made.why}
        try:
            json.dumps({name: list(column) for name, column in why.items()})
        except (TypeError, ValueError):
            said = "gave a `why` that is not plain text, numbers and lists of them"
            raise _unusable(self.strategy, "`choose`", said) from None
        return self._told(Choice(found, scores, why))

    def _told(self, made: Choice) -> list[Chosen]:
        self.free[made.indices] = False
        notes = [{name: column[j] for name, column in made.why.items()} for j in range(len(made.indices))]
        return [self._chosen(int(i), "unsure", note) for i, note in zip(made.indices, notes, strict=True)]

    def uncovered(self, count: int) -> list[Chosen]:
        if not count:
            return []
        rows, labelled = self.state.candidates, self.state.labelled
        if len(labelled) > REMEMBERED:
            labelled = labelled[draw(len(labelled), REMEMBERED, self.rng)]
        left = np.flatnonzero(self.free)
        if len(left) > LOOKED_AT:
            left = left[draw(len(left), max(LOOKED_AT, count), self.rng)]
        covered = space.read(self.state.vectors, np.concatenate([labelled, rows[~self.free]]))
        far, distances = space.farthest_first(space.read(self.state.vectors, rows[left]), covered, count)
        self.free[left[far]] = False
        return [
            self._chosen(int(left[i]), "uncovered", {"distance": float(d), "looked_at": len(left)})
            for i, d in zip(far, distances, strict=True)
        ]

    def _chosen(self, index: int, part: str, why: dict[str, object], probability: float | None = None) -> Chosen:
        score = float(self.scores[index])
        rank = len(self.ordered) - int(np.searchsorted(self.ordered, self.scores[index], side="right")) + 1
        told = {"strategy": named(self.strategy), "score": score, "rank": rank, "of": len(self.ordered), **why}
        if self.state.prices is not None:
            told["price"] = float(self.state.prices[index])
        return Chosen(int(self.state.candidates[index]), part, score, probability, told)


def _scores(strategy: Strategy, state: State) -> Floats:
    scores = _numbers(strategy, strategy.score(state), "`score`")
    n = len(state.candidates)
    if scores.shape != (n,):
        raise UserError(
            f"selection.strategy: {named(strategy)} scored {scores.shape} for {n} candidates; `score` must return "
            f"one number for each, ({n},)"
        )
    wrong = n - int(np.isfinite(scores).sum())
    if wrong:
        raise UserError(
            f"selection.strategy: {named(strategy)} gave {wrong} of {n} candidates a score that is no finite number"
        )
    return scores


def _numbers(strategy: Strategy, given: object, verb: str, kind: type | None = np.float32) -> np.typing.NDArray[Any]:
    try:
        return np.asarray(given, dtype=kind)
    except (TypeError, ValueError):
        raise _unusable(strategy, verb, "returned what is no row of numbers") from None


def _unusable(strategy: Strategy, verb: str, said: str) -> UserError:
    return UserError(f"selection.strategy: {verb} of {named(strategy)} {said}")


def _indices(strategy: Strategy, picked: Indices, least: int, n: int, verb: str = "pick") -> Indices:
    found = _numbers(strategy, picked, f"`{verb}`", None)
    whole = found.ndim == 1 and np.issubdtype(found.dtype, np.integer)
    if not whole or len(found) < least or len(np.unique(found)) < len(found) or found.min() < 0 or found.max() >= n:
        said = f"must return at least {least} distinct whole numbers from 0 to {n - 1}, the most wanted first"
        raise _unusable(strategy, f"`{verb}`", said)
    return found.astype(np.int64)
