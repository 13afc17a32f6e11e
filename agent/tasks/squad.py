"""How near a quoted answer is to the right one, as SQuAD counts: exact match, and F1 of words.

Rajpurkar et al. 2016 (arXiv:1606.05250) and 2018 (arXiv:1806.03822), as the official evaluate-v2.0.py does it.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

NONE = ""
"""Says that there is no answer."""
PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(a|an|the)\b")


@lru_cache(maxsize=2**16)  # figures of resamples count the same answers again and again
def normalised(answer: str) -> str:
    """Small letters, without ASCII punctuation, English articles and blanks that say nothing."""
    return " ".join(ARTICLES.sub(" ", answer.lower().translate(PUNCTUATION)).split())


def exact_match(gold: Sequence[str], said: str) -> float:
    """1 where an answer is one of the right ones, but for what `normalised` takes away; else 0.

    Args:
        gold: right answers, any of which will do; none of them, or only such as say nothing, is `NONE`.
    """
    return float(normalised(said) in [normalised(answer) for answer in _right(gold)])


def word_f1(gold: Sequence[str], said: str) -> float:
    """The F1 of the words that an answer shares with the right one, of several the nearest; `gold` as above."""
    return max(_f1(normalised(answer).split(), normalised(said).split()) for answer in _right(gold))


def _right(gold: Sequence[str]) -> Sequence[str]:
    return [answer for answer in gold if normalised(answer)] or [NONE]


def _f1(gold: list[str], said: list[str]) -> float:
    if not gold or not said:  # where either has no answer, both have to
        return float(gold == said)
    same = (Counter(gold) & Counter(said)).total()
    return 2 * same / (len(gold) + len(said))
