"""How far those who labelled the same texts of a job agree: people with each other, with oracles, with the student.

The formulas are `agent.agreement`'s; here stands what they are fed with, out of the store: of each rater the newest
label that stands of each text, how long people took, and what they saw while they decided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

import numpy as np

from agent.agreement import Coefficient, Difference, Figure, agreed, anchored, cohen, fleiss_and_krippendorff
from agent.records import Label, Source, TextId, Value
from agent.store import ReviewRow, Store
from agent.tasks import Generation, Task, is_right
from agent.tasks.intervals import wilson

MOST_PAIRS = 60  # those with the most texts: of fifty people there are 1,225
RESAMPLES = 1000
BANDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)  # of a machine's confidence
STREAM = 1960  # of the job's seed: no other random choice draws from it
RATERS = (Source.PERSON, Source.ORACLE, Source.STUDENT)  # a seed's label is given, and nobody's opinion


@dataclass(frozen=True, slots=True)
class Rater:
    """A person, an oracle (`name/model`) or the student: `kind` is the label's source. Of the texts that several
    labelled it labelled `texts`."""

    name: str
    kind: str
    texts: int


@dataclass(frozen=True, slots=True)
class Pair:
    """Two raters and the `texts` that both labelled: in `same` of them alike, a share from `lo` to `hi`."""

    a: str
    b: str
    texts: int
    same: int
    lo: float
    hi: float
    kappa: Coefficient


@dataclass(frozen=True, slots=True)
class Alike:
    """Two raters who wrote about the same `texts`: the mean chrF of what they wrote, from `lo` to `hi` (a bootstrap
    of texts)."""

    a: str
    b: str
    texts: int
    mean: float
    lo: float
    hi: float


@dataclass(frozen=True, slots=True)
class Together:
    """Several raters as one: `who` is `people` or `all`."""

    who: str
    raters: int
    fleiss: Coefficient
    alpha: Coefficient


@dataclass(frozen=True, slots=True)
class Confused:
    """How often a person said `given` where most of the others said `others`."""

    others: str
    given: str
    count: int


@dataclass(frozen=True, slots=True)
class Person:
    """One person: texts labelled, the median of their seconds a text (None where nothing was timed) over `timed`
    texts, and on `compared` texts that other people labelled too, with one label ahead, how often theirs is that one.
    `confused` are the cells of that comparison, also the agreeing ones, for tasks with one class a text."""

    name: str
    texts: int
    seconds: float | None
    timed: int
    compared: int
    agreed: int
    confused: tuple[Confused, ...] = ()


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far raters agree on the `texts` that at least two of them labelled.

    `names` are the labels that the coefficients speak of one by one. `pairs` are those with the most texts first.
    `anchoring` holds what people gave with the machine's suggestion before their eyes against what they gave blind;
    None where they did only one of the two. Where texts are written, `alike` is in the place of
    `pairs` and `together`.
    """

    texts: int
    names: tuple[str, ...]
    raters: tuple[Rater, ...]
    pairs: tuple[Pair, ...]
    together: tuple[Together, ...]
    people: tuple[Person, ...]
    anchoring: Difference | None = None
    alike: tuple[Alike, ...] = ()


def agreeing(store: Store, job: str, task: Task, seed: int) -> Agreement | None:
    """Who agrees with whom in a job; None where no two labelled the same text. `seed` is the job's, for intervals."""
    given = [label for label in store.contested(job) if label.source in RATERS]
    table = _Table.of(given, task)
    if table is None:
        return None
    rng = np.random.default_rng([seed, STREAM])
    reviews = [r for r in store.reviews(job) if r.action == "label" and not r.undone]
    # labels that looked wrong were shown, and are wrong far more often than others that are as sure
    chosen = {i for i, route in store.routes(job).items() if route.looks_wrong}
    return Agreement(
        texts=len(table.texts),
        names=tuple(task.names),
        raters=tuple(
            Rater(name, source.value, int((column >= 0).sum()))
            for (source, name), column in zip(table.raters, table.said.T, strict=True)
        ),
        pairs=() if isinstance(task, Generation) else table.pairs(rng),
        together=() if isinstance(task, Generation) else table.together(rng),
        people=table.people(reviews),
        anchoring=_anchoring(given, [r for r in reviews if r.text_id not in chosen], task),
        alike=table.alike(task, rng) if isinstance(task, Generation) else (),
    )


@dataclass(frozen=True)
class _Table:
    """Texts that at least two labelled, and what each rater said of each.

    `said` is (n, raters): the place in `values`, -1 where they said nothing; of a task with one class a text the
    values are the classes, elsewhere every value that was given, so that only the same agrees. `labels` has for each
    label of a task with several a text the same table with 1 where it was given and 0 where not.
    """

    task: Task
    texts: tuple[TextId, ...]
    raters: tuple[tuple[Source, str], ...]
    values: tuple[str, ...]
    said: np.ndarray
    labels: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, given: Iterable[Label], task: Task) -> _Table | None:
        by_text: dict[TextId, dict[tuple[Source, str], Value]] = {}
        for label in given:  # oldest first: the newest of a rater stays
            if task.widget != "choice" or label.value in task.names:  # a class that the job has no more is none
                by_text.setdefault(label.text_id, {})[label.source, label.by] = label.value
        several = {i: said for i, said in by_text.items() if len(said) > 1}
        if not several:
            return None
        raters = sorted({r for said in several.values() for r in said}, key=lambda r: (RATERS.index(r[0]), r[1]))
        column = {rater: k for k, rater in enumerate(raters)}
        known = list(task.names) if task.widget == "choice" else []
        place = {value: k for k, value in enumerate(known)}
        said = np.full((len(several), len(raters)), -1, np.int64)
        marks = _marks(task, said.shape)
        for row, values in enumerate(several.values()):
            for rater, value in values.items():
                said[row, column[rater]] = place.setdefault(task.show(value), len(place))
                for mark, name in zip(marks, task.names, strict=False):
                    mark[row, column[rater]] = name in value
        return cls(task, tuple(several), tuple(raters), tuple(place), said, marks)

    def alike(self, task: Generation, rng: np.random.Generator) -> tuple[Alike, ...]:
        """Of texts, which two people never write alike, how near each other they are."""
        values, found = [task.read(value) for value in self.values], []
        for i, j in combinations(range(len(self.raters)), 2):
            both = self.said[(self.said[:, i] >= 0) & (self.said[:, j] >= 0)]
            if len(both):
                near = np.array([task.agreement(values[row[i]], values[row[j]]) for row in both.tolist()])
                draws = near[rng.integers(0, len(near), (RESAMPLES, len(near)))].mean(axis=1)
                lo, hi = (float(q) for q in np.quantile(draws, [0.025, 0.975]))
                found.append(Alike(self.raters[i][1], self.raters[j][1], len(near), float(near.mean()), lo, hi))
        return tuple(sorted(found, key=lambda pair: -pair.texts)[:MOST_PAIRS])

    def pairs(self, rng: np.random.Generator) -> tuple[Pair, ...]:
        both = [(i, j, agreed(self.said[:, i], self.said[:, j])) for i, j in combinations(range(len(self.raters)), 2)]
        most = sorted((b for b in both if b[2][1]), key=lambda b: -b[2][1])[:MOST_PAIRS]
        return tuple(self._pair(i, j, same, texts, rng) for i, j, (same, texts) in most)

    def _pair(self, i: int, j: int, same: int, texts: int, rng: np.random.Generator) -> Pair:
        found = cohen(self.said[:, i], self.said[:, j], len(self.values), rng)
        assert found is not None
        each = [cohen(mark[:, i], mark[:, j], 2, rng) for mark in self.labels]
        kappa = self._by_label(found, [e for e in each if e is not None])
        return Pair(self.raters[i][1], self.raters[j][1], texts, same, *wilson(same, texts), kappa)

    def together(self, rng: np.random.Generator) -> tuple[Together, ...]:
        people = [k for k, (source, _) in enumerate(self.raters) if source is Source.PERSON]
        groups = {"people": people, "all": list(range(len(self.raters)))}
        if groups["people"] == groups["all"]:
            del groups["all"]
        found = (self._together(who, columns, rng) for who, columns in groups.items() if len(columns) > 1)
        return tuple(t for t in found if t is not None)

    def _together(self, who: str, columns: Sequence[int], rng: np.random.Generator) -> Together | None:
        found = fleiss_and_krippendorff(self.said[:, columns], len(self.values), rng)
        if found is None:
            return None
        each = [fleiss_and_krippendorff(mark[:, columns], 2, rng) for mark in self.labels]
        fleiss = self._by_label(found[0], [e[0] for e in each if e is not None])
        alpha = self._by_label(found[1], [e[1] for e in each if e is not None])
        return Together(who, len(columns), fleiss, alpha)

    def _by_label(self, found: Coefficient, each: Sequence[Coefficient]) -> Coefficient:
        """With a figure for every label: `each` is given against not given, where a text may have several."""
        own: tuple[Figure, ...] = found.labels if self.task.widget == "choice" else tuple(e.overall for e in each)
        return Coefficient(found.overall, own, found.units)

    def people(self, reviews: Sequence[ReviewRow]) -> tuple[Person, ...]:
        """Everybody who labelled anything, in the order of their names."""
        seconds: dict[str, list[float]] = {}
        texts: dict[str, set[TextId]] = {}
        for r in reviews:
            texts.setdefault(r.person, set()).add(r.text_id)
            if r.seconds > 0:  # 0 is not known: an imported label
                seconds.setdefault(r.person, []).append(r.seconds)
        columns = {name: k for k, (source, name) in enumerate(self.raters) if source is Source.PERSON}
        cells = self._beside_others(columns)
        return tuple(
            _person(name, len(texts.get(name, ())), seconds.get(name, []), cells.get(name, Counter()), self)
            for name in sorted(columns.keys() | texts.keys())
        )

    def _beside_others(self, columns: Mapping[str, int]) -> dict[str, Counter[tuple[int, int]]]:
        """Of each person (what most others said, what they said) and how often: where one value is ahead."""
        found: dict[str, Counter[tuple[int, int]]] = {name: Counter() for name in columns}
        if isinstance(self.task, Generation):  # among texts no two of which are the same none is ahead
            return found
        said = self.said[:, list(columns.values())]
        for row in said[(said >= 0).sum(axis=1) > 1].tolist():
            votes = Counter(value for value in row if value >= 0)
            for name, own in zip(columns, row, strict=True):
                if own >= 0:
                    others = (votes - Counter([own])).most_common(2)
                    if len(others) == 1 or others[0][1] > others[1][1]:
                        found[name][others[0][0], own] += 1
        return found


def _person(
    name: str, texts: int, seconds: Sequence[float], cells: Counter[tuple[int, int]], table: _Table
) -> Person:
    compared = sum(cells.values())
    alike = sum(n for (others, own), n in cells.items() if others == own)
    confused: tuple[Confused, ...] = ()
    if table.task.widget == "choice":
        ranked = sorted(cells.items(), key=lambda cell: (-cell[1], cell[0]))
        confused = tuple(Confused(table.values[others], table.values[own], n) for (others, own), n in ranked)
    return Person(name, texts, median(seconds) if seconds else None, len(seconds), compared, alike, confused)


def _marks(task: Task, shape: tuple[int, int]) -> tuple[np.ndarray, ...]:
    several = task.widget == "multiple"
    return tuple(np.full(shape, -1, np.int64) for _ in task.names) if several else ()


def _anchoring(given: Sequence[Label], reviews: Sequence[ReviewRow], task: Task) -> Difference | None:
    """What people said of what a machine had said before: with that in sight, and blind."""
    labels = {label.id: label for label in given}
    machines: dict[TextId, list[Label]] = {}
    for label in given:
        if label.source is not Source.PERSON:
            machines.setdefault(label.text_id, []).append(label)
    rows = []
    newest = {(r.person, r.text_id): r for r in reviews}
    for review in newest.values():
        own = labels.get(review.label_id)
        if own is None or own.id is None:
            continue
        seen = [m for m in machines.get(own.text_id, ()) if m.id is not None and m.id < own.id]
        if seen:
            what = max(seen, key=lambda m: (m.source is Source.ORACLE, m.id))
            right = task.show(what.value) == task.show(own.value) or is_right(task, own.value, what.value)
            rows.append((right, review.blind, np.nan if what.confidence is None else what.confidence))
    agrees, hidden, sure = (np.array([row[k] for row in rows], float) for k in range(3))
    if not rows or hidden.all() or not hidden.any():
        return None
    return anchored(agrees > 0, hidden > 0, sure, BANDS)


def right_of_pots(store: Store, job: str, task: Task) -> dict[str, list[bool]]:
    """Whether each answer of a person to a text whose answer is known was right, in order; for all who gave any."""
    found: dict[str, list[bool]] = {}
    for answer in store.honey_pot_answers(job):
        found.setdefault(answer.person, []).append(is_right(task, answer.known, answer.gave))
    return found
