"""Questions about a text, each answered by a piece of it, or where the job allows it by nothing.

A text is a pair (`agent.pairing`): the question first, then the context. A value is a tuple of answers (start, end,
quote), where `quote` is the context's characters from `start` to `end`; the empty one says that there is no answer.
Labels have one answer at most. Gold may have several, any of which is right, as SQuAD's has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from agent.errors import AnswerInvalid
from agent.job import TaskSettings
from agent.pairing import split
from agent.records import Answer, AnswerSchema, Belief, Label, Text, Value
from agent.tasks.likelihood import place_in_tokens, probability
from agent.tasks.peeling import json_object
from agent.tasks.quoting import Place, one_place
from agent.tasks.spans import whole_number
from agent.tasks.squad import NONE, exact_match, word_f1

Quoted = tuple[int, int, str]
MOST_TOKENS = 512
NAME = "answer"
KEY = re.compile(rf'(?<!\\)"{NAME}"\s*:\s*')
"""What stands before the answer: a quotation of the same words has its own quotation marks escaped."""
STARTS = ("start", "answer_start")


class ExtractiveQa:
    """Answers quoted from a context. Values are tuples of `Quoted`.

    Attributes:
        columns: what question and context are called: the columns that the job names.
        may_be_none: whether there may be no answer.
    """

    kind: ClassVar[str] = "extractive_qa"
    prompt: ClassVar[str] = "extractive_qa/v1"
    student: ClassVar[str] = "reader"
    widget: ClassVar[str] = "answer"
    beside: ClassVar[tuple[str, ...]] = ("exact_match",)
    """Figures that a report shows beside the headline."""

    def __init__(self, settings: TaskSettings) -> None:
        self.names: tuple[str, ...] = ()  # an answer is no class
        self.columns = settings.columns
        self.may_be_none = settings.no_answer

    def variables(self, text: Text) -> Mapping[str, Any]:
        question, context = split(text.text)
        return {"columns": self.columns, "no_answer": self.may_be_none, "text": question, "second_text": context}

    def schema(self, text: Text) -> AnswerSchema:
        _, context = split(text.text)
        return AnswerSchema(
            json_schema={
                "type": "object",
                "properties": {NAME: {"type": "string"}},
                "required": [NAME],
                "additionalProperties": False,
            },
            max_tokens=min(MOST_TOKENS, 32 + len(context.encode("utf-8", "surrogatepass"))),
        )

    def parse(self, content: str, text: Text) -> Value:
        quote = self._said(content)
        if not quote:
            return ()
        place = self._place(quote, text)
        if place is None:
            raise AnswerInvalid(f"{quote[:60]!r} does not stand in the {self.columns[1]}")
        return ((place.start, place.end, split(text.text)[1][place.start : place.end]),)

    def repairs(self, content: str, text: Text) -> int:
        """1 where an answer was quoted carelessly, and found all the same. Raises AnswerInvalid."""
        place = self._place(self._said(content), text)
        return int(place is not None and place.repaired)

    @staticmethod
    def _place(quote: str, text: Text) -> Place | None:
        return one_place(split(text.text)[1], quote)

    def _said(self, content: str) -> str:
        """What an answer quotes; "" where it says that there is no answer. Raises AnswerInvalid."""
        found = json_object(content)
        said = None if found is None else found[0].get(NAME, 0)
        if found is not None and said is None:
            said = NONE
        if not isinstance(said, str):
            raise AnswerInvalid(f"not JSON with a quoted answer: {content[:80]!r}")
        if not said.strip() and not self.may_be_none:
            raise AnswerInvalid("it gives no answer, and this job has one for every question (`task.no_answer`)")
        return said if said.strip() else NONE

    def stands(self, value: Value, text: Text) -> bool:
        """Whether all of a value is found in this text too, which may be cut or redacted: else who shows both says
        what was cut, or hidden."""
        places = [self._place(quote, text) for *_, quote in value]
        return all(place is not None and not place.repaired for place in places)

    def write(self, value: Value) -> str:
        return json.dumps({NAME: value[0][2] if value else NONE}, ensure_ascii=False)

    def read(self, cell: object, text: Text | None = None) -> Value:
        """An answer, or several that are right: the words themselves; {"start", "end"}, {"text"} or SQuAD's {"text",
        "answer_start"}; a list (or JSON) of those; or {"text": [...], "answer_start": [...]}, as `datasets` has them.
        An empty cell, or list, is no answer."""
        _, context = split("" if text is None else text.text)
        found = dict.fromkeys(self._answer(item, context) for item in _listed(cell))
        if not found and not self.may_be_none:
            raise ValueError("there is no answer; set `task.no_answer: true` where a question may have none")
        return tuple(found)

    def _answer(self, item: object, context: str) -> Quoted:
        start: object = None
        end: object = None
        quote = item
        if isinstance(item, Mapping):
            start, end, quote = _first(item, STARTS), item.get("end"), item.get("text")
        elif isinstance(item, list | tuple) and len(item) >= 2:
            (start, end), quote = item[:2], None
        if start is None:
            place = one_place(context, quote) if isinstance(quote, str) else None
            if place is None:
                said = f"{str(quote)[:60]!r} does not stand in the {self.columns[1]}"
                raise ValueError(said if isinstance(quote, str) else f"{str(item)[:60]!r} is no quoted answer")
            return place.start, place.end, context[place.start : place.end]
        begin = whole_number(start)
        stop = whole_number(end) if end is not None else begin + len(str(quote or ""))
        if not 0 <= begin < stop <= len(context):
            raise ValueError(f"an answer from {begin} to {stop}: the {self.columns[1]} has {len(context)} characters")
        there = context[begin:stop]
        if isinstance(quote, str) and quote != there:
            raise ValueError(f"{quote[:40]!r} is said to begin at {begin}, where {there[:40]!r} stands")
        return begin, stop, there

    def show(self, value: Value) -> str:
        return json.dumps([{"start": a, "end": b, "text": quote} for a, b, quote in value], ensure_ascii=False)

    def confidence(self, answer: Answer, value: Value) -> Belief:
        """The probability of the quotation's own tokens, one after the other."""
        at = self._quotation(answer.content) if answer.tokens else None
        if at is None:
            return Belief(confidence=float("nan"))
        begin, end = at
        start = place_in_tokens(answer.tokens, answer.content, begin, end - begin)
        if start < 0:
            return Belief(confidence=float("nan"))
        return Belief(confidence=probability(answer.tokens, start, start + end - begin))

    @staticmethod
    def _quotation(content: str) -> tuple[int, int] | None:
        """Where in an answer its quotation stands, with the marks around it: they say where it ends."""
        found = json_object(content)
        key = None if found is None else KEY.search(content, *found[1])
        return None if key is None else (key.end(), json.JSONDecoder().raw_decode(content, key.end())[1])

    def targets(self, labels: Sequence[Label]) -> list[Value]:
        """What a reader learns from: the answers."""
        return [label.value for label in labels]

    def agreement(self, a: Value, b: Value) -> float:
        """F1 of the words of both, as SQuAD counts them, wherever they stand; no answer agrees with none alone."""
        if not a or not b:
            return float(not a and not b)
        return max(word_f1(quotes(a), quote) for quote in quotes(b))

    def metrics(self, gold: Sequence[Value], predicted: Sequence[Value]) -> dict[str, float]:
        """SQuAD's figures, as shares: `f1` of words, `exact_match`; and F1 of questions that have an answer, and that
        have none, where there are both."""
        f1 = np.array([word_f1(quotes(g), said(p)) for g, p in zip(gold, predicted, strict=True)])
        exact = [exact_match(quotes(g), said(p)) for g, p in zip(gold, predicted, strict=True)]
        if not gold:
            return {"f1": float("nan"), "exact_match": float("nan")}
        found = {"f1": float(f1.mean()), "exact_match": float(np.mean(exact))}
        has = np.array([bool(g) for g in gold])
        if has.any() and not has.all():
            found |= {"f1_has_answer": float(f1[has].mean()), "f1_no_answer": float(f1[~has].mean())}
        return found


def quotes(value: Value) -> list[str]:
    """The words of all answers."""
    return [quote for *_, quote in value]


def said(value: Value) -> str:
    """The words of the answer, "" for none."""
    return str(value[0][2]) if value else NONE


def _first(item: Mapping[Any, object], keys: Sequence[str]) -> object:
    return next((item[key] for key in keys if item.get(key) is not None), None)


def _listed(cell: object) -> list[Any]:
    """The answers of a cell, one by one."""
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    if cell is None or cell != cell:  # noqa: PLR0124 - NaN is an empty cell
        return []
    if isinstance(cell, Mapping):
        return list(_unzipped(cell))
    if isinstance(cell, list | tuple):
        return list(cell)
    words = str(cell).strip()
    try:
        found = json.loads(words) if words.startswith(("[", "{")) else None
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, list | dict):
        return _listed(found)
    return [words] if words else []


def _unzipped(cell: Mapping[Any, Any]) -> Iterator[Any]:
    """The answers of `datasets`, which keeps words and places in two lists; any other mapping is one answer."""
    words = cell.get("text")
    if isinstance(words, np.ndarray):
        words = words.tolist()
    if not isinstance(words, list | tuple):
        if words != NONE:
            yield cell
        return
    places = cell.get("answer_start")
    for word, place in zip(words, [None] * len(words) if places is None else places, strict=True):
        yield {"text": word, "answer_start": None if place is None else int(place)}
