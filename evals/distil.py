"""What distilling is worth: an oracle's labels beside the student that learnt from them, and one that learnt gold.

    python -m evals.distil [--quick] [--sets banking77,bbc] [--oracles instance] [--loss generalised]
                           [--threads 1]

For each set and each simulated oracle (evals/_oracles.py), on the same test texts: the oracle's own labels, the model
that `distil` makes of so many of its labels on pool texts, and of as many gold labels. Texts are cut at `TOKENS` for
the student, not for the oracle, so that a whole run takes about 20 minutes on one core. Needs ../shared/data (or
LABELWRIGHT_SHARED).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.distill import Examples, Model, distil
from agent.distill.refresh import pinned
from agent.distill.trials import LOSSES
from agent.job import DistilSettings
from agent.student.encoder import BUILTIN, Encoder
from agent.tasks.intervals import wilson
from evals import _corpora
from evals._oracles import KINDS, Answers, answers
from evals.outcome import Outcome

LABELS = {"banking77": 1500, "clinc150": 1500, "dbpedia14": 1500, "bbc": 600}
TOKENS = {"banking77": 32, "clinc150": 32, "dbpedia14": 32, "bbc": 128}
QUICK_LABELS, QUICK_TOKENS = 100, 48
BY_TEXT = ("instance", "tape")
"""Oracles that are wrong where a text is hard, as a large model is."""
CLOSE = 3.0  # points
SEED = 0

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Cell:
    """Which test texts an oracle, its student and the student of gold labels got right: (m,) each."""

    oracle: Bools
    student: Bools
    ceiling: Bools
    labels: int
    seconds: float


def percent(right: Bools) -> float:
    return round(100 * float(right.mean()), 2)


def interval(right: Bools) -> str:
    lo, hi = wilson(float(right.sum()), len(right))
    return f"95 % interval {100 * lo:.1f} to {100 * hi:.1f}"


def difference(a: Bools, b: Bools) -> tuple[float, str]:
    """Points by which a is better than b on the same texts, and its interval."""
    each = 100 * (a.astype(float) - b.astype(float))
    half = 1.96 * float(each.std(ddof=1)) / len(each) ** 0.5
    return round(float(each.mean()), 2), f"95 % interval {each.mean() - half:+.1f} to {each.mean() + half:+.1f}"


def taught(
    corpus: _corpora.Corpus, told: Answers, settings: DistilSettings, *, quick: bool
) -> tuple[Bools, int, float]:
    """Which test texts the model of an oracle's first labels gets right, how many labels there were, and seconds."""
    labels, tokens = (QUICK_LABELS, QUICK_TOKENS) if quick else (LABELS[corpus.name], TOKENS[corpus.name])
    rows = corpus.pool[~told.silent[corpus.pool]][:labels]
    weights = np.ones(len(rows), np.float32)
    known = Examples([corpus.texts[i] for i in rows], told.targets[rows], weights, corpus.names, seed=SEED)
    encoder = Encoder.load(BUILTIN, max_tokens=tokens)
    with tempfile.TemporaryDirectory() as folder:
        done = distil(known, settings, encoder=encoder, folder=Path(folder) / "model")
        said = Model.load(Path(folder) / "model").predict([corpus.texts[i] for i in corpus.test])
    assert said.probabilities is not None
    return said.probabilities.argmax(axis=1) == corpus.labels[corpus.test], len(rows), done.seconds


def report(outcome: Outcome, name: str, kind: str, cell: Cell) -> None:
    where = f"{name}, {kind} oracle"
    outcome.add(f"{where}: its own labels", percent(cell.oracle), "% right")
    above, ends = difference(cell.student, cell.oracle)
    aimed = kind in BY_TEXT and not outcome.quick  # a hundred labels are to show that it runs
    outcome.add(
        f"{where}: student of {cell.labels:,} of its labels",
        percent(cell.student),
        f"% right, {interval(cell.student)}",
        target="more than the oracle itself" if aimed else "",
        holds=above > 0 if aimed else None,
        rival=f"{above:+.1f} points to the oracle, {ends}",
    )
    below, ends = difference(cell.ceiling, cell.student)
    outcome.add(
        f"{where}: points below the student of as many gold labels",
        below,
        f"points, {ends}",
        target="" if outcome.quick else f"at most {CLOSE:g}",
        holds=None if outcome.quick else below <= CLOSE,
        rival=f"gold-trained: {percent(cell.ceiling)} %",
    )
    outcome.add(f"{where}: distilling", round(cell.seconds, 1), "seconds")


def measure(outcome: Outcome, name: str, kinds: tuple[str, ...], settings: DistilSettings) -> None:
    """Every oracle of one set."""
    corpus = _corpora.corpus(name)
    ceiling, count, _ = taught(corpus, answers(corpus, "gold", SEED), settings, quick=outcome.quick)
    outcome.add(f"{name}: student of {count:,} gold labels", percent(ceiling), f"% right, {interval(ceiling)}")
    for kind in kinds:
        if kind == "gold" or (kind == "tape" and name != "bbc"):
            continue
        told = answers(corpus, kind, SEED)
        right = (told.targets[corpus.test].argmax(axis=1) == corpus.labels[corpus.test]) & ~told.silent[corpus.test]
        student, count, seconds = taught(corpus, told, settings, quick=outcome.quick)
        cell = Cell(right, student, ceiling, count, seconds)
        print(
            f"{name} {kind}: oracle {percent(right)} %, student {percent(student)} %, gold {percent(ceiling)} % "
            f"({seconds:.0f} s)",
            flush=True,
        )
        report(outcome, name, kind, cell)


def arguments() -> argparse.Namespace:
    said = argparse.ArgumentParser(prog="python -m evals.distil", description=__doc__.split("\n")[0])
    listed = lambda text: tuple(text.split(","))  # noqa: E731
    said.add_argument("--quick", action="store_true", help="BBC news, 100 labels of two oracles")
    said.add_argument("--sets", type=listed, default=tuple(LABELS))
    said.add_argument("--oracles", type=listed, default=KINDS)
    said.add_argument("--loss", choices=LOSSES, default=LOSSES[0], help="of every student, that of gold among them")
    said.add_argument("--threads", type=int, default=1)
    args = said.parse_args()
    if args.quick:
        args.sets, args.oracles = ("bbc",), BY_TEXT
    return args


def main() -> int:
    args = arguments()
    if (why := _corpora.missing()) is not None:
        print(why)
        return 2
    other = args.loss != LOSSES[0]
    outcome = Outcome(
        f"distil-{args.loss}" if other else "distil",
        args.quick,
        command=f"distil --loss {args.loss}" if other else "",
    )
    began = time.monotonic()
    with pinned(args.threads):
        for name in args.sets:
            measure(outcome, name, args.oracles, DistilSettings(epochs=3, loss=args.loss))
    outcome.add("the whole run", round((time.monotonic() - began) / 60, 1), f"minutes, threads: {args.threads}")
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
