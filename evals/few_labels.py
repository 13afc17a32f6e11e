"""Few labels: what a model of eight texts a class gets right, ours beside SetFit, which is made for that.

    make rivals
    python -m evals.few_labels [--quick] [--sets banking77,bbc] [--each 8] [--seeds 0,1] [--threads 1]

As many gold labels of every class, drawn by chance from a set's pool, one encoder, the same test texts, cut at the
same number of tokens. Ours as `distil` comes; SetFit with the pairs of its paper (each text 20 times in a pair of one
class and 20 times in one of two; the library's default, every pair there is, takes hours). How far what a model says
of itself is off is the expected calibration error in 15 bins. Needs ../shared/data (or LABELWRIGHT_SHARED) and the
environment that `make rivals` builds.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from agent.distill.refresh import pinned
from agent.job import DistilSettings
from agent.records import Rows
from agent.report.reliability import reliability
from evals import _corpora
from evals._corpora import Corpus
from evals._distilling import EPOCHS, QUICK_TOKENS, TOKENS, Known, said_of_test
from evals.distil_rivals import missing, rival
from evals.outcome import Outcome

PASSES = 27
"""For evals._distillers.setfit, which makes 40 pairs a text of it, as many as its paper's twenty of either kind."""
BINS = 15
SETS = ("banking77", "dbpedia14", "bbc")
"""Of distil_rivals; eight labels of each of clinc150's 150 classes take SetFit more than an hour."""


def drawn(corpus: Corpus, each: int, seed: int) -> Rows:
    """So many of the pool's texts of every class, or all where there are fewer, in an order by chance."""
    pool = np.random.default_rng([seed, 3]).permutation(corpus.pool)
    labels = corpus.labels[pool]
    rows: Rows = pool[np.sort(np.concatenate([np.flatnonzero(labels == j)[:each] for j in range(len(corpus.names))]))]
    return rows


def measure(outcome: Outcome, name: str, each: int, seed: int, threads: int) -> tuple[float, float]:
    """Shares of the test texts that ours and SetFit get right."""
    corpus = _corpora.corpus(name)
    tokens = QUICK_TOKENS if outcome.quick else TOKENS[name]
    rows = drawn(corpus, each, seed)
    ones, people = np.ones(len(rows), np.float32), np.ones(len(rows), np.bool_)
    labels = Known(corpus, rows, np.eye(len(corpus.names), dtype=np.float32)[corpus.labels[rows]], ones, people)
    chances, seconds = said_of_test(labels, DistilSettings(), tokens)
    found = chances.argmax(axis=1) == corpus.labels[corpus.test]
    where = f"{name}, {len(rows):,} labels, {each} a class, draw {seed}"
    outcome.add(f"{where}: labelwright", round(100 * float(found.mean()), 2), f"% right, {seconds:.0f} s")
    believed = reliability(chances.max(axis=1), found, bins=BINS)
    assert believed is not None
    outcome.add(f"{where}: its calibration error", round(100 * believed.ece, 1), "points")
    theirs, seconds, version = rival("setfit", labels, tokens, threads, passes=EPOCHS if outcome.quick else PASSES)
    outcome.add(f"{where}: setfit", round(100 * float(theirs.mean()), 2), f"% right, {seconds:.0f} s", rival=version)
    print(outcome.rows[-3], outcome.rows[-2].value, outcome.rows[-1], sep="\n", flush=True)
    return float(found.mean()), float(theirs.mean())


def arguments() -> argparse.Namespace:
    said = argparse.ArgumentParser(prog="python -m evals.few_labels", description=__doc__.split("\n")[0])
    listed = lambda text: tuple(text.split(","))  # noqa: E731
    said.add_argument("--quick", action="store_true", help="BBC news alone, and a ninth of SetFit's pairs")
    said.add_argument("--sets", type=listed, default=SETS)
    said.add_argument("--each", type=int, default=8, help="labels of every class")
    said.add_argument("--seeds", type=lambda text: tuple(map(int, text.split(","))), default=(0,), help="draws")
    said.add_argument("--threads", type=int, default=1)
    args = said.parse_args()
    if args.quick:
        args.sets = ("bbc",)
    return args


def main() -> int:
    args = arguments()
    if (why := missing()) is not None:
        print(why)
        return 2
    outcome = Outcome("few_labels", args.quick)
    cells = []
    with pinned(args.threads):
        for name in args.sets:
            cells += [measure(outcome, name, args.each, seed, args.threads) for seed in args.seeds]
            outcome.keep()
    ours, theirs = 100 * np.array(cells).mean(axis=0)
    outcome.add(
        "mean over sets and draws",
        round(float(ours), 2),
        "% right",
        target="" if outcome.quick else "not below SetFit",
        holds=None if outcome.quick else bool(ours >= theirs),
        rival=f"setfit: {theirs:.2f} %",
    )
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
