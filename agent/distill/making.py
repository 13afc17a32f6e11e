"""One network, made of examples: opened, warm-started, trained. Whoever calls measures and saves it.

Knows examples, an encoder and settings; no model folder and no card.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from agent.distill.checkpoint import Checkpoint
from agent.distill.finetune import Course, Lessons, Trained, finetune
from agent.distill.fingerprint import fingerprint_of
from agent.distill.going_on import begin
from agent.distill.losses import Q, trust_out_of_fold
from agent.distill.network import Network
from agent.distill.start import Source, may_have_learnt, opened
from agent.distill.targets import Examples, best_temperature, hold_out
from agent.distill.training import Progress
from agent.job import DistilSettings
from agent.records import Floats
from agent.student.head import Head


@dataclass(frozen=True)
class Made:
    """A trained network.

    Attributes:
        head: the warm start's, which says what it thinks of texts it had not seen.
        lessons, held_out: what was learnt from, and what picked the epoch.
        doubted: how many labels were given less weight, since they look wrong.
        replayed: how many other texts were learnt, so that classes that were known are not forgotten.
        is_measurable: by the labels: not where the model that it goes on from may have learnt them.
    """

    network: Network
    trained: Trained
    head: Head
    lessons: Lessons
    held_out: Lessons | None
    doubted: int = 0
    replayed: int = 0
    is_measurable: bool = True


def make(
    known: Examples,
    settings: DistilSettings,
    source: Source,
    checkpoint: Checkpoint,
    *,
    progress: Progress,
) -> Made:
    """Train a network on examples that were checked; `settings.loss` is no longer `auto`."""
    network, is_measurable = opened(source, known), not may_have_learnt(source, known)
    learn, held = np.arange(len(known.texts)), np.arange(0)
    if is_measurable:
        learn, held = hold_out(known, np.random.default_rng([known.seed, 0]))
    tokens = network.tokens(known.texts)
    lessons = Lessons(tokens, known.targets, known.teaching).part(learn)
    held_out = Lessons(tokens, known.targets, known.weights).part(held) if len(held) else None
    (head, replay), doubted = begin(network, lessons, source, known.seed), 0
    if settings.loss == "reweighted" and not known.multilabel:
        sure = None if known.people is None else known.people[learn]
        trust = trust_out_of_fold(lessons.targets, head.out_of_fold, sure)
        doubted = int((trust < 1).sum())
        # a label that somebody doubts already is not doubted twice
        least = np.minimum(lessons.weights, (known.weights[learn] * trust).astype(np.float32))
        lessons = replace(lessons, weights=least)
        _, replay = begin(network, lessons, source, known.seed)
    q = Q if settings.loss == "generalised" else 0.0
    course = Course(
        settings.epochs,
        settings.learning_rate,
        known.seed,
        q=q,
        layer_decay=settings.layer_decay,
        batch=settings.batch,
        accumulate=settings.accumulate,
        precision=settings.precision,
    )
    taught = lessons if replay is None else lessons.beside(replay)
    trained = finetune(network, taught, course, held_out, progress, checkpoint=checkpoint)
    return Made(network, trained, head, lessons, held_out, doubted, len(taught) - len(lessons), is_measurable)


def cool(network: Network, held_out: Lessons) -> tuple[float, Floats]:
    """Fold the temperature that fits held-out labels best into a network. Returns it, and the logits of before."""
    logits = network.logits(held_out.tokens)
    temperature = best_temperature(logits, held_out.targets, held_out.weights, multilabel=network.multilabel)
    network.divide_logits(temperature)
    return temperature, logits


def fingerprint(examples: Examples, settings: DistilSettings, source: Source) -> str:
    """Of all that a training on these examples depends on."""
    what = [list(examples.texts), list(examples.names), examples.multilabel, examples.seed, examples.columns]
    numbers = (examples.targets, examples.weights, examples.teaching, examples.people)
    return fingerprint_of(what, numbers, settings, source.key)
