"""Coverage of a knowledge graph: the lazy greedy against the plain one, and what a user would notice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from agent.errors import JobFileError
from agent.records import Floats, Rows
from agent.selection import State, Strategy, compose, find_strategy
from agent.selection.seam import BatchStrategy
from agent.selection.strategies.knowledge import Knowledge, Uncovered, greedy_cover, idf
from agent.selection.strategies.uncertainty import Margin

D = 8


class Table:
    """Mentions in memory."""

    def __init__(self, dense: Any, names: list[str] | None = None) -> None:
        self.array = sparse.csr_array(np.asarray(dense, np.float32))
        if names is not None:
            self.names = names

    def __call__(self, rows: Rows) -> Any:
        return self.array[rows]


def state(dense: Any, *, names: list[str] | None = None, seed: int = 0, **changes: Any) -> State:
    """A pool of as many texts as `dense` has rows; those not labelled are candidates."""
    dense = np.asarray(dense, np.float32)
    rng = np.random.default_rng(seed)
    labelled = np.asarray(changes.pop("labelled", []), np.int64)
    candidates = np.setdiff1d(np.arange(len(dense)), labelled)
    vectors = rng.normal(size=(len(dense), D)).astype(np.float32)
    p = rng.dirichlet(np.ones(3), len(candidates)).astype(np.float32)
    given = {"probabilities": p, "doubt": 1 - p.max(axis=1), "mentions": Table(dense, names), **changes}
    return State(candidates=candidates, vectors=lambda rows: vectors[rows], labelled=labelled, **given)


def slow_cover(dense: Any, weights: Any, unsure: Any, turn: Any, size: int) -> tuple[list[int], list[float]]:
    """The plain greedy: every row is looked at each time."""
    left = np.asarray(dense, bool).copy()
    rows: list[int] = []
    gains: list[float] = []
    for _ in range(size):
        gain = (left * weights).sum(axis=1)
        if not len(gain) or gain.max() <= 0:
            break
        best = min(range(len(left)), key=lambda i: (-gain[i], -unsure[i], turn[i]))
        rows.append(best)
        gains.append(float(gain[best]))
        left[:, left[best]] = False
    return rows, gains


def uncovered(dense: Any, covered: Any, weights: Any) -> Uncovered:
    return Uncovered.of(Table(dense), np.arange(len(dense)), covered, weights)


tables = st.tuples(st.integers(1, 12), st.integers(1, 8)).flatmap(
    lambda shape: st.lists(
        st.lists(st.booleans(), min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]
    )
)


@given(tables, st.integers(0, 14), st.booleans(), st.integers(0, 99))
def test_the_lazy_greedy_chooses_what_the_plain_one_does(table: Any, size: int, rare: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dense = np.array(table, bool)
    weights = idf(dense.sum(axis=0), len(dense)) if rare else np.ones(dense.shape[1])
    unsure = rng.choice([0.0, 0.5, 1.0], len(dense)).astype(np.float32)
    covered = rng.random(dense.shape[1]) < 0.2
    turn = rng.permutation(len(dense))
    rows, gains, columns = greedy_cover(uncovered(dense, covered, weights), unsure, turn, size)
    assert (rows.tolist(), gains.tolist()) == slow_cover(dense & ~covered, weights, unsure, turn, size)
    assert [weights[c].sum() for c in columns] == gains.tolist()


@given(tables, st.data())
def test_a_score_is_what_a_text_newly_covers_and_a_little_for_doubt(table: Any, data: st.DataObject) -> None:
    dense = np.array(table, bool)
    labelled = data.draw(st.lists(st.integers(0, len(dense) - 1), unique=True, max_size=len(dense) - 1))
    s = state(dense, labelled=labelled)
    known = dense[labelled].any(axis=0) if labelled else np.zeros(dense.shape[1], bool)
    slow = (dense[s.candidates] & ~known).sum(axis=1) + 0.01 * Margin().score(s)
    np.testing.assert_allclose(Knowledge().score(s), slow, rtol=1e-6)


def test_idf_weighs_a_rare_entity_more() -> None:
    assert np.all(np.diff(idf(np.array([1, 5, 50, 100]), 100)) < 0)
    np.testing.assert_allclose(idf(np.array([1, 50]), 100), np.log([101, 3]), atol=1e-6)
    s = state([[1, 0, 0]] * 8 + [[0, 1, 0], [0, 0, 0]])
    found = Knowledge(weight="idf").choose(s, 2, np.random.default_rng(0))
    assert found.indices[0] == 8
    assert found.scores[0] > found.scores[1]


def test_what_labelled_and_taken_texts_mention_counts_as_covered() -> None:
    s = state([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1]], labelled=[0])
    s = State(**{**vars_of(s), "taken": np.array([1])})  # candidate 1 is pool row 2
    found = Knowledge().choose(s, 1, np.random.default_rng(0))
    assert set(s.candidates[found.indices].tolist()) <= {3, 4}
    assert found.why["new"] == [1]


def vars_of(s: State) -> dict[str, Any]:
    return {name: getattr(s, name) for name in s.__dataclass_fields__}


def test_of_equal_texts_the_less_sure_one_is_asked() -> None:
    p = np.array([[0.9, 0.1], [0.5, 0.5], [0.7, 0.3]], np.float32)
    s = state([[1], [1], [1]], probabilities=p)
    assert Knowledge().choose(s, 1, np.random.default_rng(3)).indices.tolist() == [1]
    assert Knowledge().score(s).argmax() == 1


def test_a_person_reads_what_each_text_newly_covers() -> None:
    s = state([[1, 1, 0], [0, 1, 1], [0, 0, 0]], names=["Ada", "Bonn", "Curie"], probabilities=None, doubt=ones(3))
    why = Knowledge().choose(s, 3, np.random.default_rng(1)).why
    assert why["new"] == [2, 1, 0]
    assert sorted(n for names in why["covers"] for n in names) == ["Ada", "Bonn", "Curie"]
    assert [chosen.why["covers"] for chosen in compose(s, Knowledge(), 3, 0.0, np.random.default_rng(1))][2] == []


def ones(n: int) -> Floats:
    return np.ones(n, np.float32)


def test_once_all_is_covered_the_unsure_texts_are_asked() -> None:
    s = state(np.eye(60, 3), seed=5)
    found = Knowledge().choose(s, 5, np.random.default_rng(0))
    assert sorted(found.indices[:3].tolist()) == [0, 1, 2]
    margin = Margin().score(s)
    ranked = np.argsort(-np.delete(margin, [0, 1, 2]))[:16] + 3  # a shortlist of eight times as many, then spread
    assert set(found.indices[3:].tolist()) <= set(ranked.tolist())
    assert found.scores[3:].tolist() == margin[found.indices[3:]].tolist()


def test_a_share_leaves_room_for_unsure_texts() -> None:
    s = state(np.eye(40))
    found = Knowledge(share=0.5).choose(s, 10, np.random.default_rng(0))
    assert (np.array(found.why["new"]) > 0).sum() == 5
    assert (np.array(Knowledge(share=0).choose(s, 10, np.random.default_rng(0)).why["new"]) > 0).sum() == 0


@pytest.mark.parametrize("weight", ["count", "idf"])
@pytest.mark.parametrize("n", [1, 2, 9])
@pytest.mark.parametrize("kind", ["classes", "none", "two", "multilabel"])
def test_every_odd_pool_gives_a_whole_batch(weight: str, n: int, kind: str) -> None:
    rng = np.random.default_rng(n)
    dense = np.repeat([[1, 0, 1]], n, axis=0)  # copies
    p = {
        "classes": rng.dirichlet(np.ones(4), n),
        "two": rng.dirichlet(np.ones(2), n),
        "multilabel": rng.random((n, 3)),
    }
    given: dict[str, Any] = {"probabilities": None if kind == "none" else p[kind].astype(np.float32)}
    s = state(dense, doubt=ones(n), multilabel=kind == "multilabel", **given)
    for taken in ([], [0]):
        s = State(**{**vars_of(s), "taken": np.array(taken, np.int64)})
        for size in (1, 3, 20):
            found = Knowledge(weight=weight).choose(s, size, np.random.default_rng(0)).indices
            assert len(set(found.tolist())) == len(found) == min(size, n - len(taken))
            assert not set(taken) & set(found.tolist())
    assert np.isfinite(Knowledge(weight=weight).score(s)).all()


def test_a_graph_that_no_candidate_mentions_leaves_margin() -> None:
    s = state(np.zeros((30, 4)))
    assert np.argsort(-Knowledge().score(s)).tolist() == np.argsort(-Margin().score(s)).tolist()


def test_the_same_seed_gives_the_same_batch() -> None:
    s = state(np.random.default_rng(0).random((300, 40)) < 0.05, labelled=[3, 4])
    first, again = (compose(s, Knowledge(), 40, 0.2, np.random.default_rng(7)) for _ in range(2))
    assert first == again
    assert len({c.row for c in first}) == 40


def test_it_covers_at_least_twice_what_margin_does() -> None:
    s = state(np.random.default_rng(1).random((2000, 400)) < np.random.default_rng(2).random((2000, 1)) / 60)

    def covered(strategy: Strategy) -> int:
        rows = np.array([c.row for c in compose(s, strategy, 30, 0.2, np.random.default_rng(0))])
        assert s.mentions is not None
        return int((s.mentions(rows).sum(axis=0) > 0).sum())

    assert covered(Knowledge()) >= 2 * covered(Margin())


def test_it_is_found_by_name_and_composes_its_own_batch() -> None:
    found = find_strategy("knowledge", {"weight": "idf", "share": 0.5})
    assert found == Knowledge(weight="idf", share=0.5)
    assert isinstance(found, BatchStrategy)


@pytest.mark.parametrize(("name", "value"), [("weight", "tfidf"), ("weight", 3), ("share", 1.5), ("share", "all")])
def test_a_wrong_option_is_named(name: str, value: Any) -> None:
    with pytest.raises(JobFileError, match=f"selection.options.{name}"):
        find_strategy("knowledge", {name: value})


def test_a_job_without_a_graph_is_told_what_it_needs() -> None:
    s = state(np.eye(3), mentions=None)
    with pytest.raises(JobFileError, match=r"knowledge needs `selection.knowledge`, a file of entities or triples"):
        Knowledge().score(s)
