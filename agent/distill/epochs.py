"""Whole epochs of going down a loss: the one loop of all that is distilled, whatever a lesson of it is.

Knows how long each lesson is and what it costs; not what it says, and no model folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from agent.distill.checkpoint import Checkpoint
from agent.distill.descent import Descent
from agent.distill.network import by_length, keep_word_vectors, seeded
from agent.distill.training import Begins, Best, LossOf, Progress, Step, Training
from agent.job import DistilSettings

BATCH_TEXTS, BATCH_TOKENS = 16, 4096
GROUPED_BATCHES = 8
"""Texts are sorted by length within so many batches: little padding, and still another mixture every epoch."""
LAYER = re.compile(r"\.(?:layers?|h)\.(\d+)\.")
"""Where the number of a layer stands in the name of a parameter."""


@dataclass(frozen=True)
class Passes:
    """What `epochs: auto` means: so many passes over the lessons that about `seen` texts are seen, within bounds."""

    seen: int
    fewest: int
    most: int

    def over(self, lessons: int, setting: int | Literal["auto"] = "auto") -> int:
        """Passes over so many lessons, as a job's setting says."""
        if setting != "auto":
            return setting
        return min(self.most, max(self.fewest, round(self.seen / max(1, lessons))))


@dataclass(frozen=True)
class Manner:
    """How it is gone down, beyond what every training says.

    Attributes:
        layer_decay: each layer learns at so many times the rate of the one above it.
        weight: of all lessons. Each step's loss is then divided by what is learnt in an average step, so that a small
            one does not make its texts count for more; where None, by what is learnt in this one.
        best: what picks the best epoch, and ends the training early.
        batch: most texts that go through the model at once; fewer where they are long.
        accumulate: so many batches make one step, as one batch of all their texts would in more memory.
        bfloat16: what is multiplied has 16 bits; weights and their changes keep 32 (Micikevicius and others 2018).
        begins: told the number of each epoch before it begins, or goes on.
    """

    layer_decay: float = 1.0
    weight: float | None = None
    best: Best | None = None
    batch: int = BATCH_TEXTS
    accumulate: int = 1
    bfloat16: bool = False
    begins: Begins | None = None

    @classmethod
    def of(cls, settings: DistilSettings) -> Manner:
        """What settings say, for all but classifiers, which have more to say: see `agent.distill.finetune`."""
        return cls(batch=settings.batch, accumulate=settings.accumulate, bfloat16=settings.precision == "bfloat16")


PLAIN = Manner()


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
    manner: Manner = PLAIN,
    checkpoint: Checkpoint | None = None,
) -> list[float]:
    """Teach a `transformers` model, in place, from lessons of so many tokens each; word vectors stay as they are: a
    few hundred labels touch few of them, and they are half of MiniLM.

    The same arguments on one machine give the same weights. Global generators are put back. With a `checkpoint`, a
    training that was killed goes on where it was kept last and ends with the same weights. Only
    parameters that learn are kept: the others must be as they were when it is called again.

    Returns the mean loss of each epoch, by weight.
    """
    rng = np.random.default_rng([seed, 1])
    plan = [list(_steps(deal(lengths, rng, manner.batch), manner.accumulate)) for _ in range(epochs)]
    steps = sum(map(len, plan))
    keep_word_vectors(model)
    with seeded(seed):
        descent = Descent(by_depth(model, rate, manner.layer_decay), steps)
        share = None if manner.weight is None else manner.weight * epochs / steps
        best = manner.best or Best(model)
        loss_of = _in_bfloat16(model, loss_of) if manner.bfloat16 else loss_of
        training = Training(model, plan, loss_of, descent, best, dropout=dropout, share=share, begins=manner.begins)
        if checkpoint is not None and (saved := checkpoint.read()) is not None:
            training.restore(saved)
            checkpoint.note(f"the training goes on at epoch {min(len(training.losses) + 1, epochs)} of {epochs}")
        training.run(progress, checkpoint)
    best.restore()
    return training.losses


def _steps(batches: list[list[int]], together: int) -> Iterator[Step]:
    for start in range(0, len(batches), together):
        yield batches[start : start + together]


def _in_bfloat16(model: Any, loss_of: LossOf) -> LossOf:
    import torch

    device = next(model.parameters()).device.type

    def loss_in_bfloat16(batch: list[int]) -> tuple[torch.Tensor, float]:
        with torch.autocast(device, torch.bfloat16):
            return loss_of(batch)

    return loss_in_bfloat16


def deal(lengths: Sequence[int], rng: np.random.Generator, texts: int = BATCH_TEXTS) -> list[list[int]]:
    """All indices once, in shuffled batches of like length, of at most so many texts and BATCH_TOKENS tokens."""
    order = rng.permutation(len(lengths)).tolist()
    group = texts * GROUPED_BATCHES
    batches = []
    for start in range(0, len(order), group):
        rows = order[start : start + group]
        for batch in by_length([lengths[i] for i in rows], BATCH_TOKENS, texts):
            batches.append([rows[i] for i in batch])
    return [batches[i] for i in rng.permutation(len(batches)).tolist()]


def by_depth(model: Any, rate: float, decay: float) -> list[tuple[list[Any], float]]:
    """The parameters that learn and the rate of each group of them: `decay` times that of the layer above.

    Howard and Ruder 2018 (arXiv 1801.06146, sec. 3.2). What lies above the layers learns at the whole rate, what lies
    below them, if anything, at the lowest one.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if decay == 1:
        return [([p for _, p in named], rate)]
    numbers = [int(found[1]) if (found := LAYER.search(name)) else None for name, _ in named]
    depth = 1 + max((n for n in numbers if n is not None), default=-1)
    groups: dict[int, list[Any]] = {}
    for (name, p), number in zip(named, numbers, strict=True):
        below = depth - number if number is not None else depth + 1 if "embeddings" in name else 0
        groups.setdefault(below, []).append(p)
    return [(groups[below], rate * decay**below) for below in sorted(groups)]
