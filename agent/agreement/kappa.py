"""Cohen's kappa of two lists of values, as one number: what a student is held against the one before it with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from agent.records import Value


def cohens_kappa(a: Sequence[Value], b: Sequence[Value]) -> float:
    """Agreement of two raters beyond chance (Cohen 1960): -1 to 1, 1 is the same.

    Values may be anything that JSON can say; two are the same where their JSON is. Where both raters give one and
    the same value to everything, kappa is 0/0: chance alone explains the agreement. It is 0 here, so that a student
    that always says the same class cannot pass for one that has settled.

    Raises ValueError where the lengths differ or there is nothing to rate.
    """
    if len(a) != len(b) or not len(a):
        raise ValueError(f"kappa needs as many values of both raters, and at least one; got {len(a)} and {len(b)}")
    first, second = [_written(v) for v in a], [_written(v) for v in b]
    n = len(first)
    same = sum(x == y for x, y in zip(first, second, strict=True))
    left, right = Counter(first), Counter(second)
    by_chance = sum(count * right[value] for value, count in left.items())  # of n * n pairs
    if by_chance == n * n:
        return 0.0
    return (same * n - by_chance) / (n * n - by_chance)


def _written(value: Value) -> str:
    return value if isinstance(value, str) else "\0" + json.dumps(value, sort_keys=True, default=str)
