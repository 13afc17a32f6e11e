"""Accept an answer, ask a stronger oracle, or ask a person: decided from one calibrated confidence.

Numbers in, decisions out. Knows no answer, no task, no store. What people said of earlier answers comes in as
`correct`; only blind answers are sure to be free of the machine's suggestion, so prefer those where there are enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from agent.doubt.calibration import Confidences, Doubles, Truths
from agent.records import Route
from agent.tasks.intervals import clopper_pearson_upper

LEVEL = 0.95
MORE_AT_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which confidence on an answer is accepted.

    Attributes:
        value: 0 to 1, or None where people's labels do not show that any threshold holds the target.
        basis: a sentence for a person.
        labels: people's labels at or above `value` (all that were looked at where it is None).
        errors: how many of those were wrong.
        upper: the one-sided 95 % upper bound of the share of errors there; None where `value` is.
        more: people's labels that might suffice where `value` is None, at best; None where more of the same
            would not help, or are not needed.
    """

    value: float | None
    basis: str
    labels: int = 0
    errors: int = 0
    upper: float | None = None
    more: int | None = None

    def or_else(self, fallback: float) -> Threshold:
        """Itself where it has a value, else the job's `people.threshold`, and why."""
        if self.value is not None:
            return self
        return replace(self, value=fallback, basis=f"people.threshold of the job ({fallback:g}): {self.basis}")


def threshold(calibrated: Confidences, correct: Truths, target_error: float) -> Threshold:
    """The smallest threshold at or above which, with 95 % confidence, at most `target_error` of answers are wrong.

    Thresholds are tested from the surest downwards, each by the Clopper-Pearson bound of the errors at or above it,
    and the first that fails ends the search: tested in this order (fixed before any error is looked at), the chance
    that the result breaks its promise is at most 5 % for all tests together (fixed-sequence testing; Angelopoulos
    et al. 2021, "Learn then Test", sec. 3.2). The first test needs enough answers to pass with two errors, unless
    that is more than half of them: starting with fewer, one early error would end most searches.

    The promise holds for answers drawn like those that people saw at or above the threshold. Where the less sure
    of them were asked more often (they were routed to people) it errs on the careful side.

    Args:
        calibrated: (n,) confidences of answers that people judged; NaN or None are left out.
        correct: (n,) whether a person agreed.
        target_error: above 0, below 1.
    """
    given, right = _paired(calibrated, correct)
    order = np.argsort(-given, kind="stable")
    given, wrong = given[order], np.cumsum(~right[order])
    n = len(given)
    start = _first_count(n, target_error)
    if n < start:
        return _too_few(n, int(wrong[-1]) if n else 0, start, target_error)
    counts = np.flatnonzero(np.append(given[1:] < given[:-1], True)) + 1  # answers at or above each distinct value
    best: Threshold | None = None
    for count in counts[counts >= start].tolist():
        errors = int(wrong[count - 1])
        upper = clopper_pearson_upper(errors, count, LEVEL)
        if upper > target_error:
            return best or _not_yet(count, errors, target_error)
        said = f"{count} people's labels at or above it, {errors} wrong: at most {upper:.1%} are (95 % sure)"
        best = Threshold(float(given[count - 1]), said, count, errors, upper)
    assert best is not None, "the last count is n, which is at least the start"
    return best


@dataclass(frozen=True, slots=True)
class Decision:
    """Where one answer goes.

    Attributes:
        route: accepted, stronger or person. An audited answer goes to a person, and is accepted meanwhile.
        reason: `sure`, `audit`, `unsure` or `no confidence`.
        blind: the person must not see the machine's suggestion.
        probability: the chance that this answer had of being judged by a person: the audit share where it was
            accepted (drawn or not), 1 where a person must be asked, None where a stronger oracle comes first.
    """

    route: Route
    reason: str
    blind: bool = False
    probability: float | None = None

    @property
    def is_accepted(self) -> bool:
        """The machine's label counts, also while a person audits it."""
        return self.route is Route.ACCEPTED or self.blind


def route(
    confidence: float | None, threshold: float, has_stronger: bool, audit_share: float, rng: np.random.Generator
) -> Decision:
    """Where one answer goes; see `route_all`. Takes one number from `rng` whatever the answer."""
    return route_all([confidence], threshold, has_stronger, audit_share, rng)[0]


def route_all(
    confidences: Confidences, threshold: float, has_stronger: bool, audit_share: float, rng: np.random.Generator
) -> list[Decision]:
    """Where each of a batch of answers goes.

    At or above the threshold an answer is accepted, and with the chance `audit_share` a person judges it blind as
    well. Below it, or without a confidence (no token probabilities), a stronger oracle is asked where there is one,
    else a person.

    Args:
        confidences: (n,) calibrated, 0 to 1; NaN or None where there is none.
        threshold: 0 to 1.
        has_stronger: a further oracle can be asked about these answers.
        audit_share: 0 to 1.
        rng: one number is drawn for each answer, in order, so that one answer's fate does not change the next one's.
    """
    given = np.asarray(confidences, dtype=np.float64)
    audited = rng.random(len(given)) < audit_share
    elsewhere = Route.STRONGER if has_stronger else Route.PERSON
    chance = None if has_stronger else 1.0

    def decide(confidence: float, audit: bool) -> Decision:
        if math.isnan(confidence):
            return Decision(elsewhere, "no confidence", probability=chance)
        if confidence < threshold:
            return Decision(elsewhere, "unsure", probability=chance)
        if audit:
            return Decision(Route.PERSON, "audit", blind=True, probability=audit_share)
        return Decision(Route.ACCEPTED, "sure", probability=audit_share)

    return [decide(c, a) for c, a in zip(given.tolist(), audited.tolist(), strict=True)]


def _paired(confidences: Confidences, correct: Truths) -> tuple[Doubles, npt.NDArray[np.bool_]]:
    """Both as arrays, without the answers that have no confidence. Raises ValueError where lengths differ."""
    given, right = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=np.bool_)
    if given.shape != right.shape or given.ndim != 1:
        raise ValueError(f"one verdict for each confidence is needed, got {right.shape} for {given.shape}")
    known = ~np.isnan(given)
    return given[known], right[known]


def _passing(errors: int, target_error: float) -> int:
    """The fewest answers among which so many errors still pass the test."""
    low, high = errors, errors + 1
    while clopper_pearson_upper(errors, high, LEVEL) > target_error:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if clopper_pearson_upper(errors, middle, LEVEL) <= target_error else (middle, high)
    return high


def _first_count(n: int, target_error: float) -> int:
    fewest = [_passing(errors, target_error) for errors in range(3)]
    return max(count for count in fewest if count <= max(n / 2, fewest[0]))


def _too_few(n: int, errors: int, start: int, target_error: float) -> Threshold:
    said = f"{n} people's labels, at least {start} are needed to promise {target_error:.1%} errors or fewer"
    return Threshold(None, said, n, errors, more=start - n)


def _not_yet(count: int, errors: int, target_error: float) -> Threshold:
    """The surest answers fail: more labels help only if fewer of them are wrong than the target allows."""
    said = f"{errors} of the {count} surest answers that people saw were wrong"
    if errors / count >= target_error:
        return Threshold(None, f"{said}, more than the {target_error:.1%} allowed", count, errors)
    needed = count
    while needed < MORE_AT_MOST and clopper_pearson_upper(math.ceil(errors / count * needed), needed) > target_error:
        needed += max(1, needed // 50)
    more = needed - count
    return Threshold(None, f"{said}; about {more} more labels of such answers might do", count, errors, more=more)
