"""Whether an audit's interval can be believed, and how many items it saves.

    python -m evals.audit [--quick]

2,000 simulated audits of 400 items each, of 20,000 labels of which 1 to 20 % are wrong: drawn alike and by strata,
with and without what was foretold of the labels that nobody looked at, where that tells much and where it tells
little. The 95 % interval has to cover the truth in 93 to 97 % of them. Beside it the interval that is usual
elsewhere: the normal one.

Then the sequential test "is error under 5 %?", asked after every item: how often it errs at the limit, and how many
items it takes beside a plan of fixed size (the exact test) that errs as seldom.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from agent.audit import Draw, Estimated, Sampled, Verdict, acceptance, bands, draw, estimate
from agent.tasks.intervals import clopper_pearson_upper
from evals.outcome import Outcome, is_quick

Doubles = npt.NDArray[np.float64]

LABELS, ITEMS = 20_000, 400
AUDITS, FEW = 2000, 300
ERRORS = (0.01, 0.02, 0.05, 0.1, 0.2)
TELLING = {"little": 0.5, "much": 2.5}
"""Spread of the log odds that are foretold."""
LIMIT, ALPHA = 0.05, 0.05


@dataclass(frozen=True)
class Population:
    """Labels, what was foretold of each, and whether it is right."""

    foretold: Doubles
    right: Doubles

    @classmethod
    def of(cls, error: float, telling: float, rng: np.random.Generator) -> Population:
        """Chances as foretold are true: of labels that are right with 0.9, nine in ten are."""
        spread = telling * rng.normal(size=LABELS)
        low, high = -30.0, 30.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if expit(middle + spread).mean() < 1 - error else (low, middle)
        foretold = np.asarray(expit(low + spread), np.float64)
        return cls(foretold, (rng.random(LABELS) < foretold).astype(np.float64))

    def judged(self, d: Draw) -> Sampled:
        return Sampled(self.right[d.items], d.strata, d.sizes, self.foretold[d.items], d.expected)


def normal(found: Sampled) -> tuple[float, float]:
    """The interval that is usual elsewhere: mean and 1.96 standard errors, stratum by stratum."""
    n = np.bincount(found.strata)
    share = found.sizes / found.sizes.sum()
    seen = np.bincount(found.strata, found.right) / n
    error = math.sqrt((share**2 * (1 - n / found.sizes) * seen * (1 - seen) / np.maximum(n - 1, 1)).sum())
    middle = float((share * seen).sum())
    return middle - 1.96 * error, middle + 1.96 * error


def intervals(outcome: Outcome, audits: int) -> None:
    """How often they cover the truth."""
    worst: list[float] = []
    for error in ERRORS:
        for word, telling in TELLING.items():
            rng = np.random.default_rng([int(1000 * error), int(10 * telling)])
            population = Population.of(error, telling, rng)
            truth = float(population.right.mean())
            plain = np.zeros(LABELS, np.int64)
            for design, strata in (("drawn alike", plain), ("by strata", bands(population.foretold))):
                draws = [population.judged(draw(ITEMS, population.foretold, strata, rng)) for _ in range(audits)]
                usual = np.mean([low <= truth <= high for low, high in map(normal, draws)])
                for powered in (False, True):
                    found = [estimate(d, powered=powered) for d in draws]
                    covered = float(np.mean([f.low <= truth <= f.high for f in found]))
                    worst.append(covered)
                    name = f"{error:.0%} wrong, {design}, doubt tells {word}" + (
                        ", prediction-powered" if powered else ""
                    )
                    outcome.add(name, covered, f"covered; {_width(found)}", target="0.93 to 0.97",
                                holds=0.93 <= covered <= 0.97, rival=f"normal interval {usual:.3f}")  # fmt: skip
    outcome.add(
        "coverage, least and most of all", f"{min(worst):.3f} to {max(worst):.3f}", f"of {audits} audits each"
    )


def _width(found: list[Estimated]) -> str:
    half = np.mean([(f.high - f.low) / 2 for f in found])
    worth = np.median([f.effective for f in found])
    return f"+-{100 * half:.2f} points, as {worth:.0f} items drawn alike"


def sequential(outcome: Outcome, tests: int) -> None:
    """How often the test errs, and when it ends."""
    most = 3000
    for share in (LIMIT, 0.08, 0.1, 0.025, 0.02, 0.01):
        rng = np.random.default_rng(int(1000 * share))
        found = []
        for _ in range(tests):
            wrong = np.arange(LABELS) < round(share * LABELS)
            found.append(acceptance(rng.permutation(wrong)[:most], LABELS, LIMIT, ALPHA))
        accepted = float(np.mean([f.verdict is Verdict.ACCEPT for f in found]))
        rejected = float(np.mean([f.verdict is Verdict.REJECT for f in found]))
        items = [f.items for f in found]
        told = f"{np.median(items):.0f} items (half of the tests), {np.quantile(items, 0.9):.0f} (nine in ten)"
        if share == LIMIT:  # three standard errors of so many tests are not held against it
            bar = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / tests)
            for what, value in (("accepted", accepted), ("rejected", rejected)):
                outcome.add(f"limit {LIMIT:.0%}, {share:.1%} wrong: {what}", value, f"of {tests} tests",
                            target=f"<= {ALPHA} (and three standard errors)", holds=value <= bar)  # fmt: skip
        elif share > LIMIT:
            outcome.add(f"limit {LIMIT:.0%}, {share:.1%} wrong: accepted", accepted, f"of {tests}; {told}",
                        target=f"<= {ALPHA}", holds=accepted <= ALPHA)  # fmt: skip
        else:
            outcome.add(f"limit {LIMIT:.0%}, {share:.1%} wrong: rejected", rejected, f"of {tests}; {told}",
                        target=f"<= {ALPHA}", holds=rejected <= ALPHA,
                        rival=f"fixed size, 90 % power: {_fixed(share)} items")  # fmt: skip


def _fixed(share: float) -> int:
    """Items of the exact test of fixed size that accepts labels of which `share` are wrong nine times in ten."""
    from scipy.stats import binom

    n = 50
    while True:
        allowed = -1
        while clopper_pearson_upper(allowed + 1, n, 1 - ALPHA) < LIMIT:
            allowed += 1
        if allowed >= 0 and binom.cdf(allowed, n, share) >= 0.9:
            return n
        n += 1


def main() -> int:
    quick = is_quick()
    outcome = Outcome("audit", quick)
    audits = FEW if quick else AUDITS
    if quick:
        outcome.add("note", audits, "audits each: too few for the bar of 93 to 97 %, which is the whole run's")
    intervals(outcome, audits)
    sequential(outcome, audits)
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
