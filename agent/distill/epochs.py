"""Whole epochs of going down a loss, for networks whose training is not kept on the way.

`agent.distill.training` is for classifiers, which go on after a kill and pick their best epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.distill.descent import Descent
from agent.distill.finetune import deal
from agent.distill.network import keep_word_vectors, seeded
from agent.distill.training import Progress

if TYPE_CHECKING:
    import torch

LossOf = Callable[[list[int]], "tuple[torch.Tensor, float]"]
"""A batch, as indices, to the sum of its weighted losses and the sum of the weights."""


def go_down(
    model: Any,
    lengths: Sequence[int],
    loss_of: LossOf,
    *,
    epochs: int,
    rate: float,
    seed: int,
    dropout: bool,
    progress: Progress,
) -> list[float]:
    """Teach a `transformers` model, in place, from texts of so many tokens each; word vectors stay as they are. The
    same arguments on one machine give the same weights. Returns the mean loss of each epoch, by weight."""
    rng = np.random.default_rng([seed, 1])
    plan = [deal(lengths, rng) for _ in range(epochs)]
    keep_word_vectors(model)
    losses, seen = [], 0
    with seeded(seed):
        learnt = [p for p in model.parameters() if p.requires_grad]
        descent = Descent([(learnt, rate)], sum(map(len, plan)))
        model.train(dropout)
        for batches in plan:
            total = weight = 0.0
            for batch in batches:
                loss, count = loss_of(batch)
                if count:
                    descent.step(loss / count)
                total, weight, seen = total + float(loss.detach()), weight + count, seen + len(batch)
                progress(seen, len(lengths) * epochs)
            losses.append(total / (weight or 1.0))
    model.eval()
    return losses
