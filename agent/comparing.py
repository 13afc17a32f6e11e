"""Law 4: students taught by chosen texts held against students taught by random ones, on the very same texts.

Knows the workbench, no oracle and no page: figures for the store come out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.measuring import FOLDS, Lesson, quality
from agent.records import Floats, Student, Value
from agent.report.comparison import paired
from agent.workbench import Workbench

FEWEST = 20  # random labels: judged by fewer, no difference can be told
Weigh = Callable[[Workbench, Sequence[Lesson]], Floats]


@dataclass(frozen=True)
class Parts:
    """The lessons by how they came: from the seed, by chance, chosen; each in the order of their rounds."""

    seed: Sequence[Lesson]
    random: Sequence[Lesson]
    selected: Sequence[Lesson]

    @classmethod
    def of(cls, bench: Workbench, lessons: Sequence[Lesson]) -> Parts:
        picks = bench.picks()
        rest = [x for x in lessons if x[0].id in picks]
        rest.sort(key=lambda x: (picks[x[0].id].round, x[0].row, x[0].id))
        return cls(
            [x for x in lessons if x[0].id not in picks],
            [x for x in rest if picks[x[0].id].slice == "random"],
            [x for x in rest if picks[x[0].id].slice != "random"],
        )


@dataclass(frozen=True)
class Classroom:
    """Teaches as many students as are needed to compare, each as the job's own is taught.

    Attributes:
        weigh: lessons to their weights.
        teach: lessons and weights to a student on the first encoder.
    """

    bench: Workbench
    weigh: Weigh
    teach: Callable[[Sequence[Lesson], Floats], Student]
    taught: dict[tuple[str, ...], Student] = field(default_factory=dict)

    def student(self, lessons: Sequence[Lesson]) -> Student:
        """A student that learnt from these lessons alone; the same lessons are not taught twice."""
        key = tuple(t.id for t, _ in lessons)
        if key not in self.taught:
            self.taught[key] = self.teach(lessons, self.weigh(self.bench, lessons))
        return self.taught[key]


def beside_chance(room: Classroom, parts: Parts, rng: Callable[[int], np.random.Generator]) -> dict[str, Any]:
    """Figures of a round: `beside`, the paired comparison at equal `labels` and at equal `dollars`; on gold also
    `accuracy_random`, the student of the whole random slice, and `selected_equal`, that of equally many others.

    Args:
        rng: a generator for each of a few numbers.
    """
    if not parts.random or not parts.selected:
        return {}
    sizes = _equal(room.bench, parts)
    return _on_gold(room, parts, sizes, rng) if room.bench.gold else _on_the_slice(room, parts, sizes, rng)


def spread(lessons: Sequence[Lesson], count: int) -> list[Lesson]:
    """`count` of the lessons, evenly spread, in their order; all of them where there are no more."""
    if count >= len(lessons):
        return list(lessons)
    return [lessons[i] for i in np.linspace(0, len(lessons) - 1, count).round().astype(int)]


def _equal(bench: Workbench, parts: Parts) -> dict[str, dict[str, int]]:
    """How many labels of each kind are compared: equally many, and as many as the same dollars paid for.

    A label's price is what its slice cost over the labels that came of it, so failed attempts count.
    """
    random, selected = len(parts.random), len(parts.selected)
    same = min(random, selected)
    found = {"labels": {"selected_labels": same, "random_labels": same}}
    costs = bench.store.round_costs(bench.job.name)
    paid_random = sum(c.cost for c in costs if c.slice == "random")
    paid_selected = sum(c.cost for c in costs) - paid_random
    dollars = min(paid_random, paid_selected)
    if dollars > 0:
        some = {
            "selected_labels": int(selected * dollars / paid_selected),
            "random_labels": int(random * dollars / paid_random),
        }
        if all(some.values()):
            found["dollars"] = {"dollars": int(dollars), **some}
    return found


def _on_gold(
    room: Classroom, parts: Parts, sizes: Mapping[str, Mapping[str, int]], rng: Callable[[int], np.random.Generator]
) -> dict[str, Any]:
    bench = room.bench
    texts, truth = [t for t, _ in bench.gold], [v for _, v in bench.gold]
    said: dict[tuple[str, int], Sequence[Value]] = {}

    def of(kind: str, count: int) -> Sequence[Value]:
        if (kind, count) not in said:
            some = [*parts.seed, *spread(parts.random if kind == "random" else parts.selected, count)]
            said[kind, count] = room.student(some).predict(texts).values
        return said[kind, count]

    beside: dict[str, Any] = {}
    for basis, size in sizes.items():
        both = of("selected", size["selected_labels"]), of("random", size["random_labels"])
        beside[basis] = {**size, **paired(bench.task, truth, *both, rng(1)), "measured_on": "gold"}
    same = sizes["labels"]["selected_labels"]
    figures: dict[str, Any] = {"beside": beside, "equal_labels": same}
    for name, one in (
        ("accuracy_random", of("random", len(parts.random))),
        ("selected_equal", of("selected", same)),
    ):
        found = quality(bench.task, truth, one, "gold", rng(0))
        if found is not None:
            figures |= {name: found.value, f"{name}_lo": found.low, f"{name}_hi": found.high}
    return figures


def _on_the_slice(
    room: Classroom, parts: Parts, sizes: Mapping[str, Mapping[str, int]], rng: Callable[[int], np.random.Generator]
) -> dict[str, Any]:
    """Without gold: agreement with the random slice's labels. No student is judged by labels it learnt from: the
    random ones in folds, so both kinds learn from four fifths of what they have."""
    if len(parts.random) < FEWEST:
        return {}
    folds = np.array_split(rng(2).permutation(len(parts.random)), FOLDS)
    beside: dict[str, Any] = {}
    for basis, size in sizes.items():
        count = {name: max(1, n * (FOLDS - 1) // FOLDS) for name, n in size.items() if name != "dollars"}
        chosen = room.student([*parts.seed, *spread(parts.selected, count["selected_labels"])])
        truth: list[Value] = []
        by_selected: list[Value] = []
        by_random: list[Value] = []
        for fold in folds:
            out = set(fold.tolist())
            rest = [x for i, x in enumerate(parts.random) if i not in out]
            texts = [parts.random[i][0] for i in fold.tolist()]
            truth += [parts.random[i][1].value for i in fold.tolist()]
            by_selected += list(chosen.predict(texts).values)
            by_random += list(
                room.student([*parts.seed, *spread(rest, count["random_labels"])]).predict(texts).values
            )
        held = paired(room.bench.task, truth, by_selected, by_random, rng(1))
        beside[basis] = {**size, **count, **held, "measured_on": "random slice"}
        if "dollars" in size:
            beside[basis]["dollars"] = size["dollars"] * (FOLDS - 1) // FOLDS
    return {"beside": beside}
