"""A number on a scale for each text: graded scores, ordinal grades.

A value is a float of the scale: of one with a step one of its grades.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from agent.errors import AnswerInvalid
from agent.job import TaskSettings
from agent.records import Answer, AnswerSchema, Belief, Floats, Label, Text, Value
from agent.tasks.likelihood import class_mass, place_in_tokens, probability, renormalised
from agent.tasks.peeling import json_object, layers
from agent.tasks.scale import NUMBER, Scale, figures, written

KEY = re.compile(r'"score"\s*:\s*"?')
LED = re.compile(rf"(?:(?:score|grade|rating)\s*[:=]\s*)?({NUMBER.pattern})", re.ASCII | re.IGNORECASE)
"""A number, or what models put before one."""
SPARE_TOKENS = 24
"""For the digits behind the point of a number between any two."""


class Regression:
    """Numbers on the job's `scale`. Values are floats."""

    kind: ClassVar[str] = "regression"
    prompt: ClassVar[str] = "regression/v1"
    student: ClassVar[str] = "ridge"
    widget: ClassVar[str] = "number"

    def __init__(self, settings: TaskSettings) -> None:
        if settings.scale is None:
            raise ValueError("a task of regression needs a scale")
        self.names: tuple[str, ...] = ()  # a number is no class
        self.scale = Scale(settings.scale.low, settings.scale.high, settings.scale.step)
        self._meanings = [
            {"number": written(self.scale.read(name)), "words": words}
            for name, words in settings.labels.items()
            if words
        ]
        self._grades = tuple(written(grade) for grade in self.scale.grades)

    def variables(self, text: Text) -> Mapping[str, Any]:
        scale = self.scale
        step = "" if scale.step is None else written(scale.step)
        ends = {"low": written(scale.low), "high": written(scale.high), "step": step}
        return {**ends, "meanings": self._meanings, "text": text.text}

    def schema(self, text: Text) -> AnswerSchema:
        """A scale of few grades lists them, and then an answer may be one of them alone; any other has two ends."""
        scale = self.scale
        score: dict[str, Any] = {"type": "number", "minimum": scale.low, "maximum": scale.high}
        longest = max(len(self.write(end)) for end in (scale.low, scale.high)) + SPARE_TOKENS
        if self._grades:
            score = {"enum": [int(g) if g == int(g) else g for g in scale.grades]}
            longest = max(len(self.write(grade)) for grade in scale.grades) + 4
        return AnswerSchema(
            json_schema={
                "type": "object",
                "properties": {"score": score},
                "required": ["score"],
                "additionalProperties": False,
            },
            max_tokens=longest,  # a token has a character at least
            choices=self._grades or None,
        )

    def parse(self, content: str, text: Text) -> Value:
        said, _ = self._found(content)
        try:
            return self.scale.read(said)
        except ValueError as error:
            raise AnswerInvalid(str(error)) from None

    def _found(self, content: str) -> tuple[object, int]:
        """The number that an answer says, as it stands there, and where it begins (-1 where that is not known)."""
        for layer in layers(content):
            led = [(found, start) for start, end in layer if (found := LED.fullmatch(content[start:end]))]
            if led:
                found, start = led[0]
                return found[1], start + found.start(1)
        whole = json_object(content)
        said_there = None if whole is None else whole[0].get("score")
        if whole is None or said_there is None:
            return content, -1
        keys = list(KEY.finditer(content, *whole[1]))
        number = NUMBER.match(content, keys[-1].end()) if keys else None
        if number is None or isinstance(said_there, bool | list | dict) or float(number[0]) != _as_float(said_there):
            return said_there, -1
        return number[0], number.start()

    def write(self, value: Value) -> str:
        return f'{{"score": {written(value)}}}'

    def read(self, cell: object, text: Text | None = None) -> Value:
        """A number, or words that are one. Raises ValueError for anything else, and for what is off the scale."""
        return self.scale.read(cell)

    def show(self, value: Value) -> str:
        return written(value)

    def confidence(self, answer: Answer, value: Value) -> Belief:
        """With few grades: the probability of the grade that was given, and in `probabilities` that of each grade, by
        its name, so that what is expected of the answer is their mean. It is the mass of the answer's tokens and of
        the alternatives beside them, scaled to one; `lost_mass` went to no grade.

        With many grades, or without a step: the probability of the number's own tokens, one after the other, which is
        less the more digits it has: it ranks answers, and is no probability of being near.
        """
        said, at = self._found(answer.content) if answer.tokens else ("", -1)
        start = place_in_tokens(answer.tokens, answer.content, at, len(str(said))) if at >= 0 else -1
        if start < 0:
            return Belief(confidence=math.nan)
        if not self._grades:
            return Belief(confidence=probability(answer.tokens, start, start + len(str(said))))
        name = written(value)
        if said != name:  # 4.0 for 4, or snapped: the grades' names do not stand there
            return Belief(confidence=probability(answer.tokens, start, start + len(str(said))))
        probabilities, lost = renormalised(class_mass(answer.tokens, start, self._grades))
        return Belief(confidence=probabilities[name], probabilities=probabilities, lost_mass=lost)

    def targets(self, labels: Sequence[Label]) -> Floats:
        """(n,) float32: the value, or what is expected of the source's probabilities of each grade."""
        return np.array([self._expected(label) for label in labels], np.float32)

    def _expected(self, label: Label) -> float:
        told: dict[str, float] = {name: p for name, p in (label.probabilities or {}).items() if name in self._grades}
        total = sum(told.values())
        if not total > 0:
            return float(label.value)
        return sum(float(name) * p for name, p in told.items()) / total

    def agreement(self, a: Value, b: Value) -> float:
        """1 less the share of the scale that lies between them."""
        return float(1.0 - abs(a - b) / self.scale.width)

    def metrics(self, gold: Sequence[Value], predicted: Sequence[Value]) -> dict[str, float]:
        """First the share `within` half a step, which of grades is the share that is the same, or without a step
        within a tenth of the scale; then `mae` and `rmse` in units of the scale, `pearson`, `spearman`, and with a
        step `weighted_kappa` (quadratic)."""
        return figures(gold, predicted, self.scale)


def _as_float(said: object) -> float:
    try:
        return float(str(said))
    except ValueError:
        return math.nan
