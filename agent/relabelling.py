"""Which labels a round asks again, and what comes of it: `agent.worth`, fed with what is known of labels only now.

A student that had not seen a label, confident learning, and texts like it say which labels look wrong. Such a label
is asked again where that is expected to bring more right labels a dollar than a new text. What is to be asked again
is a route in the store, and accepted as before until the second answer has come: so a run may die anywhere and go on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import expit

from agent import worth
from agent.doubt import SIGNS, confidently_other, of_student
from agent.doubt.calibration import Bools, Doubles, Indices, odds, places
from agent.doubt.suspicion import SURELY
from agent.doubting import as_array, neighbours_of
from agent.escalating import Known, left
from agent.hearing import SUSPECT
from agent.judging import judgement
from agent.measuring import Lesson
from agent.records import Floats, Label, Route, Source, Text, TextId
from agent.store import AGAIN, IN_BULK, RouteRow
from agent.student.head import Head
from agent.valuing import worth_of
from agent.workbench import RELABEL, Workbench

STUDENT, NEIGHBOURS = SIGNS.index("student"), SIGNS.index("neighbours")
SAME, ANOTHER, NONE = f"{AGAIN}: the same", f"{AGAIN}: another label", f"{AGAIN}: no label"
DIFFER = "unsure: two answers differ"


@dataclass(frozen=True)
class Again:
    """A label that is asked again.

    Attributes:
        place: of the oracle that is asked, in the job's list: the one after that which gave the label.
        other_way: there is none after it; it is asked itself, in another way.
    """

    label: Label
    place: int
    other_way: bool


@dataclass(frozen=True)
class Settled:
    """What came of labels that were asked again: how many, and of how many another label counts now."""

    texts: int
    changed: int


# Which labels -------------------------------------------------------------------------------------------------------


def choose(bench: Workbench, number: int, size: int, pays: Callable[[int], bool]) -> int:
    """Choose the labels that round `number` asks again, and keep the choice. What an earlier run chose, and did not
    come to ask about, is that choice.

    Args:
        size: questions of the round in all.
        pays: whether the money that is left pays for a question to the oracle at that place.

    Returns how many questions about new texts they take the place of.
    """
    share = bench.job.selection.relabel
    if not share or not number or not bench.trained:
        return 0
    known = Known(bench, 0, [])
    again = [a for a in waiting(bench) if pays(a.place)]
    if not again:
        again = _worth_it(bench, number, known, share * size, pays)
        routes = bench.store.routes(bench.job.name)
        bench.route([replace(routes[a.label.text_id], reason=AGAIN) for a in again])
    return math.ceil(sum(_questions(known, a) for a in again) - 1e-9)


def waiting(bench: Workbench) -> list[Again]:
    """What was chosen, and has no second answer yet; a text that a person has settled since is not asked about."""
    routes = bench.store.routes(bench.job.name)
    chosen = {i for i, r in routes.items() if r.reason == AGAIN}
    if not chosen:
        return []
    current = bench.store.current(bench.job.name)
    return [a for i in chosen if i in current and (a := _asked_of(bench, current[i])) is not None]


def _asked_of(bench: Workbench, label: Label) -> Again | None:
    """Who is asked about a label again; None where no oracle of the job gave it."""
    by = [o.by for o in bench.job.oracle]
    if label.source is not Source.ORACLE or label.by not in by:
        return None
    place, last = by.index(label.by), len(by) - 1
    return Again(label, min(place + 1, last), other_way=place == last)


def _questions(known: Known, again: Again) -> float:
    """How many questions about new texts cost as much as asking again; where those are free, each counts as one."""
    price = known.price(0)
    return known.price(again.place) / price if price > 0 else 1.0


def _worth_it(bench: Workbench, number: int, known: Known, most: float, pays: Callable[[int], bool]) -> list[Again]:
    """The labels that look wrong and are worth asking again, the most gain a dollar first."""
    doubts = Doubts(bench, known, bench.taught, bench.rng(RELABEL, number))
    if not doubts.told:
        return []
    payable = {place: pays(place) for place in range(len(bench.job.oracle))}
    once = answered_once(bench)
    found = [
        (k, again)
        for k, label in enumerate(doubts.labels)
        if doubts.suspect[k]
        and label.text_id in once
        and (again := _asked_of(bench, label)) is not None
        and payable[again.place]
    ]
    if not found:
        return []
    gains = np.zeros(len(found))
    kinds: dict[tuple[int, bool], list[int]] = {}
    for i, (_, again) in enumerate(found):
        kinds.setdefault((again.place, again.other_way), []).append(i)
    for (place, other_way), rows in kinds.items():
        sure = doubts.right[[found[i][0] for i in rows]]
        gains[rows] = (doubts.other_way(place) if other_way else known.step(place - 1)).gains(sure)
    gains *= 1 + known.teaches  # a label that is put right teaches as a new one does
    asked = [again for _, again in found]
    a_dollar = np.array([worth.ratio(g, known.price(a.place)) for g, a in zip(gains.tolist(), asked, strict=True)])
    questions = np.array([_questions(known, a) for a in asked])
    new_text, ample = known.new_text(by_signs=True).a_dollar, known.ahead().cost() <= left(bench)
    return [asked[i] for i in worth.asked_again(a_dollar, questions, most, new_text, ample=ample)]


def answered_once(bench: Workbench) -> set[TextId]:
    """Texts whose label may be asked again: accepted, by one answer of one oracle; not audited, nor asked before, nor
    accepted by a person with many others."""
    store, name = bench.store, bench.job.name
    times = Counter(text_id for text_id, _, _ in {(x.text_id, x.by, x.answer_id or x.id) for x in _given(bench)})
    current = store.current(name)
    return {
        i
        for i, r in store.routes(name).items()
        if r.route is Route.ACCEPTED and not r.blind and not r.reason.startswith((AGAIN, IN_BULK))
        if times[i] == 1 and i in current and current[i].source is Source.ORACLE
    }


def _given(bench: Workbench) -> list[Label]:
    return bench.store.labels(bench.job.name, source=Source.ORACLE)


class Doubts:
    """How likely the labels that oracles gave are right, by what is known now.

    Args:
        known: what the job knows of its oracles.
        lessons: all labels that count.
        rng: deals the folds.

    Attributes:
        labels: n that count, by oracles of the job, one a text.
    """

    def __init__(self, bench: Workbench, known: Known, lessons: Sequence[Lesson], rng: np.random.Generator) -> None:
        self._bench, self._known = bench, known
        by, names = {o.by for o in bench.job.oracle}, bench.task.names
        rows = [
            i for i, (_, x) in enumerate(lessons) if x.source is Source.ORACLE and x.by in by and x.value in names
        ]
        self._texts = [lessons[i][0] for i in rows]
        self.labels = [lessons[i][1] for i in rows]
        self._foretold: Floats | None = None
        if rows:
            head = Head(len(names))  # on the first encoder: on a refreshed one every label has left its mark
            vectors = np.asarray(bench.first_vectors([t for t, _ in lessons]), np.float32)
            targets = bench.task.targets([x for _, x in lessons])
            head.fit(vectors, targets, np.ones(len(targets), np.float32), rng)
            if any(True for _ in head.parts()):
                self._foretold = np.asarray(head.out_of_fold[rows], np.float32)

    @property
    def told(self) -> bool:
        """Whether anything can be said: there are enough labels to hold some out."""
        return self._foretold is not None

    @property
    def foretold(self) -> Floats:
        """(n, C) what a student says of each text that had not seen its label; for where something is `told`."""
        assert self._foretold is not None
        return self._foretold

    @cached_property
    def _said(self) -> Indices:
        return places((x.value for x in self.labels), self._bench.task.names)

    @cached_property
    def _signs(self) -> Doubles:
        return self._signs_of(self.labels, np.arange(len(self.labels)))

    def _signs_of(self, labels: Sequence[Label], rows: Indices) -> Doubles:
        """(m, S) signs of labels of the texts at `rows`, those of today in the place of what was noted."""
        assert self._foretold is not None
        found = as_array([x.signs or {} for x in labels])
        sure = np.array([np.nan if x.confidence is None else x.confidence for x in labels], np.float64)
        said = places((x.value for x in labels), self._bench.task.names)
        found[:, SIGNS.index("confidence")] = np.clip(np.nan_to_num(odds(sure)), -SURELY, SURELY)
        found[:, STUDENT] = of_student(self._foretold[rows], said)
        found[:, NEIGHBOURS] = neighbours_of(self._bench, labels, [self._texts[i] for i in rows.tolist()])
        return found

    def _odds(self, labels: Sequence[Label], signs: Doubles) -> Doubles:
        """(m,) log odds that each is right, by the error model of its oracle."""
        found = np.zeros(len(labels))
        for place, oracle in enumerate(self._bench.job.oracle):
            own = [k for k, x in enumerate(labels) if x.by == oracle.by]
            model = self._known.judge(place).model
            found[own] = model.offset + signs[own] @ np.asarray(model.weights)
        return found

    def _chances(self, labels: Sequence[Label], signs: Doubles) -> Doubles:
        """(m,) the chance that each label is right."""
        return np.asarray(expit(self._odds(labels, signs)), np.float64)

    @cached_property
    def right(self) -> Doubles:
        """(n,) the chance that each label is right."""
        return self._chances(self.labels, self._signs)

    @cached_property
    def suspect(self) -> Bools:
        """(n,) which labels look wrong: confident learning takes them for another class, or the student and texts
        like them together speak against them. The others are not asked again, however much that might gain."""
        assert self._foretold is not None
        weights = np.zeros((len(self.labels), 2))
        for place, oracle in enumerate(self._bench.job.oracle):
            model = self._known.judge(place).model
            own = [k for k, x in enumerate(self.labels) if x.by == oracle.by]
            weights[own] = [model.weights[STUDENT], model.weights[NEIGHBOURS]]
        against = (weights * self._signs[:, [STUDENT, NEIGHBOURS]]).sum(axis=1) < 0
        return np.asarray(against | confidently_other(self._said, self._foretold), np.bool_)

    def other_way(self, place: int) -> worth.OtherWay:
        """Asking the oracle at `place` itself in another way, by what came of that so far."""
        oracle, known = self._bench.job.oracle[place], self._known
        given: dict[TextId, list[Label]] = {}
        for x in _given(self._bench):
            given.setdefault(x.text_id, []).append(x)
        twice = [
            k
            for k, x in enumerate(self.labels)
            if len(own := given[x.text_id]) > 1 and {y.by for y in own} == {oracle.by}
        ]
        price = known.price(place)
        if not twice:
            return worth.OtherWay(worth.mended(np.zeros(0), np.zeros(0)), known.at_hand(place), price)
        rows = np.array(twice, np.int64)
        now = [self.labels[k] for k in twice]
        first = [self._as_first(x, given[x.text_id][0]) for x in now]
        before = self._chances(first, self._signs_of(first, rows))
        return worth.OtherWay(worth.mended(1 - before, self.right[rows] - before), known.at_hand(place), price)

    @staticmethod
    def _as_first(now: Label, first: Label) -> Label:
        """The first answer's label, as sure as both answers together make it."""
        told = now.probabilities
        return first if told is None else replace(first, confidence=float(told[str(first.value)]))


# What came of them --------------------------------------------------------------------------------------------------


def grouped(again: Sequence[Again]) -> Mapping[tuple[int, bool], list[Again]]:
    """By the oracle that is asked, and whether in another way; the first oracle first."""
    found: dict[tuple[int, bool], list[Again]] = {}
    for one in sorted(again, key=lambda a: (a.place, a.label.id or 0)):
        found.setdefault((one.place, one.other_way), []).append(one)
    return found


def settle(
    bench: Workbench, again: Sequence[Again], labels: Sequence[Label], failed: Mapping[TextId, str]
) -> Settled:
    """Keep second answers and say where each text goes, in one commit. A text that was not asked stays as it is.

    What both say stays accepted, and so does what an oracle after the first one is sure of. Where the two differ
    otherwise, the text waits for a person (and for a further oracle, where there is one). A failure takes no label
    away.
    """
    if not labels and not failed:
        return Settled(0, 0)
    asked = {a.label.text_id: a for a in again}
    routes = bench.store.routes(bench.job.name)
    judge = judgement(bench, labels[0].by if labels else None)
    is_sure = judge.sure(labels) >= (judge.bar.value or 0.0)
    places = worth_of(bench, labels).places(1 - judge.by_all_signs(labels)).tolist()
    with bench.store.transaction() as tx:
        ids = bench.store.add_labels(bench.job.name, labels, tx=tx)
        rows = []
        for label, label_id, sure, place in zip(labels, ids, is_sure.tolist(), places, strict=True):
            one, before = asked[label.text_id], routes[label.text_id]
            same = bench.task.agreement(label.value, one.label.value) == 1.0
            if same or (sure and not one.other_way):
                reason = SAME if same else ANOTHER
                rows.append(replace(before, label_id=label_id, reason=reason, confidence=label.confidence))
            else:
                further = one.place + 1 < len(bench.job.oracle)
                route = Route.STRONGER if further else Route.PERSON
                rows.append(
                    RouteRow(
                        label.text_id, label_id, route, DIFFER, label.confidence, probability=1.0, priority=place
                    )
                )
        for text_id, why in failed.items():
            is_hostile = why.startswith(SUSPECT)
            new = RouteRow(text_id, None, Route.PERSON, why, probability=1.0)
            rows.append(new if is_hostile else replace(routes[text_id], reason=NONE))
        bench.route(rows, tx=tx)
    counts = bench.opinions().counts
    changed = sum(counts[i].value != asked[i].label.value for i in (x.text_id for x in labels) if i in counts)
    return Settled(len(labels) + len(failed), changed)


def texts_of(bench: Workbench, again: Sequence[Again]) -> list[Text]:
    """The texts of labels that are asked again."""
    picks = bench.picks()
    return [Text(p.text_id, p.text, p.row) for p in (picks[a.label.text_id] for a in again)]
