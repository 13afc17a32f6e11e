"""What several said of one text, as one opinion: which label counts, and how likely each class is.

The formulas are `agent.doubt`'s; here stands what they are fed with: the store's labels, what people said of them,
and the chances with which people were asked. For tasks with one class a text; elsewhere, and where one oracle alone
answered, and once, a label stays what it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from agent.doubt import Calibration, Consensus, Given, Voice, believed, consensus, in_effect, smeared
from agent.doubt.calibration import Doubles, Indices, places, table
from agent.records import Label, Route, Source, TextId
from agent.store import RouteRow, Store
from agent.tasks import Task

RIGHT, WRONG = 8.0, 2.0
"""What an oracle without probabilities is taken to have answered rightly and wrongly before people are heard."""


@dataclass(frozen=True)
class Opinions:
    """Of a job's texts that several labels stand for.

    Attributes:
        counts: which label counts of every such text, as it was given. Of people who disagree it is the newest.
        posterior: the chance of every class of these texts; of people who disagree, their shares.
        asked: texts without a person's or the seed's word that oracles answered more than once.
        agreed: of these, how many got the same class from all.
        changed: of these, where another label counts than the newest.
        oracles: `name/model` of those that answered what others answered, or people reviewed; the last counts most.
        consensus: their confusion matrices and weights; None where there are no such texts.
        reviewed: texts that people and oracles labelled: what the matrices rest on.
    """

    counts: Mapping[TextId, Label] = field(default_factory=dict)
    posterior: Mapping[TextId, Mapping[str, float]] = field(default_factory=dict)
    asked: int = 0
    agreed: int = 0
    changed: int = 0
    oracles: tuple[str, ...] = ()
    consensus: Consensus | None = None
    reviewed: int = 0

    def labels(self) -> dict[TextId, Label]:
        """The labels that count, as they teach: with the posterior in the place of what was given with them."""
        return {i: self._taught(label, self.posterior[i]) for i, label in self.counts.items()}

    @staticmethod
    def _taught(label: Label, chance: Mapping[str, float]) -> Label:
        is_person = label.source is Source.PERSON
        return replace(label, probabilities=chance, confidence=None if is_person else chance[label.value])


def opinions(store: Store, job: str, task: Task, oracles: Sequence[str]) -> Opinions:
    """What counts where several labelled one text.

    Args:
        oracles: `name/model` of each in the job's order, the strongest last.
    """
    if task.widget != "choice" or not task.names:
        return Opinions()
    contested = store.contested(job)
    if not contested:
        return Opinions()
    routes = store.routes(job)
    for text_id in beside_triage(store.audited(job), routes):
        del routes[text_id]  # its chance of being seen is not triage's: it counts once
    return _Table(task, contested, routes, oracles).opinions()


def named(oracles: Iterable[Mapping[str, Any]]) -> list[str]:
    """`name/model` of each oracle of a job's settings, as labels have it."""
    return [f"{oracle['name']}/{oracle['model']}" for oracle in oracles]


def as_given(labels: Sequence[Label], task: Task) -> Given:
    """Labels as numbers: confidences, and where the task has one class a text, the chance of each."""
    confidences = np.array([np.nan if x.confidence is None else x.confidence for x in labels], np.float64)
    if task.widget != "choice" or not task.names:
        return Given(confidences)
    told = table((x.probabilities for x in labels), task.names)
    return Given(confidences, told, places((x.value for x in labels), task.names))


class _Table:
    """Texts and who said what of them."""

    def __init__(
        self, task: Task, labels: Sequence[Label], routes: Mapping[TextId, RouteRow], oracles: Sequence[str]
    ) -> None:
        self._task = task
        known = [x for x in labels if x.value in task.names]  # a class that the job has no more is no answer
        self._people = _by_text(x for x in known if x.source is Source.PERSON)
        self._seeds = {x.text_id for x in known if x.source is Source.SEED}
        self._said = _by_text(_once(x for x in known if x.source is Source.ORACLE))
        self._texts = [i for i, said in self._said.items() if len(said) > 1 or i in self._people]
        self._place = {text_id: k for k, text_id in enumerate(self._texts)}
        by = dict.fromkeys(x.by for i in self._texts for x in self._said[i])
        rank = {name: k for k, name in enumerate(oracles)}
        self._oracles = tuple(sorted(by, key=lambda name: rank.get(name, -1)))
        truth = (self._people[i][-1].value if i in self._people else None for i in self._texts)
        self._truth = places(truth, task.names)
        self._weights = np.ones(len(self._texts))
        reviewed = np.flatnonzero(self._truth >= 0)
        chances = [chance_of_review(routes.get(self._texts[k])) for k in reviewed.tolist()]
        self._weights[reviewed] = in_effect(np.array(chances, np.float64))
        self._reviewed = len(reviewed)

    def opinions(self) -> Opinions:
        found = None
        if self._texts:
            voices = [self._voice(name) for name in self._oracles]
            found = consensus(voices, self._truth, self._weights, len(self._task.names))
        asked = [i for i in self._texts if i not in self._people and i not in self._seeds]
        posterior = {i: self._chances(i, found) for i in asked} | self._torn()
        counts = {i: _likeliest(self._said[i], posterior[i]) for i in asked}
        return Opinions(
            counts=counts | {i: self._people[i][-1] for i in posterior if i not in counts},
            posterior=posterior,
            asked=len(asked),
            agreed=sum(len({x.value for x in self._said[i]}) == 1 for i in asked),
            changed=sum(counts[i].value != self._said[i][-1].value for i in asked),
            oracles=self._oracles,
            consensus=found,
            reviewed=self._reviewed,
        )

    def _voice(self, name: str) -> Voice:
        """What one oracle said. It has one voice a text: asked in several ways, the mean of what it said."""
        own = [(self._place[i], x) for i in self._texts for x in self._said[i] if x.by == name]
        rows = np.array([row for row, _ in own], np.int64)
        given = as_given([x for _, x in own], self._task)
        assert given.probabilities is not None
        assert given.said is not None
        truth = self._truth[rows]
        judged = np.flatnonzero(truth >= 0)
        right = given.said == truth
        calibration = Calibration.fit(given.part(judged), right[judged], truth[judged])
        told = given.probabilities.copy()
        without = ~given.has_classes
        told[without] = smeared(given.said[without], len(self._task.names), self._usual(right, rows, judged))
        sure = calibration.apply(given)
        calibrated = np.flatnonzero(~without & np.isfinite(sure))
        told[calibrated] = believed(told[calibrated], given.said[calibrated], sure[calibrated])
        return _merged(rows, given.said, told)

    def _usual(self, right: np.ndarray, rows: Indices, judged: Indices) -> float:
        """How often an oracle is right, by people's verdicts so far."""
        weights = self._weights[rows[judged]]
        return float((RIGHT + weights[right[judged]].sum()) / (RIGHT + WRONG + weights.sum()))

    def _chances(self, text_id: TextId, found: Consensus | None) -> dict[str, float]:
        """How likely each class of a text is. Of what one oracle said in several ways it is the plain mean, as of its
        only answer nothing is made either."""
        said = self._said[text_id]
        assert found is not None
        alone = len({x.by for x in said}) == 1
        row = self._task.targets(said).mean(axis=0) if alone else found.posterior[self._place[text_id]]
        return dict(zip(self._task.names, (float(p) for p in row), strict=True))

    def _torn(self) -> dict[TextId, dict[str, float]]:
        """The share of people for each class, of texts on which they disagree."""
        found = {}
        for text_id, given in self._people.items():
            last = {x.by: x.value for x in given}  # what a person said later takes the place of what they said before
            values = list(last.values())
            if len(set(values)) > 1:
                found[text_id] = {name: values.count(name) / len(values) for name in self._task.names}
        return found


def _likeliest(said: Sequence[Label], chance: Mapping[str, float]) -> Label:
    """Of the classes that were given the likeliest; of the labels that say so the newest."""
    best = max(chance[x.value] for x in said)
    return [x for x in said if math.isclose(chance[x.value], best, rel_tol=1e-6)][-1]


def _by_text(labels: Iterable[Label]) -> dict[TextId, list[Label]]:
    found: dict[TextId, list[Label]] = {}
    for label in labels:
        found.setdefault(label.text_id, []).append(label)
    return found


def _once(labels: Iterable[Label]) -> list[Label]:
    """One label an answer: what was derived from it again, such as without an oracle's preference, counts alone."""
    newest = {(x.text_id, x.by, x.answer_id if x.answer_id is not None else f"none {x.id}"): x for x in labels}
    return sorted(newest.values(), key=lambda x: x.id or 0)


def was_seen(route: RouteRow | None, label: Label) -> bool:
    """Whether a person who decided on a text had this label before their eyes."""
    return route is not None and not route.blind and route.label_id == label.id


def chance_of_review(route: RouteRow | None) -> float:
    """With which a text was shown to a person; 1 where that is not known."""
    given = None if route is None else route.probability
    return given if given is not None and 0 < given <= 1 else 1.0


def beside_triage(audited: Iterable[TextId], routes: Mapping[TextId, RouteRow]) -> set[TextId]:
    """Texts that people see for another reason than triage's: an audit drew them, or their accepted labels look
    wrong. The chance with which triage shows a text to people says nothing of them."""
    drawn = {i for i in audited if i in routes and routes[i].route is Route.ACCEPTED}
    return drawn | {i for i, r in routes.items() if r.looks_wrong}


def _merged(rows: Indices, said: Indices, told: Doubles) -> Voice:
    """One answer a text: the mean of an oracle's probabilities, and of equally likely classes the one given last."""
    places, where, counts = np.unique(rows, return_inverse=True, return_counts=True)
    if len(places) == len(rows):
        return Voice(rows, said, told)
    mean = np.zeros((len(places), told.shape[1]))
    np.add.at(mean, where, told)
    mean /= counts[:, None]
    newest = np.zeros(len(places), np.int64)
    newest[where] = said  # rows of one text come oldest first: the last one stays
    best = mean.max(axis=1)
    ties = np.isclose(mean[np.arange(len(places)), newest], best)
    return Voice(places, np.where(ties, newest, mean.argmax(axis=1)), mean)
