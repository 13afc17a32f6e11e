"""Fine-tuning: a network learns soft targets, on two cores or on a GPU.

Knows tokens, targets and weights; no label's provenance and no file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from agent.distill.checkpoint import Checkpoint
from agent.distill.epochs import BATCH_TEXTS, Manner, Passes, go_down
from agent.distill.losses import row_losses, surprise
from agent.distill.network import Network, Tokens, has_fast_bfloat16
from agent.distill.targets import best_temperature, mean_length
from agent.distill.training import Best, LossOf, Progress
from agent.records import Floats, Rows
from agent.student.head import Head

if TYPE_CHECKING:
    import torch

TEXTS = Passes(seen=1500, fewest=3, most=20)
"""On BBC news with noisy labels accuracy was flat from 600 seen texts on."""
SEEN_A_CLASS = 100
"""Classes by the dozen take more: so many of each."""
PAIRS = Passes(seen=16_000, fewest=3, most=10)
"""Of pairs: how two texts bear on each other is all to be learnt, where a topic can be read off the encoder as it is.
One seed, 2,000 right labels of med_nli: 80.7 % of the answers were right after three epochs, 87.9 % after eight.
Wrong labels cost no more in eight than in three."""
RATE, WIDTH, HIGHEST_RATE = 1e-4, 384, 3e-4
"""The peak learning rate for MiniLM's width; others learn at more or less by theirs, as is usual for them."""
SOFTER = 3
"""So many times smaller are the logits of the classifier at first. It has fitted these very texts, so that nothing
but its mistakes would teach the encoder anything. With this and `RATE`, which goes with it, instead of neither (one
seed, three epochs): 3,000 right labels of banking77 made 91.2 % of its answers right, not 89.7; 1,000 of dbpedia14,
wrong where texts are hard, 97.5 %, not 94.5."""


@dataclass(frozen=True)
class Lessons:
    """What is to be learnt.

    Attributes:
        tokens: of each of n texts, as `Network.tokens` gives them.
        targets: (n, C) float32, soft; rows sum to one, or are C decisions of their own for multilabel.
        weights: (n,) float32, above zero.
    """

    tokens: Tokens
    targets: Floats
    weights: Floats

    def __len__(self) -> int:
        return len(self.tokens)

    def part(self, rows: Rows) -> Lessons:
        return Lessons([self.tokens[i] for i in rows.tolist()], self.targets[rows], self.weights[rows])

    def beside(self, others: Lessons) -> Lessons:
        """These and then the others."""
        targets = np.concatenate([self.targets, others.targets])
        return Lessons([*self.tokens, *others.tokens], targets, np.concatenate([self.weights, others.weights]))


@dataclass(frozen=True)
class Course:
    """How to learn.

    Attributes:
        epochs: passes over the lessons; `auto` chooses by their number.
        learning_rate: at its peak, of AdamW.
        seed: of the order, of dropout and of the head's folds.
        patience: with lessons that judge, stop after so many epochs that are worse on them beyond chance.
        q: of the loss, see `agent.distill.losses.row_losses`; nought is cross-entropy.
        layer_decay, batch, accumulate: see `agent.distill.epochs.Manner`.
        precision: `auto` is bfloat16 where that saves time on this machine.
        passes: what `epochs: auto` means.
    """

    epochs: int | Literal["auto"] = "auto"
    learning_rate: float = 2e-5
    seed: int = 0
    patience: int = 3
    q: float = 0.0
    layer_decay: float = 1.0
    batch: int = BATCH_TEXTS
    accumulate: int = 1
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    passes: Passes = TEXTS

    def epochs_of(self, lessons: int) -> int:
        """Passes over so many lessons."""
        return self.passes.over(lessons, self.epochs)


@dataclass(frozen=True)
class Trained:
    """What came of it.

    Attributes:
        epochs: that the weights now in the network were trained for.
        losses: mean loss in nats of each epoch, while learning.
        held_out: mean of `held_losses` on lessons that judge, before the first epoch and after each; may be empty.
    """

    epochs: int
    losses: tuple[float, ...] = ()
    held_out: tuple[float, ...] = field(default=())


def passes_for(classes: int) -> Passes:
    """What `epochs: auto` means for single texts of so many classes."""
    return replace(TEXTS, seen=max(TEXTS.seen, SEEN_A_CLASS * classes))


def rate_for(network: Network) -> float:
    """What `learning_rate: auto` means for an encoder of this width."""
    width = int(getattr(network.model.config, "hidden_size", WIDTH))
    return min(HIGHEST_RATE, RATE * WIDTH / width)


def warm_start(network: Network, lessons: Lessons, seed: int) -> Head:
    """Give the classifier the weights of a penalised logistic regression on what it reads, temperature included.

    A random classifier would first send noise through the encoder (Kumar et al. 2022, arXiv 2202.10054); this one
    starts where the loop's own head ends, with one label a text `SOFTER`. The penalty is chosen by cross-validation,
    so noisy labels are not learnt by heart. Returns the head, with what it said of texts it had not seen.
    """
    features = network.features(lessons.tokens)
    head, scale = head_on(features, lessons, seed, multilabel=network.multilabel)
    weights = head.weights / np.float32(head.temperature * (1 if network.multilabel else SOFTER))
    network.set_classifier(weights[:-1] / scale, weights[-1])
    return head


def head_on(features: Floats, lessons: Lessons, seed: int, *, multilabel: bool) -> tuple[Head, np.float32]:
    """That logistic regression, on (n, d) features divided by their mean length, and this length."""
    scale = mean_length(features)
    head = Head(lessons.targets.shape[1], independent=multilabel)
    head.fit(features / scale, lessons.targets, lessons.weights, np.random.default_rng([seed, len(lessons)]))
    return head, scale


def finetune(
    network: Network,
    lessons: Lessons,
    course: Course,
    held_out: Lessons | None = None,
    progress: Progress = lambda done, total: None,
    *,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train the whole network, in place. The same arguments on the same machine give the same weights.

    The loss is cross-entropy with soft targets, or for multilabel that of each decision, summed.

    `held_out` are lessons that nobody doubts, which pick the epoch (`agent.distill.training.Best`). With a
    `checkpoint`, a training that was killed goes on where it was kept last, and ends with the same weights.
    """
    best = Best(network.model, None if held_out is None else lambda: held_losses(network, held_out), course.patience)
    losses = go_down(
        network.model,
        [len(t) for t in lessons.tokens],
        _loss_of(network, lessons, course.q),
        epochs=course.epochs_of(len(lessons)),
        rate=course.learning_rate,
        seed=course.seed,
        dropout=True,
        progress=progress,
        manner=manner_of(network, lessons, course, best),
        checkpoint=checkpoint,
    )
    return Trained(best.epochs(len(losses)), tuple(losses), tuple(best.losses))


def manner_of(network: Network, lessons: Lessons, course: Course, best: Best) -> Manner:
    """What a course says of how a network goes down its loss."""
    fast = course.precision == "auto" and has_fast_bfloat16(network.device)
    return Manner(
        course.layer_decay,
        float(lessons.weights.sum()),
        best,
        course.batch,
        course.accumulate,
        bfloat16=fast or course.precision == "bfloat16",
    )


def _loss_of(network: Network, lessons: Lessons, q: float) -> LossOf:
    def loss_of(batch: list[int]) -> tuple[torch.Tensor, float]:
        import torch

        logits = network.forward([lessons.tokens[i] for i in batch])
        targets, weights = (torch.from_numpy(a[batch]).to(logits.device) for a in (lessons.targets, lessons.weights))
        losses = row_losses(logits, targets, multilabel=network.multilabel, q=q)
        return (weights * losses).sum(), float(lessons.weights[batch].sum())

    return loss_of


def held_losses(network: Network, lessons: Lessons) -> Floats:
    """(m,) nats for each lesson, times its weight as a share of the mean one, at the temperature that fits them best.

    A network grows too sure of what it knows before it has stopped to learn, the more so from wrong labels; how sure
    it is, is set in the end anyway.
    """
    logits, multilabel = network.logits(lessons.tokens), network.multilabel
    temperature = best_temperature(logits, lessons.targets, lessons.weights, multilabel=multilabel)
    nats = surprise(network.chances(logits / np.float32(temperature)), lessons.targets, multilabel=multilabel)
    return np.asarray(nats * lessons.weights / lessons.weights.mean(), np.float32)
