"""Seconds and memory of choosing 100 texts from a million and from ten million, and other libraries beside it.

    python -m evals.selection_speed [--quick] [--folder FOLDER] [--keep] [--no-rivals]

The pool is made up: clustered vectors of 384 numbers in a float16 file of the kind that a job has (7.7 GB for ten
million; written under FOLDER, by default /tmp/sel, and deleted afterwards unless `--keep`). 200 texts are labelled,
10 classes. Each figure is measured in a process of its own, three times where that takes less than 20 seconds, and is
the median: what a process does only once, such as importing scikit-learn, is then left out. Memory is what a process
has taken beyond what it had when everything was imported: the candidates, the student and its probabilities among it.

The other libraries run in an environment of their own (`make rivals`; another by LABELWRIGHT_RIVALS, the path of its
Python), on the same vectors. Both sides are timed from vectors to 100 chosen texts: where a strategy looks at the
student's probabilities, making them is counted on both sides. They read theirs from memory, we read ours from disk.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.selection import STRATEGIES
from evals._apart import Found, apart
from evals._cloud import BLOCK, World, lay
from evals.outcome import Outcome

HERE = Path(__file__).parent
RIVALS = Path(os.environ.get("LABELWRIGHT_RIVALS", HERE.parent / ".cache" / "rivals" / "bin" / "python"))
LIMIT_S = 900.0
NOISE = 1.2
"""How much more than linear growth a busy machine may make of linear growth."""
LARGE_GB = 3.0

TARGETS = {
    "head": 1.5,
    "margin": 0.15,
    "cluster_margin": 3.0,
    "badge": 1.0,
    "k_center": 25.0,
    "cold start": 45.0,
}
"""Seconds at a million."""
SHOWN = {
    "head": "head scoring",
    "margin": "margin, after scoring",
    "badge": "badge (10,000 candidates)",
    "k_center": "k_center on the full pool",
}
UNSCORED = {"k_center", "k_means", "typiclust", "probcover"}
"""Strategies that do not look at the student's probabilities."""
BESIDE = {
    "margin": ("small-text: BreakingTies", "scikit-activeml: margin", "modAL: margin_sampling"),
    "least_confidence": (
        "small-text: LeastConfidence",
        "scikit-activeml: least confident",
        "modAL: uncertainty_sampling",
    ),
    "entropy": ("small-text: PredictionEntropy", "scikit-activeml: entropy", "modAL: entropy_sampling"),
    "k_center": ("small-text: GreedyCoreset", "scikit-activeml: CoreSet"),
    "k_means": ("small-text: EmbeddingKMeans",),
    "badge": ("scikit-activeml: Badge",),
    "contrastive": ("small-text: ContrastiveActiveLearning", "scikit-activeml: ContrastiveAL"),
    "typiclust": ("scikit-activeml: TypiClust",),
    "probcover": ("scikit-activeml: ProbCover",),
    "committee": ("scikit-activeml: QueryByCommittee", "modAL: max_disagreement_sampling"),
    "bald": ("scikit-activeml: GreedyBALD",),
    "density": ("modAL: information_density",),
    "error_reduction": ("scikit-activeml: MonteCarloEER", "modAL: expected_error_reduction"),
}


@dataclass(frozen=True)
class Sizes:
    """Rows of the pool: `main` is held against the targets, `large` against `main`; other libraries run at `beside`
    for at most `patience_s` each."""

    main: int = 1_000_000
    large: int = 10_000_000
    beside: tuple[int, ...] = (20_000, 100_000)
    patience_s: float = 60.0


QUICK = Sizes(main=100_000, large=200_000, beside=(20_000,), patience_s=20.0)


class Bench:
    """The rows in the making.

    Args:
        folder: where the pool is.
        outcome: takes the rows.
        sizes: how large.
    """

    def __init__(self, folder: Path, outcome: Outcome, sizes: Sizes) -> None:
        self.folder, self.outcome, self.sizes = folder, outcome, sizes

    def ours(self, rows: int, what: str) -> Found:
        """One measurement of our own."""
        print(f"  {what} at {rows:,}", file=sys.stderr, flush=True)
        command = [sys.executable, "-W", "ignore", "-m", "evals._selecting", self.folder, str(rows), what]
        return _told(apart(command, LIMIT_S))

    def targets(self) -> dict[str, Found]:
        """What the targets name, at the main size."""
        found = {what: self.ours(self.sizes.main, what) for what in TARGETS if _known(what)}
        for what, seconds in TARGETS.items():
            figure = f"{SHOWN.get(what, what)}, {self.sizes.main:,}"
            if what not in found:
                self.outcome.add(figure, "no such strategy", "", target=f"<= {seconds:g} s", holds=False)
                continue
            self._seconds(
                figure, found[what], f"<= {seconds:g} s", found[what].said.get("seconds", np.inf) <= seconds
            )
        most = max((f.megabytes for f in found.values()), default=0.0)
        self.outcome.add(
            f"extra memory, {self.sizes.main:,}", round(most), "MB", target="<= 1000 MB", holds=most <= 1000
        )
        return found

    def growth(self, small: dict[str, Found]) -> None:
        """The same at the large size."""
        times = self.sizes.large / self.sizes.main
        most = 0.0
        for what, before in small.items():
            found = self.ours(self.sizes.large, what)
            most = max(most, found.megabytes)
            held = not before.trouble and not found.trouble and found.seconds <= times * NOISE * before.seconds
            grew = f"{found.seconds / before.seconds:.1f} times" if not found.trouble and not before.trouble else ""
            target = f"<= {times:g} times that of {self.sizes.main:,}, and {NOISE - 1:.0%} for noise"
            self._seconds(f"{SHOWN.get(what, what)}, {self.sizes.large:,}", found, target, held, grew)
        held_memory = most <= 1000 * LARGE_GB
        target = f"<= {1000 * LARGE_GB:.0f} MB"
        self.outcome.add(f"extra memory, {self.sizes.large:,}", round(most), "MB", target=target, holds=held_memory)

    def others(self) -> None:
        """Every other strategy at the main size, and a whole batch as a job composes it; no target."""
        for name in ["whole margin", *sorted(set(STRATEGIES) - set(TARGETS))]:
            found = self.ours(self.sizes.main, name)
            self._seconds(f"{name}, {self.sizes.main:,}", found, "", None)

    def beside(self) -> None:
        """The other libraries, strategy by strategy."""
        late: set[str] = set()
        for rows in self.sizes.beside:
            write_arrays(self.folder, rows)
            for name, arms in BESIDE.items():
                if name not in STRATEGIES:
                    continue
                ours = self.ours(rows, name if name in UNSCORED else f"with head {name}")
                for arm in arms:
                    found = (
                        Found({}, 0, "not tried: too slow or too large on fewer") if arm in late else self.rival(arm)
                    )
                    if found.trouble.startswith((">", "out of memory", "not tried")):
                        late.add(arm)
                    self._ratio(f"{name}, {rows:,}", arm, ours, found)

    def rival(self, arm: str) -> Found:
        print(f"  {arm}", file=sys.stderr, flush=True)
        return _told(apart([RIVALS, HERE / "_other_libraries.py", self.folder, arm], self.sizes.patience_s))

    def _seconds(self, figure: str, found: Found, target: str, holds: bool | None, note: str = "") -> None:
        value: float | str = found.trouble or round(found.seconds, 4)
        said = f"{found.megabytes:.0f} MB" + (f"; {note}" if note else "")
        if not found.trouble:
            said += f"; first time {found.said['first']:.3g} s, {found.said['processor']:.3g} s of processor each"
        self.outcome.add(figure, value, "s", target=target, holds=holds, rival=said)

    def _ratio(self, figure: str, arm: str, ours: Found, rival: Found) -> None:
        library = str(rival.said.get("library", ""))
        named = arm.replace(arm.partition(":")[0], library, 1) if library else arm
        if ours.trouble:
            self.outcome.add(figure, f"ours: {ours.trouble}", "", rival=named)
            return
        mine = f"ours {ours.seconds:.3g} s, {ours.megabytes:.0f} MB"
        if not rival.trouble:
            told = f"{named} {rival.seconds:.3g} s, {rival.megabytes:.0f} MB; {mine}"
            self.outcome.add(figure, round(rival.seconds / ours.seconds, 2), "times ours", rival=told)
        elif rival.trouble.startswith(">"):
            least = f"> {self.sizes.patience_s / ours.seconds:.0f}"
            self.outcome.add(figure, least, "times ours", rival=f"{named} {rival.trouble}; {mine}")
        else:
            self.outcome.add(figure, "did not run", "", rival=f"{named}: {rival.trouble}; {mine}")


def write_arrays(folder: Path, rows: int) -> None:
    """What the other libraries work on: the vectors, the labels, and our student's weights."""
    world = World(folder, rows)
    head = world.student.head.each[0]
    arrays: dict[str, Any] = {
        "X": world.stored.rows(np.arange(rows)),
        "labelled": world.labelled,
        "y": world.labels,
        "weights": (head.weights / np.float32(head.temperature)).astype(np.float32),
    }
    for name, array in arrays.items():
        np.save(folder / f"rival-{name}.npy", array)


def _told(found: Found) -> Found:
    said = found.trouble or f"{found.seconds:.3g} s, {found.megabytes:.0f} MB"
    print(f"    {said}", file=sys.stderr, flush=True)
    return found


def _known(what: str) -> bool:
    return what in STRATEGIES or what in ("head", "cold start")


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evals.selection_speed")
    parser.add_argument("--quick", action="store_true", help="100,000 rows: does it run at all")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/sel"))
    parser.add_argument("--keep", action="store_true", help="leave the pool's file for the next time")
    parser.add_argument("--no-rivals", action="store_true", help="without the other libraries")
    return parser.parse_args()


def main() -> int:
    asked = _asked()
    if not asked.no_rivals and not RIVALS.exists():
        print(f"{RIVALS}: no such Python; make it with `make rivals`, or leave them out with --no-rivals")
        return 2
    sizes = QUICK if asked.quick else Sizes()
    outcome = Outcome("selection_speed", quick=asked.quick)
    assert all(n % BLOCK == 0 for n in (sizes.main, sizes.large, *sizes.beside))
    lay(asked.folder, sizes.large)
    bench = Bench(asked.folder, outcome, sizes)
    outcome.add("load of the machine before", round(os.getloadavg()[0], 2), f"of {os.cpu_count()} cores")
    try:
        bench.growth(bench.targets())
        bench.others()
        if not asked.no_rivals:
            bench.beside()
    finally:
        if not asked.keep:
            for left in (asked.folder / "pool.f16", *asked.folder.glob("rival-*.npy")):
                left.unlink(missing_ok=True)
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
