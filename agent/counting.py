"""How many tokens a job's prompts have: by the server, by the model's own tokenizer, or by the student's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from agent.costing import Spread
from agent.job import OracleSettings, Price
from agent.oracle import served_counts
from agent.records import Message, Question
from agent.workbench import Workbench

CHARACTERS = 4  # of a token, about
TURN_TOKENS = 6  # what a chat template puts around a turn, about
# Tokens of Qwen2.5 for one of all-MiniLM-L6-v2: in English text 0.68 (banking77) to 1.03, in JSON 1.13, German 0.8,
# French 0.91, Russian 0.39, Japanese 0.6 to 0.7, Chinese 0.67, Korean 0.41, Arabic 0.47, Hindi 1.47, digits 1.83
LATIN, ANY_SCRIPT = (0.65, 1.35), (0.35, 1.9)


@dataclass(frozen=True, slots=True)
class Counted:
    """Mean tokens of a prompt and of its answer, with their limits. `fixed` is the share of a prompt that is the same
    for every text, and may so be cached; `by` says who counted."""

    prompt: Spread
    answer: Spread
    fixed: float
    by: str

    def or_as_little_as(self, other: Counted) -> Counted:
        """The same, with a low end that allows for the other one too."""
        low = min(self.prompt.low, other.prompt.low), min(self.answer.low, other.answer.low)
        prompt, answer = replace(self.prompt, low=low[0]), replace(self.answer, low=low[1])
        return replace(self, prompt=prompt, answer=answer)

    def cost(self, price: Price) -> Spread:
        """Micro-dollars of a text at a price for tokens, without retries and failures. The low end has every prompt's
        fixed part cached."""
        per_input, per_output = float(price.input or 0), float(price.output or 0)
        cached = per_input if price.cached_input is None else min(per_input, float(price.cached_input))
        low = self.prompt.low * (self.fixed * cached + (1 - self.fixed) * per_input)
        return Spread(
            self.prompt.value * per_input + self.answer.value * per_output,
            low + self.answer.low * per_output,
            self.prompt.high * per_input + self.answer.high * per_output,
        )


async def count_tokens(bench: Workbench, settings: OracleSettings, asked: Sequence[Question]) -> Counted:
    """Count the prompts of a sample as exactly as can be."""
    own = bench.tokenizers.get(settings.name)
    by_server = await served_counts(settings, asked)
    if by_server is not None:
        counts, by, limits = by_server, "by the server that will answer them", (1.0, 1.0)
    elif own is not None:
        counts, limits = [own.count(q) for q in asked], (1.0, 1.0)
        by = f"with the model's tokenizer ({settings.tokenizer})"
    else:
        counts = [_by_student(bench, q) for q in asked]
        limits = LATIN if _latin(asked) else ANY_SCRIPT
        by = f"with the student's tokenizer; the model's own may count {limits[0]:g} to {limits[1]:g} times as many"
    pictures = float(np.mean([q.picture_tokens for q in asked])) if asked else 0.0
    words = [n - q.picture_tokens for n, q in zip(counts, asked, strict=True)]
    half = 1.96 * float(np.std(words)) / math.sqrt(max(1, len(words))) if words else 0.0
    mean = float(np.mean(words)) if words else 0.0
    low, high = max(0.0, mean - half) * limits[0], (mean + half) * limits[1]
    prompt = Spread(mean + pictures, low, high + pictures)  # a picture costs what the job says, or less
    return Counted(prompt, _answer(bench, settings, asked, limits), _fixed(asked), by)


def _by_student(bench: Workbench, question: Question) -> int:
    words = sum(bench.count_tokens([m.content for m in question.messages]))
    return words + TURN_TOKENS * len(question.messages) + question.picture_tokens


def _answer(
    bench: Workbench, settings: OracleSettings, asked: Sequence[Question], limits: tuple[float, float]
) -> Spread:
    """Tokens of an answer: bare where the endpoint takes a choice, in JSON where it does not, and the end of it."""
    if not asked:
        return Spread(0.0, 0.0, 0.0)
    schema, own = asked[0].schema, bench.tokenizers.get(settings.name)
    values = list(schema.choices or ()) or [v for _, v in islice(bench.seed, 200)]
    if not values:
        return Spread(schema.max_tokens / 2, 1.0, float(schema.max_tokens))
    written, bare = [bench.task.write(v) for v in values], [bench.task.show(v) for v in values]
    if own is not None:
        in_json, alone = [own.text(w) for w in written], [own.text(b) for b in bare]
    else:
        in_json, alone = bench.count_tokens(written), bench.count_tokens(bare)
    low, high = min(alone) * limits[0], max(in_json) * max(limits[1], ANY_SCRIPT[1] if own is None else 1.0) + 1
    thought = settings.thinking_tokens  # how much of it is used, only a pilot tells
    return Spread(float(np.mean(in_json)) + 1 + thought / 2, low, min(high + thought, float(schema.max_tokens)))


def _fixed(asked: Sequence[Question]) -> float:
    """The share of the prompts' characters that comes before the text: instructions and worked examples."""
    whole = sum(_size(m) for q in asked for m in q.messages)
    return sum(_size(m) for q in asked for m in q.messages[:-1]) / whole if whole else 0.0


def _size(message: Message) -> int:
    """Characters of a turn; of a picture as many as its tokens would have."""
    return len(message.content) + (CHARACTERS * message.picture.tokens if message.picture is not None else 0)


def _latin(asked: Sequence[Question]) -> bool:
    """Whether nine tenths of what the texts say is ASCII."""
    said = "".join(q.messages[-1].content for q in asked[:50])
    return sum(c.isascii() for c in said) >= 0.9 * len(said)
