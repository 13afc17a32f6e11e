"""What more money would have bought: the learning curve of the rounds, read off further right. Numbers in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.records import MicroDollars
from agent.report.sums import known
from agent.selection import Curve, Forecast, Point, fit_curve

ROUND_SUM = MicroDollars(100_000_000)
"""The next 100 dollars."""
FAR = 10  # times as many labels as were measured: whatever the interval says, nobody has seen the curve there


@dataclass(frozen=True, slots=True)
class Prospect:
    """What `dollars` more would buy: about so many `labels`, and a `gain` in accuracy (a difference of shares) with
    its 95 % interval, by the learning curve. `whole_pool`: the pool ends before the money does; `far`: more than
    ten times as many labels as the curve was measured with."""

    dollars: MicroDollars
    labels: int
    gain: float
    lo: float
    hi: float
    whole_pool: bool = False
    far: bool = False


@dataclass(frozen=True, slots=True)
class Outlook:
    """What more money would have bought, read off the learning curve; else `why_not` says why that cannot be told.

    `per_dollar` is the gain of the next dollar at the rate of the next round, with its 80 % interval, which is what
    `stop.gain_per_dollar` looks at.
    """

    prospects: tuple[Prospect, ...] = ()
    why_not: str | None = None
    measured_on: str = "gold"
    metric: str = "accuracy"
    rounds: int = 0
    per_dollar: float | None = None
    per_dollar_lo: float | None = None
    per_dollar_hi: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands, as far as more labels are concerned.

    Attributes:
        figures: those of each round, oldest first, as `steps.measure` keeps them.
        paid: what asking about picked texts has cost so far, micro-dollars.
        picked: how many texts were asked about for that.
        left: texts of the pool that can still be asked about; None where that is not known.
        spent: all that the job has spent.
    """

    figures: Sequence[Mapping[str, Any]]
    paid: int
    picked: int
    left: int | None
    spent: int


def look_ahead(job: Standing) -> Outlook:
    """The gain of the next 100 dollars and of as much again as was spent, and that of the next dollar."""
    points, measured_on, metric = measured(job.figures)
    base = Outlook(measured_on=measured_on, metric=metric, rounds=len(points))
    if job.left == 0:
        return replace(base, why_not="no text of the pool is left to ask about")
    if not job.picked or job.paid <= 0:
        return replace(base, why_not="asking has cost nothing so far, so dollars buy no number of labels")
    curve = fit_curve(points)
    if isinstance(curve, str):
        return replace(base, why_not=curve)
    price = job.paid / job.picked
    sums = sorted({int(ROUND_SUM), int(job.spent)} - {0})
    next_dollar = _next_dollar(curve, job, price)
    return replace(
        base,
        prospects=tuple(_prospect(curve, MicroDollars(d), price, job.left) for d in sums),
        per_dollar=next_dollar.value,
        per_dollar_lo=next_dollar.low,
        per_dollar_hi=next_dollar.high,
    )


def measured(figures: Sequence[Mapping[str, Any]]) -> tuple[list[Point], str, str]:
    """(points, measured on, metric): the rounds that were measured like the last measured one. The seed's labels
    count, since they teach too."""
    rows = [f for f in figures if known(f.get("accuracy")) is not None]
    kind = _kind(rows[-1]) if rows else ("gold", "accuracy")
    points = []
    for f in rows:
        value, lo, hi = (known(f.get(name)) for name in ("accuracy", "accuracy_lo", "accuracy_hi"))
        labels = known(f.get("labels"))
        if _kind(f) == kind and value is not None and lo is not None and hi is not None and labels is not None:
            seed = known(f.get("seed_labels")) or 0
            points.append(Point(int(labels + seed), value, (hi - lo) / (2 * 1.96)))
    return points, *kind


def _kind(figures: Mapping[str, Any]) -> tuple[str, str]:
    return str(figures.get("measured_on") or "gold"), str(figures.get("metric") or "accuracy")


def _prospect(curve: Curve, dollars: MicroDollars, price: float, left: int | None) -> Prospect:
    labels = int(dollars / price)
    ends = left is not None and labels > left
    labels = left if ends and left is not None else labels
    found = curve.gain(labels)
    return Prospect(dollars, labels, found.value, found.low, found.high, ends, labels > FAR * curve.last)


def _next_dollar(curve: Curve, job: Standing, price: float) -> Forecast:
    """The gain a dollar, at the rate of one more round like the last."""
    done = [int(n) for f in job.figures if (n := known(f.get("labels"))) is not None]
    batch = max(1, done[-1] - done[-2] if len(done) > 1 else 1)
    batch = batch if job.left is None else min(batch, job.left)
    found, dollars = curve.gain(batch, level=0.8), batch * price / 1e6
    return Forecast(found.value / dollars, found.low / dollars, found.high / dollars)
