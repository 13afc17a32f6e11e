"""What a row of logits loses against a soft target, and which labels are to count for less.

Pure functions of numbers; knows no network and no text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from agent.records import Floats
from agent.student.teaching import LEAST_TRUST

if TYPE_CHECKING:
    import torch

Q = 0.7
"""Of the generalised cross-entropy, as Zhang and Sabuncu have it."""


def row_losses(logits: torch.Tensor, targets: torch.Tensor, *, multilabel: bool, q: float = 0.0) -> torch.Tensor:
    """(n,) cross-entropy in nats of each row, or the sum of its C decisions' for multilabel.

    With `q` above nought the generalised one, (1 - pᵠ)/q for each class by its target: a label that the network
    finds unlikely pulls less (Zhang and Sabuncu 2018, arXiv 1805.07836, eq. 6). q → 0 is cross-entropy, q = 1 the
    absolute error, which wrong labels at random do not move.
    """
    import torch

    if q:
        return _generalised(logits, targets, multilabel=multilabel, q=q)
    if multilabel:
        each = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return each.sum(dim=1)
    return -(targets * torch.log_softmax(logits, dim=1)).sum(dim=1)


def _generalised(logits: torch.Tensor, targets: torch.Tensor, *, multilabel: bool, q: float) -> torch.Tensor:
    import torch

    def loss(log_p: torch.Tensor) -> torch.Tensor:
        return -torch.expm1(q * log_p) / q

    if not multilabel:
        return (targets * loss(torch.log_softmax(logits, dim=1))).sum(dim=1)
    holds, does_not = loss(torch.nn.functional.logsigmoid(logits)), loss(torch.nn.functional.logsigmoid(-logits))
    return (targets * holds + (1 - targets) * does_not).sum(dim=1)


def surprise(chances: Floats, targets: Floats, *, multilabel: bool) -> Floats:
    """(n,) the same cross-entropy, of (n, C) probabilities."""
    found = targets * np.log(np.maximum(chances, np.float32(1e-9)))
    if multilabel:
        found += (1 - targets) * np.log(np.maximum(1 - chances, np.float32(1e-9)))
    return np.asarray(-found.sum(axis=1), np.float32)


def small_losses(
    losses: Floats, doubtful: npt.NDArray[np.bool_], share: float, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """(n,) which rows of a batch are learnt: all but `share` of the doubtful ones, those with the largest losses.

    Chance rounds their number up or down, so that a share that is less than one row of a batch is not none of all.

    Args:
        losses: (n,) of each row.
        doubtful: (n,) whose labels may be wrong; the others are learnt always.
        share: 0 to 1.
    """
    kept = np.ones(len(losses), np.bool_)
    rows = np.flatnonzero(doubtful)
    forgotten = int(share * len(rows) + rng.random())
    if forgotten:
        kept[rows[np.argsort(-losses[rows], kind="stable")[:forgotten]]] = False
    return kept


def trust_out_of_fold(targets: Floats, out_of_fold: Floats, sure: npt.NDArray[np.bool_] | None) -> Floats:
    """(n,) float32: `LEAST_TRUST` for labels that a model which had not seen them confidently takes for another.

    Confident learning, see `agent.doubt.confidently_other`; one label a text.

    Args:
        targets: (n, C) soft; the likeliest class is the label.
        out_of_fold: (n, C) probabilities; all alike where no model could be taught, and then nothing is doubted.
        sure: (n,) labels that nobody doubts.
    """
    from agent.doubt import confidently_other

    trust = np.ones(len(targets), np.float32)
    if not np.ptp(out_of_fold):
        return trust
    doubted = confidently_other(targets.argmax(axis=1), np.asarray(out_of_fold, np.float64))
    trust[doubted if sure is None else doubted & ~sure] = LEAST_TRUST
    return trust
