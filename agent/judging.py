"""How far an oracle's labels are to be believed, and from where on they are accepted: from what people said of them.

The formulas are `agent.doubt`'s and `agent.triage`'s; here stands what they are fed with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent import triage as triaging
from agent.doubt import Calibration, ErrorModel, Given, lead
from agent.doubt.calibration import Bools, Doubles, Indices, places
from agent.doubting import as_array
from agent.opinions import as_given, was_seen
from agent.records import Label, Route, Source, TextId
from agent.tasks import Task, is_right
from agent.valuing import Worth
from agent.workbench import Workbench

ENOUGH_BLIND = 60
ENOUGH_FOR_SIGNS = 60
"""Verdicts before the error model may decide what is accepted; it orders the queue from the start."""


AGAINST = {
    "student": "the student expects something else",
    "neighbours": "texts like it have other labels",
    "lost": "part of its probability went to no label",
    "order": "the answer changed with the order of the labels",
    "length": "the text is far longer than others",
}
"""What a sign against a label says to a person. That the oracle itself is not sure needs no more words."""
MANY = "many texts like it are in the same doubt"


@dataclass(frozen=True)
class Judgement:
    """How an oracle's labels are judged.

    Attributes:
        calibration: of its confidence alone.
        model: of all signs.
        by_signs: `sure` is the error model's word, since it foretold people's verdicts better.
        bar: from which `sure` on a label is accepted.
    """

    task: Task
    calibration: Calibration
    model: ErrorModel
    by_signs: bool
    bar: triaging.Threshold

    def sure(self, labels: Sequence[Label]) -> Doubles:
        """(n,) the chance that each label is right; NaN where nothing tells."""
        return self.sure_of(as_given(labels, self.task), _signs(labels))

    def sure_of(self, answers: Given, signs: Doubles) -> Doubles:
        """The same of n answers with their (n, S) signs."""
        return self.model.right(signs) if self.by_signs else self.calibration.apply(answers)

    def by_all_signs(self, labels: Sequence[Label]) -> Doubles:
        """(n,) the same by the error model, whatever decides what is accepted."""
        return self.model.right(_signs(labels))

    def places(self, labels: Sequence[Label], worth: Worth) -> list[float | None]:
        """Where each label stands in people's queue: by its chance to be wrong, by all its signs, and by what a
        verdict is worth then. None, for a label without any sign, leaves it to the store."""
        found = worth.places(1 - self.by_all_signs(labels)).tolist()
        return [place if any((x.signs or {}).values()) else None for x, place in zip(labels, found, strict=True)]

    def told(self) -> str:
        """From where on labels are accepted, and why, as a sentence."""
        by = "all signs together" if self.by_signs else f"the oracle's confidence ({self.calibration.kind})"
        return f"labels are accepted from {self.bar.value or 0:.2f} on, by {by}: {self.bar.basis}"

    def reason(self, decision: triaging.Decision, label: Label, *, many: bool = False) -> str:
        """Why a label goes where it goes, with what speaks most against it where it goes to a person unblinded, and
        that `many` texts are in the same doubt."""
        if decision.blind or decision.route is Route.ACCEPTED:
            return decision.reason
        against = self.model.against(_signs([label])[0])
        why = [AGAINST[against]] if against in AGAINST else []
        why += [MANY] if many else []
        return f"{decision.reason}: {'; '.join(why)}" if why else decision.reason


def judgement(bench: Workbench, oracle: str | None = None) -> Judgement:
    """What people's verdicts so far say of the labels by an oracle (`name/model`); of all oracles' where none is
    named, or where people saw too few of its own."""
    people = _people(bench)
    labels = bench.store.labels(bench.job.name, source=Source.ORACLE) if people else []
    own = [x for x in labels if oracle is None or x.by == oracle]
    few = sum(x.text_id in people for x in own) < ENOUGH_BLIND
    return _judged(bench, {x.text_id: x for x in (labels if few else own)}, people)


def _people(bench: Workbench) -> dict[TextId, Label]:
    """People's labels, without those of labels that were shown to them since they looked wrong: among those are far
    more errors than among others that are as sure. Where there are enough, those that were given without sight of the
    machine's."""
    if not bench.store.count_labels(bench.job.name).get(Source.PERSON):
        return {}
    routes = bench.store.routes(bench.job.name)
    drawn = bench.store.judged_blind(bench.job.name)
    people = {
        i: label
        for i, label in bench.store.current(bench.job.name).items()
        if label.source is Source.PERSON and not (i in routes and routes[i].looks_wrong and i not in drawn)
    }
    blind = {i: label for i, label in people.items() if i in drawn or (i in routes and routes[i].blind)}
    return blind if len(blind) >= ENOUGH_BLIND else people  # who saw the machine's label is drawn towards it


def _judged(bench: Workbench, given: Mapping[TextId, Label], people: Mapping[TextId, Label]) -> Judgement:
    task = bench.task
    both = [i for i in people if i in given]
    labels = [given[i] for i in both]
    seen = _seen(bench, labels)
    right = np.array(
        [is_right(task, people[i].value, x.value, seen=i in seen) for i, x in zip(both, labels, strict=True)],
        np.bool_,
    )
    truth = places((people[i].value for i in both), task.names if task.widget == "choice" else ())
    found = learnt(
        task,
        as_given(labels, task),
        _signs(labels),
        right,
        truth,
        target_error=bench.job.people.target_error,
        by_signs=all(x.signs for x in labels),
    )
    return replace(found, bar=found.bar.or_else(bench.job.people.threshold))


def _seen(bench: Workbench, labels: Sequence[Label]) -> set[TextId]:
    """Texts of which people had these labels before their eyes when they gave theirs."""
    routes, blind = bench.store.routes(bench.job.name), bench.store.judged_blind(bench.job.name)
    return {x.text_id for x in labels if was_seen(routes.get(x.text_id), x) and x.text_id not in blind}


def learnt(
    task: Task,
    answers: Given,
    signs: Doubles,
    right: Bools,
    truth: Indices,
    *,
    target_error: float,
    by_signs: bool = True,
) -> Judgement:
    """What n verdicts say of whoever gave the answers; its bar has no value where they do not show any.

    Args:
        answers: n, as given; signs: (n, S) of them.
        right: (n,) whether a person agreed; truth: (n,) the class that people named, -1 for none.
        by_signs: they may decide, as every answer has some.
    """
    calibration, model = Calibration.fit(answers, right, truth), ErrorModel.fit(signs, right)
    seen, by_signs = calibration.crossed(answers, right, truth), by_signs and len(right) >= ENOUGH_FOR_SIGNS
    if by_signs:
        by_all = ErrorModel.crossed(signs, right)
        by_signs = lead(by_all, seen, right) > 0
        seen = by_all if by_signs else seen
    return Judgement(task, calibration, model, by_signs, triaging.threshold(seen, right, target_error))


def _signs(labels: Sequence[Label]) -> Doubles:
    return as_array([x.signs or {} for x in labels])
