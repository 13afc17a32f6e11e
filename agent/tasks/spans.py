"""Pieces of a text, each with a label: named entities, slots, mentions.

A value is a tuple of spans in the text's order, which do not overlap: (start, end, label, quote), where `quote` is
the text's characters from `start` to `end`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from agent.errors import AnswerInvalid
from agent.job import TaskSettings
from agent.records import Answer, AnswerSchema, Belief, Label, Text, Value
from agent.tasks.bio import spans_of, tags_of, words_of
from agent.tasks.likelihood import place_in_tokens, probability
from agent.tasks.names import match, unknown
from agent.tasks.peeling import json_object
from agent.tasks.quoting import located

Span = tuple[int, int, str, str]
MOST_TOKENS = 768
LIST = re.compile(r'(?<!\\)"spans"\s*:\s*\[')
"""Where the list of an answer begins: a quotation of the same words has its own quotation marks escaped."""
BETWEEN, BLANKS = re.compile(r"[\s,]*"), re.compile(r"\s*")


class Spans:
    """Labelled pieces of a text. Values are tuples of `Span`, sorted."""

    kind: ClassVar[str] = "spans"
    prompt: ClassVar[str] = "spans/v1"
    student: ClassVar[str] = "tagger"
    widget: ClassVar[str] = "spans"

    def __init__(self, settings: TaskSettings) -> None:
        self.names: tuple[str, ...] = ()  # a text has no class
        self.types: tuple[str, ...] = tuple(settings.labels)
        self._labels = [{"name": n, "description": d} for n, d in settings.labels.items()]

    def variables(self, text: Text) -> Mapping[str, Any]:
        return {"labels": self._labels, "text": text.text}

    def schema(self, text: Text) -> AnswerSchema:
        item = {
            "type": "object",
            "properties": {"text": {"type": "string"}, "label": {"type": "string", "enum": list(self.types)}},
            "required": ["text", "label"],
            "additionalProperties": False,
        }
        return AnswerSchema(
            json_schema={
                "type": "object",
                "properties": {"spans": {"type": "array", "items": item}},
                "required": ["spans"],
                "additionalProperties": False,
            },
            # each word quoted, with its label around it, is the worst answer, and no real one is
            max_tokens=min(MOST_TOKENS, 64 + len(text.text.encode("utf-8", "surrogatepass"))),
        )

    def parse(self, content: str, text: Text) -> Value:
        said = self._said(content)
        places = located(text.text, [quote for quote, _ in said])
        found = []
        for (quote, label), place in zip(said, places, strict=True):
            if place is None:
                where = "only inside another span" if quote and quote in text.text else "not in the text"
                raise AnswerInvalid(f"{quote[:60]!r} ({label}) stands {where}")
            found.append((place.start, place.end, label))
        return self._in_order(found, text.text)

    def repairs(self, content: str, text: Text) -> int:
        """How many spans of an answer were quoted carelessly, and found all the same. Raises AnswerInvalid."""
        places = located(text.text, [quote for quote, _ in self._said(content)])
        return sum(place is not None and place.repaired for place in places)

    def _said(self, content: str) -> list[tuple[str, str]]:
        """(quote, label) of each span in an answer."""
        found = json_object(content)
        listed = None if found is None else found[0].get("spans")
        if not isinstance(listed, list):
            raise AnswerInvalid(f"not JSON with a list of spans: {content[:80]!r}")
        said = []
        for item in listed:
            if not isinstance(item, dict) or not isinstance(item.get("text"), str):
                raise AnswerInvalid(f"a span without its text: {json.dumps(item)[:80]}")
            label = match(item.get("label"), self.types)
            if label is None:
                raise AnswerInvalid(unknown(item.get("label"), self.types))
            said.append((item["text"], label))
        return said

    def stands(self, value: Value, text: Text) -> bool:
        """Whether all of a value is found in this text too, which may be cut or redacted: else who shows both says
        what was cut, or hidden."""
        return all(place is not None and not place.repaired for place in located(text.text, [q for *_, q in value]))

    def write(self, value: Value) -> str:
        return json.dumps({"spans": [{"text": quote, "label": n} for _, _, n, quote in value]}, ensure_ascii=False)

    def read(self, cell: object, text: Text | None = None) -> Value:
        """A list (or JSON of one) of spans, each {"start", "end", "label"}, {"text", "label"} or [start, end, label];
        or of tags, one a word that blanks part (B-person, I-person, O); an empty cell is no span."""
        listed = self._listed(cell)
        words = "" if text is None else text.text
        if listed and all(isinstance(item, str) for item in listed):
            found: list[tuple[int, int, object]] = list(spans_of(listed, words_of(words)))
        else:
            found = self._places(listed, words)
        names = [match(label, self.types) for _, _, label in found]
        for (start, end, label), name in zip(found, names, strict=True):
            if label is None:
                raise ValueError(f"the span from {start} to {end} has no `label`")
            if name is None:
                raise ValueError(unknown(label, self.types))
        return self._in_order([(a, b, str(n)) for (a, b, _), n in zip(found, names, strict=True)], words, ValueError)

    @staticmethod
    def _listed(cell: object) -> list[Any]:
        if isinstance(cell, np.ndarray):
            return list(cell.tolist())
        if isinstance(cell, list | tuple):
            return list(cell)
        if isinstance(cell, Mapping):
            raise ValueError(f"not a list of spans: {json.dumps(cell, default=str)[:80]}")
        said = "" if cell is None or cell != cell else str(cell).strip()  # noqa: PLR0124 - NaN is an empty cell
        if not said:
            return []
        if not said.startswith(("[", "{")):
            return said.split()
        try:
            found = json.loads(said)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, list):
            raise ValueError(f"not a JSON list of spans: {said[:80]!r}")
        return found

    @staticmethod
    def _places(listed: Iterable[object], text: str) -> list[tuple[int, int, object]]:
        """Spans by their offsets; those that have none, by their words."""
        found: list[tuple[int, int, object]] = []
        quoted: list[tuple[str, object]] = []
        for item in listed:
            if isinstance(item, Mapping) and "start" in item and "end" in item:
                found.append(
                    (whole_number(item["start"]), whole_number(item["end"]), item.get("label", item.get("slot")))
                )
            elif isinstance(item, Mapping) and isinstance(item.get("text"), str):
                quoted.append((item["text"], item.get("label")))
            elif isinstance(item, list | tuple) and len(item) >= 3:
                found.append((whole_number(item[0]), whole_number(item[1]), item[2]))
            else:
                said = json.dumps(item, default=str)[:80]
                raise ValueError(f'{said} is no span such as {{"start": 0, "end": 5, "label": ...}}')
        for (quote, label), place in zip(quoted, located(text, [q for q, _ in quoted]), strict=True):
            if place is None:
                raise ValueError(f"{quote[:60]!r} does not stand in the text")
            found.append((place.start, place.end, label))
        return found

    def _in_order(
        self, found: Iterable[tuple[int, int, str]], text: str, wrong: type[Exception] = AnswerInvalid
    ) -> tuple[Span, ...]:
        spans = sorted(found)
        for start, end, label in spans:
            if not 0 <= start < end <= len(text):
                raise wrong(f"a span from {start} to {end} ({label}): the text has {len(text)} characters")
        for one, other in pairwise(spans):
            if other[0] < one[1]:
                quotes = [repr(text[a:b][:40]) for a, b, _ in (one, other)]
                raise wrong(f"the spans {quotes[0]} and {quotes[1]} overlap; each character has one label at most")
        return tuple((a, b, label, text[a:b]) for a, b, label in spans)

    def show(self, value: Value) -> str:
        listed = [{"start": a, "end": b, "label": n, "text": quote} for a, b, n, quote in value]
        return json.dumps(listed, ensure_ascii=False)

    def tags(self, value: Value, text: str) -> list[str]:
        """A span's label for each word that blanks part, as B-, I- and O."""
        return tags_of([(a, b, n) for a, b, n, _ in value], words_of(text))

    def confidence(self, answer: Answer, value: Value) -> Belief:
        """The probability of the least likely decision: a span with its label, as the answer has it, or that the list
        ends. `probabilities` has each span's own, by `start:end:label`."""
        places = self._items(answer) if answer.tokens else None
        if places is None:
            return Belief(confidence=float("nan"))
        *each, end = places
        said = [label for _, label in self._said(answer.content)]
        if len(each) != len(said):  # another list of that name stands before it
            return Belief(confidence=float("nan"))
        chances = [probability(answer.tokens, start, stop) for start, stop in each]
        least = min([*chances, probability(answer.tokens, *end)])
        if said != [label for _, _, label, _ in value]:
            return Belief(confidence=least)  # out of order: which is which is not known
        keys = [f"{a}:{b}:{n}" for a, b, n, _ in value]
        return Belief(confidence=least, probabilities=dict(zip(keys, chances, strict=True)))

    @staticmethod
    def _items(answer: Answer) -> list[tuple[int, int]] | None:
        """Where in the tokens' text each item of the list stands, and last where the list ends."""
        content, found = answer.content, json_object(answer.content)
        if found is None:
            return None
        begun = LIST.search(content, *found[1])
        if begun is None:
            return None
        at = begun.end() - 1
        start = place_in_tokens(answer.tokens, content, at, found[1][1] - at)
        if start < 0:
            return None
        places: list[tuple[int, int]] = []
        here = at + 1
        while content[here] != "]":  # it is JSON, so it ends
            begin = BETWEEN.match(content, here).end()  # type: ignore[union-attr]  # it may match nothing
            here = begin if content[begin] == "]" else json.JSONDecoder().raw_decode(content, begin)[1]
            if here > begin:
                places.append((start + begin - at, start + here - at))
                here = BLANKS.match(content, here).end()  # type: ignore[union-attr]
        return [*places, (start + here - at, start + here + 1 - at)]

    def targets(self, labels: Sequence[Label]) -> list[Value]:
        """What a tagger learns from: the spans of each text."""
        return [label.value for label in labels]

    def agreement(self, a: Value, b: Value) -> float:
        """F1 of the two sets of spans, where each has to begin and end alike; two empty ones agree."""
        mine, other = _bare(a), _bare(b)
        return 2 * len(mine & other) / (len(mine) + len(other)) if mine or other else 1.0

    def metrics(self, gold: Sequence[Value], predicted: Sequence[Value]) -> dict[str, float]:
        """F1, precision and recall of spans that begin and end alike and have the same label, as seqeval counts; F1
        averaged over labels; the share of texts that are all right."""
        if not gold:
            return dict.fromkeys(("f1", "precision", "recall", "macro_f1", "accuracy"), float("nan"))
        wanted, found, hit = Counter[str](), Counter[str](), Counter[str]()
        same = 0
        for g, p in zip(gold, predicted, strict=True):
            mine, other = _bare(g), _bare(p)
            same += mine == other
            for count, spans in ((wanted, mine), (found, other), (hit, mine & other)):
                count.update(label for _, _, label in spans)
        seen = sorted(wanted.keys() | found.keys())
        each = [2 * hit[n] / (wanted[n] + found[n]) for n in seen]
        size = wanted.total() + found.total()
        return {
            "f1": 2 * hit.total() / size if size else 1.0,
            "precision": hit.total() / found.total() if found else float(not wanted),
            "recall": hit.total() / wanted.total() if wanted else 1.0,
            "macro_f1": float(np.mean(each)) if each else 1.0,
            "accuracy": same / len(gold),
        }


def _bare(value: Value) -> set[tuple[int, int, str]]:
    return {(span[0], span[1], span[2]) for span in value}


def whole_number(found: object) -> int:
    """A place in a text, as files have it. Raises ValueError."""
    if isinstance(found, bool) or not isinstance(found, int | float) or not float(found).is_integer():
        raise ValueError(f"{found!r} is no place in a text; a whole number of characters was expected")
    return int(found)
