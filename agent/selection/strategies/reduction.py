"""Expected error reduction: what the pool would look like to a student that had learnt this candidate too.

The student here is a one-vs-rest ridge regression of its own, since that one can be retrained for every candidate and
every answer exactly and at once: a label more is a change of rank one (Sherman and Morrison 1950).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from agent.records import Floats
from agent.selection import space
from agent.selection.seam import Indices, Ranked, State
from agent.selection.strategies import prefilter
from agent.selection.strategies.heads import Doubles, lessons, with_constant
from agent.selection.strategies.options import check, one_of, whole
from agent.selection.strategies.uncertainty import Margin

LOSSES = ("log", "error")
PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1)  # of which leaving one out chooses
FLOOR = 1e-3  # no class is less likely: ridge regression says less than 0 where it means 0
ANSWERS = 10  # classes of a candidate that are tried, the likeliest
CELLS_AT_ONCE = 2**21  # probabilities of retrained students held together: 16 MB


def linear_probabilities(raw: Doubles) -> Doubles:
    """What a linear model (..., C) whose rows sum to one says, made probabilities: at least 0.001, summing to one."""
    p = np.maximum(raw, FLOOR)
    p /= p.sum(axis=-1, keepdims=True)
    return p


def losses(p: Doubles, kind: str) -> Doubles:
    """The loss that probabilities (..., C) expect of themselves: log loss in nats, or the share of errors."""
    return cast(Doubles, -(p * np.log(p)).sum(axis=-1) if kind == "log" else 1 - p.max(axis=-1))


def expected_losses(said: Doubles, moved: Doubles, own: Doubles, answers: Doubles, kind: str) -> Doubles:
    """The mean loss over r texts once a candidate's label is known, on average over its answers: (n,).

    The student's raw outputs F (r, C) become F + moved (y - own)^T when it learns that a candidate has target y; y is
    each class in turn, weighed by its probability (Roy and McCallum 2001, "Toward Optimal Active Learning through
    Sampling Estimation of Error Reduction", eq. 2 and 3). O(n A r C) time for A answers.

    Args:
        said: (r, C), rows sum to one.
        moved: (n, r), how much each reference moves by a unit of each candidate's surprise.
        own: (n, C), what the student said of each candidate.
        answers: (n, C), the chance of each answer; the ten likeliest are tried.
        kind: log or error.
    """
    n, classes = answers.shape
    tried = np.argsort(-answers, axis=1, kind="stable")[:, :ANSWERS]
    chance = np.take_along_axis(answers, tried, axis=1)
    chance = chance / chance.sum(axis=1, keepdims=True)
    out = np.empty(n)
    step = max(1, CELLS_AT_ONCE // max(1, tried.shape[1] * said.size))
    for start in range(0, n, step):
        b = slice(start, start + step)
        surprise = np.eye(classes)[tried[b]] - own[b, None]  # (b, A, C)
        taught = said + moved[b, None, :, None] * surprise[:, :, None]  # (b, A, r, C)
        out[b] = (losses(linear_probabilities(taught), kind).mean(axis=2) * chance[b]).sum(axis=1)
    return out


@dataclass(frozen=True, eq=False)
class Ridge:
    """A one-vs-rest ridge regression: where it knows nothing, it says the same of every class.

    Attributes:
        inverse: (d, d), of X^T X + penalty · I.
        weights: (d, C), towards targets less `prior`.
        prior: what it says where it knows nothing.
        penalty: what leaving one label out chose.
    """

    inverse: Doubles
    weights: Doubles
    prior: float
    penalty: float

    @classmethod
    def taught(cls, vectors: Doubles, targets: Doubles, prior: float) -> Ridge:
        """Of vectors (l, d) and targets (l, C)."""
        wanted = targets - prior
        left, size, right = np.linalg.svd(vectors, full_matrices=False)
        best = min(PENALTIES, key=lambda penalty: _left_out(left, size, wanted, penalty))
        steep = size**2 + best
        inverse = np.eye(vectors.shape[1]) / best + (right.T * (1 / steep - 1 / best)) @ right
        return cls(inverse, (right.T * (size / steep)) @ (left.T @ wanted), prior, best)

    def says(self, vectors: Doubles) -> Doubles:
        """(m, C) of vectors (m, d): any number, near 0 to 1; rows sum to one where those of the targets do."""
        return vectors @ self.weights + self.prior

    def moves(self, candidates: Doubles, references: Doubles) -> Doubles:
        """(n, r): how much what it says of each reference grows where it learns one unit more of a candidate.

        R M x / (1 + x^T M x), M being the inverse (Sherman and Morrison 1950).
        """
        turned = candidates @ self.inverse
        leverage = 1 + np.einsum("nd,nd->n", turned, candidates)
        return cast(Doubles, (turned @ references.T) / leverage[:, None])


def _left_out(left: Doubles, size: Doubles, wanted: Doubles, penalty: float) -> float:
    """The mean squared error of each label by the ridge regression of all others (Allen 1974, PRESS)."""
    shrunk = size**2 / (size**2 + penalty)
    error = wanted - (left * shrunk) @ (left.T @ wanted)
    leverage = np.minimum(np.einsum("lr,r->l", left**2, shrunk), 1 - 1e-9)
    return float(np.square(error / (1 - leverage)[:, None]).mean())


@dataclass(frozen=True, kw_only=True)
class ErrorReduction(Ranked):
    """How much less loss a student expects on the pool once it has learnt a candidate (Roy and McCallum 2001).

    The candidates of the least margin are looked at; all others are ranked below them by margin. The chances of the
    answers are the student's, what follows from each is a ridge regression's. For multilabel it is the mean over the
    decisions. Where there are no classes or nothing is labelled, `margin` (or doubt) stands in.

    Attributes:
        candidates: how many are looked at.
        reference: how many texts of the pool stand for it, drawn at random.
        loss: log (nats), or error (the share of errors).
    """

    name: ClassVar[str] = "error_reduction"
    candidates: int = 200
    reference: int = 500
    loss: str = "log"

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            whole("candidates", self.candidates),
            whole("reference", self.reference),
            one_of("loss", self.loss, LOSSES),
        )

    def score(self, state: State) -> Floats:
        """(n,) float32: for those looked at, the loss now less the loss then; less for the others."""
        margin = Margin().score(state)
        taught = lessons(state)
        if taught is None or state.probabilities is None or not len(margin):
            return margin
        picked = prefilter.best(state, margin, self.candidates)
        count = min(len(margin), self.reference)
        aims = np.sort(state.rng(3).choice(len(margin), count, replace=False))
        answers = np.asarray(state.probabilities[picked], dtype=np.float64)
        points, references = _points(state, picked), _points(state, aims)
        with space.one_thread():
            student = Ridge.taught(taught.vectors, taught.targets, 0.5 if state.multilabel else 1 / answers.shape[1])
            moved = student.moves(points, references)
            told = student.says(references), student.says(points), answers
            found = [self._reduced(moved, *each) for each in _decisions(told, state.multilabel)]
        return prefilter.ranked(margin, picked, np.mean(found, axis=0).astype(np.float32))

    def _reduced(self, moved: Doubles, said: Doubles, own: Doubles, answers: Doubles) -> Doubles:
        now = losses(linear_probabilities(said), self.loss).mean()
        return cast(Doubles, now - expected_losses(said, moved, own, answers, self.loss))


def _points(state: State, picked: Indices) -> Doubles:
    return with_constant(space.read(state.vectors, state.candidates[picked]).astype(np.float64))


def _decisions(told: tuple[Doubles, ...], multilabel: bool) -> list[tuple[Doubles, ...]]:
    """Each of `told` (m, C) by decision: as it is, or for multilabel C times the two classes yes and no (m, 2)."""
    if not multilabel:
        return [told]
    return [tuple(np.stack([p[:, c], 1 - p[:, c]], axis=1) for p in told) for c in range(told[0].shape[1])]
