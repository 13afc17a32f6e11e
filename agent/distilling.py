"""A job's labels into a model: which labels count, what the model is made from, and what its card says of them.

How it is trained is `agent.distill`'s.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agent import steps
from agent.certifying import certificates
from agent.errors import DataError
from agent.hints import trust
from agent.job import DistilSettings
from agent.measuring import Lesson
from agent.records import Label, Rows, Source, TextId
from agent.refreshing import go_on
from agent.report.certificate import certificate
from agent.student import Reader, RidgeStudent, Tagger
from agent.tasks import ExtractiveQa, Generation, Pairs, Regression, Spans
from agent.triage import threshold
from agent.workbench import FIT, Workbench

MODEL, REFUSED = "model", "model-refused"
"""In the output folder: the model, and the last one that did not take its place (`agent.promoting`)."""
MOST_TOLD = 400
"""Characters of the guideline that a model that writes is told."""
LATER = {
    "loss": "cross_entropy",
    "labels": "as_given",
    "layer_decay": 1.0,
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
AS_GIVEN = "as_given"
FROM = " from "
"""In the hash of what a model is made from: behind it that of the model that it went on from."""


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


def distil_model(bench: Workbench, *, again: bool = False, start: Path | None = None) -> Path:
    """Fine-tune the encoder on the labels that count; a model of the same labels is kept unless `again`.

    With `start` the model of that folder goes on learning, in place of the encoder; for a task with classes.
    """
    from agent import distill

    if start is not None:
        return _go_on_from(bench, start, again=again)
    folder, lessons = bench.output(MODEL), _lessons_to_distil(bench)
    lesson_hash = _hash(bench, lessons)
    for made in () if again else (folder, bench.output(REFUSED)):
        if distill.made_from(made) == lesson_hash:
            bench.watch.note(f"the model in {made} was made from these labels already")
            return folder
    if _distil_without_classes(bench, lessons, lesson_hash):
        return folder
    if bench.job.data.image is not None:
        _distil_depicted(bench, lessons, lesson_hash)
        return folder
    if not bench.task.names:
        return distill.save_student(bench.student, bench.task, lessons, folder, bench.rng(FIT, 1_000_000))
    how = _how_of_classes(bench, lessons, lesson_hash)
    distill.distil(encoder=bench.encoder, unseen=_unseen(bench, lessons), **how)
    return folder


def _go_on_from(bench: Workbench, start: Path, *, again: bool) -> Path:
    from agent import distill

    if not bench.task.names:
        raise DataError(
            f"job {bench.job.name} has `kind: {bench.job.task.kind}`: a model goes on from another one for tasks "
            "with classes alone; leave --from out"
        )
    folder, lessons = bench.output(MODEL), _lessons_to_distil(bench)
    lesson_hash, others = _hash(bench, lessons), _others(bench, lessons)
    origin = distill.Start.read(start, [t.text for t in bench.pool.texts(others)], bench.job.student.max_tokens)
    own, key = start.resolve() == folder.resolve(), f"{lesson_hash}{FROM}{origin.key}"
    for made in () if again else (folder, bench.output(REFUSED)):
        found = distill.made_from(made) or ""
        # what the job's own model has learnt it would learn once more, since it is another model then
        if found == key or (own and made == folder and found.split(FROM)[0] == lesson_hash):
            bench.watch.note(f"the model in {made} was made from these labels and that model already")
            return folder
    how = _how_of_classes(bench, lessons, key)
    distill.distil(start=origin, unseen=_unseen(bench, lessons, others), **how)
    return folder


def _how_of_classes(bench: Workbench, lessons: Sequence[Lesson], lesson_hash: str) -> dict[str, Any]:
    """All that a model with classes is made from but what it begins with; says that it takes long."""
    bench.watch.note(f"distilling a model from {len(lessons):,} labels; this takes a while")
    what = {"examples": examples_of(bench, lessons), "settings": _settings(bench), "choose": _bar(bench)}
    return what | _how(bench, lessons, lesson_hash)


def _distil_without_classes(bench: Workbench, lessons: Sequence[Lesson], lesson_hash: str) -> bool:
    """Whether the task is one of ours whose labels are no classes, and has been distilled."""
    task, student = bench.task, bench.student
    if isinstance(task, Spans) and isinstance(student, Tagger):
        _distil_spans(bench, task, lessons, lesson_hash)
    elif isinstance(task, Regression) and isinstance(student, RidgeStudent):
        _distil_grades(bench, task, lessons, lesson_hash)
    elif isinstance(task, ExtractiveQa) and isinstance(student, Reader):
        _distil_answers(bench, task, lessons, lesson_hash)
    elif isinstance(task, Generation) and bench.to_write is not None:
        _distil_texts(bench, task, lessons, lesson_hash)
    else:
        return False
    return True


def _distil_depicted(bench: Workbench, lessons: Sequence[Lesson], lesson_hash: str) -> None:
    from agent import distill
    from agent.student.depicted import DepictedEncoder

    encoder, (text, image) = bench.encoder, (bench.job.data.text, bench.job.data.image)
    assert isinstance(encoder, DepictedEncoder)
    assert image is not None
    bench.watch.note(f"teaching a head on {encoder.name} from {len(lessons):,} labels")
    how = _how(bench, lessons, lesson_hash)
    del how["note"]
    distill.distil_depicted(examples_of(bench, lessons), _settings(bench), (text, image), encoder=encoder, **how)


def _distil_spans(bench: Workbench, task: Spans, lessons: Sequence[Lesson], lesson_hash: str) -> None:
    from agent import distill

    known = distill.SpanLessons(
        [t.text for t, _ in lessons],
        [[(start, end, name) for start, end, name, _ in label.value] for _, label in lessons],
        np.ones(len(lessons), np.float32),
    )
    how = _how_at_once(bench, lessons, lesson_hash)
    distill.distil_spans(known, task.types, bench.job.distil, **how)


def _distil_grades(bench: Workbench, task: Regression, lessons: Sequence[Lesson], lesson_hash: str) -> None:
    from agent import distill

    known = distill.GradeLessons(
        [t.text for t, _ in lessons],
        task.targets([label for _, label in lessons]),
        np.ones(len(lessons), np.float32),
    )
    how = _how_at_once(bench, lessons, lesson_hash)
    distill.distil_grades(known, task.scale, bench.job.distil, **how)


def _distil_answers(bench: Workbench, task: ExtractiveQa, lessons: Sequence[Lesson], lesson_hash: str) -> None:
    from agent import distill

    values = task.targets([label for _, label in lessons])
    known = distill.AnswerLessons([t.text for t, _ in lessons], values, np.ones(len(lessons), np.float32))
    how = _how_at_once(bench, lessons, lesson_hash)
    distill.distil_answers(known, task.columns, bench.job.distil, may_be_none=task.may_be_none, **how)


def _distil_texts(bench: Workbench, task: Generation, lessons: Sequence[Lesson], lesson_hash: str) -> None:
    from agent import distill

    job, model = bench.job, bench.to_write
    known = distill.TextLessons(
        [t.text for t, _ in lessons],
        task.targets([label for _, label in lessons]),
        np.ones(len(lessons), np.float32),
    )
    bench.watch.note(f"teaching a model to write from {len(lessons):,} texts; this takes a while")
    how = _how(bench, lessons, lesson_hash) | {"seed": job.seed}
    asked = distill.Asked(instruction(bench.job.guidelines), job.data.max_tokens, task.most_tokens)
    distill.distil_texts(known, asked, job.distil.model_copy(update={"model": model}), **how)


def instruction(guidelines: str) -> str:
    """The guideline's first paragraph, which a model is told before each text: the rest it has to learn from the
    texts, since all of it would stand before each."""
    return " ".join(guidelines.split("\n\n", maxsplit=1)[0].split())[:MOST_TOLD]


def compare_encoders(bench: Workbench, names: Sequence[str]) -> Any:
    """Distil into each of these encoders, by name or folder, and keep the best. Returns `agent.distill.Compared`.

    Raises DataError, and ModelError where an encoder cannot be used.
    """
    from agent import distill
    from agent.student.encoder import Encoder

    if not bench.task.names:
        raise DataError(
            f"job {bench.job.name} has `kind: {bench.job.task.kind}`: encoders are compared for tasks with classes "
            "alone; leave --compare and the encoders out"
        )
    if bench.job.data.image is not None:
        raise DataError(
            f"job {bench.job.name} has pictures (`data.image`), and encoders are compared for texts alone; leave "
            "--compare and the encoders out"
        )
    lessons = _lessons_to_distil(bench)
    student = bench.job.student
    encoders = [Encoder.load(name, student.max_tokens, student.batch_tokens) for name in names]
    how = _how(bench, lessons, _hash(bench, lessons))
    unseen = _unseen(bench, lessons)
    examples, choose = examples_of(bench, lessons), _bar(bench)
    return distill.compare(examples, _settings(bench), encoders, unseen=unseen, choose=choose, **how)


def _lessons_to_distil(bench: Workbench) -> list[Lesson]:
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


def _how(bench: Workbench, lessons: Sequence[Lesson], lesson_hash: str) -> dict[str, Any]:
    """Where the model goes, what its card says, and who is told."""
    return {
        "folder": bench.output(MODEL),
        "facts": _facts(bench, lessons, lesson_hash),
        "progress": lambda done, total: bench.watch.progress("distilling", done, total),
        "note": bench.watch.note,
    }


def _settings(bench: Workbench) -> DistilSettings:
    """Those of the job. Who would have no label doubted has none put right."""
    found = bench.job.distil
    return found.model_copy(update={"labels": AS_GIVEN}) if bench.job.student.label_noise == "ignore" else found


def _bar(bench: Workbench) -> Callable[..., Any] | None:
    """How it is found from where on the model answers, where the job wants so many of its answers to be right."""
    from agent.distill import Bar

    wanted = bench.job.distil.abstain_at_accuracy
    if wanted is None:
        return None

    def choose(sure: Any, right: Any) -> Bar:
        found = threshold(sure, right, 1 - wanted)
        return Bar(found.value, found.basis)

    return choose


def _how_at_once(bench: Workbench, lessons: Sequence[Lesson], lesson_hash: str) -> dict[str, Any]:
    """The same and what starts a model that is not made of `Examples`; says that it takes long."""
    bench.watch.note(f"distilling a model from {len(lessons):,} texts; this takes a while")
    return _how(bench, lessons, lesson_hash) | {"encoder": bench.encoder, "seed": bench.job.seed}


def _hash(bench: Workbench, lessons: Sequence[Lesson]) -> str:
    """What the model is made from: labels, settings of student and distilling, seed."""
    settings = bench.job.settings()
    corrects = bool(bench.task.names) and not _is_multilabel(bench) and _settings(bench).labels != AS_GIVEN
    distil = settings["distil"] | ({} if corrects else {"labels": AS_GIVEN})
    distil = {key: value for key, value in distil.items() if key not in LATER or LATER[key] != value}
    what = [settings["student"], distil, settings["seed"], list(bench.task.names)]
    what += [bench.encoder.key] if bench.is_tuned else []
    if corrects:
        what += [[(i, x.by, x.value) for i, x in sorted(_put_right(bench, lessons).items())]]
    rows = [[t.id, label.value, label.source, sorted((label.probabilities or {}).items())] for t, label in lessons]
    return hashlib.sha256(json.dumps([what, rows], default=str).encode()).hexdigest()


def examples_of(bench: Workbench, lessons: Sequence[Lesson]) -> Any:
    """Labels as what a model with classes learns: `agent.distill.Examples`."""
    from agent.distill import Examples

    targets = bench.task.targets([label for _, label in lessons])
    people = np.array([label.source in (Source.PERSON, Source.SEED) for _, label in lessons], np.bool_)
    before = _put_right(bench, lessons)
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


def _put_right(bench: Workbench, lessons: Sequence[Lesson]) -> dict[TextId, Label]:
    """Of texts whose label people or the seed gave, what an oracle said of them last, where one was asked."""
    by_people = {text.id for text, label in lessons if label.source is not Source.ORACLE}
    labels = bench.store.contested(bench.job.name)
    return {
        label.text_id: label
        for label in labels
        if label.source is Source.ORACLE and label.text_id in by_people and label.value in bench.task.names
    }


def _unseen(bench: Workbench, lessons: Sequence[Lesson], others: Rows | Sequence[int] = ()) -> list[str]:
    """Random texts of the pool that taught nothing, for telling drift from; none where more than a tenth of it did:
    what is left then is what the student was sure of, and new texts are not like that. `others` are rows that taught
    without a label, and were taken at random."""
    if len(lessons) > MOST_TAUGHT * len(bench.pool):
        return []
    free = np.setdiff1d(_free(bench, lessons), others)
    some = np.sort(bench.rng(FIT, 1_000_001).permutation(free)[:UNSEEN])
    return [text.text for text in bench.pool.texts(some)]


def _others(bench: Workbench, lessons: Sequence[Lesson]) -> Rows:
    """Random rows of the pool without a label that counts, for an old model to have an opinion of: as many as there
    are labels, within bounds, and half of what there is at most."""
    free = _free(bench, lessons)
    wanted = min(max(len(lessons), FEWEST_OTHERS), MOST_OTHERS, -(-len(free) // 2))
    return np.sort(bench.rng(FIT, 1_000_003).permutation(free)[:wanted])


def _free(bench: Workbench, lessons: Sequence[Lesson]) -> Rows:
    return np.setdiff1d(np.arange(len(bench.pool)), [text.row for text, _ in lessons])


def _facts(bench: Workbench, lessons: Sequence[Lesson], lesson_hash: str) -> dict[str, Any]:
    """What the model card says of where the labels came from."""
    spending = bench.store.spending(bench.job.name)
    return {
        "job": bench.job.name,
        "made_from": lesson_hash,
        "labels": len(lessons),
        "sources": dict(Counter(str(label.source) for _, label in lessons)),
        "by": dict(Counter(label.by for _, label in lessons if label.source is not Source.PERSON)),
        "prompt_hashes": sorted({label.prompt_hash for _, label in lessons if label.prompt_hash}),
        "cost_dollars": spending.spent / 1e6,
        "cap_dollars": spending.cap / 1e6,
        "data": bench.job.settings()["data"],
        "audit": certificate(certificates(bench.store, bench.job.name, bench.task)),
        "guidelines": bench.job.guidelines,
        "settings": bench.job.settings(),
    }
