"""What a label *is*, one file per kind of task. `build(settings)` finds a task by name or `package.module:Name`."""

from __future__ import annotations

import difflib

from agent.errors import JobFileError
from agent.job import TaskSettings
from agent.records import Value
from agent.tasks.classification import Classification
from agent.tasks.extractive_qa import ExtractiveQa
from agent.tasks.generation import Generation
from agent.tasks.loading import load_named
from agent.tasks.multilabel import Multilabel
from agent.tasks.pairs import Pairs
from agent.tasks.regression import Regression
from agent.tasks.seam import Task
from agent.tasks.spans import Spans

__all__ = [
    "Classification",
    "ExtractiveQa",
    "Generation",
    "Multilabel",
    "Pairs",
    "Regression",
    "Spans",
    "Task",
    "build",
    "is_right",
    "label_names",
    "load_named",
    "prompt_of",
]

KINDS: dict[str, type[Task]] = {
    "classification": Classification,
    "extractive_qa": ExtractiveQa,
    "generation": Generation,
    "multilabel": Multilabel,
    "pairs": Pairs,
    "regression": Regression,
    "spans": Spans,
}


def is_right(task: Task, truth: Value, given: Value, *, seen: bool = False) -> bool:
    """Whether a label counts as right beside one that is.

    Args:
        seen: whoever said the truth had `given` before their eyes. Of texts, which two people never write alike, that
            makes a difference: see `Generation.is_right`.
    """
    if isinstance(task, Generation):
        return task.is_right(truth, given, seen=seen)
    return task.agreement(truth, given) == 1.0


def label_names(task: Task) -> tuple[str, ...]:
    """The names that a label may have: classes of a text, or types of its pieces."""
    return task.types if isinstance(task, Spans) else task.names


def prompt_of(task: Task) -> str:
    """The template that asks for this job's labels, where the job names none of its own."""
    return task.template if isinstance(task, Classification | Multilabel) else task.prompt


def build(settings: TaskSettings) -> Task:
    """The task that the job file names. Raises JobFileError for an unknown kind."""
    if ":" in settings.kind:
        task = load_named(settings.kind, "task.kind")(settings)
        if not isinstance(task, Task):
            missing = [n for n in ("variables", "schema", "parse", "confidence", "targets") if not hasattr(task, n)]
            raise JobFileError("job", [(0, f"`task.kind`: {settings.kind} is not a Task: it lacks {missing}")])
        return task
    if settings.kind not in KINDS:
        near = difflib.get_close_matches(settings.kind, KINDS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(KINDS)}, or package.module:Name"
        raise JobFileError("job", [(0, f"`task.kind`: unknown kind {settings.kind!r}; {hint}")])
    return KINDS[settings.kind](settings)
