"""What a heap of learning curves says: areas, ranks, labels to a target, and how sure all that is.

Pure arithmetic on points, and pictures of them. Nothing here trains anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata, wilcoxon

from evals._corpora import TUNED_ON
from evals.outcome import RESULTS, Outcome

if TYPE_CHECKING:
    from evals.learning_curve import Cell

Points = list[dict[str, Any]]
Place = tuple[str, str]  # set, oracle
Places = Mapping[Place, dict[str, dict[int, Points]]]
RESAMPLES = 2000
SIGNIFICANT = 0.05
HALF = 0.5
SETS_WANTED = 4


@dataclass(frozen=True)
class Against:
    """One arm against another at one place, paired by seed."""

    difference: float
    lo: float
    hi: float
    p: float
    n: int


def area(points: Points) -> float:
    """The mean accuracy over questions asked, from the first round to the last (trapezoids, normalised)."""
    x, y = np.array([p["asked"] for p in points], float), np.array([p["accuracy"] for p in points])
    return float(np.trapezoid(y, x) / (x[-1] - x[0]))


def needed(points: Points, target: float, by: str = "asked") -> float:
    """How much of `by` (asked, spent) it took to reach `target` accuracy, between rounds in a line; infinity where it
    was not reached."""
    x, y = [float(p[by]) for p in points], [p["accuracy"] for p in points]
    if y[0] >= target:
        return float(x[0])
    for i in range(1, len(y)):
        if y[i] >= target:
            return float(x[i - 1] + (x[i] - x[i - 1]) * (target - y[i - 1]) / (y[i] - y[i - 1]))
    return float("inf")


def against(ours: Sequence[float], theirs: Sequence[float]) -> Against:
    """The paired difference of areas: mean, bootstrap interval over seeds, Wilcoxon's signed ranks."""
    d = np.array(ours) - np.array(theirs)
    draws = np.random.default_rng(0).integers(0, len(d), (RESAMPLES, len(d)))
    lo, hi = np.quantile(d[draws].mean(axis=1), [0.025, 0.975])
    p = 1.0 if len(d) < 2 or not np.any(d) else float(wilcoxon(d, method="auto").pvalue)
    return Against(float(d.mean()), float(lo), float(hi), p, len(d))


def holm(p: Sequence[float]) -> npt.NDArray[np.float64]:
    """Holm's step-down correction (1979)."""
    order = np.argsort(p)
    out = np.empty(len(p))
    worst = 0.0
    for place, i in enumerate(order):
        worst = max(worst, min(1.0, (len(p) - place) * p[i]))
        out[i] = worst
    return out


def by_place(curves: Mapping[Cell, Points]) -> dict[Place, dict[str, dict[int, Points]]]:
    """Place, arm, seed."""
    found: dict[Place, dict[str, dict[int, Points]]] = defaultdict(lambda: defaultdict(dict))
    for cell, points in curves.items():
        found[cell.set, cell.oracle][cell.arm][cell.seed] = points
    return found


def paired(arms: Mapping[str, dict[int, Points]], ours: str, theirs: str) -> Against | None:
    seeds = sorted(set(arms.get(ours, {})) & set(arms.get(theirs, {})))
    if not seeds:
        return None
    return against([area(arms[ours][s]) for s in seeds], [area(arms[theirs][s]) for s in seeds])


def saved(arms: Mapping[str, dict[int, Points]], by: str) -> tuple[float, float, float] | None:
    """What share of random's labels (or dollars) the default needs for random's final accuracy: median over seeds
    drawn again, with its interval. The target is random's mean final accuracy at this place."""
    seeds = sorted(set(arms.get("default", {})) & set(arms.get("random", {})))
    if not seeds:
        return None
    rng = np.random.default_rng(0)
    ratios = []
    for draw in [np.array(seeds), *rng.choice(seeds, (RESAMPLES // 4, len(seeds)))]:
        target = float(np.mean([arms["random"][s][-1]["accuracy"] for s in draw]))
        total = float(np.mean([arms["random"][s][-1][by] for s in draw]))
        mean = _mean_curve([arms["default"][s] for s in draw])
        ratios.append(needed(mean, target, by) / total)
    lo, hi = np.quantile(ratios[1:], [0.025, 0.975], method="nearest")
    return ratios[0], float(lo), float(hi)


def _mean_curve(curves: Sequence[Points]) -> Points:
    return [
        {key: float(np.mean([c[i][key] for c in curves])) for key in ("asked", "labels", "spent", "accuracy")}
        for i in range(len(curves[0]))
    ]


def ranks(places: Mapping[Place, dict[str, dict[int, Points]]]) -> dict[str, float]:
    """The mean rank of each arm by area, over places and seeds where every arm has a curve; 1 is best."""
    arms = sorted({arm for at in places.values() for arm in at})
    rows = []
    for at in places.values():
        for seed in set.intersection(*(set(at.get(arm, {})) for arm in arms)):
            rows.append(rankdata([-area(at[arm][seed]) for arm in arms]))
    return dict(zip(arms, np.mean(rows, axis=0).tolist(), strict=True)) if rows else {}


def report(outcome: Outcome, curves: Mapping[Cell, Points], planned: int) -> None:
    """Rows and pictures of everything that is there. No target holds before every planned curve is drawn."""
    places, complete = by_place(curves), len(curves) == planned
    outcome.add("curves drawn", len(curves), f"of {planned} planned")
    _rows_of_ranks(outcome, places, complete)
    _rows_against_random(outcome, places, complete)
    _rows_of_half(outcome, places, complete)
    for (name, oracle), arms in places.items():
        for arm, by_seed in sorted(arms.items()):
            last = [p[-1]["accuracy"] for p in by_seed.values()]
            mean = np.mean([area(p) for p in by_seed.values()])
            outcome.add(f"{name}, {oracle}: area of {arm}", float(mean), f"mean accuracy, {len(last)} seeds")
            outcome.add(f"{name}, {oracle}: final accuracy of {arm}", float(np.mean(last)), f"{len(last)} seeds")
    draw(places, RESULTS / "learning_curve")


def report_ablations(outcome: Outcome, curves: Mapping[Cell, Points], base: str) -> None:
    """What each change takes from `base` or adds to it: points of area, paired by set, oracle and seed."""
    places = by_place(curves)
    for arm in sorted({arm for at in places.values() for arm in at} - {base}):
        found = {place: a for place, at in places.items() if (a := paired(at, arm, base)) is not None}
        for place, a in found.items():
            outcome.add(
                f"{', '.join(place)}: {arm}",
                a.difference * 100,
                f"points of area, {a.lo * 100:+.1f} to {a.hi * 100:+.1f}, {a.n} seeds",
                rival=base,
            )
        mean = 100 * float(np.mean([a.difference for a in found.values()])) if found else 0.0
        better = sum(a.difference > 0 for a in found.values())
        outcome.add(f"{arm}, on average", mean, f"points of area; better in {better} of {len(found)}", rival=base)


def _rows_of_ranks(outcome: Outcome, places: Places, complete: bool) -> None:
    found = ranks(places)
    for arm, rank in sorted(found.items(), key=lambda item: item[1]):
        ours = arm == "default"
        first = ours and complete and rank == min(found.values())
        outcome.add(
            f"mean rank of {arm}",
            rank,
            f"of {len(found)}",
            target="first" if ours else "",
            holds=first if ours else None,
        )


def _rows_against_random(outcome: Outcome, places: Places, complete: bool) -> None:
    rivals = sorted({arm for at in places.values() for arm in at} - {"default"})
    for rival in rivals:
        found = {place: a for place, at in places.items() if (a := paired(at, "default", rival)) is not None}
        if not found:
            continue
        fixed = dict(zip(found, holm([a.p for a in found.values()]).tolist(), strict=True))
        wins = sum(a.difference > 0 and fixed[p] < SIGNIFICANT for p, a in found.items())
        losses = sum(a.difference < 0 and fixed[p] < SIGNIFICANT for p, a in found.items())
        ahead = sum(a.difference > 0 for a in found.values())
        said = f"{wins} / {len(found) - wins - losses} / {losses}"
        only = rival == "random"
        outcome.add(
            f"default against {rival}: win / tie / loss",
            said,
            f"Wilcoxon, Holm; ahead in {ahead}",
            target="no loss" if only else "",
            holds=(complete and losses == 0) if only else None,
            rival=rival,
        )
        above, below = sum(a.lo > 0 for a in found.values()), sum(a.hi < 0 for a in found.values())
        outcome.add(
            f"default against {rival}: interval above / across / below nought",
            f"{above} / {len(found) - above - below} / {below}",
            f"of {len(found)}; five seeds cannot be significant by Wilcoxon, whose least p is 0.06",
            target="none below" if only else "",
            holds=(complete and below == 0) if only else None,
            rival=rival,
        )
        for place, a in found.items():
            more = f"points of area, {a.lo * 100:+.1f} to {a.hi * 100:+.1f}, p {fixed[place]:.3f}, {a.n} seeds"
            outcome.add(f"{', '.join(place)}: default minus {rival}", a.difference * 100, more, rival=rival)


def _rows_of_half(outcome: Outcome, places: Places, complete: bool) -> None:
    reached: dict[str, list[str]] = defaultdict(list)
    for by in ("asked", "spent"):
        word = "labels" if by == "asked" else "dollars"
        for (name, oracle), arms in places.items():
            if (found := saved(arms, by)) is None:
                continue
            ratio, lo, hi = found
            if by == "asked" and ratio <= HALF:
                reached[oracle].append(name)
            tuned = "tuned on" if name in TUNED_ON else "only measured"
            outcome.add(
                f"{name}, {oracle}: {word} for random's final accuracy",
                ratio,
                f"of random's, {lo:.2f} to {hi:.2f}; {tuned}",
                rival="random",
            )
    for oracle in dict.fromkeys(o for _, o in places):
        if oracle == "tape":  # one set only
            continue
        sets = reached[oracle]
        outcome.add(
            f"{oracle}: sets with at most half of random's labels",
            len(sets),
            ", ".join(sets) or "none",
            target=f">= {SETS_WANTED}",
            holds=complete and len(sets) >= SETS_WANTED,
            rival="random",
        )


def draw(places: Mapping[Place, dict[str, dict[int, Points]]], folder: Path) -> None:
    """One picture a set: a panel for each oracle, accuracy by questions asked, the band from the worst to the best
    seed."""
    import matplotlib  # type: ignore[import-not-found, unused-ignore]

    matplotlib.use("svg")
    from matplotlib import pyplot  # type: ignore[import-not-found, unused-ignore]

    matplotlib.rcParams["svg.hashsalt"] = "labelwright"
    folder.mkdir(parents=True, exist_ok=True)
    for name in dict.fromkeys(s for s, _ in places):
        mine = {oracle: at for (s, oracle), at in places.items() if s == name}
        figure, panels = pyplot.subplots(1, len(mine), figsize=(4 * len(mine), 3.6), squeeze=False, sharey=True)
        for panel, (oracle, arms) in zip(panels[0], mine.items(), strict=True):
            for arm in sorted(arms, key=lambda a: (a != "default", a)):
                curves = list(arms[arm].values())
                mean = _mean_curve(curves)
                x = [p["asked"] for p in mean]
                (line,) = panel.plot(x, [p["accuracy"] for p in mean], label=arm, lw=2.4 if arm == "default" else 1.1)
                ends = [[c[i]["accuracy"] for c in curves] for i in range(len(x))]
                panel.fill_between(
                    x, [min(e) for e in ends], [max(e) for e in ends], color=line.get_color(), alpha=0.1
                )
            panel.set(title=f"{name}, {oracle}", xlabel="questions asked")
            panel.grid(alpha=0.3)
        panels[0][0].set_ylabel("accuracy on test texts")
        panels[0][-1].legend(fontsize=7)
        figure.tight_layout()
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        pyplot.close(figure)
