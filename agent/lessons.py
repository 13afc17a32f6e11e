"""A job's labels as what a model learns: which of them count, as numbers, and which texts stand beside them.

What is made of them is `agent.distilling`'s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from agent import steps
from agent.errors import DataError
from agent.hints import trust
from agent.job import DistilSettings
from agent.measuring import Lesson
from agent.records import Label, Rows, Source, TextId
from agent.refreshing import go_on
from agent.tasks import Pairs
from agent.workbench import FIT, Workbench

AS_GIVEN = "as_given"
LATER = {
    "loss": "cross_entropy",
    "labels": "as_given",
    "layer_decay": 1.0,
    "label_threshold": 0.5,
    "abstain_below": None,
    "abstain_at_accuracy": None,
    "batch": 16,
    "accumulate": 1,
    "precision": "auto",
    "model": None,
    "lora_rank": 16,
}
"""Settings of distilling that came later, and what all models were made with before: those are not made anew."""
MOST_TAUGHT, UNSEEN = 0.1, 200
"""Share of the pool that may have taught a model whose inputs are held against the rest, and how many of that."""
FEWEST_OTHERS, MOST_OTHERS = 200, 1000
"""Texts without a label that are replayed where a model goes on from another one."""


def lessons_that_count(bench: Workbench) -> list[Lesson]:
    """Accepted labels, people's and the seed's, in the order of the pool."""
    counts = steps.accepted(bench)
    seeds = {t.id for t, _ in bench.seed}
    found = [(t, label) for t, label in bench.lessons() if t.id in counts or t.id in seeds]
    return sorted(found, key=lambda lesson: (lesson[0].row, lesson[0].id))


def learnable(bench: Workbench) -> bool:
    """Whether the labels that count teach anything: for a task with classes, at least two of them."""
    lessons = lessons_that_count(bench)
    if not bench.task.names:
        return bool(lessons)
    return len({json.dumps(label.value) for _, label in lessons}) >= 2


def wanted(bench: Workbench) -> str:
    """What there has to be for `learnable`, in words."""
    return "labels of at least two classes" if bench.task.names else "some labels"


def to_distil(bench: Workbench) -> list[Lesson]:
    """The labels that count. Raises DataError where there is nothing to distil."""
    if not bench.job.has_student:
        raise DataError(
            f"job {bench.job.name} has no student (`student: none`), so there is nothing to distil its labels into; "
            "take that line out of the job file, and the same command trains a model on the labels that are there"
        )
    go_on(bench)  # the model starts from the encoder that the milestones made, whichever command asks for it
    if not learnable(bench):
        raise DataError(
            f"job {bench.job.name}: nothing to distil yet: {wanted(bench)} must be accepted; "
            "run the job, or review its queue"
        )
    return lessons_that_count(bench)


def settings_of(bench: Workbench) -> DistilSettings:
    """Those of the job. Who would have no label doubted has none put right."""
    found = bench.job.distil
    return found.model_copy(update={"labels": AS_GIVEN}) if bench.job.student.label_noise == "ignore" else found


def hash_of(bench: Workbench, lessons: Sequence[Lesson]) -> str:
    """What the model is made from: labels, settings of student and distilling, seed."""
    settings = bench.job.settings()
    corrects, decides = _corrects(bench, lessons), _is_multilabel(bench) and bench.job.data.image is None
    # what has no effect here makes no other model
    distil = settings["distil"] | ({} if corrects else {"labels": AS_GIVEN})
    distil |= {} if decides else {"label_threshold": LATER["label_threshold"]}
    distil = {key: value for key, value in distil.items() if key not in LATER or LATER[key] != value}
    what = [settings["student"], distil, settings["seed"], list(bench.task.names)]
    what += [bench.encoder.key] if bench.is_tuned else []
    if corrects:  # by how each machine errs, and so by who said what
        before = _said_before(bench, lessons)
        last = [before.get(text.id, label) for text, label in lessons]
        what += [[(x.by, x.value, sorted((x.probabilities or {}).items())) for x in last]]
    rows = [[t.id, label.value, label.source, sorted((label.probabilities or {}).items())] for t, label in lessons]
    return hashlib.sha256(json.dumps([what, rows], default=str).encode()).hexdigest()


def examples_of(bench: Workbench, lessons: Sequence[Lesson]) -> Any:
    """Labels as what a model with classes learns: `agent.distill.Examples`."""
    from agent.distill import Examples

    targets = bench.task.targets([label for _, label in lessons])
    people = np.array([label.source in (Source.PERSON, Source.SEED) for _, label in lessons], np.bool_)
    before = _said_before(bench, lessons)
    last = [before.get(text.id, label) for text, label in lessons]
    heard = np.array([label.source is Source.ORACLE for label in last], np.bool_)
    told = np.where(heard[:, None], bench.task.targets(last), 0).astype(np.float32)
    machines = {name: place for place, name in enumerate(dict.fromkeys(label.by for label in last))}
    return Examples(
        texts=[t.text for t, _ in lessons],
        targets=targets,
        weights=np.ones(len(lessons), np.float32),
        trust=trust(bench, lessons),
        people=people,
        told=told,
        by=np.array([machines[label.by] for label in last], np.int64),
        names=bench.task.names,
        multilabel=_is_multilabel(bench),
        columns=bench.task.columns if isinstance(bench.task, Pairs) else None,
        seed=bench.job.seed,
    )


def _is_multilabel(bench: Workbench) -> bool:
    return bench.task.kind == "multilabel"


def _corrects(bench: Workbench, lessons: Sequence[Lesson]) -> bool:
    """Whether machines' labels may be put right before they teach."""
    if not bench.task.names or _is_multilabel(bench) or settings_of(bench).labels == AS_GIVEN:
        return False
    from agent.distill.correcting import FEWEST

    given = sum(label.source is Source.ORACLE for _, label in lessons)
    return given > 0 and given + len(_said_before(bench, lessons)) >= FEWEST


def _said_before(bench: Workbench, lessons: Sequence[Lesson]) -> dict[TextId, Label]:
    """Of texts whose label people or the seed gave, what an oracle said of them last, where one was asked."""
    by_people = [text.id for text, label in lessons if label.source is not Source.ORACLE]
    labels = bench.store.standing(bench.job.name, by_people)
    return {x.text_id: x for x in labels if x.source is Source.ORACLE and x.value in bench.task.names}


def unseen_of(bench: Workbench, lessons: Sequence[Lesson], others: Rows | Sequence[int] = ()) -> list[str]:
    """Random texts of the pool that taught nothing, for telling drift from; none where more than a tenth of it did:
    what is left then is what the student was sure of, and new texts are not like that. `others` are rows that taught
    without a label, and were taken at random."""
    if len(lessons) > MOST_TAUGHT * len(bench.pool):
        return []
    free = np.setdiff1d(_free(bench, lessons), others)
    some = np.sort(bench.rng(FIT, 1_000_001).permutation(free)[:UNSEEN])
    return [text.text for text in bench.pool.texts(some)]


def others_of(bench: Workbench, lessons: Sequence[Lesson]) -> Rows:
    """Random rows of the pool without a label that counts, for an old model to have an opinion of: as many as there
    are labels, within bounds, and half of what there is at most."""
    free = _free(bench, lessons)
    wanted = min(max(len(lessons), FEWEST_OTHERS), MOST_OTHERS, -(-len(free) // 2))
    return np.sort(bench.rng(FIT, 1_000_003).permutation(free)[:wanted])


def _free(bench: Workbench, lessons: Sequence[Lesson]) -> Rows:
    return np.setdiff1d(np.arange(len(bench.pool)), [text.row for text, _ in lessons])
