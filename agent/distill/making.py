"""One network, made of examples: opened, warm-started, trained. Whoever calls measures and saves it.

Knows examples, an encoder and settings; no model folder and no card.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from agent.distill.checkpoint import Checkpoint
from agent.distill.coteaching import Twins, bootstrapped
from agent.distill.finetune import Course, Lessons, Trained, finetune, warm_start
from agent.distill.fingerprint import fingerprint_of
from agent.distill.losses import Q, trust_out_of_fold
from agent.distill.network import Network
from agent.distill.targets import Examples, best_temperature, hold_out
from agent.distill.training import Progress
from agent.job import DistilSettings
from agent.records import Floats
from agent.student.encoder import Encoder
from agent.student.head import Head

OF_ONE_LABEL = ("reweighted", "co_teaching")
"""Losses that doubt labels out of fold, which takes one label a text; with any number of them they are plain
cross-entropy."""


@dataclass(frozen=True)
class Made:
    """A trained network.

    Attributes:
        head: the warm start's, which says what it thinks of texts it had not seen.
        lessons, held_out: what was learnt from, and what picked the epoch.
        doubted: how many labels were given less weight, since they look wrong.
        forgotten: of the labels that may be wrong, the share that was not learnt in a step, in the end.
    """

    network: Network
    trained: Trained
    head: Head
    lessons: Lessons
    held_out: Lessons | None
    doubted: int = 0
    forgotten: float = 0.0


def make(
    known: Examples,
    settings: DistilSettings,
    source: Encoder,
    checkpoint: Checkpoint,
    *,
    progress: Progress,
) -> Made:
    """Train a network on examples that were checked; `settings.loss` is no longer `auto`."""
    network = _opened(known, source)
    learn, held = hold_out(known, np.random.default_rng([known.seed, 0]))
    tokens = network.tokens(known.texts)
    lessons = Lessons(tokens, known.targets, known.teaching).part(learn)
    held_out = Lessons(tokens, known.targets, known.weights).part(held) if len(held) else None
    head = warm_start(network, lessons, known.seed)
    course = _course(known, settings)
    if known.multilabel or settings.loss not in OF_ONE_LABEL:
        trained = finetune(network, lessons, course, held_out, progress, checkpoint=checkpoint)
        return Made(network, trained, head, lessons, held_out)
    sure = np.zeros(len(learn), np.bool_) if known.people is None else known.people[learn]
    trust = trust_out_of_fold(lessons.targets, head.out_of_fold, sure)
    if settings.loss == "co_teaching":
        other = _opened(known, source)
        warm_start(other, bootstrapped(lessons, known.seed), known.seed)
        wrong = float((trust[~sure] < 1).mean()) if not sure.all() else 0.0
        twins = Twins(network, other, lessons, ~sure, wrong)
        network, trained = twins.learn(course, held_out, progress, checkpoint)
        return Made(network, trained, head, lessons, held_out, forgotten=wrong)
    # a label that somebody doubts already is not doubted twice
    least = np.minimum(lessons.weights, (known.weights[learn] * trust).astype(np.float32))
    lessons = replace(lessons, weights=least)
    warm_start(network, lessons, known.seed)
    trained = finetune(network, lessons, course, held_out, progress, checkpoint=checkpoint)
    return Made(network, trained, head, lessons, held_out, doubted=int((trust < 1).sum()))


def _course(known: Examples, settings: DistilSettings) -> Course:
    return Course(
        settings.epochs,
        settings.learning_rate,
        known.seed,
        q=Q if settings.loss == "generalised" else 0.0,
        layer_decay=settings.layer_decay,
        batch=settings.batch,
        accumulate=settings.accumulate,
        precision=settings.precision,
    )


def _opened(known: Examples, source: Encoder) -> Network:
    return Network.open(source, known.names, multilabel=known.multilabel, columns=known.columns, seed=known.seed)


def cool(network: Network, held_out: Lessons) -> tuple[float, Floats]:
    """Fold the temperature that fits held-out labels best into a network. Returns it, and the logits of before."""
    logits = network.logits(held_out.tokens)
    temperature = best_temperature(logits, held_out.targets, held_out.weights, multilabel=network.multilabel)
    network.divide_logits(temperature)
    return temperature, logits


def fingerprint(examples: Examples, settings: DistilSettings, encoder: Encoder) -> str:
    """Of all that a training on these examples depends on."""
    what = [list(examples.texts), list(examples.names), examples.multilabel, examples.seed, examples.columns]
    numbers = (examples.targets, examples.weights, examples.teaching, examples.people)
    return fingerprint_of(what, numbers, settings, encoder.key)
