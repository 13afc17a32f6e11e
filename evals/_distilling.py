"""A student of an oracle's labels, as a job would have it: for evals.distil and evals.distil_rivals."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.distill import Examples, Model, distil
from agent.job import DistilSettings
from agent.records import Floats, Rows
from agent.student.encoder import BUILTIN, Encoder
from agent.student.head import Head
from agent.student.teaching import Hints, Labelled, trust
from evals._corpora import Corpus
from evals._oracles import Answers

LABELS = {"banking77": 3000, "clinc150": 3000, "dbpedia14": 1000, "bbc": 600, "med_nli": 2000}
TOKENS = {"banking77": 32, "clinc150": 32, "dbpedia14": 96, "bbc": 128, "med_nli": 64}
QUICK_LABELS, QUICK_TOKENS = 100, 48
EPOCHS = 3
SEED = 0

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Known:
    """Labels of n texts of a set's pool.

    Attributes:
        rows: (n,) of the set's texts.
        targets: (n, C) soft.
        trust: (n,) how far a job's student, taught without a text, believes its label; one for people's.
        people: (n,) which a person gave, and those are right.
        told: (n, C) what the oracle said of each; None of gold labels.
    """

    corpus: Corpus
    rows: Rows
    targets: Floats
    trust: Floats
    people: Bools
    told: Floats | None = None

    @property
    def texts(self) -> list[str]:
        return [self.corpus.texts[i] for i in self.rows]

    @property
    def right(self) -> float:
        """Share of the labels that are."""
        return float((self.targets.argmax(axis=1) == self.corpus.labels[self.rows]).mean())

    def reviewed(self, share: float) -> Known:
        """With gold labels in place of the share that is most likely wrong, as people would be shown it: by what the
        oracle and the student say of each label."""
        believed = self.targets.max(axis=1) * self.trust
        by_chance = np.random.default_rng(SEED).random(len(self.rows))
        shown = np.lexsort((by_chance, believed))[: round(share * len(self.rows))]
        targets, sure, people = self.targets.copy(), self.trust.copy(), self.people.copy()
        targets[shown] = np.eye(targets.shape[1], dtype=np.float32)[self.corpus.labels[self.rows[shown]]]
        sure[shown], people[shown] = 1, True
        return Known(self.corpus, self.rows, targets, sure, people, self.told)


def known(corpus: Corpus, told: Answers, count: int, *, gold: bool = False) -> Known:
    """The first so many labels of an oracle, in the pool's order by chance; of `gold` none is doubted."""
    rows = corpus.pool[~told.silent[corpus.pool]][:count]
    targets = told.targets[rows]
    if gold:
        return Known(corpus, rows, targets, np.ones(len(rows), np.float32), np.ones(len(rows), np.bool_))
    doubtful = np.ones(len(rows), np.bool_)
    labelled = Labelled(corpus.vectors[rows], targets, np.ones(len(rows), np.float32))
    head = Head(len(corpus.names))
    head.fit(*labelled.arrays, np.random.default_rng(SEED))
    sure = trust(head, labelled, Hints(names=None if corpus.columns else corpus.class_vectors, doubtful=doubtful))
    return Known(corpus, rows, targets, sure, ~doubtful, targets)


def student(labels: Known, settings: DistilSettings, tokens: int) -> tuple[Bools, float]:
    """Which of the set's test texts a model of these labels gets right, and the seconds of its training."""
    chances, seconds = said_of_test(labels, settings, tokens)
    return chances.argmax(axis=1) == labels.corpus.labels[labels.corpus.test], seconds


def said_of_test(labels: Known, settings: DistilSettings, tokens: int) -> tuple[Floats, float]:
    """(m, C) probabilities of the set's test texts, by a model of these labels, and the seconds of its training."""
    corpus = labels.corpus
    ones = np.ones(len(labels.rows), np.float32)
    examples = Examples(
        labels.texts,
        labels.targets,
        ones,
        corpus.names,
        seed=SEED,
        trust=labels.trust,
        people=labels.people,
        columns=corpus.columns,
        told=labels.told,
    )
    with tempfile.TemporaryDirectory() as folder:
        encoder = Encoder.load(BUILTIN, max_tokens=tokens)
        done = distil(examples, settings, encoder=encoder, folder=Path(folder) / "model")
        said = Model.load(Path(folder) / "model").predict([corpus.texts[i] for i in corpus.test])
    assert said.probabilities is not None
    return said.probabilities, done.seconds
