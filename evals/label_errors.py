"""How many of the accepted labels that look wrong are: what `labelwright suspects` would show to people.

    python -m evals.label_errors [--quick]

Whole jobs (the real loop, ledger and store) on the simulated oracle of `evals.relabel`, which is right on four texts
in five, wrong where texts are hard, and surer of itself than it should be: 400 texts of a pool of 1,500, accepted
from a confidence of 0.8 on. Of the accepted labels those are looked for that look wrong; the sets' own labels say
which are. Beside as many accepted labels of which the oracle itself was least sure, and accepted labels at large.

Targets, set beforehand: labels that look wrong are at least twice as often wrong as accepted ones at large, and more
often than as many of the least sure.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent import suspects
from agent.loop import run
from agent.records import Source
from agent.workbench import Workbench
from evals import _corpora
from evals._corpora import Corpus, corpus
from evals.outcome import Outcome, is_quick
from evals.relabel import CASES, hardness, interval, job, write_tapes

SETS = ("uci_sentiment", "dbpedia14", "banking77")
SEEDS, QUICK_SEEDS = 4, 1
WORST = 0.05
"""Of accepted labels, those that look worst: what people would be shown in a few minutes."""


@dataclass(frozen=True)
class Found:
    """Of one job: accepted labels and how many are wrong; those that look wrong and how many are; how many are wrong
    of as many that the oracle was least sure of; and the same of the worst twentieth of accepted labels."""

    accepted: int
    wrong: int
    suspects: int
    hits: int
    least_sure: int
    worst: int
    worst_hits: int
    worst_least_sure: int

    @property
    def base(self) -> float:
        return self.wrong / self.accepted


def found_by(of: Corpus, seed: int) -> Found:
    """Run a job to its end, and look for what is wrong among its accepted labels."""
    case = CASES[0]
    with tempfile.TemporaryDirectory() as place:
        made = job(Path(place), of, case, seed, 0.0)
        write_tapes(made, of, case, hardness(of), seed)
        run(made)
        truth = {of.texts[i]: of.names[of.labels[i]] for i in of.pool.tolist()}
        with Workbench(made) as bench:
            routes, picks = bench.store.routes(made.name), bench.picks()
            given = [x for i, x in bench.store.current(made.name).items() if routes[i].is_accepted]
            accepted = [x for x in given if x.source is Source.ORACLE]
            wrong = {x.text_id for x in accepted if truth[picks[x.text_id].text] != x.value}
            looks = [s.label.text_id for s in suspects.find(bench)]
    least_sure = [x.text_id for x in sorted(accepted, key=lambda x: x.confidence or 0.0)]
    k, few = len(looks), min(len(looks), round(WORST * len(accepted)))
    return Found(
        len(accepted), len(wrong), k, sum(i in wrong for i in looks), sum(i in wrong for i in least_sure[:k]),
        few, sum(i in wrong for i in looks[:few]), sum(i in wrong for i in least_sure[:few]),
    )  # fmt: skip


def report(outcome: Outcome, name: str, found: list[Found], *, hold: bool = False) -> None:
    """Rows of one set, or with `hold` of all together."""
    base = float(np.mean([f.base for f in found]))
    outcome.add(
        f"{name}: accepted labels that are wrong", base, f"share of {np.mean([f.accepted for f in found]):.0f}"
    )
    for what, size, hits, beside in (
        ("labels that look wrong", "suspects", "hits", "least_sure"),
        (f"of these the worst, {WORST:.0%} of accepted labels,", "worst", "worst_hits", "worst_least_sure"),
    ):
        ours = np.array([getattr(f, hits) / max(1, getattr(f, size)) for f in found])
        theirs = np.array([getattr(f, beside) / max(1, getattr(f, size)) for f in found])
        mean, low, high = interval(ours - theirs)
        caught = float(np.mean([getattr(f, hits) / max(1, f.wrong) for f in found]))
        texts = float(np.mean([getattr(f, size) for f in found]))
        outcome.add(
            f"{name}: {what} that are", float(ours.mean()),
            f"share of {texts:.0f}; {caught:.0%} of all wrong ones; {100 * mean:+.1f} points, "
            f"95 % {100 * low:+.1f} to {100 * high:+.1f}",
            target="at least twice as often as accepted labels, more often than the least sure" if hold else "",
            holds=bool(ours.mean() >= 2 * base and (low if len(found) > 1 else mean) > 0) if hold else None,
            rival=f"least sure {theirs.mean():.3f}",
        )  # fmt: skip


def main() -> int:
    if (why := _corpora.missing()) is not None:
        print(why)
        return 2
    quick = is_quick()
    outcome, every = Outcome("label_errors", quick), list[Found]()
    for name in SETS[:1] if quick else SETS:
        of = corpus(name)
        found = []
        for seed in range(QUICK_SEEDS if quick else SEEDS):
            found.append(found_by(of, seed))
            print(f"{name}, seed {seed}:", found[-1], flush=True)
        report(outcome, name, found)
        every += found
    report(outcome, "all together", every, hold=True)
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
