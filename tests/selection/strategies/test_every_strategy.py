"""Whatever a strategy is, its batch is whole: taken through `compose` in states that are as odd as they come."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from threadpoolctl import threadpool_limits

from agent.records import Floats
from agent.selection import STRATEGIES, BatchStrategy, Chosen, State, Strategy, Trial, compose, find_strategy

WIDTH = 6


def pool(points: Floats) -> Callable[..., Floats]:
    return lambda rows: points[rows]


def mentioned(n: int, seed: int) -> Callable[..., Any]:
    """Of a knowledge graph of nine entities; a tenth of all that could be is mentioned."""
    found = (np.random.default_rng(seed).random((n, 9)) < 0.1).astype(np.float32)
    return lambda rows: sparse.csr_array(found[rows])


def state(n: int = 60, labels: int = 20, classes: int = 3, *, multilabel: bool = False, seed: int = 0) -> State:
    """`n` candidates and `labels` labelled rows of one pool, everything known of them that a job may know."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n + labels, WIDTH)).astype(np.float32)
    rows = rng.permutation(n + labels)
    if multilabel:
        p = rng.random((n + labels, classes)).astype(np.float32)
        targets = (rng.random((labels, classes)) < 0.4).astype(np.float32)
    else:
        p = rng.dirichlet(np.ones(classes), n + labels).astype(np.float32)
        targets = np.eye(classes, dtype=np.float32)[rng.integers(classes, size=labels)]
    return State(
        candidates=np.sort(rows[:n]),
        doubt=1 - p[:n].max(axis=1),
        vectors=pool(points),
        probabilities=p[:n],
        labelled=np.sort(rows[n:]),
        targets=targets,
        multilabel=multilabel,
        foreseen=p[n:],
        trust=rng.random(labels).astype(np.float32),
        prices=rng.uniform(50, 500, n).astype(np.float32),
        mentions=mentioned(n + labels, seed),
        class_vectors=np.eye(classes, WIDTH, dtype=np.float32),
        history=(Trial("margin", 0.7, 10, 0), Trial("unheard", 0.1, 5, 0)),
        seed=(seed, 1),
    )


def bare(given: State) -> State:
    """Only what no job lacks, and the graph, without which `knowledge` has no job."""
    return State(given.candidates, given.doubt, given.vectors, mentions=given.mentions, seed=given.seed)


def copies(given: State) -> State:
    """Every text is the same text, and the student says the same of each."""
    same = np.full_like(given.probabilities, 1 / given.probabilities.shape[1])
    return replace(given, vectors=lambda rows: np.ones((len(rows), WIDTH), np.float32), probabilities=same)


STATES: dict[str, State] = {
    "usual": state(),
    "one candidate": state(1),
    "one candidate and nothing else known": bare(state(1, 0)),
    "all copies": copies(state(40)),
    "all copies of nothing": replace(
        copies(state(40)), vectors=lambda rows: np.zeros((len(rows), WIDTH), np.float32)
    ),
    "nothing labelled": state(50, 0),
    "nothing but doubt": bare(state(50, 0)),
    "labels without classes": replace(state(), probabilities=None, targets=None, foreseen=None),
    "values that are no array": replace(state(), probabilities=None, targets=["a"] * 20, foreseen=None),
    "two classes": state(classes=2),
    "two classes, one of them met": replace(state(classes=2), targets=np.tile(np.float32([1, 0]), (20, 1))),
    "one class": state(classes=1),
    "many classes": state(classes=40),
    "several decisions": state(multilabel=True),
    "several decisions, all of them no": replace(state(multilabel=True), targets=np.zeros((20, 3), np.float32)),
    "a student that is sure": replace(state(), probabilities=np.eye(3, dtype=np.float32)[np.arange(60) % 3]),
    "everything free of charge": replace(state(), prices=np.zeros(60, np.float32)),
    "nobody to be trusted": replace(state(), trust=np.zeros(20, np.float32)),
    "one label": state(50, 1),
    "the cold start": replace(state(50, 0), round=0),
}


def checked(batch: list[Chosen], given: State, size: int) -> None:
    rows = [c.row for c in batch]
    assert len(rows) == len(set(rows)) == min(size, len(given.candidates))
    assert set(rows) <= set(given.candidates.tolist())
    for chosen in batch:
        assert np.isfinite(chosen.score)
        assert json.loads(json.dumps(dict(chosen.why), allow_nan=False))
        assert (chosen.probability is None) == (chosen.slice != "random")


@pytest.mark.parametrize("name", list(STRATEGIES))
@pytest.mark.parametrize("given", STATES.values(), ids=STATES)
def test_a_batch_is_whole_in_every_state(given: State, name: str) -> None:
    scores = np.asarray(find_strategy(name).score(given))
    assert scores.shape == given.candidates.shape
    assert np.isfinite(scores).all()
    for size, share in ((1, 0.0), (7, 0.2), (10_000, 0.2)):
        checked(compose(given, find_strategy(name), size, share, np.random.default_rng(1)), given, size)


@pytest.mark.parametrize("name", [n for n in STRATEGIES if isinstance(find_strategy(n), BatchStrategy)])
@pytest.mark.parametrize("given", STATES.values(), ids=STATES)
def test_what_is_taken_is_never_chosen(given: State, name: str) -> None:
    strategy = find_strategy(name)
    assert isinstance(strategy, BatchStrategy)
    n = len(given.candidates)
    for taken in (np.arange(0, n, 3), np.arange(n - 1), np.arange(n)):
        beside = replace(given, taken=taken)
        for size in (1, 9, n + 5):
            made = strategy.choose(beside, size, np.random.default_rng(2))
            assert len(np.unique(made.indices)) == len(made.indices) == min(size, n - len(taken))
            assert not np.isin(made.indices, taken).any()
            assert made.scores.shape == made.indices.shape
            assert np.isfinite(made.scores).all()
            assert {len(column) for column in made.why.values()} <= {len(made.indices)}


@pytest.mark.parametrize("name", list(STRATEGIES))
@pytest.mark.parametrize("multilabel", [False, True])
def test_the_same_seed_gives_the_same_batch_on_one_and_two_threads(name: str, multilabel: bool) -> None:
    given, batches, scores = state(800, 100, 4, multilabel=multilabel), [], []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            scores.append(find_strategy(name).score(given))
            batches.append(compose(given, find_strategy(name), 30, 0.2, np.random.default_rng(3)))
    np.testing.assert_array_equal(scores[0], scores[1])
    assert batches[0] == batches[1]


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_a_strategy_leaves_the_state_as_it_was(name: str) -> None:
    given = state()
    arrays = {key: value for key, value in vars(given).items() if isinstance(value, np.ndarray)}
    before = {key: value.copy() for key, value in arrays.items()}
    compose(given, find_strategy(name), 20, 0.2, np.random.default_rng(0))
    for key, value in arrays.items():
        np.testing.assert_array_equal(value, before[key])


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_every_strategy_implements_the_seam_and_says_what_it_is(name: str) -> None:
    assert isinstance(find_strategy(name), Strategy)
    assert (STRATEGIES[name].__doc__ or "").strip()
