"""A job's labels into a model: how it is made for each kind of task, where it goes, and what its card says.

Which labels teach it is `agent.lessons`', how it is trained `agent.distill`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agent.certifying import certificates
from agent.errors import DataError
from agent.lessons import examples_of, hash_of, others_of, settings_of, to_distil, unseen_of
from agent.measuring import Lesson
from agent.records import Source
from agent.report.certificate import certificate
from agent.student import Reader, RidgeStudent, Tagger
from agent.tasks import ExtractiveQa, Generation, Regression, Spans
from agent.triage import threshold
from agent.workbench import FIT, Workbench

MODEL, REFUSED = "model", "model-refused"
"""In the output folder: the model, and the last one that did not take its place (`agent.promoting`)."""
MOST_TOLD = 400
"""Characters of the guideline that a model that writes is told."""
FROM = " from "
"""In the hash of what a model is made from: behind it that of the model that it went on from."""


def distil_model(bench: Workbench, *, again: bool = False, start: Path | None = None) -> Path:
    """Fine-tune the encoder on the labels that count; a model of the same labels is kept unless `again`.

    With `start` the model of that folder goes on learning, in place of the encoder; for a task with classes.
    """
    from agent import distill

    if start is not None:
        return _go_on_from(bench, start, again=again)
    folder, lessons = bench.output(MODEL), to_distil(bench)
    lesson_hash = hash_of(bench, lessons)
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
    distill.distil(encoder=bench.encoder, unseen=unseen_of(bench, lessons), **how)
    return folder


def _go_on_from(bench: Workbench, start: Path, *, again: bool) -> Path:
    from agent import distill

    if not bench.task.names:
        raise DataError(
            f"job {bench.job.name} has `kind: {bench.job.task.kind}`: a model goes on from another one for tasks "
            "with classes alone; leave --from out"
        )
    folder, lessons = bench.output(MODEL), to_distil(bench)
    lesson_hash, others = hash_of(bench, lessons), others_of(bench, lessons)
    origin = distill.Start.read(start, [t.text for t in bench.pool.texts(others)], bench.job.student.max_tokens)
    own, key = start.resolve() == folder.resolve(), f"{lesson_hash}{FROM}{origin.key}"
    for made in () if again else (folder, bench.output(REFUSED)):
        found = distill.made_from(made) or ""
        # what the job's own model has learnt it would learn once more, since it is another model then
        if found == key or (own and made == folder and found.split(FROM)[0] == lesson_hash):
            bench.watch.note(f"the model in {made} was made from these labels and that model already")
            return folder
    how = _how_of_classes(bench, lessons, key)
    distill.distil(start=origin, unseen=unseen_of(bench, lessons, others), **how)
    return folder


def _how_of_classes(bench: Workbench, lessons: Sequence[Lesson], lesson_hash: str) -> dict[str, Any]:
    """All that a model with classes is made from but what it begins with; says that it takes long."""
    bench.watch.note(f"distilling a model from {len(lessons):,} labels; this takes a while")
    what = {"examples": examples_of(bench, lessons), "settings": settings_of(bench), "choose": _bar(bench)}
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
    distill.distil_depicted(examples_of(bench, lessons), settings_of(bench), (text, image), encoder=encoder, **how)


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
    lessons = to_distil(bench)
    student = bench.job.student
    encoders = [Encoder.load(name, student.max_tokens, student.batch_tokens) for name in names]
    how = _how(bench, lessons, hash_of(bench, lessons))
    unseen = unseen_of(bench, lessons)
    examples, choose = examples_of(bench, lessons), _bar(bench)
    return distill.compare(examples, settings_of(bench), encoders, unseen=unseen, choose=choose, **how)


def _how(bench: Workbench, lessons: Sequence[Lesson], lesson_hash: str) -> dict[str, Any]:
    """Where the model goes, what its card says, and who is told."""
    return {
        "folder": bench.output(MODEL),
        "facts": _facts(bench, lessons, lesson_hash),
        "progress": lambda done, total: bench.watch.progress("distilling", done, total),
        "note": bench.watch.note,
    }


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
