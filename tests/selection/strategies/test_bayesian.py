"""Mutual information under the Laplace posterior: each formula written out, and what each strategy is there for."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import JobFileError
from agent.records import Floats
from agent.selection.seam import Ranked, State
from agent.selection.strategies import bayesian, heads, prefilter
from agent.selection.strategies.bayesian import Bald, Epig, mutual_information
from tests.selection.strategies.blobs import blobs, joint

sizes = {"k": st.integers(2, 4), "n": st.integers(1, 4), "classes": st.integers(2, 4), "seed": st.integers(0, 999)}


def slow_entropy(p: list[float]) -> float:
    return -sum(x * math.log(x) for x in p if x > 0)


@given(**sizes)
def test_bald_is_the_entropy_of_the_mean_less_the_mean_entropy(k: int, n: int, classes: int, seed: int) -> None:
    p = joint(k, n, classes, seed)
    found = mutual_information(p)
    for i in range(n):
        mean = [sum(float(p[s, i, c]) for s in range(k)) / k for c in range(classes)]
        each = [slow_entropy(p[s, i].tolist()) for s in range(k)]
        assert found[i] == pytest.approx(slow_entropy(mean) - sum(each) / k, abs=2e-6)


def slow_gain(p: Floats, t: Floats) -> float:
    """The mutual information of two labels, p (k, C) and t (k, C) being what each of k samples says of them."""
    both = p.T.astype(float) @ t / len(p)
    apart = np.outer(p.mean(axis=0), t.mean(axis=0))
    return float((both * np.log(both / apart)).sum())


def sampled(state: State, precise: Floats, k: int) -> Floats:
    """(k, n, C): what the student would say of each candidate with weights drawn from the posterior."""
    delta = np.random.default_rng(0).multivariate_normal(
        np.zeros(len(precise)), np.linalg.inv(precise), (k, state.probabilities.shape[1])
    )
    points = heads.with_constant(state.vectors(state.candidates).astype(float))
    logits = np.log(state.probabilities)
    if state.multilabel:
        logits = logits - np.log(1 - state.probabilities)
    return heads.link(logits + np.einsum("nd,kcd->knc", points, delta), state.multilabel)


@pytest.mark.parametrize("multilabel", [False, True])
def test_both_gains_agree_with_thousands_of_heads_drawn_from_the_posterior(multilabel: bool) -> None:
    known = blobs(12, 30, penalty=4.0, multilabel=multilabel)
    taught = heads.lessons(known)
    assert taught is not None
    curved = (known.foreseen * (1 - known.foreseen)).mean(axis=1)
    p = sampled(known, bayesian.precision(taught.vectors, curved, 4.0), 20_000)
    pairs = np.moveaxis(np.stack([p, 1 - p], axis=-1), 2, 0) if multilabel else p[None]  # (decisions, k, n, D)
    bald = np.mean([mutual_information(d) for d in pairs], axis=0)
    np.testing.assert_allclose(Bald(samples=300).score(known), bald, rtol=0.1)
    slow = [np.mean([slow_gain(d[:, i], d[:, j]) for d in pairs for j in range(12)]) for i in range(12)]
    np.testing.assert_allclose(Epig(targets=12).score(known), slow, rtol=0.4)
    assert np.corrcoef(Epig(targets=12).score(known), slow)[0, 1] > 0.97


@given(**sizes, independent=st.booleans())
def test_the_closed_form_is_the_trace_of_two_slopes(
    k: int, n: int, classes: int, seed: int, independent: bool
) -> None:
    rng = np.random.default_rng(seed)
    p, t = (rng.dirichlet(np.ones(classes), m).astype(np.float32) for m in (n, k))
    x, y = (0.01 * rng.normal(size=(m, 3)).astype(np.float32) for m in (n, k))  # so little that nothing shrinks
    found = bayesian.predictive_gain(p, x, t, y, independent)
    for i in range(n):
        total = 0.0
        for j in range(k):
            if independent:
                trace = float((p[i] * (1 - p[i]) * t[j] * (1 - t[j])).mean())
            else:
                slopes = [np.diag(q) - np.outer(q, q) for q in (p[i].astype(float), t[j].astype(float))]
                trace = float(np.trace(slopes[0] @ slopes[1]))
            total += float(x[i] @ y[j]) ** 2 / 2 * trace
        assert found[i] == pytest.approx(total / k, rel=0.01, abs=1e-14)


@given(samples=st.integers(2, 80), classes=st.integers(1, 40), seed=st.integers(0, 99))
def test_draws_are_balanced(samples: int, classes: int, seed: int) -> None:
    z = bayesian.draws(samples, classes, np.random.default_rng(seed))
    assert samples <= len(z) <= 2 * (samples + classes)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-6)
    if classes <= samples // 2:
        np.testing.assert_allclose((z**2).mean(axis=0), 1 - 1 / classes if classes > 1 else (z**2).mean(), rtol=1e-4)


def test_precision_is_the_sum_of_weighed_outer_products() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(7, 3)), rng.random(7)
    slow = 0.5 * np.eye(3) + sum(w[i] * np.outer(x[i], x[i]) for i in range(7))
    np.testing.assert_allclose(bayesian.precision(x, w, 0.5), slow)


def test_the_root_gives_the_covariance_of_the_posterior() -> None:
    precise = np.array([[2.0, 0.6], [0.6, 1.0]])
    found = bayesian.root(precise)
    np.testing.assert_allclose(found @ found.T, np.linalg.inv(precise), rtol=1e-6)


def test_bald_is_high_far_from_the_labels_and_falls_as_labels_grow() -> None:
    known = blobs(300, 300, probabilities=np.full((300, 3), 1 / 3, np.float32))
    few = replace(known, labelled=known.labelled[:6], targets=known.targets[:6], foreseen=known.foreseen[:6])
    assert Bald().score(known).mean() < 0.5 * Bald().score(few).mean()


def test_bald_is_nought_where_the_student_is_sure() -> None:
    known = blobs(probabilities=np.eye(3, dtype=np.float32)[np.zeros(200, int)], labels=200)
    assert Bald().score(known).max() < 0.05


def test_an_outlier_is_bald_but_tells_nothing_of_the_pool() -> None:
    rng = np.random.default_rng(0)
    points = np.zeros((101, 4), np.float32)
    points[:100, 0], points[:100, 1] = 1, 0.1 * rng.normal(size=100)
    points[100, 3] = 3  # nothing is like it, nor labelled
    known = blobs(
        101, 0, 2, probabilities=np.full((101, 2), 0.5, np.float32), targets=None, foreseen=None, penalty=1.0
    )
    known = replace(known, vectors=lambda rows: points[rows])
    assert Bald().score(known).argmax() == 100
    scores = Epig().score(known)
    assert scores[100] < np.quantile(scores, 0.1)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("strategy", [Bald(), Epig(candidates=60, targets=20)])
def test_scores_do_not_depend_on_how_the_pool_is_cut(
    strategy: Bald | Epig, multilabel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = blobs(multilabel=multilabel)
    whole = strategy.score(known)
    np.testing.assert_array_equal(whole, strategy.score(known))
    monkeypatch.setattr(heads, "ROWS_AT_ONCE", 13)
    np.testing.assert_allclose(strategy.score(known), whole, atol=2e-6)
    assert whole.dtype == np.float32


def test_epig_looks_at_the_most_uncertain_and_ranks_the_others_below_them() -> None:
    known = blobs()
    scores = Epig(candidates=50).score(known)
    p = known.probabilities
    unsure = np.argsort((p * np.log(p)).sum(axis=1), kind="stable")
    assert set(np.argsort(-scores)[:50].tolist()) == set(unsure[:50].tolist())
    assert np.argsort(-scores)[50:].tolist() == unsure[50:].tolist()


def test_what_is_taken_is_not_looked_at() -> None:
    known = blobs()
    picked = prefilter.best(replace(known, taken=np.arange(150)), known.doubt, 20)
    assert picked.min() >= 150
    assert len(picked) == 20


@pytest.mark.parametrize("strategy", [Bald(), Epig()])
def test_without_classes_doubt_stands_in_and_without_labels_the_prior(strategy: Bald | Epig) -> None:
    known = blobs()
    np.testing.assert_array_equal(strategy.score(replace(known, probabilities=None)), known.doubt)
    nothing = replace(known, labelled=known.labelled[:0], targets=None, foreseen=None)
    assert np.ptp(strategy.score(nothing)) > 0


@pytest.mark.parametrize(
    ("make", "option", "value"), [(Bald, "samples", 1), (Epig, "targets", 0), (Epig, "candidates", "all")]
)
def test_a_wrong_option_is_refused(make: type[Ranked], option: str, value: object) -> None:
    with pytest.raises(JobFileError, match=rf"selection\.options\.{option}"):
        make(**{option: value})
