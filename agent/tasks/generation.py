"""A text for each text: translations, summaries, free answers.

A value is the text. What is known to be right, in gold and seed files, may be several: a tuple of texts, each as good
as the others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from agent.errors import AnswerInvalid
from agent.job import TaskSettings
from agent.records import Answer, AnswerSchema, Belief, Label, Rows, Text, TextId, Value
from agent.tasks import overlap
from agent.tasks.likelihood import place_in_tokens
from agent.tasks.peeling import after_thought

MOST_ANSWER_TOKENS = 256
RIGHT_AT = 0.6
SIGN = "\u241e"
MARK = f"\n{SIGN}\n"
"""Between references in one cell: as two texts of a pair are joined (`agent.pairing`), and for the same reason."""
REFUSAL = re.compile(
    r"(?:i['’]?m (?:very |so )?sorry|sorry|i apologi[sz]e|unfortunately)?[,.;:]?\s*(?:but )?"
    r"(?:as an ai(?: language)?(?: model| assistant)?[,.]?\s*)?"
    r"(?:i (?:can['’]?t|cannot|can not|am (?:not able|unable) to|won['’]?t|will not|am not able to)"
    r"|i['’]m (?:not able|unable) to)\s+(?:be able to )?"
    r"(?:assist|help(?! but)|provide|translate|summari[sz]e|comply|fulfil|answer|complete|create|generate|process|"
    r"do (?:that|this)|write|engage|continue|respond|fulfill)\b"
    r"|as an ai(?: language)? (?:model|assistant)\b",
    re.IGNORECASE,
)
"""How models begin that will not do it, in English: a refusal in another language passes for an answer."""


class Generation:
    """A text for each text. Values are texts; of gold and seed, where there are several references, tuples of them.

    Attributes:
        most_tokens: of an answer.
        right_at: chrF, 0 to 1, from which a text counts as right beside one that is.
    """

    kind: ClassVar[str] = "generation"
    prompt: ClassVar[str] = "generation/v1"
    student: ClassVar[str] = "nearest"
    widget: ClassVar[str] = "text"

    def __init__(self, settings: TaskSettings) -> None:
        overlap.check_installed()  # before anything is paid for
        self.names: tuple[str, ...] = ()  # a text is no class
        self.most_tokens = settings.max_answer_tokens or MOST_ANSWER_TOKENS
        self.right_at = RIGHT_AT if settings.right_at is None else settings.right_at

    def variables(self, text: Text) -> Mapping[str, Any]:
        return {"text": text.text}

    def schema(self, text: Text) -> AnswerSchema:
        """No schema: any text may be the answer."""
        return AnswerSchema(json_schema={}, max_tokens=self.most_tokens)

    def parse(self, content: str, text: Text) -> Value:
        start, end = after_thought(content)
        said = content[start:end].strip()
        if not said:
            raise AnswerInvalid("an empty answer")
        if any("\ud800" <= c <= "\udfff" for c in said):
            raise AnswerInvalid("half of a surrogate pair, which is no text")
        if REFUSAL.match(said) and not REFUSAL.match(text.text.strip()):
            raise AnswerInvalid(f"a refusal: {said[:80]!r}")
        return said

    def write(self, value: Value) -> str:
        return first(value)

    def read(self, cell: object, text: Text | None = None) -> Value:
        """A text; or a list of them, or one cell in which lines that hold nothing but `␞` part them: references that
        are as good as each other. Raises ValueError for an empty one."""
        listed = cell.tolist() if isinstance(cell, np.ndarray) else cell
        if isinstance(listed, list | tuple):
            found = [_text(each) for each in listed if each is not None and str(each).strip()]
        else:
            found = [part.strip() for part in texts_in(_text(listed))]
        once = tuple(dict.fromkeys(found))
        if not once or not all(once):
            raise ValueError("no text was given; write one")
        return once[0] if len(once) == 1 else once

    def together(self, rows: Sequence[tuple[Text, Value]]) -> list[tuple[Text, Value]]:
        """Each text once, with all references that rows of it give, in their order."""
        texts = {t.id: t for t, _ in reversed(rows)}
        found: dict[TextId, dict[str, None]] = {}
        for text, value in rows:
            found.setdefault(text.id, {}).update(dict.fromkeys(references(value)))
        return [(texts[i], next(iter(r)) if len(r) == 1 else tuple(r)) for i, r in found.items()]

    def show(self, value: Value) -> str:
        return MARK.join(each.replace(SIGN, SIGN * 2) for each in references(value))

    def confidence(self, answer: Answer, value: Value) -> Belief:
        """The geometric mean of the probabilities of the answer's tokens: it ranks answers, and says little of
        whether one is right."""
        start, _ = after_thought(answer.content)
        at = answer.content.find(first(value), start)
        begin = place_in_tokens(answer.tokens, answer.content, at, len(first(value))) if answer.tokens else -1
        if at < 0 or begin < 0:
            return Belief(confidence=math.nan)
        told, offset = [], 0
        for choice in answer.tokens:
            if offset + len(choice.token) > begin and offset < begin + len(first(value)):
                told.append(min(0.0, choice.logprob))
            offset += len(choice.token)
        return Belief(confidence=math.exp(float(np.mean(told))) if told else math.nan)

    def chosen(self, values: Sequence[Value]) -> tuple[int, float]:
        """Of several answers about one text: which is most like the others, and how alike all are (0 to 1)."""
        return overlap.medoid([first(v) for v in values])

    def targets(self, labels: Sequence[Label]) -> list[str]:
        """The texts; of several references the first."""
        return [first(label.value) for label in labels]

    def agreement(self, a: Value, b: Value) -> float:
        """chrF, the mean of both directions; where one is several references, of the nearest."""
        return max(overlap.likeness(x, y) for x in references(a) for y in references(b))

    def is_right(self, truth: Value, given: Value, *, seen: bool = False) -> bool:
        """Whether an answer counts as right beside a text that is: from `right_at` on. Where a person had the answer
        before their eyes (`seen`), whether they left it as it is."""
        if seen:
            return first(given) in references(truth)
        return overlap.chrf(first(given), references(truth)) >= self.right_at

    def metrics(self, gold: Sequence[Value], predicted: Sequence[Value]) -> dict[str, float]:
        """chrF and BLEU of all texts together, the mean ROUGE-1, -2 and -L, and the share that `is_right`; from 0
        to 1."""
        if not gold:
            return dict.fromkeys(("chrf", "bleu", *overlap.ROUGES.values(), "right"), math.nan)
        said, known = [first(p) for p in predicted], [references(g) for g in gold]
        right = [self.is_right(g, p) for g, p in zip(gold, predicted, strict=True)]
        return {
            "chrf": overlap.corpus_chrf(overlap.counts(said, known)),
            "bleu": overlap.corpus_bleu(said, known),
            **overlap.rouge(said, known),
            "right": sum(right) / len(right),
        }

    def resampled(self, gold: Sequence[Value], predicted: Sequence[Value], draws: Sequence[Rows]) -> list[float]:
        """`chrf` of each of several draws of the texts, by their places; nothing is counted twice for it."""
        found = overlap.counts([first(p) for p in predicted], [references(g) for g in gold])
        return [overlap.corpus_chrf(found[draw]) for draw in draws]


def texts_in(cell: str) -> list[str]:
    """The texts that `Generation.show` wrote into one cell."""
    return [part.replace(SIGN * 2, SIGN) for part in cell.split(MARK)]


def references(value: Value) -> tuple[str, ...]:
    """A value as the texts that it is."""
    return value if isinstance(value, tuple) else (str(value),)


def first(value: Value) -> str:
    """The text that a value is; of several references the first."""
    return references(value)[0]


def _text(cell: object) -> str:
    said = "" if cell is None or cell != cell else str(cell).strip()  # noqa: PLR0124 - NaN is an empty cell
    if any("\ud800" <= c <= "\udfff" for c in said):
        raise ValueError("half of a surrogate pair, which is no text")
    return said
