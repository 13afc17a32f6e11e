"""One way of buying labels, simulated: rounds of picks from a pool, answers from an oracle, a student after each.

Every arm of a cell has the same budget of questions, the same sizes of batches, and the same seed. `default` is what a
job does that says nothing about selection; `random` and `margin` have the plain frozen head; the rivals' strategies
choose by themselves (`evals/_rival_picks.py`, in an environment of their own) and are judged by the same head.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.job import SelectionSettings
from agent.records import Floats, Rows
from agent.selection import State, auto_cold_start, cold_start, compose, find_strategy
from agent.student.head import Head
from evals._corpora import Corpus
from evals._oracles import Answers

BUDGETS = {"banking77": 770, "clinc150": 1500, "dbpedia14": 280, "fewrel": 480, "uci_sentiment": 300, "bbc": 150}
ROUNDS = 10


@dataclass
class Point:
    """After a round: questions asked, labels had, micro-dollars spent, accuracy on the test texts."""

    asked: int
    labels: int
    spent: float
    accuracy: float


@dataclass
class Bench:
    """What an arm works with."""

    corpus: Corpus
    answers: Answers
    seed: int
    asked: list[int] = field(default_factory=list)  # indices of texts, in the order of asking
    points: list[Point] = field(default_factory=list)

    def rng(self, *where: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *where])

    @property
    def known(self) -> Rows:
        """Texts that have a label."""
        rows = np.array(self.asked, np.int64)
        return rows[~self.answers.silent[rows]]

    @property
    def candidates(self) -> Rows:
        return np.setdiff1d(self.corpus.pool, np.array(self.asked, np.int64))

    def judge(self, predict: Callable[[Rows], Floats]) -> None:
        """Note where the arm stands; `predict` gives (m, C) probabilities of texts."""
        test = self.corpus.test
        right = predict(test).argmax(axis=1) == self.corpus.labels[test]
        spent = float(self.answers.price[self.asked].sum())
        self.points.append(Point(len(self.asked), len(self.known), spent, float(right.mean())))


def sizes(corpus: Corpus) -> list[int]:
    """How many questions each round asks: a cold start as a job makes it, and ten rounds more."""
    budget = min(BUDGETS[corpus.name], len(corpus.pool) // 2)
    first = auto_cold_start(len(corpus.names), budget, len(corpus.pool))
    steps = np.diff(np.linspace(first, budget, ROUNDS + 1).round().astype(int))
    return [first, *steps.tolist()]


def taught(bench: Bench, vectors: Floats, number: int) -> Head:
    """The student of a round, on every label so far."""
    rows = bench.known
    head = Head(len(bench.corpus.names))
    head.fit(vectors[rows], bench.answers.targets[rows], np.ones(len(rows), np.float32), bench.rng(1, number))
    return head


def state_of(bench: Bench, vectors: Floats, head: Head, number: int) -> State:
    """What a strategy sees, as `agent.steps` builds it."""
    candidates, rows = bench.candidates, bench.known
    p = head.predict(vectors[candidates])
    return State(
        candidates,
        1 - p.max(axis=1),
        lambda wanted: vectors[wanted],
        p,
        rows,
        bench.answers.targets[rows],
        round=number,
        foreseen=head.out_of_fold,
        penalty=head.l2,
        prices=bench.answers.price[candidates],
        class_vectors=bench.corpus.class_vectors,
        seed=(bench.seed, number),
    )


def run(bench: Bench, settings: SelectionSettings) -> list[Point]:
    """An arm with the frozen encoder: what `settings` says, on stored vectors."""
    vectors = bench.corpus.vectors
    for number, size in enumerate(sizes(bench.corpus)):
        chosen = pick(bench, settings, vectors, number, size)
        bench.asked += chosen
        head = taught(bench, vectors, number)
        bench.judge(lambda rows, head=head: head.predict(vectors[rows]))  # type: ignore[misc]
    return bench.points


def pick(bench: Bench, settings: SelectionSettings, vectors: Floats, number: int, size: int) -> list[int]:
    """A round's texts, chosen as a job chooses them."""
    strategy = find_strategy(settings.strategy, settings.options)
    rng = bench.rng(2, number)
    if number == 0:
        chance = 1.0 if settings.strategy == "random" or settings.cold_start == 0 else settings.random_share
        found = cold_start(
            bench.candidates, lambda rows: vectors[rows], size, chance, rng, class_vectors=bench.corpus.class_vectors
        )
    else:
        state = state_of(bench, vectors, taught(bench, vectors, number - 1), number)
        found = compose(state, strategy, size, settings.random_share, rng)
    return [c.row for c in found]


def follow(bench: Bench, picks: Iterator[list[int]]) -> list[Point]:
    """An arm whose picks another library makes: judged by the same head."""
    for number, chosen in enumerate(picks):
        bench.asked += chosen
        head = taught(bench, bench.corpus.vectors, number)
        bench.judge(lambda rows, head=head: head.predict(bench.corpus.vectors[rows]))  # type: ignore[misc]
    return bench.points


PLAIN: dict[str, dict[str, Any]] = {
    "random": {"strategy": "random", "random_share": 1.0},
    "margin": {
        "strategy": "margin",
        "random_share": 0.0,
        "cold_start": 0,
        "options": {"shortlist": 1, "uncovered": 0},
    },
}


def default_settings() -> dict[str, Any]:
    """What a job does about selection that says nothing about it."""
    return json.loads(SelectionSettings().model_dump_json())


def refreshes() -> bool:
    """Whether the default arm tunes its encoder on the way."""
    return False


def run_default(bench: Bench) -> list[Point]:
    """The default arm."""
    return run(bench, SelectionSettings())
