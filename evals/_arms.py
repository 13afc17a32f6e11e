"""One way of buying labels, simulated: rounds of picks from a pool, answers from an oracle, a student after each.

Every arm of a cell has the same budget of questions, the same sizes of batches, and the same seed. `default` is what
a job does that says nothing about selection; `random` and `margin` have the plain frozen head; the rivals' strategies
choose by themselves (`evals/_rival_picks.py`, in an environment of their own) and are judged by the same head.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from agent.distill.refresh import Beside, RefreshSettings, refresh
from agent.distill.targets import Examples
from agent.hints import SAMPLE_OF_JUDGE
from agent.job import MilestoneSettings, SelectionSettings, StudentSettings
from agent.records import Floats, Rows
from agent.selection import Chosen, State, auto_cold_start, cold_start, compose, find_strategy
from agent.student.encoder import BUILTIN, Encoder
from agent.student.head import Head
from agent.student.heads import Heads, side_by_side
from agent.student.teaching import Hints, Labelled, guessing, teach
from evals._adapting import adapted
from evals._corpora import Corpus
from evals._oracles import Answers
from evals._reading import MOST_TOKENS, reader_of

BUDGETS = {"banking77": 770, "clinc150": 1500, "dbpedia14": 280, "fewrel": 480, "uci_sentiment": 300, "bbc": 150}
ROUNDS = 10
Vectors = Callable[[Rows], Floats]


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
    head: Head | None = None  # of the round before

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


def state_of(bench: Bench, vectors: Vectors, head: Head | Heads, candidates: Rows, number: int) -> State:
    """What a strategy sees, as `agent.picking` builds it."""
    rows = bench.known
    p = head.predict(vectors(candidates))
    return State(
        candidates,
        1 - p.max(axis=1),
        vectors,
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
        bench.head = head = taught(bench, vectors, number)
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
        assert bench.head is not None
        state = state_of(bench, lambda rows: vectors[rows], bench.head, bench.candidates, number)
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


CANDIDATES = 2000
"""Of a pool of 5,000 that are embedded again at a milestone, to save time: a job of this size embeds them all."""


@dataclass(frozen=True)
class Variant:
    """The default (what a job does that says nothing), or the default with one thing changed.

    Attributes:
        refreshes: whether the encoder is tuned at milestones.
        unlabelled, class_names, label_noise: as in the section `student` of a job file.
        adapted: the encoder has read the pool before, see `evals._adapting`; only where it is never tuned.
    """

    refreshes: bool = True
    unlabelled: str = StudentSettings().unlabelled
    class_names: bool = StudentSettings().class_names
    label_noise: str = StudentSettings().label_noise
    adapted: bool = False

    def settings(self) -> dict[str, Any]:
        """Everything that decides which curve is drawn; no arm asks again about labels."""
        found: dict[str, Any] = json.loads(SelectionSettings().model_dump_json(exclude={"relabel"}))
        found |= {"unlabelled": self.unlabelled, "class_names": self.class_names, "label_noise": self.label_noise}
        if self.adapted:
            found["adapted"] = True
        if self.refreshes:
            milestones = json.loads(StudentSettings().refresh.model_dump_json())
            found |= {"refresh": milestones, "candidates": CANDIDATES, "heads": "side by side"}
        return found


DEFAULT = Variant()


def run_default(bench: Bench, variant: Variant = DEFAULT) -> list[Point]:
    """The default arm: selection as a job has it, and the encoder refreshed at milestones as `agent.refreshing` does;
    texts drawn by chance teach the head and not the encoder, as in a job without gold texts."""
    settings, student = SelectionSettings(), StudentSettings()
    milestones = student.refresh.model_copy(update={"enabled": variant.refreshes})
    with tempfile.TemporaryDirectory() as folder:
        tuned = _Tuned(bench, Path(folder), variant)
        drawn: set[int] = set()
        for number, size in enumerate(sizes(bench.corpus)):
            chosen = _picks(bench, settings, tuned, number, size)
            drawn |= {c.row for c in chosen if c.slice == "random"}
            bench.asked += [c.row for c in chosen]
            head, trust = tuned.taught(number)
            if tuned.milestone(milestones, drawn, trust):
                head, _ = tuned.taught(number)
            bench.judge(lambda rows, head=head: head.predict(tuned.vectors(rows)))  # type: ignore[misc]
            tuned.head = head
    return bench.points


class _Tuned:
    """The encoders as they are now; texts' vectors by a tuned one are made where they are first looked at."""

    def __init__(self, bench: Bench, folder: Path, variant: Variant) -> None:
        self.bench, self.folder, self.variant = bench, folder, variant
        self._first = self._now = Encoder.load(BUILTIN, max_tokens=MOST_TOKENS)
        self._frozen, self.classes = bench.corpus.vectors, bench.corpus.class_vectors
        if variant.adapted:
            self._frozen, self.classes = adapted(bench.corpus)
        self._made, self._has = np.empty((0, 0), np.float32), np.zeros(0, bool)
        self._temperatures: tuple[float, ...] = (1.0,)
        self._last = 0
        self._sample = bench.candidates
        self.head = self._heads()

    def _heads(self) -> Heads:
        return Heads(len(self.bench.corpus.names), temperatures=self._temperatures)

    def vectors(self, rows: Rows) -> Floats:
        if self._now is self._first:
            return self._frozen[rows]
        missing = rows[~self._has[rows]]
        if len(missing):
            self._made[missing] = reader_of(self.bench.corpus).encode(self._now, missing).astype(np.float16)
            self._has[missing] = True
        return side_by_side(self._frozen[rows], self._made[rows])

    def taught(self, number: int) -> tuple[Heads, Floats]:
        """The student of a round, as `agent.hints` teaches it, and how far it believes each of its labels."""
        bench, rows, variant, others = self.bench, self.bench.known, self.variant, self.candidates()
        heads = self._heads()
        hints = Hints(
            self.classes if variant.class_names else None,
            None if variant.unlabelled == "off" else self.vectors(others),
            guessing(variant.unlabelled),
            np.ones(len(rows), bool) if variant.label_noise == "reweight" else None,
            stand_for=len(bench.candidates) / len(others),
        )
        known = Labelled(self.vectors(rows), bench.answers.targets[rows], np.ones(len(rows), np.float32))
        return heads, teach(heads, known, bench.rng(1, number), hints)

    def milestone(self, settings: MilestoneSettings, drawn: set[int], trust: Floats) -> bool:
        """Refresh the encoder where it is time; whether there is a new one."""
        bench = self.bench
        kept = np.array([i not in drawn for i in bench.known.tolist()], bool)
        learnt = bench.known[kept]
        if not settings.enabled or len(learnt) < max(settings.first, settings.growth * self._last):
            return False
        self._last = len(learnt)
        weights = np.ones(len(learnt), np.float32)
        targets, names = bench.answers.targets[learnt], bench.corpus.names
        examples = Examples(self._texts(learnt), targets, weights, names, seed=bench.seed, trust=trust[kept])
        course = RefreshSettings(way=settings.way, tokens=settings.tokens, threads=1)  # two cells run at a time
        folder = self.folder / str(len(learnt))
        found = refresh(self._now, examples, course, folder, base=self._first, beside=self._beside())
        if found.folder is not None:
            self._now = Encoder.load(str(found.folder), max_tokens=MOST_TOKENS)
            self._temperatures = (1.0, found.temperature)
            self.classes = side_by_side(bench.corpus.class_vectors, self._now.encode(bench.corpus.described))
            self._made, self._has = np.empty_like(self._frozen), np.zeros(len(self._frozen), bool)
            self._sample = bench.rng(3, self._last).permutation(bench.candidates)[:CANDIDATES]
        return found.folder is not None

    def _beside(self) -> Beside:
        """What teaches the judge's student, as `agent.hints.beside` has it."""
        corpus, free = self.bench.corpus, self.bench.candidates
        some = self.bench.rng(4, self._last).permutation(free)[:SAMPLE_OF_JUDGE]
        return Beside(
            corpus.described if self.variant.class_names else (),
            self._texts(some) if self.variant.unlabelled != "off" else (),
            guessing(self.variant.unlabelled),
            stand_for=len(free) / len(some),
        )

    def _texts(self, rows: Rows) -> list[str]:
        return [self.bench.corpus.texts[i] for i in rows.tolist()]

    def candidates(self) -> Rows:
        """Texts that may be asked: the same sample of the pool until the next milestone, less what was asked."""
        if self._now is self._first:
            return self.bench.candidates
        return np.setdiff1d(self._sample, np.array(self.bench.asked, np.int64))


def _picks(bench: Bench, settings: SelectionSettings, tuned: _Tuned, number: int, size: int) -> list[Chosen]:
    rng = bench.rng(2, number)
    if number == 0:
        share, names = settings.random_share, tuned.classes
        return cold_start(bench.candidates, tuned.vectors, size, share, rng, class_vectors=names)
    state = state_of(bench, tuned.vectors, tuned.head, tuned.candidates(), number)
    strategy = find_strategy(settings.strategy, settings.options)
    return compose(replace(state, class_vectors=tuned.classes), strategy, size, settings.random_share, rng)
