"""Disagreement of a committee: the measures against their formulas, and what it prefers."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import JobFileError
from agent.selection import seam
from agent.selection.strategies import heads
from agent.selection.strategies.committee import Committee, kl_disagreement, vote_entropy
from tests.selection.strategies.blobs import blobs, joint

MEASURES = ("kl", "vote_entropy", "soft_vote_entropy")
sizes = {"k": st.integers(2, 5), "n": st.integers(1, 5), "classes": st.integers(2, 6), "seed": st.integers(0, 999)}


def slow_entropy(p: list[float]) -> float:
    return -sum(x * math.log(x) for x in p if x > 0)


@given(**sizes)
def test_vote_entropy_agrees_with_counting_votes(k: int, n: int, classes: int, seed: int) -> None:
    p = joint(k, n, classes, seed)
    hard, soft = vote_entropy(p), vote_entropy(p, soft=True)
    for i in range(n):
        votes = [0] * classes
        for member in range(k):
            votes[max(range(classes), key=lambda c: p[member, i, c])] += 1
        assert hard[i] == pytest.approx(slow_entropy([v / k for v in votes]) / math.log(min(k, classes)), abs=1e-5)
        mean = [sum(float(p[member, i, c]) for member in range(k)) / k for c in range(classes)]
        assert soft[i] == pytest.approx(slow_entropy(mean) / math.log(classes), abs=1e-5)


@given(**sizes)
def test_kl_disagreement_agrees_with_the_mean_divergence_from_the_consensus(
    k: int, n: int, classes: int, seed: int
) -> None:
    p = joint(k, n, classes, seed)
    found = kl_disagreement(p)
    for i in range(n):
        mean = p[:, i].astype(float).mean(axis=0)
        apart = [sum(x * math.log(x / mean[c]) for c, x in enumerate(row) if x > 0) for row in p[:, i].tolist()]
        assert found[i] == pytest.approx(sum(apart) / k, abs=1e-5)
        assert 0 <= found[i] <= math.log(min(k, classes)) + 1e-5


@pytest.mark.parametrize("independent", [False, True])
def test_heads_fitted_together_are_those_fitted_one_by_one_by_scikit_learn(independent: bool) -> None:
    from sklearn.linear_model import LogisticRegression

    known = blobs(multilabel=independent)
    taught = heads.lessons(known)
    assert taught is not None
    weights = np.random.default_rng(1).exponential(size=(2, len(taught.kept)))
    found = heads.fit(taught, weights, 0.1, independent)
    points = heads.with_constant(known.vectors(known.candidates))
    for j in range(2):
        make = LogisticRegression(C=10, fit_intercept=False, max_iter=1000, tol=1e-8)
        said = heads.link(points @ found[:, j], independent)
        if not independent:
            make.fit(taught.vectors, taught.targets.argmax(axis=1), sample_weight=weights[j])
            np.testing.assert_allclose(said, make.predict_proba(points), atol=0.01)
        for c in range(3 if independent else 0):
            make.fit(taught.vectors, taught.targets[:, c], sample_weight=weights[j])
            np.testing.assert_allclose(said[:, c], make.predict_proba(points)[:, 1], atol=0.01)


@pytest.mark.parametrize("measure", MEASURES)
def test_texts_between_two_classes_are_disputed_and_typical_ones_are_not(measure: str) -> None:
    known = blobs(300, 60)
    scores = Committee(measure=measure).score(known)
    lead = np.sort(known.probabilities, axis=1)
    close = np.argsort(lead[:, -1] - lead[:, -2])
    assert scores[close[:30]].mean() > 2 * scores[close[-100:]].mean()


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("multilabel", [False, True])
def test_scores_do_not_depend_on_how_the_pool_is_cut(
    measure: str, multilabel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = blobs(multilabel=multilabel)
    whole = Committee(measure=measure).score(known)
    monkeypatch.setattr(heads, "ROWS_AT_ONCE", 17)
    np.testing.assert_allclose(Committee(measure=measure).score(known), whole, atol=2e-6)
    assert whole.dtype == np.float32


def test_equal_votes_are_equal_scores_so_that_chance_decides() -> None:
    scores = Committee(measure="vote_entropy", members=4).score(blobs(500))
    assert len(np.unique(scores)) <= 5  # 4; 3+1; 2+2; 2+1+1; none other


def test_more_members_and_another_seed_are_another_committee_and_the_same_seed_the_same() -> None:
    known = blobs()
    scores = Committee().score(known)
    np.testing.assert_array_equal(scores, Committee().score(known))
    assert (scores != Committee(members=9).score(known)).any()
    assert (scores != Committee().score(replace(known, seed=(5,)))).any()


def test_without_labels_the_margin_stands_in_and_without_classes_doubt() -> None:
    known = blobs(labels=40)
    nothing = replace(known, labelled=known.labelled[:0], targets=None, foreseen=None)
    lead = np.sort(known.probabilities, axis=1)
    np.testing.assert_allclose(Committee().score(nothing), 1 - (lead[:, -1] - lead[:, -2]), atol=1e-6)
    np.testing.assert_array_equal(Committee().score(replace(known, probabilities=None)), known.doubt)


def test_a_label_that_nobody_trusts_teaches_nobody() -> None:
    known = blobs()
    trust = np.zeros(40, np.float32)
    np.testing.assert_allclose(Committee().score(replace(known, trust=trust)), 0, atol=1e-6)


def test_more_labels_than_are_remembered_are_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "REMEMBERED", 10)
    taught = heads.lessons(blobs())
    assert taught is not None
    assert taught.vectors.shape == (10, 9)
    assert (np.diff(taught.kept) > 0).all()


def test_the_vectors_of_the_pool_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known, seen = blobs(), []
    monkeypatch.setattr(heads, "ROWS_AT_ONCE", 50)
    read = known.vectors
    Committee().score(replace(known, vectors=lambda rows: seen.append(rows) or read(rows)))
    assert [len(rows) for rows in seen] == [40, 50, 50, 50, 50]


@pytest.mark.parametrize(("option", "value"), [("members", 1), ("members", 2.5), ("measure", "loud"), ("measure", 3)])
def test_a_wrong_option_is_refused(option: str, value: object) -> None:
    with pytest.raises(JobFileError, match=rf"selection\.options\.{option}"):
        Committee(**{option: value})


def test_a_committee_is_a_strategy() -> None:
    assert isinstance(Committee(), seam.Strategy)
