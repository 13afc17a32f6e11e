"""The oracle held against the truth: gold labels where there are any, else what people said.

Every text that a person labelled has a recorded chance of having been shown to one; each counts for one over that
chance, so that doubtful texts, which people see more often, do not make the oracle look worse than it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent.doubt import Consensus
from agent.opinions import Opinions, beside_triage, chance_of_review, was_seen
from agent.records import Label, MicroDollars, Source, TextId, Value
from agent.report.comparison import confusion
from agent.report.findings import AskedAgain, Calibration, Confusion, Estimate, Noise, Several, Suspects, Taken
from agent.report.reliability import reliability
from agent.store import RouteRow
from agent.tasks import Task, hierarchy, is_right
from agent.tasks.intervals import horvitz_thompson_mean, wilson

# Given confidences and whether each answer was right, a function that calibrates confidences.
Calibrator = Callable[[Sequence[float], Sequence[bool]], Callable[[Sequence[float]], Sequence[float]]]

FOLDS = 5
FEWEST = 5  # answers with a confidence: below that a reliability diagram shows noise
MOST_TAKEN, RARE = 5, 0.05  # what an oracle takes for what: so many, and no share of a class below that


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer of the oracle with its truth. `chance` is that of having been judged."""

    label: Label
    truth: Value
    right: bool
    chance: float = 1.0


def judged_by_gold(task: Task, labels: Mapping[TextId, Label], gold: Mapping[TextId, Value]) -> list[Judged]:
    """Oracle labels of texts that have a gold value."""
    return [Judged(x, gold[i], is_right(task, gold[i], x.value)) for i, x in labels.items() if i in gold]


def judged_by_people(
    task: Task,
    labels: Mapping[TextId, Label],
    current: Mapping[TextId, Label],
    routes: Mapping[TextId, RouteRow],
    audited: Collection[TextId] = (),
) -> list[Judged]:
    """Oracle labels of texts that a person labelled too.

    Without those that people saw only because an audit drew them (`audited` are all that one drew), or because they
    look wrong: their chance is not triage's, and what they tell has a certificate or a sentence of its own.
    """
    found, left_out = [], beside_triage(audited, routes)
    for i, label in labels.items():
        person = current.get(i)
        if person is not None and person.source is Source.PERSON and i not in left_out:
            route = routes.get(i)
            right = is_right(task, person.value, label.value, seen=was_seen(route, label))
            found.append(Judged(label, person.value, right, chance_of_review(route)))
    return found


def accuracy(judged: Sequence[Judged], measured_on: str) -> Estimate | None:
    """Share of the oracle's answers that are right, by weight; None without any."""
    return share_right([j.right for j in judged], [j.chance for j in judged], measured_on)


def accuracy_at(judged: Sequence[Judged], level: int, measured_on: str) -> Estimate | None:
    """The same of labels that are paths, at one level of them."""
    right = [hierarchy.at_level(j.truth, level) == hierarchy.at_level(j.label.value, level) for j in judged]
    found = share_right(right, [j.chance for j in judged], measured_on)
    return None if found is None else replace(found, metric=hierarchy.accuracy_at(level))


def share_right(right: Sequence[bool], chances: Sequence[float], measured_on: str) -> Estimate | None:
    """Share of labels that are right, each for one over the chance with which that came to be known; None without
    any."""
    n = len(right)
    if not n:
        return None
    if all(chance == chances[0] for chance in chances):  # drawn alike: the plain share, and Wilson's interval
        hits = sum(right)
        return Estimate(hits / n, *wilson(hits, n), n, measured_on)
    mean, lo, hi = horvitz_thompson_mean([float(r) for r in right], chances)
    return Estimate(mean, lo, hi, n, measured_on)


def confused(task: Task, judged: Sequence[Judged], measured_on: str) -> Confusion | None:
    """Truth against answer, for tasks with one class a text."""
    if task.widget != "choice":
        return None
    return confusion(
        ((task.show(j.truth), task.show(j.label.value)) for j in judged), hierarchy.ordered(task.names), measured_on
    )


def several(task: Task, found: Opinions) -> Several | None:
    """What became of texts that oracles answered more than once; None where there are none."""
    if not found.asked or found.consensus is None:
        return None
    oracles = tuple(_noise(task, found.consensus, place, name) for place, name in enumerate(found.oracles))
    return Several(found.asked, found.agreed, found.changed, found.reviewed, oracles)


def asked_again(
    texts: Collection[TextId], given: Sequence[Label], counts: Mapping[TextId, Label]
) -> AskedAgain | None:
    """What came of labels that were asked again; None where there are none.

    Args:
        texts: whose labels were to be asked again; those without a second answer are not counted.
        given: every label of an oracle, oldest first.
        counts: the label that counts.
    """
    said: dict[TextId, list[Label]] = {i: [] for i in texts}
    for label in given:
        if label.text_id in said:
            said[label.text_id].append(label)
    twice = {i: own for i, own in said.items() if len(own) > 1}
    if not twice:
        return None
    changed = sum(counts[i].value != own[0].value for i, own in twice.items() if i in counts)
    return AskedAgain(len(twice), changed, MicroDollars(sum(own[1].cost for own in twice.values())))


def suspects(
    task: Task, routes: Mapping[TextId, RouteRow], given: Sequence[Label], current: Mapping[TextId, Label]
) -> Suspects | None:
    """What people said of accepted labels that looked wrong; None where none was shown to them.

    Args:
        given: every label of an oracle.
        current: the label that counts.
    """
    chosen = {i: r.label_id for i, r in routes.items() if r.looks_wrong}
    if not chosen:
        return None
    machine = {x.id: x.value for x in given}
    said = [(current[i], machine.get(k)) for i, k in chosen.items() if i in current]
    judged = [(x.value, was) for x, was in said if x.source is Source.PERSON and was is not None]
    right = sum(task.agreement(now, was) == 1.0 for now, was in judged)
    return Suspects(len(chosen), right, len(judged) - right)


def _noise(task: Task, found: Consensus, place: int, name: str) -> Noise:
    """One oracle's errors, the most frequent first by their share of the class."""
    shares = found.confusions[place].copy()
    np.fill_diagonal(shares, 0)
    worst = np.argsort(-shares, axis=None, kind="stable")[:MOST_TAKEN]
    cells = [divmod(int(k), len(task.names)) for k in worst]
    takes = tuple(Taken(task.names[t], task.names[g], float(shares[t, g])) for t, g in cells if shares[t, g] >= RARE)
    return Noise(name, found.accuracy(place), found.weights[place], takes)


def calibration(
    judged: Sequence[Judged], people: Sequence[Judged], calibrator: Calibrator | None, measured_on: str
) -> Calibration | None:
    """Confidence against truth as given, and calibrated by people's answers where there is a calibrator.

    No answer is shown calibrated by its own verdict: against gold, people's answers calibrate those that have gold
    and that no person judged; against people, five folds calibrate each other.
    """
    sure = [j for j in judged if j.label.confidence is not None and np.isfinite(j.label.confidence)]
    if len(sure) < FEWEST:
        return None
    given = np.array([j.label.confidence for j in sure], float)
    right, weights = np.array([j.right for j in sure]), 1 / np.array([j.chance for j in sure])
    before = reliability(given, right, weights)
    assert before is not None  # there are at least a few
    after = None
    if calibrator is not None:
        own = {j.label.text_id for j in sure}
        others = [j for j in people if j.label.text_id not in own and j.label.confidence is not None]
        calibrated = _apply(calibrator, others, given) if measured_on == "gold" else _crossed(calibrator, sure, given)
        if not np.allclose(calibrated, given, atol=1e-6):
            after = reliability(calibrated, right, weights)
    return Calibration(before, after, measured_on)


def _apply(calibrator: Calibrator, teachers: Sequence[Judged], given: np.ndarray) -> np.ndarray:
    learnt = calibrator([float(j.label.confidence or 0.0) for j in teachers], [j.right for j in teachers])
    return np.asarray(learnt(given.tolist()), float)


def _crossed(calibrator: Calibrator, sure: Sequence[Judged], given: np.ndarray) -> np.ndarray:
    out = given.copy()
    for fold in range(FOLDS):
        here = np.arange(len(sure)) % FOLDS == fold
        out[here] = _apply(calibrator, [j for j, held in zip(sure, here, strict=True) if not held], given[here])
    return out
