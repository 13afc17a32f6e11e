"""Two things held beside each other: an oracle and the truth, and selection and chance."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import bdtr

from agent.records import MicroDollars, Value
from agent.report.findings import Cell, Confusion, Estimate, Gain, Round
from agent.report.sums import known
from agent.tasks import Generation, Task, is_right

RESAMPLES = 200


def confusion(pairs: Iterable[tuple[str, str]], names: Sequence[str], measured_on: str) -> Confusion | None:
    """Count (truth, given) pairs of class names; None where there are none. Names that do not occur are left out."""
    counted = Counter(pairs)
    if not counted:
        return None
    seen = {name for pair in counted for name in pair}
    order = {name: i for i, name in enumerate((*names, *sorted(seen.difference(names))))}
    cells = sorted(counted.items(), key=lambda item: (order[item[0][0]], order[item[0][1]]))
    return Confusion(
        names=tuple(n for n in order if n in seen),
        cells=tuple(Cell(truth, given, n) for (truth, given), n in cells),
        n=counted.total(),
        agreed=sum(n for (truth, given), n in counted.items() if truth == given),
        measured_on=measured_on,
    )


def gain(rounds: Sequence[Round]) -> Gain | None:
    """What selection bought over chance with equally many labels, at the last round that knows.

    Best is a round's own paired comparison: both students of as many labels, judged by the same texts. Stores of an
    older version have the two figures alone; and where there is not even a student of equally many selected labels,
    the curve of selection is read off at that number, a straight line between rounds, and `interpolated` says so.
    """
    for last in reversed(rounds):
        if last.at_labels is not None:
            return last.at_labels
        if last.random is None or not last.random_labels:
            continue
        if last.selected_equal is not None:
            return _gain(last.selected_equal, last.random, last.equal_labels or last.random_labels)
        curve = [r for r in rounds if r.selected is not None and r.labels > 0]
        at = _between(curve, last.random_labels)
        if at is not None:
            return _gain(at, last.random, last.random_labels, interpolated=True)
    return None


def gain_of(figures: Mapping[str, Any], basis: str) -> Gain | None:
    """The paired comparison at equal `labels` or `dollars` that a round's figures hold; None where they hold none."""
    beside = figures.get("beside")
    found = beside.get(basis) if isinstance(beside, Mapping) else None
    if not isinstance(found, Mapping):
        return None
    shares = [known(found.get(name)) for name in ("selected", "random", "difference")]
    labels = known(found.get("selected_labels"))
    if None in shares or labels is None:
        return None
    selected, random, difference_ = (s or 0.0 for s in shares)
    return Gain(
        labels=int(labels),
        selected=selected,
        random=random,
        difference=difference_,
        lo=known(found.get("lo")),
        hi=known(found.get("hi")),
        measured_on=str(found.get("measured_on") or "gold"),
        metric=str(found.get("metric") or "accuracy"),
        p=known(found.get("p")),
        dollars=None if (paid := _whole(found.get("dollars"))) is None else MicroDollars(paid),
        paired=True,
        random_labels=_whole(found.get("random_labels")),
        n=_whole(found.get("n")),
        only_selected=_whole(found.get("only_selected")),
        only_random=_whole(found.get("only_random")),
    )


def _whole(value: object) -> int | None:
    number = known(value)
    return None if number is None else int(number)


def _between(curve: Sequence[Round], labels: int) -> Estimate | None:
    """The curve of selection at `labels`; None outside of it, since a line drawn past its ends proves nothing."""
    found = [(r.labels, r.selected) for r in curve if r.selected is not None]
    if not found or not found[0][0] <= labels <= found[-1][0]:
        return None
    x = [x for x, _ in found]

    def read(values: Sequence[float | None]) -> float | None:
        return None if None in values else float(np.interp(labels, x, np.array(values, float)))

    value = read([e.value for _, e in found])
    assert value is not None  # every estimate has one
    return Estimate(value, read([e.lo for _, e in found]), read([e.hi for _, e in found]))


def _gain(selected: Estimate, random: Estimate, labels: int, interpolated: bool = False) -> Gain:
    if selected.lo is None and random.lo is not None and random.hi is not None:
        # measured on the same texts: a share as sure as that of chance, moved to its own place
        selected = Estimate(
            selected.value,
            max(0.0, selected.value - (random.value - random.lo)),
            min(1.0, selected.value + (random.hi - random.value)),
        )
    lo, hi = difference(selected, random)
    return Gain(
        labels=labels,
        selected=selected.value,
        random=random.value,
        difference=selected.value - random.value,
        lo=lo,
        hi=hi,
        interpolated=interpolated,
        measured_on=random.measured_on,
    )


def difference(a: Estimate, b: Estimate) -> tuple[float | None, float | None]:
    """The 95 % interval of a - b from the intervals of both (Newcombe 1998, method 10); (None, None) without them.

    It takes the two as independent. Measured on the same texts they mostly err together, and then it is too wide
    rather than too narrow.
    """
    if a.lo is None or a.hi is None or b.lo is None or b.hi is None:
        return None, None
    d = a.value - b.value
    return (
        d - math.hypot(a.value - a.lo, b.hi - b.value),
        d + math.hypot(a.hi - a.value, b.value - b.lo),
    )


def paired(
    task: Task,
    truth: Sequence[Value],
    selected: Sequence[Value],
    random: Sequence[Value],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Two students held against each other on the same texts, as a round's figures keep it.

    `selected`, `random` and `difference` are the task's headline `metric`; `lo` and `hi` its 95 % interval. Where
    that is accuracy, `only_selected` and `only_random` count the texts that one student alone got right; the interval
    is `bonett_price`'s and `p` that of McNemar's exact test. Any other metric is resampled over the texts (2.5 % and
    97.5 % of 200 bootstrap differences).
    """
    if isinstance(task, Generation):
        return _texts(task, truth, selected, random, rng)
    metric, first = next(iter(task.metrics(truth, selected).items()))
    second = task.metrics(truth, random)[metric]
    found: dict[str, Any] = {"metric": metric, "n": len(truth), "selected": first, "random": second}
    if metric == "accuracy":
        hits = [[is_right(task, t, s) for t, s in zip(truth, said, strict=True)] for said in (selected, random)]
        one = sum(a and not b for a, b in zip(*hits, strict=True))
        other = sum(b and not a for a, b in zip(*hits, strict=True))
        lo, hi = bonett_price(one, other, len(truth))
        found |= {"only_selected": one, "only_random": other, "p": mcnemar(one, other)}
    else:
        lo, hi = _resampled(task, truth, selected, random, rng)
    return found | {"difference": first - second, "lo": lo, "hi": hi}


def bonett_price(one: int, other: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a difference of two shares of the same `n` texts: `one` counts texts that only the first
    got right, `other` those that only the second did (Bonett and Price 2012, "Adjusted Wald confidence interval for a
    difference of binomial proportions based on paired data"). Unlike a bootstrap it has a width where both agree on
    every text."""
    a, b = (one + 1) / (n + 2), (other + 1) / (n + 2)
    half = 1.959964 * math.sqrt((a + b - (a - b) ** 2) / (n + 2))
    return max(-1.0, a - b - half), min(1.0, a - b + half)


def mcnemar(one: int, other: int) -> float:
    """The two-sided p-value of McNemar's exact test (1947): how often a fair coin parts so many texts so unevenly."""
    total = one + other
    return 1.0 if not total else min(1.0, 2 * float(bdtr(min(one, other), total, 0.5)))


def _texts(
    task: Generation,
    truth: Sequence[Value],
    selected: Sequence[Value],
    random: Sequence[Value],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """The same by chrF alone: the other figures of texts take long."""
    n = len(truth)
    draws = [np.arange(n), *(rng.integers(0, n, n) for _ in range(RESAMPLES))]
    first, *ones = task.resampled(truth, selected, draws)
    second, *others = task.resampled(truth, random, draws)
    lo, hi = np.quantile(np.subtract(ones, others), [0.025, 0.975])
    found: dict[str, Any] = {"metric": "chrf", "n": n, "selected": first, "random": second}
    return found | {"difference": first - second, "lo": float(lo), "hi": float(hi)}


def _resampled(
    task: Task, truth: Sequence[Value], a: Sequence[Value], b: Sequence[Value], rng: np.random.Generator
) -> tuple[float, float]:
    gaps = []
    for _ in range(RESAMPLES):
        some = rng.integers(0, len(truth), len(truth)).tolist()
        gold = [truth[i] for i in some]
        first, second = (next(iter(task.metrics(gold, [said[i] for i in some]).values())) for said in (a, b))
        gaps.append(first - second)
    lo, hi = np.nanquantile(gaps, [0.025, 0.975])
    return float(lo), float(hi)
