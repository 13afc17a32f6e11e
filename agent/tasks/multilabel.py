"""Any number of labels a text, also none."""

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
from agent.tasks.hierarchy import depth, listed
from agent.tasks.likelihood import class_mass, place_in_tokens
from agent.tasks.names import match, unknown
from agent.tasks.peeling import json_object

KEY = re.compile(r'"labels"\s*:\s*')


class Multilabel:
    """Multi-label classification. Values are tuples of class names in the job's order.

    Attributes:
        grouped: the prompt of a job whose labels are paths (`agent.tasks.hierarchy`).
        depicted: that of a job whose texts come with pictures (`agent.picture`).
        image: what a picture is called: the column that the job names; None where texts come without.
    """

    kind: ClassVar[str] = "multilabel"
    prompt: ClassVar[str] = "multilabel/v3"
    grouped: ClassVar[str] = "multilabel/v4"
    depicted: ClassVar[str] = "multilabel/v5"
    student: ClassVar[str] = "head"
    widget: ClassVar[str] = "multiple"

    def __init__(self, settings: TaskSettings) -> None:
        self.names: tuple[str, ...] = tuple(settings.labels)
        self.image = settings.image
        self._index = {name: i for i, name in enumerate(self.names)}
        self._labels = listed(settings.labels)
        longest = len(json.dumps({"labels": list(self.names)}, ensure_ascii=False).encode())
        # every label at once is the worst answer, but no real one is: the bound is what gets reserved
        self._max_tokens = min(longest + 8, 256)

    @property
    def template(self) -> str:
        """The prompt of this job."""
        if self.image is not None:
            return self.depicted
        return self.grouped if depth(self.names) > 1 else self.prompt

    def variables(self, text: Text) -> Mapping[str, Any]:
        return {"labels": self._labels, "text": text.text if self.image is None else words_of(text.text)}

    def schema(self, text: Text) -> AnswerSchema:
        return AnswerSchema(
            json_schema={
                "type": "object",
                "properties": {
                    "labels": {
                        "type": "array",
                        "items": {"type": "string", "enum": list(self.names)},
                        "maxItems": len(self.names),
                    }
                },
                "required": ["labels"],
                "additionalProperties": False,
            },
            max_tokens=self._max_tokens,
        )

    def parse(self, content: str, text: Text) -> Value:
        found = json_object(content)
        if found is None or not isinstance(found[0].get("labels"), list):
            raise AnswerInvalid(f"not JSON with a list of labels: {content[:80]!r}")
        return self._in_order(found[0]["labels"], AnswerInvalid)

    def write(self, value: Value) -> str:
        return json.dumps({"labels": list(value)}, ensure_ascii=False)

    def read(self, cell: object, text: Text | None = None) -> Value:
        """A list, a JSON list, or names separated by `|` (`;` or `,` where no name has one); empty means none."""
        if isinstance(cell, list | tuple | np.ndarray):
            return self._in_order(list(cell), ValueError)
        said = "" if cell is None else str(cell).strip()
        if said.startswith("["):
            try:
                return self._in_order(list(json.loads(said)), ValueError)
            except (ValueError, TypeError) as error:
                if isinstance(error, json.JSONDecodeError):
                    raise ValueError(f"not a JSON list of labels: {said[:80]!r}") from None
                raise
        if match(said, self.names) is not None:
            return self._in_order([said], ValueError)
        for mark in "|;,":
            if mark in said and not any(mark in n for n in self.names):
                return self._in_order([p for p in said.split(mark) if p.strip()], ValueError)
        return self._in_order([said] if said else [], ValueError)

    def show(self, value: Value) -> str:
        return json.dumps(list(value), ensure_ascii=False)

    def _in_order(self, found: Sequence[object], wrong: type[Exception]) -> tuple[str, ...]:
        names = [match(f, self.names) for f in found]
        for said, name in zip(found, names, strict=True):
            if name is None:
                raise wrong(unknown(said, self.names))
        return tuple(n for n in self.names if n in names)

    def confidence(self, answer: Answer, value: Value) -> Belief:
        """Each class's own probability: the most mass it had at any place where a label could begin.

        Confidence in the value is that of its least certain decision.
        """
        places = self._places(answer) if answer.tokens else None
        if places is None:
            return Belief(confidence=float("nan"))
        p = np.zeros(len(self.names))
        for start in places:
            mass = class_mass(answer.tokens, start, self.names)
            p = np.maximum(p, [mass[n] for n in self.names])
        p = np.clip(p, 0.0, 1.0)
        given = np.isin(self.names, list(value))
        confidence = float(np.min(np.where(given, p, 1 - p)))
        return Belief(confidence=confidence, probabilities=dict(zip(self.names, p.tolist(), strict=True)))

    def _places(self, answer: Answer) -> list[int] | None:
        """Character offsets in the tokens where a label begins, and where one could have begun but the list ended;
        None where the list's place in the tokens is not known."""
        content, found = answer.content, json_object(answer.content)
        keys = list(KEY.finditer(content, *found[1])) if found is not None else []
        if not keys:
            return None
        at = keys[-1].end()  # the last one: a reason may come before it
        try:
            _, stop = json.JSONDecoder().raw_decode(content, at)
        except ValueError:
            return None
        start = place_in_tokens(answer.tokens, content, at, stop - at)
        listed = content[at:stop]
        if start < 0:
            return None
        return [
            start + i + 1 for i, mark in enumerate(listed) if mark == '"' and listed[:i].rstrip()[-1:] in ("[", ",")
        ]

    def targets(self, labels: Sequence[Label]) -> Floats:
        """(n, C) float32: each class's own probability, or 0 and 1 where the source gave none."""
        out = np.zeros((len(labels), len(self.names)), np.float32)
        for row, label in zip(out, labels, strict=True):
            for name in label.value:
                row[self._index[name]] = 1.0
            for name, p in (label.probabilities or {}).items():
                if name in self._index:
                    row[self._index[name]] = p
        return out

    def agreement(self, a: Value, b: Value) -> float:
        """Jaccard index of the two sets; two empty sets agree."""
        union = set(a) | set(b)
        return len(set(a) & set(b)) / len(union) if union else 1.0

    def metrics(self, gold: Sequence[Value], predicted: Sequence[Value]) -> dict[str, float]:
        """F1 over all decisions, F1 averaged over classes, and the share of texts with exactly the right set."""
        if not gold:
            return {"micro_f1": float("nan"), "macro_f1": float("nan"), "accuracy": float("nan")}
        g, p = self._matrix(gold), self._matrix(predicted)
        hit, size = (g & p).sum(0), g.sum(0) + p.sum(0)
        seen = size > 0
        return {
            "micro_f1": float(2 * hit.sum() / size.sum()) if size.sum() else 1.0,
            "macro_f1": float(np.mean(2 * hit[seen] / size[seen])) if seen.any() else 1.0,
            "accuracy": float(np.mean((g == p).all(1))),
        }

    def _matrix(self, values: Sequence[Value]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        out = np.zeros((len(values), len(self.names)), bool)
        for row, value in zip(out, values, strict=True):
            row[[self._index[n] for n in value]] = True
        return out
