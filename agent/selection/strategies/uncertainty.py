"""How useful each candidate would be to ask about, from what the student thinks of it.

Every score lies in 0 to 1, higher is less sure; only the sum over the decisions of a multilabel task (`over: sum`)
goes up to their number. Tasks without class probabilities are scored by the student's own `doubt`. Works block by
block: nothing larger than one block of probabilities is held, and each is cut into pieces that a cache holds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from agent.records import Floats
from agent.selection.seam import Ranked, State
from agent.selection.strategies.options import check, one_of

AT_ONCE = 2**18  # numbers that are worked on together: 1 MB, which a core's own cache holds
OVER = ("mean", "max", "sum")


def margins(p: Floats) -> Floats:
    """1 minus the lead of the largest of each row over the second: p (m, C) float32 to (m,). One pass."""
    first = p[:, 0].copy()
    second, lower = np.zeros_like(first), np.empty_like(first)
    for column in p.T[1:]:
        np.minimum(first, column, out=lower)
        np.maximum(first, column, out=first)
        np.maximum(second, lower, out=second)
    return cast(Floats, 1 - (first - second))


def entropies(p: Floats) -> Floats:
    """Shannon's entropy of each row as a share of the most that C classes can have: p (m, C) float32 to (m,)."""
    logs = np.maximum(p, np.finfo(np.float32).tiny)  # p log p tends to 0 with p
    np.log(logs, out=logs)
    return cast(Floats, np.einsum("mc,mc->m", p, logs) / np.float32(-np.log(max(2, p.shape[1]))))


@dataclass(frozen=True, kw_only=True)
class Random(Ranked):
    """Every candidate is worth the same, so chance decides: what everything else must beat."""

    name: ClassVar[str] = "random"
    uniform: ClassVar[bool] = True

    def score(self, state: State) -> Floats:
        """(n,) zeros."""
        return np.zeros(len(state.candidates), dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class _Uncertain(Ranked, ABC):
    """Scores that need the class probabilities alone; where there are none, `doubt` stands in.

    Attributes:
        over: how the decisions of a multilabel task make one score: their mean, their max, or their sum, which is
            not bounded to 1. Nothing to a task with one decision a text.

    Raises:
        JobFileError: a setting is out of range.
    """

    over: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        check(one_of("over", self.over, OVER))

    def score(self, state: State) -> Floats:
        """(n,) float32 in 0 to 1; 0 to C for multilabel where `over` is sum."""
        if state.probabilities is None:
            return np.asarray(state.doubt, dtype=np.float32)
        out = np.empty(len(state.candidates), dtype=np.float32)
        step = max(1, AT_ONCE // max(1, state.probabilities.shape[1]))
        for block in state.blocks():
            p = np.asarray(state.probabilities[block], dtype=np.float32)
            for start in range(0, len(p), step):
                rows = p[start : start + step]
                found = self._over(self.decisions(rows)) if state.multilabel else self.classes(rows)
                out[block.start + start : block.start + start + len(rows)] = found
        return out

    def _over(self, decisions: Floats) -> Floats:
        if self.over == "max":
            return cast(Floats, decisions.max(axis=1))
        return cast(Floats, decisions.sum(axis=1) if self.over == "sum" else decisions.mean(axis=1))

    @abstractmethod
    def classes(self, p: Floats) -> Floats:
        """One decision a row: p (m, C), rows sum to one. Returns (m,)."""

    def decisions(self, p: Floats) -> Floats:
        """One yes or no a cell: p (m, C). Returns (m, C), each scored as the two classes p and 1 - p."""
        pairs = np.stack([p.ravel(), 1 - p.ravel()], axis=1)
        return self.classes(pairs).reshape(p.shape)


@dataclass(frozen=True, kw_only=True)
class LeastConfidence(_Uncertain):
    """1 minus the probability of the likeliest class (Lewis and Gale 1994)."""

    name: ClassVar[str] = "least_confidence"

    def classes(self, p: Floats) -> Floats:
        first = p[:, 0].copy()
        for column in p.T[1:]:  # numpy's own max of short rows takes three times as long
            np.maximum(first, column, out=first)
        return 1 - first


@dataclass(frozen=True, kw_only=True)
class Margin(_Uncertain):
    """1 minus the lead of the likeliest class over the second (Scheffer, Decomain and Wrobel 2001)."""

    name: ClassVar[str] = "margin"

    def classes(self, p: Floats) -> Floats:
        return margins(p)


@dataclass(frozen=True, kw_only=True)
class Entropy(_Uncertain):
    """Shannon's entropy as a share of the most that C classes can have (Shannon 1948; Settles 2009, eq. 3)."""

    name: ClassVar[str] = "entropy"

    def classes(self, p: Floats) -> Floats:
        return entropies(p)
