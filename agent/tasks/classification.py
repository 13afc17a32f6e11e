"""Exactly one label a text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from agent.errors import AnswerInvalid
from agent.job import TaskSettings
from agent.picture import words_of
from agent.records import Answer, AnswerSchema, Belief, Floats, Label, Text, Value
from agent.tasks.hierarchy import accuracy_at, at_level, depth, listed
from agent.tasks.likelihood import class_mass, place_in_tokens, renormalised
from agent.tasks.names import match, unknown
from agent.tasks.peeling import json_object, layers

KEY = re.compile(r'"label"\s*:\s*"?')


class Classification:
    """Single-label classification. Values are class names.

    Attributes:
        grouped: the prompt of a job whose labels are paths (`agent.tasks.hierarchy`), or with an `other`.
        depicted: that of a job whose texts come with pictures (`agent.picture`).
        image: what a picture is called: the column that the job names; None where texts come without.
        other: the class of texts that none of the others fits; None where there is none.
    """

    kind: ClassVar[str] = "classification"
    prompt: ClassVar[str] = "classification/v3"
    grouped: ClassVar[str] = "classification/v4"
    depicted: ClassVar[str] = "classification/v5"
    student: ClassVar[str] = "head"
    widget: ClassVar[str] = "choice"

    def __init__(self, settings: TaskSettings) -> None:
        self.names: tuple[str, ...] = tuple(settings.labels)
        self.image = settings.image
        self._index = {name: i for i, name in enumerate(self.names)}
        self.other = settings.other if settings.other in settings.labels else None
        self._labels = listed(settings.labels, self.other)
        # a token is at least one byte of UTF-8; the JSON around a name takes at most 16 more
        self._max_tokens = max(len(json.dumps({"label": n}).encode()) for n in self.names) + 4

    @property
    def template(self) -> str:
        """The prompt of this job."""
        if self.image is not None:
            return self.depicted
        return self.grouped if depth(self.names) > 1 or self.other is not None else self.prompt

    def variables(self, text: Text) -> Mapping[str, Any]:
        return {"labels": self._labels, "text": text.text if self.image is None else words_of(text.text)}

    def schema(self, text: Text) -> AnswerSchema:
        return AnswerSchema(
            json_schema={
                "type": "object",
                "properties": {"label": {"type": "string", "enum": list(self.names)}},
                "required": ["label"],
                "additionalProperties": False,
            },
            max_tokens=self._max_tokens,
            choices=self.names,
        )

    def parse(self, content: str, text: Text) -> Value:
        name, _, said = self._found(content)
        if name is None:
            raise AnswerInvalid(unknown(said, self.names))
        return name

    def _found(self, content: str) -> tuple[str | None, int, object]:
        """The label that an answer is, without what models wrap around it, and where it stands in the answer (-1
        where it is spelt in another way); and what it says, where that is no label."""
        for layer in layers(content):
            named = {match(content[start:end], self.names): (start, end) for start, end in layer}
            named.pop(None, None)
            if len(named) > 1:
                return None, -1, content
            for name, place in named.items():
                return name, content.find(str(name), *place), name
        found = json_object(content)
        said = None if found is None else found[0].get("label")
        if found is None or said is None:
            return None, -1, content
        name, (start, end) = match(said, self.names), found[1]
        keys = list(KEY.finditer(content, start, end))  # the last one: a reason may come before it
        at = keys[-1].end() if keys else -1
        return name, at if name is not None and content.startswith(name, at) else -1, said

    def write(self, value: Value) -> str:
        return json.dumps({"label": value}, ensure_ascii=False)

    def read(self, cell: object, text: Text | None = None) -> Value:
        name = match(cell, self.names)
        if name is None:
            raise ValueError(unknown(cell, self.names))
        return name

    def show(self, value: Value) -> str:
        return str(value)

    def confidence(self, answer: Answer, value: Value) -> Belief:
        """Probability of every class from the answer's tokens; no probability at all where there are none."""
        if not answer.tokens:
            return Belief(confidence=float("nan"))
        name, at, _ = self._found(answer.content)
        known = name == value and at >= 0
        start = place_in_tokens(answer.tokens, answer.content, at, len(str(value))) if known else -1
        if start < 0:  # matched by case only, or tokens and text differ: its place in the tokens is not known
            return Belief(confidence=float("nan"))
        mass = class_mass(answer.tokens, start, self.names)
        probabilities, lost = renormalised(mass)
        return Belief(confidence=probabilities[value], probabilities=probabilities, lost_mass=lost)

    def targets(self, labels: Sequence[Label]) -> Floats:
        """(n, C) float32: the source's probabilities, or certainty where it gave none."""
        out = np.zeros((len(labels), len(self.names)), np.float32)
        for row, label in zip(out, labels, strict=True):
            if label.probabilities:
                for name, p in label.probabilities.items():
                    if name in self._index:
                        row[self._index[name]] = p
            if row.sum() <= 0:
                row[self._index[label.value]] = 1.0
        shares: Floats = out / out.sum(1, keepdims=True)
        return shares

    def agreement(self, a: Value, b: Value) -> float:
        return float(a == b)

    def metrics(self, gold: Sequence[Value], predicted: Sequence[Value]) -> dict[str, float]:
        """Accuracy, and F1 averaged over the classes that occur in either; of labels that are paths also the share
        that is right at each level above them, `accuracy_level_1` the broadest."""
        levels = range(1, depth(self.names))
        if not gold:
            return dict.fromkeys(("accuracy", "macro_f1", *map(accuracy_at, levels)), float("nan"))
        g = np.array([self._index[v] for v in gold])
        p = np.array([self._index[v] for v in predicted])
        seen = np.union1d(g, p)
        f1 = [2 * np.sum((g == c) & (p == c)) / (np.sum(g == c) + np.sum(p == c)) for c in seen]
        found = {"accuracy": float(np.mean(g == p)), "macro_f1": float(np.mean(f1))}
        for level in levels:
            same = [at_level(a, level) == at_level(b, level) for a, b in zip(gold, predicted, strict=True)]
            found[accuracy_at(level)] = float(np.mean(same))
        return found
