"""What people's verdicts on the items of an audit come to: an estimate with an interval, or a test that ends.

The formulas are `agent.audit`'s; here stands what they are fed with, and when a test's items wait no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.audit import Estimated, Sampled, Verdict, acceptance, estimate, more_for
from agent.records import TextId
from agent.store import AuditAnswer, AuditRow, Store
from agent.tasks import Task, is_right
from agent.tasks.intervals import horvitz_thompson_mean

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Counts = Mapping[str, int]
MARGINS = (0.1, 0.05, 0.03, 0.02, 0.01, 0.005)
"""To either side; of those clearly below what is reached the first is what a person may want next."""
CLEARLY = 0.8
ACCEPTED, WAITING = "accepted", "waiting"


@dataclass(frozen=True)
class Design:
    """What was drawn from, as the store keeps it beside the items.

    Attributes:
        population: labels that machines had given and that counted.
        people, seeds: texts that were left out, since people or the seed had labelled them.
        sizes: (H,) labels of each stratum.
        expected: (H,) the mean chance to be right that was foretold of them.
        level: of the interval.
        margin: to either side, that was asked for; None where a number of items was.
        limit: the share of errors that a test holds the labels against; None for an estimate.
        alpha: the test's chance of being wrong.
        classes, oracles, standings: how many labels of the population each had, gave, and was.
    """

    population: int
    people: int
    seeds: int
    sizes: Sequence[int]
    expected: Sequence[float]
    level: float = 0.95
    margin: float | None = None
    limit: float | None = None
    alpha: float | None = None
    classes: Counts = field(default_factory=dict)
    oracles: Counts = field(default_factory=dict)
    standings: Counts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """Labels of one class, by one oracle, or accepted ones: how many are right, from `items` of `labels`."""

    name: str
    value: float
    lo: float
    hi: float
    items: int
    labels: int


@dataclass(frozen=True, slots=True)
class More:
    """How many more items, drawn alike, bring the interval to `margin` to either side."""

    margin: float
    items: int


@dataclass(frozen=True, slots=True)
class Share:
    """How many of the labels are right.

    `effective` items of a plain random sample would be as sure; `labels` of the population are spoken of, fewer than
    all as long as nobody judged an item of some stratum. `reliance` is how far what was foretold was relied on.
    """

    value: float
    lo: float
    hi: float
    items: int
    labels: int
    effective: float
    reliance: float
    estimator: str
    level: float


@dataclass(frozen=True, slots=True)
class Tested:
    """Whether fewer labels than `limit` are wrong: `verdict` is accept (they are), reject (more are) or open.

    It took `items`, `errors` of them wrong. Either side is shown once its evidence reaches `bar`. What a person put
    off (`unknown` of the items) counts as wrong where fewer errors are to be shown, and as right where more are.
    """

    limit: float
    alpha: float
    verdict: str
    items: int
    errors: int
    unknown: int
    below: float
    above: float
    bar: float


@dataclass(frozen=True)
class Certificate:
    """One audit, and what it found so far.

    `population` labels that machines had given were drawn from at `drawn_at` (UTC); `people` and `seeds` texts were
    no part of it. Of `items` drawn, `judged` were labelled by a person, `skipped` put off, and `left` still wait.
    Either `share` or `test` is what it is for; `share` is None before anything is judged.
    """

    id: int
    drawn_at: str
    population: int
    people: int
    seeds: int
    items: int
    judged: int
    skipped: int
    left: int
    margin: float | None = None
    share: Share | None = None
    test: Tested | None = None
    more: tuple[More, ...] = ()
    classes: tuple[Part, ...] = ()
    oracles: tuple[Part, ...] = ()
    standings: tuple[Part, ...] = ()

    @property
    def is_final(self) -> bool:
        """Nothing more waits, but for what people put off."""
        return not self.left and self.judged > 0


def certificates(store: Store, job: str, task: Task) -> tuple[Certificate, ...]:
    """Every audit of a job, oldest first, and what it found so far."""
    return tuple(_certificate(a, store.audit_answers(job, a.id), task) for a in store.audits(job))


def settle(store: Store, job: str, task: Task, text_ids: Iterable[TextId], *, tx: Any) -> bool:
    """After people did something with these texts: have tests that are decided now wait for nobody any more, and
    those wait again that are decided no longer, since a verdict was taken back. Whether there are such tests."""
    tests = {a.id: a for a in store.audits(job, tx=tx) if a.design.get("limit") is not None}
    if not tests:
        return False
    touched = {a.id for i in text_ids for a in store.audits(job, of=i, tx=tx)}
    settled = False
    for row in (tests[i] for i in sorted(touched & tests.keys())):
        test = _test(Design(**row.design), store.audit_answers(job, row.id, tx=tx), task)
        closed = test.verdict != Verdict.OPEN
        if closed != (row.closed_at is not None):
            store.close_audit(job, row.id, closed, tx=tx)
            settled = True
    return settled


# An estimate ------------------------------------------------------------------------------------------------------


def _certificate(row: AuditRow, answers: Sequence[AuditAnswer], task: Task) -> Certificate:
    design = Design(**row.design)
    judged = [a for a in answers if a.judged]
    skipped = sum(a.skipped for a in answers)
    waits = 0 if row.closed_at is not None else len(answers) - len(judged) - skipped
    known: dict[str, Any] = {
        "id": row.id,
        "drawn_at": row.created_at.isoformat(timespec="seconds"),
        "population": design.population,
        "people": design.people,
        "seeds": design.seeds,
        "items": len(answers),
        "judged": len(judged),
        "skipped": skipped,
        "left": waits,
        "margin": design.margin,
    }
    if design.limit is not None:
        return Certificate(**known, test=_test(design, answers, task))
    if not judged:
        return Certificate(**known)
    found, labels, chances = _share(design, judged, task)
    right = _right(judged, task)
    share = Share(found.value, found.low, found.high, found.items, labels, found.effective, found.reliance,
                  found.estimator, found.level)  # fmt: skip

    def parts(counts: Counts, names_of: Callable[[AuditAnswer], Sequence[str]]) -> tuple[Part, ...]:
        return _parts(counts, [names_of(a) for a in judged], right, chances, share)

    return Certificate(
        **known,
        share=share,
        more=() if waits else _more(design, found),
        classes=parts(design.classes, lambda a: classes_of(task, a.drawn)),
        oracles=parts(design.oracles, lambda a: [a.by]),
        standings=parts(design.standings, lambda a: [standing(a.item.accepted)]),
    )


def classes_of(task: Task, value: Any) -> list[str]:
    """The classes that a label names; none for tasks without any."""
    said = value if isinstance(value, list | tuple) else [value]
    return [str(name) for name in said if name in task.names] if task.names else []


def standing(accepted: bool) -> str:
    """What becomes of a label: it is accepted, or waits for a person."""
    return ACCEPTED if accepted else WAITING


def _share(design: Design, judged: Sequence[AuditAnswer], task: Task) -> tuple[Estimated, int, Doubles]:
    """The estimate, of how many labels, and the chance of each judged item to be among them.

    As long as an audit is not finished, what is judged of a stratum is a random part of it: its order is that of a
    hash. A stratum of which nothing is judged yet is left out.
    """
    strata = np.array([a.item.stratum for a in judged], np.int64)
    sampled, place = np.unique(strata, return_inverse=True)
    sizes = np.array(design.sizes, np.int64)[sampled]
    expected = np.array(design.expected, np.float64)[sampled]
    foretold = np.array([a.item.foretold for a in judged], np.float64)
    found = estimate(Sampled(_right(judged, task), place, sizes, foretold, expected), level=design.level)
    return found, int(sizes.sum()), (np.bincount(place) / sizes)[place]


def _right(judged: Sequence[AuditAnswer], task: Task) -> Doubles:
    return np.array([is_right(task, a.given, a.drawn) for a in judged], np.float64)


def _more(design: Design, found: Estimated) -> tuple[More, ...]:
    """What a narrower interval takes: the one that was asked for, where it is not reached, and the next one."""
    reached = (found.high - found.low) / 2
    wanted = [m for m in (design.margin,) if m is not None and m < reached]
    wanted += [m for m in MARGINS if m < CLEARLY * min([reached, *wanted])][:1]
    items = [more_for(m, found, design.population) for m in wanted]
    return tuple(More(m, n) for m, n in zip(wanted, items, strict=True) if n)


def _parts(
    counts: Counts, names: Sequence[Sequence[str]], right: Doubles, chances: Doubles, whole: Share
) -> tuple[Part, ...]:
    """By name, in the order of the counts, for names of which an item was judged. What is the whole of the labels has
    the figures of the whole."""
    found = []
    for name, labels in counts.items():
        own = np.array([name in of for of in names], np.bool_)
        if own.any():
            value, lo, hi = horvitz_thompson_mean(right[own], chances[own], whole.level)
            if own.all() and labels == whole.labels:
                value, lo, hi = whole.value, whole.lo, whole.hi
            found.append(Part(name, value, lo, hi, int(own.sum()), labels))
    return tuple(found)


# A test -----------------------------------------------------------------------------------------------------------


def _test(design: Design, answers: Sequence[AuditAnswer], task: Task) -> Tested:
    """Items are looked at in the order of drawing, up to the first that still waits: who answers out of order must
    not choose what is looked at."""
    assert design.limit is not None
    assert design.alpha is not None
    waits = next((k for k, a in enumerate(answers) if not (a.judged or a.skipped)), len(answers))
    seen = answers[:waits]
    wrong = np.array([a.judged and not is_right(task, a.given, a.drawn) for a in seen], np.bool_)
    unknown = np.array([a.skipped for a in seen], np.bool_)
    fewer = acceptance(wrong | unknown, design.population, design.limit, design.alpha)
    more = acceptance(wrong, design.population, design.limit, design.alpha)
    # what is put off speaks against both, so that at most one of them is shown
    shown = next((x for x, v in ((more, Verdict.REJECT), (fewer, Verdict.ACCEPT)) if x.verdict is v), None)
    items = len(seen) if shown is None else shown.items
    return Tested(
        limit=design.limit,
        alpha=design.alpha,
        verdict=str(Verdict.OPEN if shown is None else shown.verdict),
        items=items,
        errors=int(wrong[:items].sum()),
        unknown=int(unknown[:items].sum()),
        below=fewer.below,
        above=more.above,
        bar=1 / design.alpha,
    )
