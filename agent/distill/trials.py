"""Which of several ways to distil is best: each is tried on the same split, and judged on the labels held out.

Knows examples, settings and encoders; not what is made of the verdict.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.distill.checkpoint import Checkpoint, Note, Pace, training_folder
from agent.distill.deciding import best_threshold
from agent.distill.making import fingerprint, make
from agent.distill.saving import replacing_file
from agent.distill.shown import public_name
from agent.distill.start import SEEN, Source, may_have_learnt
from agent.distill.targets import FEWEST_JUDGES, MOST_HELD_OUT, Examples, drawn
from agent.distill.training import Progress
from agent.errors import DataError
from agent.job import DistilSettings
from agent.records import Floats, Rows
from agent.tasks.intervals import wilson

LOSSES = ("cross_entropy", "generalised", "reweighted", "co_teaching")
COMPARED = 0.2
"""Of all labels, how many are held out to compare by where people gave too few."""
SIGNIFICANT = 0.05

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """Sorted rows to learn from and to judge on, and whose labels the latter are."""

    learn: Rows
    held: Rows
    measured_on: str


@dataclass(frozen=True)
class Trial:
    """What one way came to.

    Attributes:
        right: (m,) bool, which of the held-out labels the model gives.
        seconds: that its training took.
        megabytes: its weights'.
    """

    name: str
    right: Bools
    seconds: float
    megabytes: float

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of 95 %."""
        return wilson(float(self.right.sum()), len(self.right))


@dataclass(frozen=True)
class Attempt:
    """One way to try: its name, settings with a loss that is not `auto`, and what it begins with."""

    name: str
    settings: DistilSettings
    source: Source


@dataclass(frozen=True)
class Watched:
    """Where trials are kept, and who is told: see `agent.distill.distil`."""

    folder: Path
    progress: Progress
    note: Note
    pace: Pace


def split_by_people(known: Examples) -> Split | None:
    """People's labels to judge on, the others to learn from; None where either are too few."""
    if known.people is None:
        return None
    rng = np.random.default_rng([known.seed, 7])
    learn, held = drawn(known, np.flatnonzero(known.people), MOST_HELD_OUT, rng)
    enough = len(held) >= FEWEST_JUDGES and len(learn) >= len(held) and _classes(known, learn) >= 2
    return Split(learn, held, "people's labels, held out") if enough else None


def split(known: Examples) -> Split:
    """People's labels where there are enough of them, else a fifth of all. Raises DataError where those are few."""
    if (found := split_by_people(known)) is not None:
        return found
    n = len(known.texts)
    wanted = min(MOST_HELD_OUT, round(COMPARED * n))
    learn, held = drawn(known, np.arange(n), wanted, np.random.default_rng([known.seed, 7]))
    if len(held) < FEWEST_JUDGES // 2:
        raise DataError(
            f"nothing can be compared on {n:,} labels: at least {FEWEST_JUDGES // 2} of them must be held out, "
            f"a fifth of all; label more texts first, or distil with one encoder"
        )
    return Split(learn, held, "labels held out of the training")


def attempts(known: Examples, parts: Split, ways: Sequence[Attempt], watched: Watched, kind: str) -> list[Trial]:
    """Try each way, all of one `kind`. What was tried before this process was killed is not tried again."""
    found = []
    for number, way in enumerate(ways, 1):
        stage = f"{kind}{number}"
        learnt = known.part(parts.learn)
        mark = fingerprint(learnt, way.settings, way.source)
        mark = fingerprint(known.part(parts.held), way.settings, way.source) + mark
        path = training_folder(watched.folder) / f"{stage}.json"
        if (trial := _read(path, mark, way.name)) is None:
            watched.note(f"{kind} {number} of {len(ways)} is tried: {public_name(way.name)}")
            checkpoint = Checkpoint(watched.folder, mark, watched.pace, watched.note, stage)
            trial = _attempt(known, parts, way, checkpoint, watched)
            _write(path, mark, trial)
            checkpoint.end()
        found.append(trial)
    return found


def best_of(trials: Sequence[Trial]) -> tuple[Trial, str]:
    """The best, and why: the smallest, or the first of those alike, unless another is better beyond chance.

    By the exact paired test of McNemar 1947 on the texts that just one of two gets right.
    """
    order = sorted(trials, key=lambda t: t.megabytes)
    best = order[0]
    for other in order[1:]:
        if _is_better(other, best):
            best = other
    others = ", ".join(f"{public_name(t.name)} {t.accuracy:.1%}" for t in trials if t is not best)
    better = all(t is best or _is_better(best, t) for t in trials)
    why = "better beyond chance" if better else "no other is better beyond chance"
    return best, f"{best.accuracy:.1%} of {len(best.right):,} held-out labels, {others}: {why}"


def choose_loss(
    known: Examples, settings: DistilSettings, source: Source, watched: Watched
) -> tuple[DistilSettings, str]:
    """Settings with the loss that `auto` stands for, and why."""

    def chosen(loss: str) -> DistilSettings:
        return settings.model_copy(update={"loss": loss})

    if may_have_learnt(source, known):
        return chosen(LOSSES[0]), SEEN
    parts = None if known.multilabel else split_by_people(known)
    if parts is None:
        few = f"there are no {FEWEST_JUDGES} labels of people to choose by beside as many others"
        return chosen(LOSSES[0]), "this task has any number of labels a text" if known.multilabel else few
    ways = [Attempt(loss, chosen(loss), source) for loss in LOSSES]
    best, why = best_of(attempts(known, parts, ways, watched, "loss"))
    return chosen(best.name), why


def _is_better(a: Trial, b: Trial) -> bool:
    from scipy.stats import binomtest

    wins, losses = int((a.right & ~b.right).sum()), int((b.right & ~a.right).sum())
    return wins > losses and float(binomtest(wins, wins + losses).pvalue) < SIGNIFICANT


def _attempt(known: Examples, parts: Split, way: Attempt, checkpoint: Checkpoint, watched: Watched) -> Trial:
    began = time.monotonic()
    made = make(known.part(parts.learn), way.settings, way.source, checkpoint, progress=watched.progress)
    seconds = time.monotonic() - began
    size = sum(p.numel() * p.element_size() for p in made.network.model.parameters()) / 1e6
    held = known.part(parts.held)
    logits = made.network.logits(made.network.tokens(held.texts))
    said: Floats | Bools = logits
    if known.multilabel:
        chances, wanted = made.network.chances(logits), way.settings.label_threshold
        found = best_threshold(chances, held.targets, held.weights)
        said = chances >= (found.threshold if wanted == "auto" else wanted)
    return Trial(way.name, right_of(said, held.targets, multilabel=known.multilabel), seconds, size)


def right_of(said: Floats | Bools, targets: Floats, *, multilabel: bool) -> Bools:
    """(m,): which labels are given as they were given: the likeliest class, or for multilabel every decision."""
    if multilabel:
        right: Bools = (said == (targets >= 0.5)).all(axis=1)
    else:
        right = said.argmax(axis=1) == targets.argmax(axis=1)
    return right


def _classes(known: Examples, rows: Rows) -> int:
    return len(np.unique(known.targets[rows].argmax(axis=1)))


def _write(path: Path, mark: str, trial: Trial) -> None:
    said: dict[str, Any] = {"fingerprint": mark, "seconds": trial.seconds, "megabytes": trial.megabytes}
    with replacing_file(path) as partial:
        partial.write_text(json.dumps(said | {"right": trial.right.astype(int).tolist()}), encoding="utf-8")


def _read(path: Path, mark: str, name: str) -> Trial | None:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if said["fingerprint"] != mark:
            return None
        return Trial(name, np.array(said["right"], np.bool_), said["seconds"], said["megabytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
