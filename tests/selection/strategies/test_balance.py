"""Rare classes: what lacks labels weighs more, and a quota looks for it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agent.errors import JobFileError
from agent.records import Floats
from agent.selection import State, Strategy, compose, seam
from agent.selection.strategies import Margin, Random
from agent.selection.strategies.balance import Balanced, Likeliest, class_counts, rarity, slots


def state(p: Floats, counts: list[int], multilabel: bool = False) -> State:
    """Candidates with probabilities `p`, and as many labels of each class as `counts` says."""
    labels = np.repeat(np.arange(len(counts)), counts)
    n = len(p) + len(labels)
    points = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    return State(
        np.arange(len(p)),
        1 - p.max(axis=1),
        lambda rows: points[rows],
        p,
        labelled=np.arange(len(p), n),
        targets=np.eye(len(counts), dtype=np.float32)[labels],
        multilabel=multilabel,
    )


counted = st.lists(st.integers(0, 40), min_size=1, max_size=8)


@given(counted, st.floats(0, 1))
def test_a_class_weighs_by_what_it_lacks_of_the_mean(counts: list[int], floor: float) -> None:
    mean = sum(counts) / len(counts)
    slow = [floor + (1 - floor) * (max(0, 1 - c / mean) if mean else 1) for c in counts]
    np.testing.assert_allclose(rarity(np.array(counts, float), floor), slow, atol=1e-6)


@given(counted, st.integers(0, 50))
def test_slots_go_to_what_is_lacking_and_are_never_more(counts: list[int], size: int) -> None:
    need = np.maximum(np.mean(counts) - counts, 0)
    given_out = slots(np.array(counts, float), size)
    assert given_out.sum() == min(size, int(np.ceil(need.sum() - 1e-9)))
    assert (given_out[need == 0] == 0).all()
    if need.sum():
        assert (np.abs(given_out - given_out.sum() * need / need.sum()) < 1).all()


@given(
    hnp.arrays(np.float32, st.integers(1, 40), elements=st.sampled_from([0, 0.25, 0.5, 1])),
    st.integers(1, 8),
    st.integers(1, 9),
)
def test_the_likeliest_of_a_stream_are_the_likeliest_of_all(chances: Floats, most: int, step: int) -> None:
    pool, rng = Likeliest(most), np.random.default_rng(0)
    for start in range(0, len(chances), step):
        pool.add(np.arange(start, min(start + step, len(chances))), chances[start : start + step], rng)
    assert pool.chances.tolist() == sorted(chances.tolist(), reverse=True)[:most]
    assert chances[pool.indices].tolist() == pool.chances.tolist()
    assert len(set(pool.indices.tolist())) == len(pool.indices)


@pytest.mark.parametrize("multilabel", [False, True])
def test_scores_agree_with_the_formula_written_out(monkeypatch: pytest.MonkeyPatch, multilabel: bool) -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(3), 50).astype(np.float32)
    given_state = state(p, [10, 2, 0], multilabel)
    base = Margin().score(given_state)
    weights = [0.1, 0.1 + 0.9 * 0.5, 1.0]
    slow = [
        b * sum(x * w for x, w in zip(row, weights, strict=True)) for b, row in zip(base, p.tolist(), strict=True)
    ]
    np.testing.assert_allclose(Balanced().score(given_state), slow, rtol=1e-5)
    monkeypatch.setattr(seam, "NUMBERS_AT_ONCE", 20)
    np.testing.assert_allclose(Balanced().score(given_state), slow, rtol=1e-5)


def test_soft_labels_count_in_parts_and_odd_targets_not_at_all() -> None:
    assert class_counts(np.array([[0.5, 0.5], [1, 0]]), 2).tolist() == [1.5, 0.5]
    assert class_counts(None, 2).tolist() == [0, 0]
    assert class_counts(["a", "b", "c"], 2).tolist() == [0, 0]
    assert class_counts(np.ones((3, 4)), 2).tolist() == [0, 0]


def test_even_labels_leave_the_base_as_it_is() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(3), 50).astype(np.float32)
    given_state = state(p, [5, 5, 5])
    np.testing.assert_allclose(Balanced().score(given_state), 0.1 * Margin().score(given_state), rtol=1e-5)
    batch = Balanced().choose(given_state, 10, np.random.default_rng(0))
    assert set(batch.why["short_class"]) == {None}


def test_half_of_a_batch_goes_to_the_likeliest_of_the_class_that_is_short() -> None:
    p = np.full((300, 3), 0.0, np.float32)
    p[:, 2] = np.linspace(0, 0.3, 300)
    p[:, :2] = (1 - p[:, 2:]) / 2
    batch = Balanced().choose(state(p, [50, 50, 0]), 20, np.random.default_rng(0))
    assert batch.indices[:10].tolist() == list(range(299, 289, -1))
    assert batch.why["short_class"] == [2] * 10 + [None] * 10
    np.testing.assert_allclose(batch.why["probability"][0], 0.3, rtol=1e-6)


def test_a_text_that_two_classes_want_is_asked_once() -> None:
    p = np.stack([np.linspace(0.9, 0.1, 12), np.linspace(0.05, 0.45, 12), np.linspace(0.05, 0.45, 12)], axis=1)
    p = p.astype(np.float32)
    given_state = replace(state(p, [90, 0, 0]), taken=np.arange(4))
    batch = Balanced(quota=1).choose(given_state, 8, np.random.default_rng(0))
    assert sorted(batch.indices.tolist()) == list(range(4, 12))


def test_a_probability_that_is_the_same_for_all_gets_no_quota() -> None:
    p = np.tile(np.float32([0.5, 0.3, 0.2]), (30, 1))
    batch = Balanced().choose(state(p, [9, 9, 0]), 10, np.random.default_rng(0))
    assert len(batch.indices) == 10
    assert set(batch.why["short_class"]) == {None}


def test_a_class_without_a_label_is_sought_by_its_name() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(3), 300).astype(np.float32)
    names = np.eye(3, 4, dtype=np.float32)
    given_state = replace(state(p, [20, 5, 0]), class_vectors=names, taken=np.arange(7))
    batch = Balanced(quota=0.4).choose(given_state, 10, np.random.default_rng(0))
    points = given_state.vectors(np.arange(300))
    near = points[:, 2] / np.linalg.norm(points, axis=1)
    near[:7] = -2
    expected = np.argsort(-near)[:3]
    assert batch.why["short_class"][:4] == [2, 2, 2, 1]
    assert batch.indices[:3].tolist() == expected.tolist()
    np.testing.assert_allclose(batch.why["similarity_to_name"][:3], near[expected], rtol=1e-5)
    assert batch.why["similarity_to_name"][3:] == [None] * 7
    assert batch.why["probability"][3] is not None


def found_of_the_rare(strategy: Strategy, seed: int) -> int:
    """How many of a class of 0.5 % are among 250 labels, in rounds of 50 with a logistic regression as student."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(seed)
    classes = np.repeat([0, 1, 2, 3, 4], [1990, 1990, 1990, 1990, 40])
    centres = rng.normal(size=(5, 12)) * 1.1
    points = (centres[classes] + rng.normal(size=(len(classes), 12))).astype(np.float32)
    labelled = rng.choice(len(classes), 50, replace=False)
    for number in range(1, 5):
        model = LogisticRegression(max_iter=50, tol=1e-2).fit(points[labelled], classes[labelled])
        left = np.setdiff1d(np.arange(len(classes)), labelled)
        p = np.full((len(left), 5), 1e-4, np.float32)
        p[:, model.classes_] = model.predict_proba(points[left])
        targets = np.eye(5, dtype=np.float32)[classes[labelled]]
        given_state = State(
            left, 1 - p.max(axis=1), lambda r: points[r], p, np.sort(labelled), targets, number, seed=(seed, number)
        )
        batch = compose(given_state, strategy, 50, 0.2, np.random.default_rng([seed, number]))
        labelled = np.concatenate([labelled, [c.row for c in batch]])
    return int((classes[labelled] == 4).sum())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_it_finds_several_times_as_many_of_a_rare_class_as_chance_does() -> None:
    by_chance = sum(found_of_the_rare(Random(), seed) for seed in range(5))
    balanced = sum(found_of_the_rare(Balanced(), seed) for seed in range(5))
    assert balanced >= 4 * max(by_chance, 1)


@pytest.mark.parametrize("options", [{"floor": 2}, {"quota": -0.1}, {"quota": True}])
def test_settings_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(JobFileError, match=next(iter(options))):
        Balanced(**options)
