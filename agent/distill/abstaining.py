"""A model that says nothing where it is not sure: from where on it answers, and how often it is right then.

What that is chosen from is a second model, made in the same way without some of people's labels, and held against
those. The choice itself is the caller's. Knows examples, networks and arrays; no store and no job.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from agent.distill.card import Figure
from agent.distill.checkpoint import Checkpoint
from agent.distill.deciding import least_sure
from agent.distill.making import Made, cool, fingerprint, make
from agent.distill.network import Network
from agent.distill.start import SEEN
from agent.distill.targets import FEWEST_JUDGES, Examples
from agent.distill.trials import Attempt, Bools, Split, Watched, right_of, split_by_people
from agent.records import Floats
from agent.tasks.intervals import wilson

COVERAGE, ANSWERED = "coverage", "accuracy of what is answered"
FEW = f"there are no {FEWEST_JUDGES} labels of people to choose it by beside as many others: it answers always"


class Bar(NamedTuple):
    """From which confidence on a model answers; None is from any. `why` is a sentence."""

    below: float | None
    why: str


Choose = Callable[[Floats, Bools], Bar]
"""Of (n,) confidences of labels held out, and whether each is right."""


@dataclass(frozen=True)
class Abstention:
    """What was decided, and what was measured of it: `told` has rows for the card's table of the training."""

    below: float | None = None
    figures: tuple[Figure, ...] = ()
    told: tuple[tuple[str, Any], ...] = ()


def decide(known: Examples, way: Attempt, made: Made, watched: Watched, choose: Choose | None = None) -> Abstention:
    """Below which confidence the model `made` of these examples in this way is to say nothing.

    `abstain_below` of its settings is taken as it is, and measured on labels that were held out, or cross-validated.
    `abstain_at_accuracy` has `choose` say it, where enough people's labels can be held out; that takes a training.
    """
    settings = way.settings
    if settings.abstain_below is not None:
        return _fixed(settings.abstain_below, known, made)
    if settings.abstain_at_accuracy is None or choose is None:
        return Abstention()
    parts = split_by_people(known)
    if parts is None or not made.is_measurable:
        why = FEW if made.is_measurable else f"{SEEN}: it answers always"
        watched.note(why)
        return Abstention(None, (), (("abstains below", "never"), ("why so", why)))
    watched.note(f"how sure the model has to be is looked at on {len(parts.held):,} labels of people, held out")
    sure, right = _judged(known, way, parts, watched, made.network.label_threshold)
    bar = choose(sure, right)
    head = "answers always" if bar.below is None else f"abstains below {bar.below:.3f}"
    watched.note(f"{head}: {bar.why}")
    told = (("abstains below", "never" if bar.below is None else round(bar.below, 4)), ("why so", bar.why))
    return Abstention(bar.below, answered(sure, right, bar.below, parts.measured_on), told)


def _fixed(below: float, known: Examples, made: Made) -> Abstention:
    """What is known of a threshold without a training of its own."""
    told = (("abstains below", below), ("why so", "as the job says"))
    held = made.held_out
    if held is not None:
        logits, on = made.network.logits(held.tokens), "labels held out of the training"
        chances, targets = made.network.chances(logits), known.targets[made.held]
    elif made.is_measurable and len(made.lessons) and np.ptp(made.head.out_of_fold):
        chances, on = made.head.out_of_fold, "labels, cross-validated, before fine-tuning"
        targets = known.targets[made.learn]
    else:
        return Abstention(below, (), told)
    sure, said = _decided(chances, made.network)
    right = right_of(said, targets, multilabel=made.network.multilabel)
    return Abstention(below, answered(sure, right, below, on), told)


def _judged(known: Examples, way: Attempt, parts: Split, watched: Watched, threshold: float) -> tuple[Floats, Bools]:
    """(m,) how sure a model made without the held-out labels is of each of them, and whether it is right."""
    learnt, held = known.part(parts.learn), known.part(parts.held)
    mark = "abstaining" + fingerprint(learnt, way.settings, way.source)
    checkpoint = Checkpoint(watched.folder, mark, watched.pace, watched.note, "abstaining")
    made = make(learnt, way.settings, way.source, checkpoint, progress=watched.progress)
    if made.held_out is not None:
        cool(made.network, made.held_out)
    logits = made.network.logits(made.network.tokens(held.texts))
    checkpoint.end()
    made.network.label_threshold = threshold
    sure, said = _decided(made.network.chances(logits), made.network)
    return sure, right_of(said, held.targets, multilabel=known.multilabel)


def _decided(chances: Floats, network: Network) -> tuple[Floats, Floats | Bools]:
    """(m,) the probability of the likeliest class; for multilabel, how sure the least certain decision is. And what
    it says: decisions, or else the probabilities, of which the highest wins."""
    if not network.multilabel:
        return np.asarray(chances.max(axis=1), np.float32), chances
    return least_sure(chances, network.label_threshold), chances >= network.label_threshold


def answered(
    sure: Floats | Sequence[float], right: Bools | Sequence[bool], below: float | None, measured_on: str
) -> tuple[Figure, ...]:
    """What a threshold comes to: the share of texts that get a label, and how many of those labels are right."""
    if below is None or not len(sure):
        return ()
    kept = np.asarray(sure) >= below
    given, hits = int(kept.sum()), int(np.asarray(right)[kept].sum())
    found = [Figure(COVERAGE, given / len(kept), *wilson(given, len(kept)), len(kept), measured_on)]
    if given:
        found.append(Figure(ANSWERED, hits / given, *wilson(hits, given), given, measured_on))
    return tuple(found)
