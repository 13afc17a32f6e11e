"""Exactly one label for two texts: does one follow from the other, do both ask the same, how alike are they?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from agent import pairing, picture
from agent.job import TaskSettings
from agent.records import Text
from agent.tasks.classification import Classification
from agent.tasks.extractive_qa import ExtractiveQa
from agent.tasks.multilabel import Multilabel
from agent.tasks.seam import Task


class Pairs(Classification):
    """Single-label classification of pairs, each of them one text (`agent.pairing`). Values are class names.

    Attributes:
        columns: what the two texts are called: the columns that the job names.
    """

    kind: ClassVar[str] = "pairs"
    prompt: ClassVar[str] = "pairs/v1"
    grouped: ClassVar[str] = prompt

    def __init__(self, settings: TaskSettings) -> None:
        super().__init__(settings)
        self.columns = settings.columns

    def variables(self, text: Text) -> Mapping[str, Any]:
        first, second = pairing.split(text.text)
        return {"labels": self._labels, "columns": self.columns, "text": first, "second_text": second}


Paired = Pairs | ExtractiveQa
"""The tasks whose texts are pairs."""
Depicted = Classification | Multilabel
"""Those whose texts may come with a picture."""


class Part(NamedTuple):
    """One of the texts that a label is about: `key` as files name it, and what people call it."""

    key: str
    name: str
    text: str


def parts(task: Task, text: str) -> tuple[Part, ...]:
    """A text as people and files are shown it: the two of a pair, a text and the path of its picture, or the one
    that it is."""
    if isinstance(task, Depicted) and task.image is not None:
        words, image = picture.split(text)
        return (Part("text", "text", words), Part("image", task.image, image.path if image else ""))
    if not isinstance(task, Paired):
        return (Part("text", "text", text),)
    keys = ("text", "second")
    return tuple(Part(*each) for each in zip(keys, task.columns, pairing.split(text), strict=True))
