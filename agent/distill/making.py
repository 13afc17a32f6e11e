"""One network, made of examples: opened, warm-started, trained. Whoever calls measures and saves it.

Knows examples, an encoder and settings; no model folder and no card.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from agent.distill.checkpoint import Checkpoint
from agent.distill.correcting import Corrected, correct, is_correctable
from agent.distill.coteaching import Twins, bootstrapped
from agent.distill.finetune import PAIRS, SOFTER, Course, Lessons, Trained, finetune, passes_for, rate_for
from agent.distill.fingerprint import fingerprint_of
from agent.distill.going_on import begin
from agent.distill.losses import Q, surprise, trust_out_of_fold
from agent.distill.network import Network
from agent.distill.start import Source, may_have_learnt, opened
from agent.distill.targets import FEWEST_JUDGES, Examples, best_temperature, hold_out
from agent.distill.training import Progress
from agent.job import DistilSettings
from agent.records import Floats, Rows
from agent.student.head import Head
from agent.student.logistic import softmax

OF_ONE_LABEL = ("reweighted", "co_teaching")
"""Losses that doubt labels out of fold, which takes one label a text; with any number of them they are plain
cross-entropy."""


@dataclass(frozen=True)
class Made:
    """A trained network.

    Attributes:
        head: the warm start's, which says what it thinks of texts it had not seen.
        lessons, held_out: what was learnt from, and what it is measured on.
        learn, held: which of the examples these are.
        corrected: how machines' labels were put right; None where they were not.
        doubted: how many labels were given less weight, since they look wrong.
        forgotten: of the labels that may be wrong, the share that was not learnt in a step, in the end.
        replayed: how many other texts were learnt, so that classes that were known are not forgotten.
        is_measurable: by the labels: not where the model that it goes on from may have learnt them.
        temperature: that the logits were divided by already; see `settle`.
    """

    network: Network
    trained: Trained
    head: Head
    lessons: Lessons
    held_out: Lessons | None
    learn: Rows
    held: Rows
    corrected: Corrected | None = None
    doubted: int = 0
    forgotten: float = 0.0
    replayed: int = 0
    is_measurable: bool = True
    temperature: float = 1.0


def make(
    known: Examples,
    settings: DistilSettings,
    source: Source,
    checkpoint: Checkpoint,
    *,
    progress: Progress,
) -> Made:
    """Train a network on examples that were checked; `settings.loss` is no longer `auto`."""
    made = _trained(known, settings, source, checkpoint, progress)
    if known.multilabel or made.held_out is not None or not made.is_measurable:
        return made
    return replace(made, temperature=settle(made))


def _trained(
    known: Examples, settings: DistilSettings, source: Source, checkpoint: Checkpoint, progress: Progress
) -> Made:
    network, is_measurable = opened(source, known), not may_have_learnt(source, known)
    learn, held = np.arange(len(known.texts)), np.arange(0)
    if is_measurable:
        learn, held = hold_out(known, np.random.default_rng([known.seed, 0]))
    tokens = network.tokens(known.texts)
    righted = None
    if settings.labels == "corrected" and is_measurable and is_correctable(known):  # before texts are encoded for it
        righted = correct(network.features(tokens), known)
    if righted is None:
        targets, weights, judging = known.targets, known.teaching, known.weights
    else:
        targets, weights, judging = righted.targets, righted.weights, righted.judging
    lessons = Lessons(tokens, targets, weights).part(learn)
    held_out = Lessons(tokens, targets, judging).part(held) if len(held) else None
    people = np.zeros(len(known.texts), np.bool_) if known.people is None else known.people
    judges = None if held_out is None else _of_people(held_out, people[held])
    head, replay = begin(network, lessons, source, known.seed)
    course = _course(known, settings, rate_for(network))
    sure = people[learn]
    loss, doubted, wrong = "cross_entropy" if known.multilabel else settings.loss, 0, 0.0
    if loss in OF_ONE_LABEL:
        trust = trust_out_of_fold(lessons.targets, head.out_of_fold, sure)
        doubted = int((trust < 1).sum())
        wrong = doubted / max(1, int((~sure).sum()))
    if loss == "reweighted":
        # a label that somebody doubts already is not doubted twice
        least = np.minimum(lessons.weights, (known.weights[learn] * trust).astype(np.float32))
        lessons = replace(lessons, weights=least)
        _, replay = begin(network, lessons, source, known.seed)
    taught = lessons if replay is None else lessons.beside(replay)
    replayed = len(taught) - len(lessons)
    if loss == "co_teaching":
        other = opened(source, known)
        begin(other, bootstrapped(lessons, known.seed), source, known.seed)
        twins = Twins(network, other, taught, np.append(~sure, np.zeros(replayed, np.bool_)), wrong)
        network, trained = twins.learn(course, judges, progress, checkpoint)
    else:
        trained = finetune(network, taught, course, judges, progress, checkpoint=checkpoint)
    return Made(
        network,
        trained,
        head,
        lessons,
        held_out,
        learn,
        held,
        righted,
        doubted,
        forgotten=wrong if loss == "co_teaching" else 0.0,
        replayed=replayed,
        is_measurable=is_measurable,
    )


def _of_people(held_out: Lessons, people: npt.NDArray[np.bool_]) -> Lessons | None:
    """Those that people labelled, which pick the epoch; None where they are few. How well a network foresees what a
    machine says is no judge: of one that is wrong where texts are hard, the head that nothing was taught foretells it
    best."""
    return held_out.part(np.flatnonzero(people)) if people.sum() >= FEWEST_JUDGES else None


def _course(known: Examples, settings: DistilSettings, otherwise: float) -> Course:
    return Course(
        settings.epochs,
        settings.rate(otherwise),
        known.seed,
        q=Q if settings.loss == "generalised" else 0.0,
        layer_decay=settings.layer_decay,
        batch=settings.batch,
        accumulate=settings.accumulate,
        precision=settings.precision,
        passes=passes_for(len(known.names)) if known.columns is None else PAIRS,
    )


def settle(made: Made) -> float:
    """Make a network surer that was not trained for long enough to leave its soft start (`finetune.SOFTER`) behind.

    A few short epochs may leave it less sure of what it learnt than the first head was of texts that it had not seen,
    whose confidence is fitted to that: then it is made as sure as that. Returns what its logits were divided by.
    """
    out_of_fold, lessons = made.head.out_of_fold, made.lessons
    if not np.ptp(out_of_fold) or not made.trained.losses:
        return 1.0
    surprised = surprise(out_of_fold, lessons.targets, multilabel=False)
    if made.trained.losses[-1] < np.average(surprised, weights=lessons.weights):
        return 1.0
    logits, wanted = made.network.logits(lessons.tokens), float(out_of_fold.max(axis=1).mean())
    scales = np.geomspace(1, 2 * SOFTER, 64)
    sure = [float(softmax(logits * np.float32(scale)).max(axis=1).mean()) for scale in scales]
    temperature = 1 / float(scales[min(int(np.searchsorted(sure, wanted)), len(scales) - 1)])
    if temperature != 1:
        made.network.divide_logits(temperature)
    return temperature


def cool(network: Network, held_out: Lessons) -> tuple[float, Floats]:
    """Fold the temperature that fits held-out labels best into a network. Returns it, and the logits of now."""
    logits = network.logits(held_out.tokens)
    temperature = best_temperature(logits, held_out.targets, held_out.weights, multilabel=network.multilabel)
    network.divide_logits(temperature)
    return temperature, np.asarray(logits / np.float32(temperature), np.float32)


def fingerprint(examples: Examples, settings: DistilSettings, source: Source) -> str:
    """Of all that a training on these examples depends on."""
    what = [list(examples.texts), list(examples.names), examples.multilabel, examples.seed, examples.columns]
    numbers = (examples.targets, examples.weights, examples.teaching, examples.people, examples.told, examples.by)
    return fingerprint_of(what, numbers, settings, source.key)
