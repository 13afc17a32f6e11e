"""What a cascade costs, and how right it is: a local model, a dearer one that is asked where the first is not to be
believed, and people at a dollar a minute.

    python -m evals.cascade [--quick]

The local model's answers are recorded (Qwen2.5-Coder-1.5B, `evals/tapes`), with the signs of doubt that a real run
noted beside them. The dearer oracle is simulated: right on 93 % of the texts, wrong where texts are hard, surer of
itself than it should be, at 20 times the price. People say of 200 texts, drawn at random, what they are: from that,
and nothing else, the job learns whom to believe from where on. It is dealt 200 times; all figures are of the texts
that nobody was shown.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_softmax

from agent.doubt import Given
from agent.judging import Judgement, learnt
from agent.tasks.intervals import wilson
from evals import _corpora
from evals._corpora import corpus
from evals._doubt import DRAWS, PEOPLE, Noted, noted
from evals._formats import LONG
from evals._oracles import answers
from evals.outcome import Outcome, is_quick

RIGHT = 0.93
TIMES = 20
"""The dearer oracle's accuracy, and its price beside the local model's."""
TOO_SURE = 1.5
"""Its log odds are that many times a text's distance from where it errs."""
DOLLARS_A_MINUTE, SECONDS_A_TEXT = 1.0, 15.0
JOBS, LARGE = (100_000, 1_000_000, 10_000_000), 1_000_000
"""Texts of a job, people's verdicts cost the same for all of them; and from which size on the target is to hold."""
TARGET, SHARE = 0.05, 0.40
"""Of accepted labels that may be wrong; of the dearer oracle's cost that the cascade may cost."""
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Dear:
    """The simulated oracle's answers to n texts, and whether each is right."""

    given: Given
    right: Bools


@dataclass(frozen=True)
class Run:
    """One dealing: shares of the texts that nobody was shown.

    Attributes:
        accuracy: of all labels, where the dearer oracle has the last word.
        onward: asked of the dearer oracle.
        wrong: of the local labels that were accepted; 0 where none was.
        alone, dear: the accuracy of either oracle on the same texts.
        settled: the accuracy where a person settles what neither oracle is believed on.
        waiting: what a person settles then.
    """

    accuracy: float
    onward: float
    wrong: float
    alone: float
    dear: float
    settled: float
    waiting: float


def dear(found: Noted, name: str) -> Dear:
    """Right on 93 % of the texts.

    How hard a text is tells a classifier that was taught on other texts: its log odds of the true class against the
    likeliest other one. With logistic noise on top, the hardest 7 % are taken for that other class. The oracle is
    the surer of itself the farther a text is from that line, on either side: it does not know on which.
    """
    probabilities = answers(corpus(name), "instance", 0).targets[found.rows].astype(np.float64)
    n, truth = len(found.truth), found.truth
    logs = np.log(np.maximum(probabilities, 1e-9))
    own, others = logs[np.arange(n), truth], logs.copy()
    others[np.arange(n), truth] = -np.inf
    other, ease = others.argmax(axis=1), own - others.max(axis=1)
    seen = ease + np.random.default_rng(7).logistic(size=n)
    line = np.quantile(seen, 1 - RIGHT)
    right = np.asarray(seen > line, np.bool_)
    said = np.where(right, truth, other)
    sure = expit(TOO_SURE * np.abs(seen - line))
    rest = np.exp(log_softmax(np.where(np.eye(logs.shape[1], dtype=bool)[said], -np.inf, logs), axis=1))
    told = rest * (1 - sure)[:, None]
    told[np.arange(n), said] = sure
    return Dear(Given(sure, told, said), right)


def run(found: Noted, second: Dear, seed: int, target: float) -> Run:
    """Deal the texts that people are shown, learn from them, and label the others."""
    order = np.random.default_rng([seed, 11]).permutation(len(found.right))
    people, rest = order[:PEOPLE], order[PEOPLE:]

    def judged(given: Given, right: Bools, signs: Doubles | None = None) -> Judgement:
        known = np.zeros((PEOPLE, found.signs.shape[1])) if signs is None else signs
        truth = found.truth[people]
        return learnt(found.task, given, known, right, truth, target_error=target, by_signs=signs is not None)

    cheap = judged(found.given.part(people), found.right[people], found.signs[people])
    dearer = judged(second.given.part(people), second.right[people])
    kept = _accepted(cheap, found.given.part(rest), found.signs[rest])
    kept_then = _accepted(dearer, second.given.part(rest), np.zeros_like(found.signs[rest]))
    first, then = found.right[rest], second.right[rest]
    return Run(
        accuracy=float(np.where(kept, first, then).mean()),
        onward=float((~kept).mean()),
        wrong=float((~first[kept]).mean()) if kept.any() else 0.0,
        alone=float(first.mean()),
        dear=float(then.mean()),
        settled=float(np.where(kept, first, then | ~kept_then).mean()),
        waiting=float((~kept & ~kept_then).mean()),
    )


def _accepted(judge: Judgement, given: Given, signs: Doubles) -> Bools:
    """(n,) whose answer is believed; none where people's verdicts show no bar that holds the target."""
    if judge.bar.value is None:
        return np.zeros(len(given), np.bool_)
    return np.asarray(judge.sure_of(given, signs) >= judge.bar.value, np.bool_)


def report(outcome: Outcome, name: str, draws: int) -> bool:
    """Rows of one set; whether the cascade is as right as the dearer oracle at the cost that it may have."""
    try:
        found = noted(name)
    except FileNotFoundError as missing:
        outcome.add(f"{name}: cascade", "not recorded", "", target="recorded", holds=False)
        print(missing)
        return False
    second = dear(found, name)
    runs = [run(found, second, seed, TARGET) for seed in range(draws)]

    def mean(what: str) -> float:
        return float(np.mean([getattr(r, what) for r in runs]))

    cheap = float(found.costs.mean()) / 1e3  # dollars per 1,000
    costly, onward = TIMES * cheap, mean("onward")
    outcome.add(f"{name}: local model alone", mean("alone"), f"accuracy, at {cheap:.4f} dollars per 1,000")
    outcome.add(f"{name}: dearer oracle alone", mean("dear"), f"accuracy, at {costly:.4f} dollars per 1,000")
    gain = np.array([r.accuracy - r.dear for r in runs])
    right, (low, high) = bool(gain.mean() >= 0), 100 * np.quantile(gain, [0.025, 0.975])
    outcome.add(f"{name}: cascade", mean("accuracy"),
                f"accuracy; {100 * gain.mean():+.1f} points, 95 % of dealings {low:+.1f} to {high:+.1f}",
                target=">= the dearer oracle's", holds=right, rival=f"dearer oracle {mean('dear'):.3f}")  # fmt: skip
    outcome.add(f"{name}: asked of the dearer oracle", onward, "share")
    oracles = cheap + onward * costly
    outcome.add(f"{name}: what both oracles cost", oracles / costly, "of the dearer oracle alone")
    people = PEOPLE * SECONDS_A_TEXT / 60 * DOLLARS_A_MINUTE
    paid = True
    for texts in JOBS:
        whole, instead = oracles * texts / 1e3 + people, costly * texts / 1e3
        share = whole / instead
        paid &= share <= SHARE or texts < LARGE
        large = texts >= LARGE
        outcome.add(f"{name}: the same and {PEOPLE} texts shown to people, job of {texts:,} texts", share,
                    f"of the dearer oracle alone ({instead:.0f} dollars); people {people:.0f} of {whole:.0f} dollars",
                    target=f"<= {SHARE}" if large else "", holds=share <= SHARE if large else None)  # fmt: skip
    spare = SHARE * costly - oracles
    least = people / spare * 1e3 if spare > 0 else float("inf")
    outcome.add(f"{name}: it pays from", least, f"texts on ({SHARE:.0%} of the dearer oracle's cost, people counted)")
    _bounded(outcome, name, runs)
    outcome.add(f"{name}: where a person has the last word", mean("settled"),
                f"accuracy; {mean('waiting'):.1%} of the texts wait for one")  # fmt: skip
    return right and paid


def _bounded(outcome: Outcome, name: str, runs: list[Run]) -> None:
    """In how many dealings the promise was kept."""
    kept = sum(r.wrong <= TARGET for r in runs)
    low, high = wilson(kept, len(runs))
    outcome.add(f"{name}: dealings in which at most {TARGET:.0%} of what was accepted is wrong", kept / len(runs),
                f"share of {len(runs)}, 95 % {low:.3f} to {high:.3f}; "
                f"mean error {np.mean([r.wrong for r in runs]):.3f}", target=">= 0.93",
                holds=kept / len(runs) >= 0.93)  # fmt: skip


def main() -> int:
    if (why := _corpora.missing()) is not None:
        print(why)
        return 2
    quick = is_quick()
    outcome = Outcome("cascade", quick)
    sets = ("uci_sentiment",) if quick else tuple(LONG)
    held = sum(report(outcome, name, 20 if quick else DRAWS) for name in sets)
    most = len(sets) if quick else 3
    outcome.add("sets on which it is as right at the cost it may have", held, f"of {len(sets)}", target=f">= {most}",
                holds=held >= most)  # fmt: skip
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
