"""What the words of a context share with a question, and what kind of answer it asks for: no model is needed for it.

After the features of Chen et al. 2017 (DrQA, arXiv:1704.00051, 3.2) and of the baseline of Rajpurkar et al. 2016
(arXiv:1606.05250, 5.1). Kinds of question are English; of another language they are all of one kind, and the rest
still holds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from agent.records import Floats

WORD = re.compile(r"\w+")
ASKS = ("how many", "how much", "who", "whom", "whose", "when", "where", "which", "why", "how", "what")
"""Kinds of question; any other is one more kind."""
KINDS = {name: k for k, name in enumerate(ASKS)}
SHAPES = 3  # has a digit, begins with a capital, any other word
NEAR, NEARBY = 5, 15
"""Words to either side."""
STEM = 5
"""Letters by which two forms of a word are taken for one."""
PLAIN = 12
SIZE = PLAIN + (len(ASKS) + 1) * SHAPES
ENDS = re.compile(r"[.!?;][\"'”’)\]]?\s*$")
IN_ALL = 3  # of a whole context: `of_context`


def kind_of(question: str) -> int:
    """Which of `ASKS` a question begins with or has; the number behind the last one for any other."""
    words = " ".join(WORD.findall(question.lower()))
    found = [(at.start(), k) for name, k in KINDS.items() if (at := re.search(rf"\b{name}\b", words))]
    return min(found)[1] if found else len(ASKS)


def clues(question: str, context: str, places: Sequence[tuple[int, int]]) -> Floats:
    """(w, `SIZE`) float32 of the words at `places`, most of them from 0 to 1."""
    words = [context[a:b] for a, b in places]
    count = len(words)
    out = np.zeros((count, SIZE), np.float32)
    if not count:
        return out
    same, like = _shared(question, words)
    weights = np.maximum(same, 0.6 * like)
    sentences = sentence_numbers(context, places)
    by_sentence = np.bincount(sentences, weights)
    hits = np.flatnonzero(weights > 0)
    out[:, 0], out[:, 1] = same, like
    out[:, 2], out[:, 3] = _around(weights, NEAR), _around(weights, NEARBY)
    out[:, 4] = np.minimum(by_sentence[sentences] / 3, 1)
    out[:, 5] = by_sentence[sentences] >= by_sentence.max()
    out[1:, 6], out[:-1, 7] = weights[:-1], weights[1:]
    if len(hits):
        right = np.searchsorted(hits, np.arange(count))
        before = np.abs(np.arange(count) - hits[np.maximum(right - 1, 0)])
        after = np.abs(np.arange(count) - hits[np.minimum(right, len(hits) - 1)])
        out[:, 8] = 1 / (1 + np.minimum(before, after))
    is_word = np.array([bool(WORD.match(w)) for w in words])
    out[:, 9] = ~is_word
    out[:, 10] = np.diff(sentences, prepend=-1) > 0
    out[:, 11] = np.arange(count) / count
    shape = np.array([0 if any(c.isdigit() for c in w) else 1 if w[:1].isupper() else 2 for w in words])
    columns = PLAIN + SHAPES * kind_of(question) + shape
    out[np.arange(count)[is_word], columns[is_word]] = 1
    return out


def of_context(found: Floats) -> Floats:
    """(`IN_ALL`,) float32: how much the context as a whole shares with the question; for whether it answers it."""
    if not len(found):
        return np.zeros(IN_ALL, np.float32)
    return np.array([1.0, found[:, 4].max(), found[:, 3].max()], np.float32)


def sentence_numbers(context: str, places: Sequence[tuple[int, int]]) -> np.ndarray:
    """(w,) which sentence each word is of: one ends with a stop that blanks follow."""
    numbers, now, last = [], 0, 0
    for start, end in places:
        if last and start > last and ENDS.search(context[max(0, last - 3) : start]):
            now += 1
        numbers.append(now)
        last = end
    return np.array(numbers, np.int64)


def _shared(question: str, words: Sequence[str]) -> tuple[Floats, Floats]:
    """(w,) of each word how rare it is in the context where the question has it too; and where that has a form of
    it."""
    lower = [w.lower() for w in words]
    counts = Counter(lower)
    asked = set(WORD.findall(question.lower()))
    stems = {w[:STEM] for w in asked if len(w) >= STEM}
    top = np.log(len(words) + 1)
    rare = np.array([1 - np.log(counts[w]) / top if len(w) > 2 or counts[w] == 1 else 0.2 for w in lower], np.float32)
    rare *= np.array([len(w) > 3 or w.isdigit() for w in lower], np.float32) * 0.8 + 0.2
    same = rare * np.array([w in asked for w in lower], np.float32)
    like = rare * np.array([len(w) >= STEM and w[:STEM] in stems for w in lower], np.float32)
    return same, like


def _around(weights: Floats, reach: int) -> Floats:
    """The weights of the words to either side, without each word's own; at most 1."""
    sums = np.concatenate([[0.0], np.cumsum(weights)])
    at = np.arange(len(weights))
    near = sums[np.minimum(at + reach + 1, len(weights))] - sums[np.maximum(at - reach, 0)] - weights
    found: Floats = np.minimum(near / 3, 1).astype(np.float32)
    return found
