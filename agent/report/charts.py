"""The pictures of a report, each drawn from the findings' own values and in the width it is given.

A chart that has nothing to show is None: the page then says why, and how to get it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from agent.report.findings import Calibration, Estimate, Findings, Reliability, Round
from agent.report.svg import Drawing, Scale, decimals, ticks
from agent.report.wording import against, count, dollars, percent, points

Axis = Literal["labels", "dollars"]
LEFT, BOTTOM, TOP = 46, 44, 18


@dataclass(frozen=True, slots=True)
class Series:
    """One curve: a style class, a name, and its points as (x, estimate), left to right."""

    css: str
    name: str
    points: tuple[tuple[float, Estimate], ...]


# Accuracy against labels or dollars --------------------------------------------------------------------------------


def curves(findings: Findings, axis: Axis, width: int) -> Markup | None:
    """Accuracy of the student taught by all labels and by the random slice alone, with their intervals as bands."""
    series = [s for s in _series(findings.rounds, axis) if s.points]
    if not series:
        return None
    levels = _levels(findings, series)
    wide = width > 400
    base, right = 276.0, width - (126.0 if wide else 12.0)
    x = Scale(0, _furthest(findings, series, axis), LEFT, right)
    y = Scale(*_span(series, [v for _, v in levels]), base, TOP)
    named = _named(series, levels)
    d = Drawing(width, base + BOTTOM if wide else base + BOTTOM + 12 + 18 * len(named), _said(series, axis))
    percent_grid(d, y, right)
    _x_axis(d, x, axis, base)
    for name, value in levels:
        d.line((LEFT, y(value)), (right, y(value)), f"rule {name}")
    if axis == "dollars" and x.hi == findings.money.cap:
        d.line((x(findings.money.cap), TOP), (x(findings.money.cap), base), "rule cap")
        d.text((x(findings.money.cap) - 6, base - 7), f"cap {dollars(findings.money.cap)}", "note halo", "end")
    for s in series:
        _curve(d, s, x, y, axis)
    if axis == "labels":
        _gap(d, findings, x, y)
    if wide:
        _names_beside(d, series, named, x, y)
    else:
        _names_below(d, named, base + BOTTOM + 14)
    return d.svg()


def _series(rounds: Sequence[Round], axis: Axis) -> list[Series]:
    money = axis == "dollars"
    paid = [r.spent if r.labels_spent is None else r.labels_spent for r in rounds]  # measuring teaches nobody
    selected = [(float(p if money else r.labels), r.selected) for r, p in zip(rounds, paid, strict=True)]
    chance = [(r.random_spent if money else r.random_labels, r.random) for r in rounds]
    return [
        Series("chance", "random slice", tuple((float(x), e) for x, e in chance if x is not None and e is not None)),
        Series("chosen", "selection", tuple((x, e) for x, e in selected if e is not None)),
    ]


def _levels(findings: Findings, series: Sequence[Series]) -> list[tuple[str, float]]:
    """Levels to compare with: the oracle and the distilled model, where they were measured like the curves."""
    alike = series[-1].points[-1][1].measured_on
    told = {m.name: m.accuracy for m in findings.models if m.accuracy and m.accuracy.measured_on == alike}
    return [(name, found.value) for name in ("distilled", "oracle") if (found := told.get(name))]


def _named(series: Sequence[Series], levels: Sequence[tuple[str, float]]) -> list[tuple[str, str, float]]:
    """Everything that needs a name, as (class, name, value), the best first."""
    found = [(s.css, s.name, s.points[-1][1].value) for s in series] + [(name, name, v) for name, v in levels]
    return sorted(found, key=lambda n: -n[2])


def _furthest(findings: Findings, series: Sequence[Series], axis: Axis) -> float:
    """Where the x axis ends: at the last point, or at the cap where that is not far off."""
    last = max(x for s in series for x, _ in s.points) or 1.0
    cap = 0 if findings.money.elsewhere else findings.money.cap  # else not all of the cap was there for labels
    return max(last, cap) if axis == "dollars" and last >= 0.4 * cap else last


def _span(series: Sequence[Series], levels: Sequence[float]) -> tuple[float, float]:
    """The y axis: all points and levels, and of their intervals what does not squeeze the points flat."""
    values = [e.value for s in series for _, e in s.points] + list(levels)
    lo, hi = min(values), max(values)
    room = max(0.04, hi - lo)
    ends = [e for s in series for _, e in s.points if e.lo is not None and e.hi is not None]
    lo = max([lo - room, min([e.lo for e in ends if e.lo is not None], default=lo)])
    hi = min([hi + room, max([e.hi for e in ends if e.hi is not None], default=hi)])
    return max(0.0, min([lo, *values]) - 0.02), min(1.0, max([hi, *values]) + 0.03)


def percent_grid(d: Drawing, y: Scale, right: float) -> None:
    """Lines and words of an axis of shares."""
    for value in y.ticks(6):
        d.line((LEFT, y(value)), (right, y(value)), "grid")
        d.text((LEFT - 8, y(value) + 4), percent(value, decimals([100 * t for t in y.ticks(6)])), anchor="end")


def _x_axis(d: Drawing, x: Scale, axis: Axis, base: float) -> None:
    d.line((x.start, base), (x.end, base), "axis")
    about = 6 if x.end - x.start > 300 else 4
    if axis == "dollars":
        marks = [(1e6 * t, t) for t in ticks(x.lo / 1e6, x.hi / 1e6, about)]
        places = decimals([t for _, t in marks])
        words = [(v, f"${t:,.{places}f}" if t else "$0") for v, t in marks]
    else:
        words = [(t, count(t)) for t in ticks(x.lo, x.hi, about, whole=True)]
    for value, word in words:
        d.line((x(value), base), (x(value), base + 4), "axis")
        d.text((x(value), base + 18), word, anchor="middle")
    d.text(((x.start + x.end) / 2, base + 38), "dollars spent" if axis == "dollars" else "labels", "name", "middle")


def _curve(d: Drawing, s: Series, x: Scale, y: Scale, axis: Axis) -> None:
    banded = [(x(v), e.lo, e.hi) for v, e in s.points if e.lo is not None and e.hi is not None]
    low, high = sorted((y.lo, y.hi))
    clip = [(px, y(max(lo, low)), y(min(hi, high))) for px, lo, hi in banded]
    if len(clip) == 1:
        d.line((clip[0][0], clip[0][1]), (clip[0][0], clip[0][2]), f"whisker {s.css}")
    else:
        outline = [(px, a) for px, a, _ in clip] + [(px, b) for px, _, b in reversed(clip)]
        d.path(outline, f"band {s.css}", closed=True)
    d.path([(x(v), y(e.value)) for v, e in s.points], f"curve {s.css}")
    for v, e in s.points:
        where = f"{count(v)} labels" if axis == "labels" else dollars(v)
        d.dot((x(v), y(e.value)), 3, f"dot {s.css}", f"{s.name}, {where}: {measured(e)}")


def _gap(d: Drawing, findings: Findings, x: Scale, y: Scale) -> None:
    """The gap between selection and chance at the same number of labels."""
    gap = findings.gain
    if gap is None or not y.lo <= gap.selected <= y.hi or gap.labels > x.hi:
        return
    at = x(gap.labels)
    d.line((at, y(gap.random)), (at, y(gap.selected)), "gap")
    said = f"selection at {count(gap.labels)} labels: {percent(gap.selected)}, {points(gap.difference)} points"
    d.dot((at, y(gap.selected)), 4, "dot hollow chosen", said)


def _names_beside(
    d: Drawing, series: Sequence[Series], named: Sequence[tuple[str, str, float]], x: Scale, y: Scale
) -> None:
    """Names right of the chart, at the height of what they name, moved apart where two would touch. A curve that
    ends long before the right edge is named where it ends."""
    ends = {s.css: x(s.points[-1][0]) for s in series}
    lowest = TOP - 14.0
    for css, name, value in named:
        said = f"{name} {percent(value)}"
        if ends.get(css, x.end) < x.end - 120:
            d.text((ends[css] + 9, y(value) + 15), said, f"name halo {css}")
            continue
        at = max(y(value) + 4, lowest + 16)
        lowest = at
        d.text((x.end + 9, at), said, f"name {css}")


def _names_below(d: Drawing, named: Sequence[tuple[str, str, float]], top: float) -> None:
    """Names as a list under the chart, where there is no room beside it."""
    for i, (css, name, value) in enumerate(named):
        kind = "curve" if css in ("chosen", "chance") else "rule"
        d.line((LEFT, top + 18 * i - 4), (LEFT + 24, top + 18 * i - 4), f"{kind} {css}")
        d.text((LEFT + 32, top + 18 * i), f"{name} {percent(value)}", f"name {css}")


def measured(e: Estimate) -> str:
    """An estimate with its interval and what it was held against, in words."""
    ends = f" ({percent(e.lo)} to {percent(e.hi)})" if e.lo is not None and e.hi is not None else ""
    return f"{percent(e.value)}{ends} {against(e.measured_on)}"


def _said(series: Sequence[Series], axis: Axis) -> str:
    ends = "; ".join(f"{s.name} ends at {measured(s.points[-1][1])}" for s in reversed(series))
    return f"Accuracy against {'dollars spent' if axis == 'dollars' else 'number of labels'}: {ends}."


# Money -------------------------------------------------------------------------------------------------------------


def cost(findings: Findings, width: int) -> Markup | None:
    """What each round cost (settled and ambiguous, stacked), under what was spent so far against the cap."""
    rounds = findings.rounds
    if not rounds or not any(r.settled or r.ambiguous or r.spent for r in rounds):
        return None
    cap, spent = findings.money.cap, max(findings.money.spent, *(r.spent for r in rounds))
    right, left = width - 12, 58
    slot = (right - left) / len(rounds)
    d = Drawing(width, 360, f"Cost by round: {dollars(spent)} of {dollars(cap)} after {len(rounds)} rounds.")
    above = Scale(0, 1.06 * (max(cap, spent) if spent >= 0.1 * cap else 1.6 * spent), 160, 14)
    _money_grid(d, above, left, right)
    centre = [left + slot * (i + 0.5) for i in range(len(rounds))]
    way = [(left, above(0)), *((c, above(r.spent)) for c, r in zip(centre, rounds, strict=True))]
    d.path([*way, (centre[-1], above(0))], "area chosen", closed=True)
    d.path(way, "curve chosen")
    d.text((left + 4, 10), "spent so far", "name chosen halo")
    if above.hi >= cap:
        d.line((left, above(cap)), (right, above(cap)), "rule cap")
        d.text((right, above(cap) - 5), f"cap {dollars(cap)}", "note halo", "end")
    else:
        d.text((right, 10), f"cap {dollars(cap)} is far above", "note", "end")
    _bars(d, rounds, centre, (left, right, slot))
    return d.svg()


def _bars(d: Drawing, rounds: Sequence[Round], centre: Sequence[float], span: tuple[float, float, float]) -> None:
    left, right, slot = span
    below = Scale(0, 1.06 * max(*(r.settled + r.ambiguous for r in rounds), 1), 318, 208)
    _money_grid(d, below, left, right, about=3)
    d.text((left + 4, 200), "by round: settled", "name settled halo")
    d.text((right, 200), "ambiguous, counted as spent", "name ambiguous halo", "end")
    half = min(22.0, max(1.0, 0.36 * slot))
    every = max(1, -(-len(rounds) * 26 // int(right - left)))
    for i, (c, r) in enumerate(zip(centre, rounds, strict=True)):
        top = below(r.settled)
        d.rect((c - half, below(0)), (c + half, top), "bar settled", f"round {r.round}: {dollars(r.settled)} settled")
        if r.ambiguous:
            said = f"round {r.round}: {dollars(r.ambiguous)} ambiguous"
            end = min(below(r.settled + r.ambiguous), top - 3)
            d.rect((c - half, top - 1), (c + half, end), "bar ambiguous", said)
        if i % every == 0:
            d.text((c, 334), str(r.round), anchor="middle")
    d.line((left, 318), (right, 318), "axis")
    d.text(((left + right) / 2, 354), "round", "name", "middle")


def _money_grid(d: Drawing, y: Scale, left: float, right: float, about: int = 4) -> None:
    marks = ticks(y.lo / 1e6, y.hi / 1e6, about)
    places = decimals(marks)
    for t in marks:
        d.line((left, y(1e6 * t)), (right, y(1e6 * t)), "grid")
        d.text((left - 8, y(1e6 * t) + 4), f"${t:,.{places}f}" if t else "$0", anchor="end")


# Trust -------------------------------------------------------------------------------------------------------------


def reliability(calibration: Calibration | None, width: int) -> Markup | None:
    """Share of right answers against confidence, before and after calibration, over how many answers there were."""
    if calibration is None:
        return None
    side = width - LEFT - 16
    x, y = Scale(0, 1, LEFT, LEFT + side), Scale(0, 1, 14 + 0.82 * side, 14)
    d = Drawing(width, y.start + 134, _said_of(calibration))
    percent_grid(d, y, x.end)
    d.line((x(0), y(0)), (x(1), y(1)), "rule")
    d.text((x(0.04), y(0.9)), "less sure than right", "note")
    d.text((x(0.97), y(0.06)), "surer than right", "note", "end")
    both = [("chance", "as given", calibration.before), ("chosen", "calibrated", calibration.after)]
    there = [(css, name, found) for css, name, found in both if found is not None]
    most = max(b.count for _, _, found in there for b in found.bins)
    for css, _, found in there:
        d.path([(x(b.confidence), y(b.accuracy)) for b in found.bins], f"curve thin {css}")
        for b in found.bins:
            d.line((x(b.confidence), y(b.accuracy_lo)), (x(b.confidence), y(b.accuracy_hi)), f"whisker {css}")
            size = 2.5 + 4 * math.sqrt(b.count / most)
            d.dot((x(b.confidence), y(b.accuracy)), size, f"dot {css}", _said_bin(b.confidence, b.accuracy, b.count))
    _histogram(d, there, Scale(0, most, y.start + 88, y.start + 26), x)
    return d.svg()


def _histogram(d: Drawing, there: Sequence[tuple[str, str, Reliability]], high: Scale, x: Scale) -> None:
    for i, (css, _, found) in enumerate(there):
        for b in found.bins:
            lo, hi = x(b.lo) + 1.5, x(b.hi) - 1.5
            lo, hi = (lo, hi) if len(there) == 1 else ((lo, (lo + hi) / 2) if i == 0 else ((lo + hi) / 2, hi))
            said = f"{count(b.count)} answers with confidence {percent(b.lo, 0)} to {percent(b.hi, 0)}"
            d.rect((lo, high(0)), (hi, min(high(b.count), high(0) - 1)), f"bar {css}", said)
    d.line((x.start, high(0)), (x.end, high(0)), "axis")
    d.text((x.start - 8, high(high.hi) + 6), count(high.hi), anchor="end")
    for value in x.ticks(5):
        d.text((x(value), high(0) + 17), percent(value, 0), anchor="middle")
    d.text(((x.start + x.end) / 2, high(0) + 38), "confidence, and number of answers", "name", "middle")


def _said_bin(confidence: float, accuracy: float, n: int) -> str:
    return f"{count(n)} answers, mean confidence {percent(confidence)}: {percent(accuracy)} right"


def _said_of(calibration: Calibration) -> str:
    after = f", {calibration.after.ece:.3f} calibrated" if calibration.after else ""
    return f"Reliability of the oracle’s confidence: calibration error {calibration.before.ece:.3f} as given{after}."


# Headline ----------------------------------------------------------------------------------------------------------


def interval(estimate: Estimate, lo: float, hi: float) -> Markup:
    """An estimate and its interval on the line from `lo` to `hi`: what stands in a tile, 200 by 18 pixels."""
    x = Scale(lo, hi, 5, 195)
    d = Drawing(200, 18, measured(estimate))
    d.line((x(lo), 9), (x(hi), 9), "grid")
    if estimate.lo is not None and estimate.hi is not None:
        d.line((x(max(lo, estimate.lo)), 9), (x(min(hi, estimate.hi)), 9), "whisker thick chosen")
    d.dot((x(estimate.value), 9), 5, "dot chosen", measured(estimate))
    return d.svg()
