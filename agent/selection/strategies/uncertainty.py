"""How useful each candidate would be to ask about, from what the student thinks of it.

Every score lies in 0 to 1, higher is less sure. For multilabel it is the mean over the decisions. Tasks without
class probabilities are scored by the student's own `doubt`. Works block by block: nothing larger than one block of
probabilities is held.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from agent.records import Floats
from agent.selection.seam import Ranked, State


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
    """Scores that need the class probabilities alone; where there are none, `doubt` stands in."""

    def score(self, state: State) -> Floats:
        """(n,) float32 in 0 to 1."""
        if state.probabilities is None:
            return np.asarray(state.doubt, dtype=np.float32)
        out = np.empty(len(state.candidates), dtype=np.float32)
        for block in state.blocks():
            p = np.asarray(state.probabilities[block], dtype=np.float32)
            out[block] = self.decisions(p).mean(axis=1) if state.multilabel else self.classes(p)
        return out

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
        return cast(Floats, 1 - p.max(axis=1))


@dataclass(frozen=True, kw_only=True)
class Margin(_Uncertain):
    """1 minus the lead of the likeliest class over the second (Scheffer, Decomain and Wrobel 2001)."""

    name: ClassVar[str] = "margin"

    def classes(self, p: Floats) -> Floats:
        if p.shape[1] < 2:
            return 1 - p[:, 0]
        two = np.partition(p, p.shape[1] - 2, axis=1)[:, -2:]
        return cast(Floats, 1 - (two[:, 1] - two[:, 0]))


@dataclass(frozen=True, kw_only=True)
class Entropy(_Uncertain):
    """Shannon's entropy as a share of the most that C classes can have (Shannon 1948; Settles 2009, eq. 3)."""

    name: ClassVar[str] = "entropy"

    def classes(self, p: Floats) -> Floats:
        safe = np.maximum(p, np.finfo(np.float32).tiny)  # p log p tends to 0 with p
        return cast(Floats, (p * np.log(safe)).sum(axis=1) / -np.log(max(2, p.shape[1])))
