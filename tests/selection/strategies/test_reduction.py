"""Expected error reduction against refitting the ridge regression from scratch for every candidate and answer."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import JobFileError
from agent.selection.seam import State
from agent.selection.strategies import heads, reduction
from agent.selection.strategies.heads import Doubles
from agent.selection.strategies.reduction import ErrorReduction, Ridge
from tests.selection.strategies.blobs import blobs


def slow_says(x: Doubles, y: Doubles, prior: float, penalty: float, at: Doubles) -> Doubles:
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ (y - prior))
    return at @ weights + prior


def slow_loss(raw: Doubles, kind: str) -> float:
    total = 0.0
    for row in raw.tolist():
        floored = [max(v, reduction.FLOOR) for v in row]
        p = [v / sum(floored) for v in floored]
        total += -sum(v * np.log(v) for v in p) if kind == "log" else 1 - max(p)
    return total / len(raw)


def slow_score(state: State, kind: str, reference: int) -> list[float]:
    """Every candidate and answer by refitting; for multilabel once a decision, yes and no being its classes."""
    assert state.probabilities is not None
    x = np.hstack([state.vectors(state.labelled), np.ones((len(state.labelled), 1))]).astype(float)
    points = np.hstack([state.vectors(state.candidates), np.ones((len(state.candidates), 1))]).astype(float)
    at = points[np.sort(state.rng(3).choice(len(points), reference, replace=False))]
    y, p = np.asarray(state.targets, float), np.asarray(state.probabilities, float)
    prior = 0.5 if state.multilabel else 1 / p.shape[1]
    penalty = Ridge.taught(x, y, prior).penalty
    decisions = [(y, p)]
    if state.multilabel:
        decisions = [tuple(np.stack([v[:, c], 1 - v[:, c]], axis=1) for v in (y, p)) for c in range(p.shape[1])]
    out = np.zeros(len(points))
    for wanted, chance in decisions:
        now = slow_loss(slow_says(x, wanted, prior, penalty, at), kind)
        for i, point in enumerate(points):
            for c in range(chance.shape[1]):
                answer = np.vstack([wanted, np.eye(chance.shape[1])[c]])
                then = slow_loss(slow_says(np.vstack([x, point]), answer, prior, penalty, at), kind)
                out[i] += chance[i, c] * (now - then) / len(decisions)
    return out.tolist()


@pytest.mark.parametrize("multilabel", [False, True])
@settings(deadline=None, max_examples=20)
@given(
    size=st.tuples(st.integers(1, 12), st.integers(2, 4)),
    kind=st.sampled_from(reduction.LOSSES),
    chance=st.integers(0, 99),
    cells=st.sampled_from([1, 200, 2**21]),
)
def test_scores_agree_with_refitting_from_scratch(
    multilabel: bool, size: tuple[int, int], kind: str, chance: int, cells: int
) -> None:
    known = blobs(9, *size, multilabel=multilabel, chance=chance)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reduction, "CELLS_AT_ONCE", cells)
        found = ErrorReduction(reference=5, loss=kind).score(known)
    np.testing.assert_allclose(found, slow_score(known, kind, 5), atol=1e-6)


def test_leaving_one_out_is_what_it_says() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 4)), rng.normal(size=(12, 2))
    left, size, _ = np.linalg.svd(x, full_matrices=False)
    for penalty in (0.1, 3.0):
        errors = []
        for i in range(12):
            rest = np.arange(12) != i
            errors.append(y[i] - slow_says(x[rest], y[rest], 0.0, penalty, x[i]))
        assert reduction._left_out(left, size, y, penalty) == pytest.approx(np.square(errors).mean())


def test_only_the_likeliest_answers_are_tried_where_there_are_many_classes() -> None:
    known = blobs(30, 60, 15)
    few = ErrorReduction().score(known)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reduction, "ANSWERS", 15)
        all_ = ErrorReduction().score(known)
    assert np.corrcoef(few, all_)[0, 1] > 0.9
    assert (few != all_).any()


def test_a_text_with_many_neighbours_is_worth_more_than_an_outlier() -> None:
    """Both are as unsure; one is like half of the pool, the other like nothing."""
    points = np.zeros((101, 4), np.float32)
    points[:50, 0], points[50:100, 1], points[100, 2] = 1, 1, 1
    known = blobs(100, 1, 2, probabilities=np.full((100, 2), 0.5, np.float32))
    known = replace(known, labelled=np.array([0]), candidates=np.arange(1, 101), targets=np.float32([[1, 0]]))
    scores = ErrorReduction().score(replace(known, vectors=lambda rows: points[rows]))
    assert scores[-1] < scores[49:-1].min()


@pytest.mark.parametrize("multilabel", [False, True])
def test_those_not_looked_at_stand_below_in_the_order_of_their_margin(multilabel: bool) -> None:
    known = blobs(multilabel=multilabel)
    scores = ErrorReduction(candidates=20).score(known)
    p = known.probabilities
    close = -np.abs(2 * p - 1).mean(axis=1) if multilabel else -np.diff(np.sort(p, axis=1)[:, -2:], axis=1)[:, 0]
    order = np.argsort(-close, kind="stable")
    assert set(np.argsort(-scores)[:20].tolist()) == set(order[:20].tolist())
    assert np.argsort(-scores)[20:].tolist() == order[20:].tolist()
    np.testing.assert_array_equal(scores, ErrorReduction(candidates=20).score(known))
    assert scores.dtype == np.float32


def test_what_is_taken_is_not_looked_at() -> None:
    known = blobs()
    scores = ErrorReduction(candidates=20).score(replace(known, taken=np.arange(100)))
    assert np.argsort(-scores)[:20].min() >= 100


def test_without_labels_the_margin_stands_in_and_without_classes_doubt() -> None:
    known = blobs()
    nothing = replace(known, labelled=known.labelled[:0], targets=None, foreseen=None)
    lead = np.sort(known.probabilities, axis=1)
    np.testing.assert_allclose(ErrorReduction().score(nothing), 1 - (lead[:, -1] - lead[:, -2]), atol=1e-6)
    np.testing.assert_array_equal(ErrorReduction().score(replace(known, probabilities=None)), known.doubt)


def test_targets_that_are_no_lesson_are_left_out() -> None:
    known = blobs()
    targets = known.targets.copy()
    targets[0] = 0
    taught = heads.lessons(replace(known, targets=targets))
    assert taught is not None
    assert taught.kept.tolist() == list(range(1, 40))
    assert heads.lessons(replace(known, targets=["a"] * 40)) is None


@pytest.mark.parametrize(("option", "value"), [("candidates", 0), ("reference", True), ("loss", "hinge")])
def test_a_wrong_option_is_refused(option: str, value: object) -> None:
    with pytest.raises(JobFileError, match=rf"selection\.options\.{option}"):
        ErrorReduction(**{option: value})
