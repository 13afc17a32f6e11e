"""Expected error: how likely the student is wrong, learnt from the labelled texts that it had not seen.

A student's own doubt says how often it expects to be wrong; what it said of labelled texts out of fold says how often
it was, and where that differs: for some classes, far from all labels, at some margins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from agent.records import Floats
from agent.selection import space
from agent.selection.seam import Indices, Ranked, State
from agent.selection.strategies.heads import ROWS_AT_ONCE, Doubles
from agent.selection.strategies.uncertainty import Margin, entropies, margins

REFERENCES = 512  # labelled texts that distances are taken to, drawn at random where there are more
EFFECT = (
    60.0  # labels after which half of what a feature seems to tell is believed: an effect of 0.05 in noise of 0.4
)
CLASS_EFFECT = 15.0  # the same for one class: an effect of 0.1
NUMBERS = 2**23  # in the regression, 64 MB: labelled texts are drawn at random where they have more
FEATURES = 4  # beside the class: confidence, margin, entropy, distance


def ridge(features: Doubles, wanted: Doubles, weights: Doubles, penalties: Doubles) -> Doubles:
    """Weights (q,) that minimise sum_i w_i (y_i - x_i b)^2 + sum_j penalty_j b_j^2, of features (l, q) and y (l,)."""
    weighed = features * weights[:, None]
    return cast(Doubles, np.linalg.solve(weighed.T @ features + np.diag(penalties), weighed.T @ wanted))


def nearest(vectors: Floats, references: Floats, itself: Indices | None = None) -> Floats:
    """The Euclidean distance of each vector (m, d) to the nearest reference (r, d): (m,) float32.

    Args:
        vectors: what is measured.
        references: what it is measured to.
        itself: (m,) the reference that is each vector itself and does not count, -1 where none is.
    """
    with space.one_thread():
        squared = -2 * (vectors @ references.T)
    squared += np.einsum("rd,rd->r", references, references)
    if itself is not None:
        own = np.flatnonzero(itself >= 0)
        squared[own, itself[own]] = np.inf
    squared = squared.min(axis=1) + np.einsum("md,md->m", vectors, vectors)
    return cast(Floats, np.sqrt(np.maximum(squared, 0)))


@dataclass(frozen=True, kw_only=True)
class ExpectedError(Ranked):
    """The probability that the student is wrong, by its own word and by how far that could be trusted before.

    1 - max p and a correction: a ridge regression of out-of-fold error less what was expected, on confidence, margin,
    entropy, the distance to the nearest labelled text, and the predicted class (a loss learnt beside the model, as in
    Yoo and Kweon 2019, "Learning Loss for Active Learning", for a head that is no deep network). Its penalties
    shrink it to nothing while labels are few. Each label counts as much as it is trusted. For multilabel it is the
    mean over the decisions. Where nothing was foreseen it is 1 - max p, and where there are no classes, doubt.
    """

    name: ClassVar[str] = "expected_error"

    def score(self, state: State) -> Floats:
        """(n,) float32 in 0 to 1."""
        if state.probabilities is None or not len(state.candidates):
            return Margin().score(state)
        learnt = _learn(state)
        out = np.empty(len(state.candidates), dtype=np.float32)
        for start in range(0, len(out), ROWS_AT_ONCE):
            block = slice(start, min(start + ROWS_AT_ONCE, len(out)))
            p = np.asarray(state.probabilities[block], dtype=np.float32)
            vectors = space.read(state.vectors, state.candidates[block]) if learnt else None
            pairs, classes = _decisions(p, state.multilabel)
            expected = 1 - pairs.max(axis=1)
            if learnt is not None and vectors is not None:
                distance = nearest(vectors, learnt.references).repeat(len(pairs) // len(p))
                expected = np.clip(expected + learnt.correction(pairs, classes, distance), 0, 1)
            out[block] = expected.reshape(len(p), -1).mean(axis=1)
        return out


@dataclass(frozen=True, eq=False)
class _Learnt:
    """A correction of the expected error.

    Attributes:
        references: (r, d) float32, labelled texts that distances are taken to.
        centre: (4,) float32, mean of the features.
        scale: (4,) float32, their standard deviation, 1 where they do not vary.
        slopes: (5,) float32, of the features and a constant.
        classes: (C,) float32, of each class.
    """

    references: Floats
    centre: Floats
    scale: Floats
    slopes: Floats
    classes: Floats

    def correction(self, pairs: Floats, classes: Indices, distance: Floats) -> Floats:
        """(m,) float32 for m decisions: their probabilities (m, D), their classes (m,), distances (m,)."""
        told = (_features(pairs, distance) - self.centre) / self.scale
        found = np.einsum("mf,f->m", told, self.slopes[:-1]) + self.slopes[-1]
        return cast(Floats, found + self.classes[classes])


def _learn(state: State) -> _Learnt | None:
    """None where the labelled texts tell nothing."""
    kept = _telling(state)
    if not len(kept):
        return None
    references = np.arange(len(state.labelled))
    if len(references) > REFERENCES:
        references = np.sort(state.rng(0).choice(references, REFERENCES, replace=False))
    points = space.read(state.vectors, state.labelled[references])
    pairs, classes = _decisions(np.asarray(state.foreseen, dtype=np.float32)[kept], state.multilabel)
    truth, _ = _decisions(np.asarray(state.targets, dtype=np.float32)[kept], state.multilabel)
    excess = pairs.max(axis=1) - truth[np.arange(len(truth)), pairs.argmax(axis=1)]
    trust = np.ones(len(kept)) if state.trust is None else np.asarray(state.trust, dtype=np.float64)[kept]
    times = len(pairs) // len(kept)
    told = _features(pairs, _apart(state, kept, references, points).repeat(times))
    return _fitted(points, told, classes, (excess, trust.repeat(times)), np.shape(state.targets)[1])


def _telling(state: State) -> Indices:
    """(l,) ascending: the labelled texts of which the student had said something before it saw them."""
    nobody = np.empty(0, dtype=np.int64)
    if state.foreseen is None or state.targets is None or np.shape(state.targets) != np.shape(state.foreseen):
        return nobody
    if not len(state.foreseen):
        return nobody
    width = np.shape(state.foreseen)[1]
    unsaid = 0.5 if state.multilabel else 1 / width  # of all classes alike: the student could not say
    kept = np.flatnonzero(np.abs(state.foreseen - unsaid).max(axis=1) > 1e-6)
    most = max(1, NUMBERS // (width + FEATURES + 1) // (width if state.multilabel else 1))
    return np.sort(state.rng(1).choice(kept, most, replace=False)) if len(kept) > most else kept


def _apart(state: State, kept: Indices, references: Indices, points: Floats) -> Floats:
    """(l,) the distance of each labelled text `kept` (l,) to the nearest of the others among `references`."""
    itself = np.full(len(state.labelled), -1)
    itself[references] = np.arange(len(references))
    out = np.empty(len(kept), dtype=np.float32)
    for start in range(0, len(kept), ROWS_AT_ONCE):
        some = kept[start : start + ROWS_AT_ONCE]
        out[start : start + len(some)] = nearest(
            space.read(state.vectors, state.labelled[some]), points, itself[some]
        )
    return np.where(np.isfinite(out), out, 0).astype(np.float32)  # the only labelled text has no other


def _fitted(points: Floats, told: Floats, classes: Indices, wanted: tuple[Floats, Doubles], width: int) -> _Learnt:
    centre, scale = told.mean(axis=0), told.std(axis=0)
    scale = np.where(scale > 1e-6, scale, 1).astype(np.float32)
    constant, known = np.ones((len(told), 1)), np.eye(width)[classes]
    features = np.hstack([(told - centre) / scale, constant, known]).astype(np.float64)
    penalties = np.r_[np.full(FEATURES + 1, EFFECT), np.full(width, CLASS_EFFECT)]
    with space.one_thread():
        found = ridge(features, wanted[0].astype(np.float64), wanted[1], penalties).astype(np.float32)
    return _Learnt(points, centre, scale, found[: FEATURES + 1], found[FEATURES + 1 :])


def _features(pairs: Floats, distance: Floats) -> Floats:
    """(m, 4) float32: what decisions (m, D) look like, and how far their texts lie (m,)."""
    return np.stack([pairs.max(axis=1), margins(pairs), entropies(pairs), distance], axis=1)


def _decisions(p: Floats, multilabel: bool) -> tuple[Floats, Indices]:
    """(m, C) as decisions (m, C) and the class that each predicts; or as (m · C, 2) and the class each is about."""
    if not multilabel:
        return p, p.argmax(axis=1)
    return np.stack([p.ravel(), 1 - p.ravel()], axis=1), np.tile(np.arange(p.shape[1]), len(p))
