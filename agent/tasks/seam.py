"""What a label *is*: the seam that every kind of task implements.

A task knows texts, prompts' variables, answers and labels. It knows no model, no endpoint and no database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

from agent.job import TaskSettings
from agent.records import Answer, AnswerSchema, Belief, Label, Text, Value


@runtime_checkable
class Task(Protocol):
    """One kind of task. A user's own is named in the job file as `package.module:Name` and is built as
    `Name(task_settings)` with the job's `TaskSettings` (see `agent.job`)."""

    kind: ClassVar[str]
    prompt: ClassVar[str]  # template name under prompts/, e.g. "classification/v1"
    student: ClassVar[str]  # the default student: "head" or "package.module:Name"
    widget: ClassVar[str]
    """How the review page asks: "choice", "multiple", "json", "text"; of our own "spans", "number", "answer" too."""
    names: tuple[str, ...]  # the class names in the job's order; empty where the task has none

    def __init__(self, settings: TaskSettings) -> None: ...

    def variables(self, text: Text) -> Mapping[str, Any]:
        """The prompt template's variables; every one must be used by the template."""
        ...

    def schema(self, text: Text) -> AnswerSchema:
        """What an answer to this text must look like."""
        ...

    def parse(self, content: str, text: Text) -> Value:
        """An answer's content as a value. Raises AnswerInvalid when it is not one."""
        ...

    def write(self, value: Value) -> str:
        """A value as the content of an ideal answer: what a worked example in the prompt shows."""
        ...

    def read(self, cell: object, text: Text | None = None) -> Value:
        """A cell of a seed, gold or review file as a value. Raises ValueError that names the nearest known label."""
        ...

    def show(self, value: Value) -> str:
        """A value as one cell of text; `read(show(v)) == v`."""
        ...

    def confidence(self, answer: Answer, value: Value) -> Belief:
        """How sure the oracle was of `value`, from the answer's token probabilities where it has them."""
        ...

    def targets(self, labels: Sequence[Label]) -> Any:
        """What the student learns from: (n, C) float32 soft targets for tasks with classes, else what the
        task's own student expects."""
        ...

    def agreement(self, a: Value, b: Value) -> float:
        """0 to 1: how far two values agree; 1 is the same."""
        ...

    def metrics(self, gold: Sequence[Value], predicted: Sequence[Value]) -> dict[str, float]:
        """Figures of quality; the first key is the task's headline figure."""
        ...
