"""Two things held beside each other: an oracle and the truth, and selection and chance."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from agent.report.findings import Cell, Confusion, Estimate, Gain, Round


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
    """What selection bought over chance with as many labels as the random slice holds, at the last round that knows.

    Where the loop taught a student with exactly that many selected labels, that is the figure; else the curve of
    selection is read off at that number of labels, a straight line between rounds, and `interpolated` says so.
    """
    for last in reversed(rounds):
        if last.random is None or not last.random_labels:
            continue
        if last.selected_equal is not None:
            return _gain(last.selected_equal, last.random, last.equal_labels or last.random_labels)
        curve = [r for r in rounds if r.selected is not None and r.labels > 0]
        at = _between(curve, last.random_labels)
        if at is not None:
            return _gain(at, last.random, last.random_labels, interpolated=True)
    return None


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
