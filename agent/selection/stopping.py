"""When to stop asking: nothing is left to ask or to pay with, or more labels are not worth their money.

Pure: figures in, a reason or None out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from scipy.special import betaincinv

from agent.job import StopSettings
from agent.selection.forecast import Forecast

ROUNDING = 1e-9  # the mean of three times 0.99 is a little less than 0.99


class StopReason(StrEnum):
    """Why a job stopped."""

    BUDGET = "budget"
    POOL = "pool"
    MAX_LABELS = "max_labels"
    MAX_ROUNDS = "max_rounds"
    TARGET = "target_accuracy"
    GAIN = "gain_per_dollar"
    AGREEMENT = "agreement"


@dataclass(frozen=True, slots=True)
class Look:
    """How good a round's student was, held against the truth.

    Attributes:
        share: of texts that it got wholly right, 0 to 1, weighted where texts were drawn with unequal chances.
        size: how many texts that rests on; where they are weighted, the effective number (Kish 1965).
        measured_on: `gold`, or `people` for the audit sample.
    """

    share: float
    size: float
    measured_on: str = "gold"


@dataclass(frozen=True, slots=True)
class StopState:
    """Where a job stands after a round.

    Attributes:
        affordable: questions that the rest of the budget surely pays for.
        candidates: texts without a label.
        labels: texts with a label.
        rounds: rounds done, the cold start among them.
        agreements: Cohen's kappa of each student with the one before it on the same stop set, oldest first.
        looks: how good each round's student was, oldest first; of one kind (gold, or people).
        gain: accuracy that the next dollar is expected to buy, as a share with an 80 % interval; None where the
            learning curve does not tell.
    """

    affordable: int
    candidates: int
    labels: int
    rounds: int
    agreements: Sequence[float] = ()
    looks: Sequence[Look] = ()
    gain: Forecast | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """A decision to stop: the reason, and a sentence for a person."""

    reason: StopReason
    message: str


def should_stop(state: StopState, settings: StopSettings) -> Stop | None:
    """The first reason to stop that holds, or None: first what cannot be helped, then what is good enough."""
    for rule in (_used_up, _reached, _not_worth, _same):
        if (stop := rule(state, settings)) is not None:
            return stop
    return None


def _used_up(state: StopState, settings: StopSettings) -> Stop | None:
    """No text, no money, or a limit of the job."""
    if state.candidates <= 0:
        return Stop(StopReason.POOL, f"every text of the pool was asked about ({state.labels} labels)")
    if state.affordable <= 0:
        return Stop(StopReason.BUDGET, "the rest of the budget does not surely pay for one more question")
    if settings.max_labels is not None and state.labels >= settings.max_labels:
        return Stop(StopReason.MAX_LABELS, f"{state.labels} labels, and stop.max_labels is {settings.max_labels}")
    if settings.max_rounds is not None and state.rounds >= settings.max_rounds:
        return Stop(StopReason.MAX_ROUNDS, f"{state.rounds} rounds, and stop.max_rounds is {settings.max_rounds}")
    return None


def _reached(state: StopState, settings: StopSettings) -> Stop | None:
    """The target is reached when the lower bound of the newest look reaches it (`lower_bound`)."""
    if settings.target_accuracy is None or not state.looks:
        return None
    look, low = state.looks[-1], lower_bound(state.looks)
    if not low >= settings.target_accuracy:
        return None
    sample = "gold" if look.measured_on == "gold" else "the audit sample"
    return Stop(
        StopReason.TARGET,
        f"the student is right on {100 * look.share:.1f} % of {sample}, and with 95 % confidence on at least "
        f"{100 * low:.1f} % of all texts like these (look {len(state.looks)}; every look is paid for): "
        f"stop.target_accuracy is {settings.target_accuracy:g}",
    )


def _not_worth(state: StopState, settings: StopSettings) -> Stop | None:
    """A dollar buys too little when even the upper end of the forecast's 80 % interval does: with nine chances in
    ten the true gain is smaller still."""
    if settings.gain_per_dollar is None or state.gain is None:
        return None
    value, high = 100 * state.gain.value, 100 * state.gain.high
    if not high < settings.gain_per_dollar:
        return None
    return Stop(
        StopReason.GAIN,
        f"the next dollar is expected to buy {value:.3g} points of accuracy, {high:.3g} at most (80 % interval): "
        f"stop.gain_per_dollar is {settings.gain_per_dollar:g}",
    )


def _same(state: StopState, settings: StopSettings) -> Stop | None:
    """The student has settled when the mean agreement of the last `window` pairs of successive students reaches
    `settings.agreement` (Bloodgood and Vijay-Shanker 2009, who used 0.99 over 3 and a stop set of 2,000). The stop
    set needs no labels; it must stay the same for the whole job and should be a random sample of the pool."""
    if settings.agreement is None or len(state.agreements) < settings.window:
        return None
    return _settled(state.agreements[-settings.window :], settings.agreement)


def lower_bound(looks: Sequence[Look], error: float = 0.05) -> float:
    """A lower confidence bound for the newest look's accuracy that may be looked at after every round.

    Who looks every round and stops at the first good one is wrong far more often than one interval promises. So the
    allowed error is spent over the looks (Lan and DeMets 1983, "Discrete sequential boundaries for clinical trials"),
    error / (k (k + 1)) at the k-th, which adds up to `error` over any number of looks; the union bound makes no
    assumption on how they depend, and looks may share their texts. Each bound is Clopper and Pearson's (1934), at the
    effective size where texts are weighted (Korn and Graubard 1998, "Confidence intervals for proportions with small
    expected number of positive counts estimated from survey data").

    Raises ValueError where there is no look.
    """
    if not looks:
        raise ValueError("a bound needs at least one look")
    k, look = len(looks), looks[-1]
    hits = look.share * look.size
    if not hits > 0:  # nor where it is not a number
        return 0.0
    return float(betaincinv(hits, look.size - hits + 1, error / (k * (k + 1))))


def _settled(window: Sequence[float], least: float) -> Stop | None:
    mean = math.fsum(window) / len(window)
    if not mean > least - ROUNDING:  # nor where one is not a number
        return None
    return Stop(
        StopReason.AGREEMENT,
        f"the last {len(window)} students agree with the one before each: mean kappa {mean:.3f} reaches "
        f"stop.agreement {least:g}; F1 moved by at most {f_change_bound(min(window)):.3f} in any of these rounds",
    )


def f_change_bound(kappa: float) -> float:
    """The most by which F1 can differ between two binary models that agree with `kappa` on the same texts.

    4 (1 - kappa) / kappa for kappa above 0 (Bloodgood and Grothendieck 2013, "Analysis of Stopping Active Learning
    based on Stabilizing Predictions"), never more than 1: 0.04 at 0.99. Proven for two classes; for more it is a
    rule of thumb, and it says nothing about many small changes in one direction.
    """
    return min(1.0, 4 * (1 - kappa) / kappa) if kappa > 0 else 1.0
