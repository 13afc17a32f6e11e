"""Oracles of five kinds for simulations: what each would say of every text of a set, and what asking it costs.

- `gold`: the set's own labels.
- `symmetric`: one label in five is another class, drawn uniformly.
- `confused`: each class has an error rate of its own and is taken for the class whose name is most like it; one
  question in twenty is answered with no label at all, and paid all the same.
- `instance`: a classifier that was taught on texts apart from pool and test; wrong where texts are hard, and its
  probabilities come along as soft targets.
- `tape`: a real model's recorded answers (BBC news, Qwen2.5-Coder-1.5B), with its probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from agent.records import Floats, Text, TextId
from agent.student.head import Head
from evals._corpora import Corpus
from evals._corpora import corpus as corpus_of

KINDS = ("gold", "symmetric", "confused", "instance", "tape")
WRONG, ABSTAINS = 0.2, 0.05
INPUT, OUTPUT = 0.05, 0.10  # dollars per million tokens, as the README's local model costs
CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True)
class Answers:
    """What an oracle says.

    Attributes:
        targets: (n, C) float32 for every text of the set; rows sum to one.
        silent: (n,) bool, where it gives no label.
        price: (n,) float32 micro-dollars a question.
    """

    targets: Floats
    silent: npt.NDArray[np.bool_]
    price: Floats

    def accuracy(self, corpus: Corpus) -> float:
        """Share of the pool's labels that are right."""
        rows = corpus.pool[~self.silent[corpus.pool]]
        return float((self.targets[rows].argmax(axis=1) == corpus.labels[rows]).mean())


def answers(corpus: Corpus, kind: str, seed: int) -> Answers:
    """The oracle `kind`; `seed` deals its errors where they are dealt at all."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    n, classes = len(corpus.texts), len(corpus.names)
    silent = np.zeros(n, bool)
    if kind == "gold":
        targets = _certain(corpus.labels, classes)
    elif kind == "symmetric":
        other = (corpus.labels + rng.integers(1, classes, n)) % classes
        targets = _certain(np.where(rng.random(n) < WRONG, other, corpus.labels), classes)
    elif kind == "confused":
        like = corpus.class_vectors @ corpus.class_vectors.T - 2 * np.eye(classes, dtype=np.float32)
        rate = rng.beta(1.5, 6.0, classes)  # 0.2 on average, some classes far more
        wrong = rng.random(n) < rate[corpus.labels]
        targets = _certain(np.where(wrong, like.argmax(axis=1)[corpus.labels], corpus.labels), classes)
        silent = rng.random(n) < ABSTAINS
    elif kind == "instance":
        targets = _taught(corpus.name)
    else:
        return recorded(corpus.name)
    return Answers(targets, silent, price(corpus))


def price(corpus: Corpus) -> Floats:
    """(n,) micro-dollars: the labels' names stand in every prompt, and the text."""
    fixed = sum(len(d) for d in corpus.described) / CHARACTERS_A_TOKEN + 60
    tokens = fixed + np.array([len(t) for t in corpus.texts]) / CHARACTERS_A_TOKEN
    return (tokens * INPUT + 4 * OUTPUT).astype(np.float32)


def _certain(labels: npt.NDArray[np.int64], classes: int) -> Floats:
    return np.eye(classes, dtype=np.float32)[labels]


@lru_cache(maxsize=8)
def _taught(name: str) -> Floats:
    found = corpus_of(name)
    head = Head(len(found.names))
    known = _certain(found.labels[found.apart], len(found.names))
    head.fit(found.vectors[found.apart], known, np.ones(len(known), np.float32), np.random.default_rng(0))
    return head.predict(found.vectors)


@lru_cache(maxsize=1)
def recorded(name: str) -> Answers:
    """The demo's tape on this set's texts; a text that was not recorded is one the oracle is silent about.

    Raises ValueError for a set without a tape.
    """
    if name != "bbc":
        raise ValueError(f"no tape of {name}")
    corpus = corpus_of(name)
    import tempfile
    from pathlib import Path

    from agent.demo import prepare
    from agent.endpoints import questions_of, reach
    from agent.job import Job
    from agent.oracle import TapeOracle, read_tape
    from agent.workbench import Workbench

    with tempfile.TemporaryDirectory() as folder, Workbench(Job.load(prepare(Path(folder)))) as bench:
        settings, task = bench.job.oracle[0], bench.task
        oracle = reach(bench, settings)
        assert isinstance(oracle, TapeOracle)
        ask = questions_of(bench, settings, oracle.mode)
        made = [ask(Text(TextId(str(i)), t)) for i, t in enumerate(corpus.texts)]
        _, tape = read_tape(oracle.path)
    targets = np.zeros((len(corpus.texts), len(corpus.names)), np.float32)
    silent = np.ones(len(corpus.texts), bool)
    cost = price(corpus)
    for i, question in enumerate(made):
        answer = tape.get(question.key)
        if answer is None:
            continue
        value = task.parse(answer.content, Text(TextId(str(i)), corpus.texts[i]))
        belief = task.confidence(answer, value)
        told = belief.probabilities or {value: 1.0}
        targets[i] = [told.get(name, 0.0) for name in corpus.names]
        silent[i] = False
        if answer.usage is not None:
            cost[i] = answer.usage.prompt_tokens * INPUT + answer.usage.completion_tokens * OUTPUT
    return Answers(targets, silent, cost)
