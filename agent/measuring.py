"""How good something is, with an interval, and on what it was measured. Pure but for the student it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.records import Floats, Label, Prediction, Student, Text, Value
from agent.tasks import Generation, Task
from agent.tasks.hierarchy import accuracy_at, depth
from agent.tasks.intervals import wilson

RESAMPLES = 200
FOLDS = 5
Lesson = tuple[Text, Label]


@dataclass(frozen=True, slots=True)
class Quality:
    """A figure of quality: the task's headline metric, its 95 % interval, and what it was measured on.

    `levels` has the same of labels that are paths, at each level above them, the broadest first; `beside` has figures
    that a task wants shown beside it.
    """

    value: float
    low: float
    high: float
    n: int
    measured_on: str
    metric: str = "accuracy"
    levels: tuple[Quality, ...] = ()
    beside: Mapping[str, float] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """As the report takes it."""
        found: dict[str, Any] = {
            "accuracy": self.value,
            "lo": self.low,
            "hi": self.high,
            "n": self.n,
            "measured_on": self.measured_on,
            "metric": self.metric,
            **self.beside,
        }
        return found | {"levels": [level.figures() for level in self.levels]} if self.levels else found


def quality(
    task: Task, gold: Sequence[Value], predicted: Sequence[Value], measured_on: str, rng: np.random.Generator
) -> Quality | None:
    """The headline metric with a 95 % interval: Wilson's for a share, a percentile bootstrap for any other.

    None where there is nothing to measure on.
    """
    n = len(gold)
    if n == 0:
        return None
    if isinstance(task, Generation):  # whose other figures take long, and are not asked for here
        draws = [np.arange(n), *(rng.integers(0, n, n) for _ in range(RESAMPLES))]
        value, *values = task.resampled(gold, predicted, draws)
        low, high = (float(q) for q in np.quantile(values, [0.025, 0.975]))
        return Quality(value, low, high, n, measured_on, "chrf")
    found = task.metrics(gold, predicted)
    metric, value = next(iter(found.items()))
    levels: tuple[Quality, ...] = ()
    if metric == "accuracy":
        low, high = wilson(round(value * n), n)
        shares = {name: found[name] for name in map(accuracy_at, range(1, depth(task.names))) if name in found}
        levels = tuple(Quality(v, *wilson(round(v * n), n), n, measured_on, name) for name, v in shares.items())
    else:
        draws = [rng.integers(0, n, n) for _ in range(RESAMPLES)]
        values = [task.metrics([gold[i] for i in d], [predicted[i] for i in d])[metric] for d in draws]
        low, high = (float(q) for q in np.nanquantile(values, [0.025, 0.975]))
    beside = {name: found[name] for name in getattr(task, "beside", ())}
    return Quality(value, low, high, n, measured_on, metric, levels, beside)


def fit(
    student: Student, task: Task, lessons: Sequence[Lesson], weights: Floats, rng: np.random.Generator
) -> Student:
    """The student, taught."""
    student.fit([t for t, _ in lessons], task.targets([label for _, label in lessons]), weights, rng)
    return student


def foretold(
    taught: Callable[[Sequence[Lesson], Floats], Student],
    lessons: Sequence[Lesson],
    *,
    weights: Floats,
    measured: Sequence[int],
    rng: np.random.Generator,
) -> Iterator[tuple[list[int], Prediction]]:
    """What students say of the lessons at `measured` that were not taught them, fold by fold: (their places, that).

    The lessons at `measured` are cut into folds; each fold is predicted after learning from everything else.
    """
    order = rng.permutation(np.asarray(measured, dtype=np.int64))
    for fold in np.array_split(order, max(1, min(FOLDS, len(order)))):
        out = set(fold.tolist())
        keep = [i for i in range(len(lessons)) if i not in out]
        if keep and out:
            student = taught([lessons[i] for i in keep], weights[keep])
            yield fold.tolist(), student.predict([lessons[i][0] for i in fold.tolist()])


def held_out(
    taught: Callable[[Sequence[Lesson], Floats], Student],
    lessons: Sequence[Lesson],
    *,
    weights: Floats,
    measured: Sequence[int],
    rng: np.random.Generator,
) -> tuple[list[Value], list[Value]]:
    """(labels, predictions) of the lessons at `measured`, each `foretold`."""
    given: list[Value] = []
    said: list[Value] = []
    for rows, prediction in foretold(taught, lessons, weights=weights, measured=measured, rng=rng):
        given += [lessons[i][1].value for i in rows]
        said += list(prediction.values)
    return given, said
