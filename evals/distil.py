"""What distilling is worth: an oracle's labels beside the student that learnt from them, and one that learnt gold.

    python -m evals.distil [--quick] [--sets banking77,bbc] [--oracles instance] [--loss generalised]
                           [--threads 1]

For each set and each simulated oracle (evals/_oracles.py), on the same test texts: the oracle's own labels, the model
that `distil` makes of so many of its labels on pool texts, the one where a person saw the tenth of them that is most
likely wrong, as in a job, and the one of as many gold labels. Texts are cut at `TOKENS` for the student, not for the
oracle. Where a text has several labels (goemotions, wnut17), right is F1; of spans nothing is seen by a person. Needs
../shared/data (or LABELWRIGHT_SHARED).
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

from agent.distill.refresh import pinned
from agent.distill.trials import LOSSES
from agent.job import DistilSettings
from agent.tasks.intervals import wilson
from evals import _corpora, _distil_tasks
from evals._distilling import LABELS, QUICK_LABELS, QUICK_TOKENS, SEED, TOKENS, Bools, Known, known, student
from evals._oracles import KINDS, answers
from evals.outcome import Outcome

BY_TEXT = ("instance", "tape")
"""Oracles that are wrong where a text is hard, as a large model is."""
CLOSE = 3.0  # points
REVIEWED = 0.1
SEVERAL, CLASSES = ("goemotions", "wnut17"), ("goemotions",)
"""Sets whose texts have any number of labels, and those of them whose labels are classes."""


@dataclass(frozen=True)
class Cell:
    """Which test texts an oracle, a student of its labels and the student of gold labels got right: (m,) each.
    `what` the student learnt from, in words, and how many of those labels are right."""

    what: str
    labels_right: float
    oracle: Bools
    student: Bools
    ceiling: Bools
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


@dataclass(frozen=True)
class Student:
    """A student's figure in percent; by how many points it is above its oracle and below the student of gold labels,
    each with its interval in words. `aimed`: it is to be above its oracle."""

    what: str
    figure: float
    unit: str
    above: tuple[float, str]
    below: tuple[float, str]
    points: str
    gold: str
    aimed: bool


def add(outcome: Outcome, where: str, found: Student) -> None:
    """The two rows of a student."""
    aimed = found.aimed and not outcome.quick  # a hundred labels are to show that it runs
    (above, above_ends), (below, below_ends) = found.above, found.below
    outcome.add(
        f"{where}: student of {found.what}",
        found.figure,
        found.unit,
        target="more than the oracle itself" if aimed else "",
        holds=above > 0 if aimed else None,
        rival=f"{above:+.1f} points to the oracle, {above_ends}",
    )
    outcome.add(
        f"{where}: the same, points below the student of as many gold labels",
        below,
        f"{found.points}, {below_ends}",
        target="" if outcome.quick else f"at most {CLOSE:g}",
        holds=None if outcome.quick else below <= CLOSE,
        rival=f"gold-trained: {found.gold}",
    )


def report(outcome: Outcome, where: str, kind: str, cell: Cell) -> None:
    found = Student(
        cell.what,
        percent(cell.student),
        f"% right, {interval(cell.student)}; {100 * cell.labels_right:.1f} % of its labels are",
        difference(cell.student, cell.oracle),
        difference(cell.ceiling, cell.student),
        "points",
        f"{percent(cell.ceiling)} %; {cell.seconds:.0f} s of training",
        aimed=kind in BY_TEXT,
    )
    add(outcome, where, found)


def measure(outcome: Outcome, name: str, kinds: tuple[str, ...], settings: DistilSettings) -> None:
    """Every oracle of one set."""
    corpus = _corpora.corpus(name)
    count, tokens = (QUICK_LABELS, QUICK_TOKENS) if outcome.quick else (LABELS[name], TOKENS[name])
    ceiling, _ = student(known(corpus, answers(corpus, "gold", SEED), count, gold=True), settings, tokens)
    outcome.add(f"{name}: student of {count:,} gold labels", percent(ceiling), f"% right, {interval(ceiling)}")
    for kind in kinds:
        if kind == "gold" or (kind == "tape" and name != "bbc"):
            continue
        told = answers(corpus, kind, SEED)
        right = (told.targets[corpus.test].argmax(axis=1) == corpus.labels[corpus.test]) & ~told.silent[corpus.test]
        where = f"{name}, {kind} oracle"
        outcome.add(f"{where}: its own labels", percent(right), "% right")
        alone = known(corpus, told, count)
        for what, labels in _both(alone):
            found, seconds = student(labels, settings, tokens)
            print(f"{where}: {percent(right)} %, student of {what} {percent(found)} % ({seconds:.0f} s)", flush=True)
            report(outcome, where, kind, Cell(what, labels.right, right, found, ceiling, seconds))


def measure_sets(outcome: Outcome, name: str, settings: DistilSettings) -> None:
    """The same where a text has any number of labels."""
    known_sets = _distil_tasks.read(name, quick=outcome.quick)
    gold, count = known_sets.gold[1], len(known_sets.texts[0])
    ceiling = _distil_tasks.counted(gold, _distil_tasks.student(known_sets, known_sets.gold[0], settings))
    outcome.add(f"{name}: student of {count:,} gold labels", _distil_tasks.f1(ceiling), "% F1")
    for kind in _distil_tasks.KINDS[1:]:
        told = _distil_tasks.said_by(kind, known_sets)
        oracle = _distil_tasks.counted(gold, told.of_test)
        where, own = f"{name}, {kind} oracle", _distil_tasks.f1(oracle)
        outcome.add(f"{where}: its own labels", own, "% F1")
        alone = f"{count:,} of its labels"
        cells = [(alone, told)]
        if name in CLASSES:
            cells.append((_seen(alone), _distil_tasks.reviewed(known_sets, told, REVIEWED)))
        for what, labels in cells:
            said = _distil_tasks.student(known_sets, labels.of_pool, settings, labels.soft)
            found = _distil_tasks.counted(gold, said)
            share = _distil_tasks.f1(found)
            print(f"{where}: {own} % F1, student of {what} {share} %", flush=True)
            best = _distil_tasks.f1(ceiling)
            beside = Student(
                what,
                share,
                "% F1",
                (share - own, _distil_tasks.by_chance(found, oracle)),
                (round(best - share, 2), _distil_tasks.by_chance(ceiling, found)),
                "points of F1",
                f"{best} %",
                aimed=kind in BY_TEXT and name in CLASSES,
            )
            add(outcome, where, beside)


def _both(alone: Known) -> tuple[tuple[str, Known], ...]:
    count = f"{len(alone.rows):,} of its labels"
    return (count, alone), (_seen(count), alone.reviewed(REVIEWED))


def _seen(labels: str) -> str:
    return f"{labels}, {REVIEWED:.0%} seen by a person"


def arguments() -> argparse.Namespace:
    said = argparse.ArgumentParser(prog="python -m evals.distil", description=__doc__.split("\n")[0])
    listed = lambda text: tuple(text.split(","))  # noqa: E731
    said.add_argument("--quick", action="store_true", help="BBC news, 100 labels of two oracles")
    said.add_argument("--sets", type=listed)
    said.add_argument("--oracles", type=listed, default=KINDS)
    said.add_argument("--loss", choices=LOSSES, default=LOSSES[0], help="of every student, that of gold among them")
    said.add_argument("--threads", type=int, default=1)
    args = said.parse_args()
    if args.quick:
        args.sets, args.oracles = args.sets or ("bbc",), BY_TEXT
    args.sets = args.sets or (*LABELS, *SEVERAL)
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
            settings = DistilSettings(loss=args.loss)
            if name in SEVERAL:
                measure_sets(outcome, name, settings)
            else:
                measure(outcome, name, args.oracles, settings)
            outcome.keep()
    outcome.add("the whole run", round((time.monotonic() - began) / 60, 1), f"minutes, threads: {args.threads}")
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
