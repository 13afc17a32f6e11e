"""Texts that the student judges otherwise than their labelled neighbours: contrastive active learning.

Knows no text: vectors to find the neighbours, and what is known of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from agent.records import Floats
from agent.selection import space
from agent.selection.batch import draw
from agent.selection.neighbours import Metric, nearest
from agent.selection.seam import NUMBERS_AT_ONCE, Indices, Ranked, State, top
from agent.selection.strategies.options import check, one_of, whole

LEAST = 1e-6  # a probability of 0 would make a divergence infinite
SMOOTHING = 0.05  # of a label that stands in for a prediction: so much is shared by all classes
REMEMBERED = 20_000  # labelled texts among which the neighbours are sought


def mean_divergence(known: Floats, near: Indices, own: Floats, multilabel: bool = False) -> Floats:
    """The mean Kullback-Leibler divergence of each text's neighbours' predictions from its own: (m,) float32.

    Margatina et al. 2021, "Active Learning by Acquiring Contrastive Examples", algorithm 1: mean over l of
    KL(p(y|l) || p(y|x)). It is the mean of what the neighbours' entropies and their mean prediction give, so no
    (m, k, C) array is held.

    Args:
        known: (l, C) predictions for the labelled texts.
        near: (m, k) the labelled neighbours of each text.
        own: (m, C) predictions for the texts.
        multilabel: each cell is a decision of its own; the mean over the decisions.
    """
    from scipy.sparse import csr_array

    m, k = near.shape
    pointers = np.arange(0, m * k + 1, k)
    average = csr_array((np.full(m * k, 1 / k), near.ravel(), pointers), shape=(m, len(known)))
    if multilabel:
        yes = _divergence(average, known, own)
        return np.asarray((yes + _divergence(average, 1 - known, 1 - own)).mean(axis=1), dtype=np.float32)
    return np.asarray(_divergence(average, known, own).sum(axis=1), dtype=np.float32)


def _divergence(average: Any, known: Floats, own: Floats) -> Floats:
    """Cell by cell: the mean over the neighbours of p log p - p log q, (m, C)."""
    p, q = np.maximum(known, LEAST), np.maximum(own, LEAST)
    return np.asarray(average @ (p * np.log(p)) - (average @ p) * np.log(q))


def smoothed(targets: Floats, multilabel: bool = False) -> Floats:
    """Labels (l, C) as predictions that are a little less sure: 95 % of the label, 5 % shared by all classes (or, for
    multilabel, by yes and no)."""
    shares = 2 if multilabel else targets.shape[1]
    return np.asarray(targets * (1 - SMOOTHING) + SMOOTHING / shares, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Contrastive(Ranked):
    """Near to labelled texts, and judged otherwise (CAL, Margatina et al. 2021).

    For each of some candidates, half of them the most doubtful and half drawn at random, the mean divergence of what
    the student says of its labelled neighbours from what it says of the text. Of the labelled texts what a student
    said that had not seen them (`foreseen`), since of its own lessons every student is sure; else their labels,
    smoothed. Costs O(s l d + s C) and about s C numbers of memory, s the candidates and l the labelled texts (at most
    20,000). The other candidates are ranked below, by doubt; so are all where nothing is labelled or the task has no
    classes.

    Attributes:
        candidates: how many are looked at.
        neighbours: labelled neighbours of each (10 in the paper).
        metric: euclidean or cosine.

    Raises:
        JobFileError: a setting is out of range.
    """

    name: ClassVar[str] = "contrastive"
    candidates: int = 20_000
    neighbours: int = 10
    metric: Metric = "euclidean"

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            whole("candidates", self.candidates),
            whole("neighbours", self.neighbours),
            one_of("metric", self.metric, ("euclidean", "cosine")),
        )

    def score(self, state: State) -> Floats:
        """(n,) float32: the mean divergence of those looked at, from 0; the others' doubt less 2."""
        known = _known(state)
        if known is None or not len(state.labelled) or not len(state.candidates):
            return np.asarray(state.doubt, dtype=np.float32)
        kept = np.arange(len(state.labelled))
        if len(kept) > REMEMBERED:
            kept = np.sort(draw(len(kept), REMEMBERED, state.rng(1)))
        out = np.asarray(state.doubt, dtype=np.float32) - 2
        looked = self._looked_at(state)
        with space.one_thread():
            points = space.read(state.vectors, state.labelled[kept])
            step = max(1, NUMBERS_AT_ONCE // max(known.shape[1], points.shape[1]))
            for at in range(0, len(looked), step):
                part = looked[at : at + step]
                out[part] = self._divergence(state, part, points, known[kept])
        return out

    def _divergence(self, state: State, part: Indices, points: Floats, known: Floats) -> Floats:
        assert state.probabilities is not None
        near, _ = nearest(state.vectors(state.candidates[part]), points, self.neighbours, self.metric)
        own = np.asarray(state.probabilities[part], dtype=np.float32)
        return np.maximum(mean_divergence(known, near, own, state.multilabel), 0)

    def _looked_at(self, state: State) -> Indices:
        n = len(state.candidates)
        if n <= self.candidates:
            return np.arange(n)
        rng = state.rng(0)
        doubtful = top(np.asarray(state.doubt), (self.candidates + 1) // 2, rng)
        others = np.ones(n, dtype=bool)
        others[doubtful] = False
        left = np.flatnonzero(others)
        drawn = left[draw(len(left), self.candidates - len(doubtful), rng)]
        return np.sort(np.concatenate([doubtful, drawn]))


def _known(state: State) -> Floats | None:
    """What is known of the labelled texts, (l, C), or None where that says nothing of classes."""
    if state.probabilities is None:
        return None
    shape = (len(state.labelled), state.probabilities.shape[1])
    if state.foreseen is not None and np.shape(state.foreseen) == shape:
        return np.asarray(state.foreseen, dtype=np.float32)
    if state.targets is not None and np.shape(state.targets) == shape:
        return smoothed(np.asarray(state.targets, dtype=np.float32), state.multilabel)
    return None
