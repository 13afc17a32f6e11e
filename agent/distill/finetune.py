"""Fine-tuning: a network learns soft targets, on two cores or on a GPU.

Knows tokens, targets and weights; no label's provenance and no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.distill.checkpoint import Checkpoint, Note
from agent.distill.network import Network, by_length, keep_word_vectors, seeded
from agent.distill.training import Course, Lessons, Progress, Training
from agent.student.head import Head

TEXTS_SEEN = 1500
"""What `epochs: auto` aims at: on BBC news with noisy labels accuracy was flat from 600 seen texts on."""
FEWEST_EPOCHS, MOST_EPOCHS = 3, 10
BATCH_TEXTS, BATCH_TOKENS = 16, 4096
GROUPED_BATCHES = 8
"""Texts are sorted by length within so many batches: little padding, and still another mixture every epoch."""


@dataclass(frozen=True)
class Trained:
    """What came of it.

    Attributes:
        epochs: that the weights now in the network were trained for.
        losses: mean loss in nats of each epoch, while learning.
        held_out: mean loss in nats on the held-out lessons, before the first epoch and after each; may be empty.
    """

    epochs: int
    losses: tuple[float, ...] = ()
    held_out: tuple[float, ...] = field(default=())


def epochs_for(lessons: int) -> int:
    """What `epochs: auto` means for so many lessons."""
    return min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(TEXTS_SEEN / max(1, lessons))))


def warm_start(network: Network, lessons: Lessons, seed: int) -> Head:
    """Give the classifier the weights of a penalised logistic regression on what it reads, temperature included.

    A random classifier would first send noise through the encoder (Kumar et al. 2022, arXiv 2202.10054); this one
    starts where the loop's own head ends. The penalty is chosen by cross-validation, so noisy labels are not learnt
    by heart. Returns the head, with what it said of texts it had not seen.
    """
    features = network.features(lessons.tokens)
    scale = np.float32(max(float(np.linalg.norm(features, axis=1).mean()), 1e-6))
    head = Head(len(network.names), independent=network.multilabel)
    head.fit(features / scale, lessons.targets, lessons.weights, np.random.default_rng([seed, len(lessons)]))
    weights = head.weights / np.float32(head.temperature)
    network.set_classifier(weights[:-1] / scale, weights[-1])
    return head


def finetune(
    network: Network,
    lessons: Lessons,
    course: Course,
    held_out: Lessons | None = None,
    progress: Progress = lambda done, total: None,
    *,
    checkpoint: Checkpoint | None = None,
    note: Note = lambda said: None,
) -> Trained:
    """Train the whole network, in place. The same arguments on the same machine give the same weights.

    Word vectors stay as they are: a few hundred labels touch few of them, and they are half of MiniLM. The loss is
    cross-entropy with soft targets, or for multilabel that of each decision, summed. Global generators are put back.

    With a `checkpoint`, a training that was killed goes on where it was kept last, and ends with the same weights;
    `note` is told so.
    """
    epochs = epochs_for(len(lessons)) if course.epochs == "auto" else course.epochs
    rng = np.random.default_rng([course.seed, 1])
    plan = [deal([len(t) for t in lessons.tokens], rng) for _ in range(epochs)]
    keep_word_vectors(network.model)
    with seeded(course.seed):
        training = Training(network, lessons, plan, course, held_out)
        if checkpoint is not None and (saved := checkpoint.read()) is not None:
            training.restore(saved)
            note(f"the training goes on at epoch {min(len(training.losses) + 1, epochs)} of {epochs}")
        training.run(progress, checkpoint)
    losses = training.losses
    return Trained(training.best.restore(len(losses)), tuple(losses), tuple(training.best.losses))


def deal(lengths: Sequence[int], rng: np.random.Generator) -> list[list[int]]:
    """All indices once, in shuffled batches of like length, of at most BATCH_TEXTS texts and BATCH_TOKENS tokens."""
    order = rng.permutation(len(lengths)).tolist()
    group = BATCH_TEXTS * GROUPED_BATCHES
    batches = []
    for start in range(0, len(order), group):
        rows = order[start : start + group]
        for batch in by_length([lengths[i] for i in rows], BATCH_TOKENS, BATCH_TEXTS):
            batches.append([rows[i] for i in batch])
    return [batches[i] for i in rng.permutation(len(batches)).tolist()]
