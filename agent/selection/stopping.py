"""When to stop asking: the money, the texts or the job's own limits are used up, or the student has settled.

Pure: figures in, a reason or None out.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent.job import StopSettings
from agent.records import Value

ROUNDING = 1e-9  # the mean of three times 0.99 is a little less than 0.99


class StopReason(StrEnum):
    """Why a job stopped."""

    BUDGET = "budget"
    POOL = "pool"
    MAX_LABELS = "max_labels"
    MAX_ROUNDS = "max_rounds"
    AGREEMENT = "agreement"


@dataclass(frozen=True, slots=True)
class StopState:
    """Where a job stands after a round.

    Attributes:
        affordable: questions that the rest of the budget surely pays for.
        candidates: texts without a label.
        labels: texts with a label.
        rounds: rounds done, the cold start among them.
        agreements: Cohen's kappa of each student with the one before it on the same stop set, oldest first.
    """

    affordable: int
    candidates: int
    labels: int
    rounds: int
    agreements: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """A decision to stop: the reason, and a sentence for a person."""

    reason: StopReason
    message: str


def should_stop(state: StopState, settings: StopSettings) -> Stop | None:
    """The first reason to stop that holds, or None.

    The student has settled when the mean agreement of the last `window` pairs of successive students reaches
    `settings.agreement` (Bloodgood and Vijay-Shanker 2009, who used 0.99 over 3 and a stop set of 2,000). The stop
    set needs no labels; it must stay the same for the whole job and should be a random sample of the pool.
    """
    if state.candidates <= 0:
        return Stop(StopReason.POOL, f"every text of the pool was asked about ({state.labels} labels)")
    if state.affordable <= 0:
        return Stop(StopReason.BUDGET, "the rest of the budget does not surely pay for one more question")
    if settings.max_labels is not None and state.labels >= settings.max_labels:
        return Stop(StopReason.MAX_LABELS, f"{state.labels} labels, and stop.max_labels is {settings.max_labels}")
    if settings.max_rounds is not None and state.rounds >= settings.max_rounds:
        return Stop(StopReason.MAX_ROUNDS, f"{state.rounds} rounds, and stop.max_rounds is {settings.max_rounds}")
    if settings.agreement is not None and len(state.agreements) >= settings.window:
        return _settled(state.agreements[-settings.window :], settings.agreement)
    return None


def _settled(window: Sequence[float], least: float) -> Stop | None:
    mean = math.fsum(window) / len(window)
    if not mean > least - ROUNDING:  # nor where one is not a number
        return None
    return Stop(
        StopReason.AGREEMENT,
        f"the last {len(window)} students agree with the one before each: mean kappa {mean:.3f} reaches "
        f"stop.agreement {least:g}; F1 moved by at most {f_change_bound(min(window)):.3f} in any of these rounds",
    )


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


def f_change_bound(kappa: float) -> float:
    """The most by which F1 can differ between two binary models that agree with `kappa` on the same texts.

    4 (1 - kappa) / kappa for kappa above 0 (Bloodgood and Grothendieck 2013, "Analysis of Stopping Active Learning
    based on Stabilizing Predictions"), never more than 1: 0.04 at 0.99. Proven for two classes; for more it is a
    rule of thumb, and it says nothing about many small changes in one direction.
    """
    return min(1.0, 4 * (1 - kappa) / kappa) if kappa > 0 else 1.0


def _written(value: Value) -> str:
    return value if isinstance(value, str) else "\0" + json.dumps(value, sort_keys=True, default=str)
