"""`labelwright audit`: draws labels that machines gave, for people to judge blind, and says what came of it.

Nothing of the job changes by it: no label and no route. What is drawn waits for a person until one has judged it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from agent.audit import Draw, bands, draw, size_for
from agent.certifying import Certificate, Design, certificates, classes_of, standing
from agent.errors import UserError
from agent.judging import judgement
from agent.records import Label, Source, TextId
from agent.report.sums import as_json
from agent.store import AuditItem
from agent.store.queue import blind_priority
from agent.workbench import AUDIT, Workbench

ALPHA = 0.05
NOTHING_TOLD = 0.5
"""The chance to be right that is foretold of labels where nothing tells of any of them."""
MOST_ERRORS_LOOKED_FOR = 100
"""A test draws this many over its limit where nobody says how many: whoever errs half or twice as often is told long
before."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to know: a share with its interval, from `size` items or as many as `margin` (to either
    side) takes; or, where there is a `limit`, whether fewer labels are wrong, from `size` items at most."""

    size: int | None = None
    margin: float | None = None
    limit: float | None = None
    alpha: float = ALPHA
    level: float = 0.95

    @classmethod
    def of(
        cls, size: int | None, margin: float | None, limit: float | None, alpha: float | None, *, again: bool = False
    ) -> Wish | None:
        """What the command was given; None where it only looks. Raises UserError for what goes with nothing."""
        if alpha is not None and limit is None:
            raise UserError("--alpha is the chance of a test to be wrong: give --below with it, such as --below 0.05")
        if size is margin is limit is None:
            if again:
                raise UserError("--again draws another audit: say of what size (--size, --margin or --below)")
            return None
        return cls(size, margin, limit, ALPHA if alpha is None else alpha)

    def check(self) -> None:
        """Raises UserError where this cannot be had."""
        for name, value, most in (
            ("--margin", self.margin, 0.5),
            ("--below", self.limit, 1),
            ("--alpha", self.alpha, 1),
        ):
            if value is not None and not 0 < value < most:
                raise UserError(f"{name} {value:g}: give a share above 0 and below {most:g}, such as 0.05")
        if self.size is not None and self.size < 1:
            raise UserError(f"--size {self.size}: an audit takes one item at least")
        if self.margin is not None and self.limit is not None:
            raise UserError("--margin is for an interval and --below for a test: give one of them")
        if self.margin is not None and self.size is not None:
            raise UserError("--size and --margin both say how many items to draw: give one of them")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A new audit: its number, how many items of which population, how many texts were left out since people or the
    seed had labelled them, what was wished for, and whether people's minutes are used up."""

    id: int
    items: int
    population: int
    people: int
    seeds: int
    wish: Wish
    out_of_minutes: bool = False

    @property
    def fewer(self) -> bool:
        """There were not as many labels as were asked for: all of them are drawn."""
        return self.wish.size is not None and self.items < self.wish.size

    def figures(self) -> dict[str, Any]:
        """As plain JSON."""
        own = {k: v for k, v in asdict(self).items() if k not in ("wish", "out_of_minutes")}
        return own | {"margin": self.wish.margin, "below": self.wish.limit}


def told(drawn: Drawn) -> list[tuple[str, str]]:
    """A new audit for a person: (what, said)."""
    labels = f"of {drawn.population:,} labels that machines gave"
    said = f"all {drawn.items:,} {labels}" if drawn.items == drawn.population else f"{drawn.items:,} {labels}"
    if drawn.fewer:
        said += f": {drawn.wish.size:,} were asked for, and there are no more"
    lines = [("drawn", said)]
    others = [(drawn.people, "people"), (drawn.seeds, "the seed")]
    if left_out := [f"{n:,} that {who} labelled" for n, who in others if n]:
        lines.append(("left out", " and ".join(left_out)))
    if drawn.wish.margin is not None:
        lines.append(("so many", f"as an interval of ±{100 * drawn.wish.margin:g} points is expected to take"))
    if drawn.wish.limit is not None:
        asked = f"is error under {100 * drawn.wish.limit:g} %? It ends as soon as that is sure"
        lines.append(("test", f"{asked} (alpha {drawn.wish.alpha:g}), and what is left waits for nobody then"))
    if drawn.out_of_minutes:
        lines.append(("minutes", "people's minutes are used up: raise `budget.minutes`, or nothing is shown to them"))
    return [*lines, ("shown", "blind: people see the texts without what the machine said")]


def figures(found: Certificate) -> dict[str, Any]:
    """An audit's figures as plain JSON; what is not finite is null."""
    return dict(as_json(asdict(found)))


def results(bench: Workbench) -> tuple[Certificate, ...]:
    """Every audit of the job and what it found so far. Raises StoreError where the job never ran."""
    store = bench.store_of_run
    store.job(bench.job.name)
    return certificates(store, bench.job.name, bench.task)


def begin(bench: Workbench, wish: Wish, *, again: bool = False) -> Drawn:
    """Draw an audit of the labels as they are now; a run of the job may go on meanwhile.

    With `again` also where items of another audit still wait. Raises UserError where they do, where there is nothing
    to draw from, or the wish cannot be had; StoreError where the job never ran.
    """
    wish.check()
    store, name = bench.store_of_run, bench.job.name
    store.job(name)
    while True:
        number = len(store.audits(name))
        if not again and (left := store.audits_left(name).waiting):
            texts = f"{left:,} text{'s' if left != 1 else ''}"
            raise UserError(
                f"an audit of job {name} still waits for a person, with {texts}: labelwright review shows them; "
                "or draw another one all the same with --again"
            )
        plan = _Plan.of(bench, wish, number)
        with store.transaction(name) as tx:
            if len(store.audits(name, tx=tx)) != number:
                continue  # somebody else drew one meanwhile
            if store.settled_by_people(name, [i.text_id for i in plan.items], tx=tx):
                continue  # what a person labelled meanwhile was not judged blind
            made = store.add_audit(name, asdict(plan.design), plan.items, tx=tx)
        design = plan.design
        minutes = bench.job.budget.minutes
        used_up = minutes is not None and store.review_seconds(name) >= 60 * minutes
        return Drawn(made, len(plan.items), design.population, design.people, design.seeds, wish, used_up)


@dataclass(frozen=True)
class _Plan:
    """What would be drawn now."""

    design: Design
    items: Sequence[AuditItem]

    @classmethod
    def of(cls, bench: Workbench, wish: Wish, number: int) -> _Plan:
        store, name = bench.store, bench.job.name
        counts: dict[TextId, Label] = {**store.current(name), **bench.opinions().counts}
        routes = store.routes(name)
        by_source = Counter(label.source for label in counts.values())
        labels = [x for i, x in counts.items() if x.source is Source.ORACLE and i in routes]
        if not labels:
            raise UserError(_nothing(name, by_source[Source.PERSON]))
        accepted = [routes[x.text_id].is_accepted for x in labels]
        right = foretold(bench, labels)
        drawn = _drawn(right, wish, bench.rng(AUDIT, number))
        design = Design(
            population=len(labels),
            people=by_source[Source.PERSON],
            seeds=by_source[Source.SEED],
            sizes=drawn.sizes.tolist(),
            expected=drawn.expected.tolist(),
            level=wish.level,
            margin=wish.margin,
            limit=wish.limit,
            alpha=None if wish.limit is None else wish.alpha,
            classes=_counts(bench.task.names, (c for x in labels for c in classes_of(bench.task, x.value))),
            oracles=_counts((o.by for o in bench.job.oracle), (x.by for x in labels)),
            standings=_counts(("accepted", "waiting"), map(standing, accepted)),
        )
        rows = [(labels[k], accepted[k], float(right[k])) for k in drawn.items.tolist()]
        return cls(design, _items(drawn, rows, in_order=wish.limit is not None))


def foretold(bench: Workbench, labels: Sequence[Label]) -> np.ndarray:
    """(n,) the chance of each label to be right, as people's verdicts so far tell of the oracle that gave it; where
    nothing tells, the mean of the others."""
    found = np.full(len(labels), np.nan)
    by = np.array([x.by for x in labels], object)
    for oracle in dict.fromkeys(by.tolist()):
        own = np.flatnonzero(by == oracle)
        found[own] = judgement(bench, oracle).sure([labels[k] for k in own.tolist()])
    known = np.isfinite(found)
    usual = float(found[known].mean()) if known.any() else NOTHING_TOLD
    return np.clip(np.where(known, found, usual), 0.0, 1.0)


def _drawn(right: np.ndarray, wish: Wish, rng: np.random.Generator) -> Draw:
    if wish.limit is not None:  # a test looks at them one by one, in an order by chance: all are drawn alike
        strata, size = np.zeros(len(right), np.int64), wish.size or round(MOST_ERRORS_LOOKED_FOR / wish.limit)
        return draw(size, right, strata, rng)
    strata = bands(right)
    size = wish.size or 0
    if wish.margin is not None:
        sizes = np.bincount(strata)
        size = size_for(wish.margin, sizes, np.bincount(strata, right) / sizes, wish.level)
    return draw(size, right, strata, rng)


def _items(drawn: Draw, rows: Sequence[tuple[Label, bool, float]], *, in_order: bool) -> list[AuditItem]:
    """What is drawn as it is kept: `rows` are its labels, whether each is accepted, and its chance to be right. In
    people's queue it is in the order of drawing, or in one by a hash, as all that is blind."""
    found = []
    for place, (label, accepted, right) in enumerate(rows):
        assert label.id is not None  # it comes from the store
        found.append(
            AuditItem(
                text_id=label.text_id,
                label_id=label.id,
                place=place,
                priority=1 - place / len(rows) if in_order else blind_priority(label.text_id),
                stratum=int(drawn.strata[place]),
                probability=float(drawn.chances[place]),
                foretold=right,
                accepted=accepted,
            )
        )
    return found


def _counts(order: Iterable[str], said: Iterable[str]) -> dict[str, int]:
    """How often each name was said: those of `order` first, the others after them; none that was never said."""
    found = Counter(said)
    return {name: found[name] for name in dict.fromkeys([*order, *sorted(found)]) if found[name]}


def _nothing(job: str, people: int) -> str:
    if people:
        return f"job {job}: people have labelled every text that has a label, so there is nothing to audit"
    return (
        f"job {job} has no label that a machine gave, so there is nothing to audit yet; `labelwright run` buys some"
    )
