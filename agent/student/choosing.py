"""The best piece of a context, and how sure that is: from what each word says of beginning and of ending the answer.

Numbers in, decisions out; the distribution is over all pieces of at most so many words, and no answer where that may
be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from agent.records import Floats, Value

MOST_WORDS = 30
"""In an answer: SQuAD's longest that is usual (`max_answer_length` of `transformers`)."""
NOWHERE = -1e9


class Scores(NamedTuple):
    """Of a stretch of w words, the first of which is number `first` of the context: (w,) log odds of beginning the
    answer, and of ending it, against there being none."""

    first: int
    begins: Floats
    ends: Floats


class Choice(NamedTuple):
    """Words from `begin` to `end` (both inside), or none where `begin` is -1; the `probability` of just that piece,
    and that of there being no answer."""

    begin: int
    end: int
    probability: float
    none: float


def choose(stretches: Sequence[Scores], words: int, lengths: Floats | None = None, *, may_be_none: bool) -> Choice:
    """The likeliest of all pieces, each as likely as in the stretch that speaks most for it.

    Args:
        stretches: of the context, which may overlap.
        words: of the context.
        lengths: (`MOST_WORDS`,) to be added for an answer of one word, two words and so on.
        may_be_none: else a piece is chosen wherever there is a word.
    """
    table = piece_scores(stretches, words)
    if lengths is not None:
        table = table + lengths
    if not words or (not may_be_none and not (table > NOWHERE / 2).any()):
        return Choice(-1, -1, 1.0 if may_be_none else 0.0, 1.0)
    flat = table.ravel().astype(np.float64)
    none = 0.0 if may_be_none else -np.inf
    top = max(float(flat.max()), none)
    mass = np.exp(flat - top)
    at_none = float(np.exp(none - top))
    total = float(mass.sum()) + at_none
    best = int(flat.argmax())
    if may_be_none and at_none >= mass[best]:
        return Choice(-1, -1, at_none / total, at_none / total)
    begin, more = divmod(best, MOST_WORDS)
    return Choice(begin, begin + more, float(mass[best]) / total, at_none / total)


def piece_scores(stretches: Sequence[Scores], words: int) -> Floats:
    """(words, `MOST_WORDS`) float32: the log odds of the piece that begins at a word and has so many more."""
    table = np.full((words, MOST_WORDS), NOWHERE, np.float32)
    for first, begins, ends in stretches:
        for more in range(min(MOST_WORDS, len(begins))):
            here = table[first : first + len(begins) - more, more]
            np.maximum(here, begins[: len(begins) - more] + ends[more:], out=here)
    return table


def as_value(choice: Choice, context: str, places: Sequence[tuple[int, int]]) -> Value:
    """A choice as a value of `agent.tasks.ExtractiveQa`."""
    if choice.begin < 0:
        return ()
    start, end = places[choice.begin][0], places[choice.end][1]
    return ((start, end, context[start:end]),)


def words_of_answer(value: Value, places: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """The words that an answer touches, from and to; None without an answer, and where it touches none here whole.

    Of several right answers the first is taken.
    """
    if not value:
        return None
    start, end = value[0][:2]
    touched = [k for k, (a, b) in enumerate(places) if a < end and start < b]
    whole = touched and places[touched[0]][0] <= start and end <= places[touched[-1]][1]
    return (touched[0], touched[-1]) if whole else None
