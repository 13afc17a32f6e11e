"""Supervised contrastive learning: texts of like labels are drawn together, all others pushed apart.

Knows vectors, soft targets and weights; no text and no encoder. SupCon of Khosla et al. 2020 (arXiv 2004.11362,
eq. 2), the positives weighted by how alike their targets are, so that a doubtful label pulls less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agent.records import Floats, Rows

if TYPE_CHECKING:
    import torch

PER_CLASS = 4
"""Texts of one class that are put into a batch together: each has three positives there."""


def similarity(targets: torch.Tensor, *, multilabel: bool) -> torch.Tensor:
    """(n, n) from 0 to 1, how alike the soft targets (n, C) of two texts are.

    With one label a text: the probability that both have the same class. For multilabel: the expected number
    of common classes over that of classes which either has (Jaccard); two texts of no class are alike.
    """
    import torch

    both = targets @ targets.T
    if not multilabel:
        return both
    mass = targets.sum(dim=1)
    either = mass[:, None] + mass[None, :] - both
    return torch.where(either > 1e-6, both / either.clamp(min=1e-6), torch.ones_like(both))


def supcon(
    vectors: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, *, temperature: float, multilabel: bool
) -> torch.Tensor:
    """The mean loss in nats of a batch; zero where it holds no two texts that are alike.

    The loss of text i is the cross-entropy between the likeness of the others' targets (times their weight, scaled to
    sum to one) and the softmax of the others' cosines over `temperature`. A text counts by its weight, and by less
    where the batch holds less than one whole positive for it.

    Args:
        vectors: (n, d) of length one.
        targets: (n, C) soft.
        weights: (n,) positive.
    """
    import torch

    if len(vectors) < 2:
        return vectors.sum() * 0.0
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    alike = (similarity(targets, multilabel=multilabel) * weights[None, :]).masked_fill(itself, 0.0)
    positives = alike.sum(dim=1)
    cosines = (vectors @ vectors.T / temperature).masked_fill(itself, -torch.inf)
    surprise = -torch.log_softmax(cosines, dim=1).masked_fill(itself, 0.0)
    losses = (alike * surprise).sum(dim=1) / positives.clamp(min=1e-6)
    counts = weights * positives.clamp(max=1.0)
    return (counts * losses).sum() / counts.sum().clamp(min=1e-6)


def deal_by_class(targets: Floats, size: int, rng: np.random.Generator) -> list[list[int]]:
    """All indices once, in batches of at most `size`, each of a few classes with as many of their texts as can be.

    Classes are drawn in random order and in runs of about PER_CLASS texts, so a batch holds positives and negatives.
    """
    likeliest = targets.argmax(axis=1)
    shuffled = rng.permutation(len(targets))
    runs: list[Rows] = []
    for c in np.unique(likeliest):
        members = shuffled[likeliest[shuffled] == c]
        runs += np.array_split(members, max(1, len(members) // PER_CLASS))
    order = np.concatenate([runs[i] for i in rng.permutation(len(runs))])
    count = max(1, -(-len(order) // size))
    return [part.tolist() for part in np.array_split(order, count)]
