"""Expected error: a ridge regression against the long way, and what labels teach it about the student."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.selection.strategies import difficulty, heads
from agent.selection.strategies.difficulty import ExpectedError, nearest, ridge
from tests.selection.strategies.blobs import blobs


@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 999))
def test_ridge_agrees_with_least_squares_on_rows_that_stand_for_the_penalties(rows: int, q: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y, w, penalties = rng.normal(size=(rows, q)), rng.normal(size=rows), rng.random(rows), rng.random(q) + 0.1
    taller = np.vstack([x * np.sqrt(w)[:, None], np.diag(np.sqrt(penalties))])
    slow = np.linalg.lstsq(taller, np.concatenate([y * np.sqrt(w), np.zeros(q)]), rcond=None)[0]
    np.testing.assert_allclose(ridge(x, y, w, penalties), slow, atol=1e-8)


@given(st.integers(1, 6), st.integers(2, 6), st.integers(0, 999))
def test_nearest_agrees_with_measuring_every_pair(m: int, r: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, references = rng.normal(size=(m, 3)).astype(np.float32), rng.normal(size=(r, 3)).astype(np.float32)
    itself = np.where(rng.random(m) < 0.5, rng.integers(0, r, m), -1)
    slow = [min(np.linalg.norm(x[i] - references[j]) for j in range(r) if j != itself[i]) for i in range(m)]
    np.testing.assert_allclose(nearest(x, references, itself), slow, atol=1e-3)


def test_with_nothing_foreseen_it_is_what_the_student_says_itself() -> None:
    known = blobs()
    expected = 1 - known.probabilities.max(axis=1)
    for less in (
        replace(known, foreseen=None),
        replace(known, targets=None),
        replace(known, foreseen=np.full((40, 3), 1 / 3, np.float32)),  # too few labels to hold any out
        replace(known, labelled=known.labelled[:0], targets=known.targets[:0], foreseen=known.foreseen[:0]),
    ):
        np.testing.assert_allclose(ExpectedError().score(less), expected, atol=1e-6)


def test_without_classes_doubt_stands_in() -> None:
    known = blobs()
    np.testing.assert_array_equal(ExpectedError().score(replace(known, probabilities=None)), known.doubt)


def test_few_labels_change_little_and_many_what_they_say() -> None:
    """The student is wrong about everything that it calls class 0, and right about all else."""
    changed = []
    for labels in (6, 60, 600):
        known = blobs(300, labels)
        said = known.foreseen.argmax(axis=1)
        truth = np.where(said == 0, 1, said)
        scores = ExpectedError().score(replace(known, targets=np.eye(3, dtype=np.float32)[truth]))
        changed.append(scores - (1 - known.probabilities.max(axis=1)))
    mean = [np.abs(c).mean() for c in changed]
    assert mean[0] < mean[1] < mean[2]
    assert mean[0] < 0.4 * mean[2]
    zero = blobs(300, 600).probabilities.argmax(axis=1) == 0
    assert changed[2][zero].min() > 0.2
    assert changed[2][~zero].mean() < 0


def test_it_foresees_errors_better_than_the_student_that_is_sure_of_itself() -> None:
    known = blobs(2000, 400, chance=3)
    sharp = [q**3 / (q**3).sum(axis=1, keepdims=True) for q in (known.probabilities, known.foreseen)]
    known = replace(known, probabilities=sharp[0], foreseen=sharp[1])
    wrong = (sharp[0].argmax(axis=1) != np.arange(2000) % 3).astype(float)
    own, learnt = 1 - sharp[0].max(axis=1), ExpectedError().score(known)
    assert np.square(learnt - wrong).mean() < np.square(own - wrong).mean()
    assert abs(learnt.mean() - wrong.mean()) < abs(own.mean() - wrong.mean())


def test_a_label_that_is_not_trusted_teaches_nothing() -> None:
    known = blobs()
    scores = ExpectedError().score(replace(known, trust=np.zeros(40, np.float32)))
    np.testing.assert_allclose(scores, 1 - known.probabilities.max(axis=1), atol=1e-6)


@pytest.mark.parametrize("multilabel", [False, True])
def test_scores_lie_in_nought_to_one_and_do_not_depend_on_how_the_pool_is_cut(
    multilabel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = blobs(300, 100, multilabel=multilabel)
    whole = ExpectedError().score(known)
    assert whole.min() >= 0
    assert whole.max() <= 1
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole, ExpectedError().score(known))
    monkeypatch.setattr(difficulty, "ROWS_AT_ONCE", 17)
    np.testing.assert_allclose(ExpectedError().score(known), whole, atol=1e-5)


def test_multilabel_without_foresight_is_the_mean_over_decisions() -> None:
    known = blobs(multilabel=True, foreseen=None)
    p = known.probabilities
    np.testing.assert_allclose(ExpectedError().score(known), np.minimum(p, 1 - p).mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("multilabel", [False, True])
def test_more_labels_than_are_looked_at_are_drawn_from(multilabel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difficulty, "REFERENCES", 7)
    monkeypatch.setattr(difficulty, "NUMBERS", 200)
    known = blobs(multilabel=multilabel)
    assert len(difficulty._telling(known)) == 200 // 8 // (3 if multilabel else 1)
    np.testing.assert_array_equal(ExpectedError().score(known), ExpectedError().score(known))


def test_one_label_is_enough_to_go_on() -> None:
    known = blobs(labels=1)
    assert np.isfinite(ExpectedError().score(known)).all()
    assert heads.ROWS_AT_ONCE == difficulty.ROWS_AT_ONCE
