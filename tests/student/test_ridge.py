"""Bayesian linear regression: as scikit-learn has it, and as sure as it may be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import BayesianRidge
from sklearn.linear_model import Ridge as TheirRidge

from agent.errors import JobFileError, ModelError
from agent.job import Job, TaskSettings
from agent.records import Floats, Text, TextId
from agent.student import RidgeStudent, build_student
from agent.student.ridge import Expected, Ridge, doubt_in
from agent.tasks import Classification, Regression
from agent.tasks.scale import Scale

STARS = Scale(1, 5, 1)


def made(n: int, d: int, seed: int, noise: float = 0.5) -> tuple[Floats, Floats]:
    """Vectors, and numbers that they say but for noise."""
    rng = np.random.default_rng(seed)
    weights = np.random.default_rng(d).normal(size=d)
    x = rng.normal(size=(n, d)).astype(np.float32)
    y = 3 + x @ weights / np.sqrt(d) + rng.normal(scale=noise, size=n)
    return x, y.astype(np.float32)


@pytest.mark.parametrize(("n", "d"), [(60, 8), (25, 40)], ids=["many texts", "few texts"])
def test_with_its_penalty_it_is_scikit_learn_s_ridge_weights_and_all(n: int, d: int) -> None:
    x, y = made(n, d, 1)
    weights = np.random.default_rng(2).uniform(0.2, 1, n).astype(np.float32)
    ours = Ridge()
    ours.fit(x, y, weights)
    theirs = TheirRidge(alpha=ours.penalty).fit(x.astype(float), y, sample_weight=weights)
    assert ours.coefficients == pytest.approx(theirs.coef_, abs=1e-6)
    assert ours.intercept == pytest.approx(theirs.intercept_, abs=1e-6)
    without = [
        TheirRidge(alpha=ours.penalty).fit(np.delete(x, i, 0).astype(float), np.delete(y, i), np.delete(weights, i))
        for i in range(n)
    ]
    slow = [float(model.predict(x[i : i + 1].astype(float))[0]) for i, model in enumerate(without)]
    assert ours.left_out == pytest.approx(slow, abs=1e-4)


@pytest.mark.parametrize(("n", "d"), [(200, 10), (80, 20)])
def test_its_penalty_and_its_spread_are_those_of_scikit_learn_s_evidence(n: int, d: int) -> None:
    x, y = made(n, d, 3)
    fresh, _ = made(30, d, 4)
    ours = Ridge()
    ours.fit(x, y, np.ones(n, np.float32))
    theirs = BayesianRidge(max_iter=3000, tol=1e-8).fit(x.astype(float), y)
    mean, sd = theirs.predict(fresh.astype(float), return_std=True)
    found = ours.predict(fresh)
    assert found.mean == pytest.approx(mean, abs=0.02)
    assert found.sd == pytest.approx(sd, rel=0.05)


def test_a_label_of_no_weight_teaches_nothing_and_one_of_two_as_much_as_two() -> None:
    x, y = made(40, 5, 5)
    wrong = np.append(y, np.float32(99))
    with_it, without, heavy, twice = Ridge(), Ridge(), Ridge(), Ridge()
    with_it.fit(np.vstack([x, x[:1]]), wrong, np.append(np.ones(40), 0).astype(np.float32))
    without.fit(x, y, np.ones(40, np.float32))
    assert with_it.coefficients == pytest.approx(without.coefficients)
    assert np.isnan(with_it.left_out[-1])
    heavy.fit(x, y, np.append(np.ones(39), 2).astype(np.float32))
    twice.fit(np.vstack([x, x[-1:]]), np.append(y, y[-1:]), np.ones(41, np.float32))
    assert heavy.coefficients == pytest.approx(twice.coefficients, abs=0.01)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 1000))
def test_however_few_labels_there_are_it_says_finite_numbers(n: int, d: int, seed: int) -> None:
    x, y = made(n, d, seed)
    for targets in (y, np.full(n, 2, np.float32)):
        ridge = Ridge(prior=1.0)
        ridge.fit(x, targets, np.ones(n, np.float32))
        found = ridge.predict(made(5, d, seed + 1)[0])
        assert np.isfinite(found.mean).all()
        assert (found.sd > 0).all()
        assert ((found.mean > targets.min() - 20) & (found.mean < targets.max() + 20)).all()


@pytest.mark.parametrize("n", [30, 300])
def test_its_doubt_is_how_often_it_is_wrong(n: int) -> None:
    """Over many made-up jobs: of texts that are doubted by a tenth, a tenth is off by more than half a step."""
    doubts, wrong = [], []
    for seed in range(20):
        x, y = made(n + 200, 12, 100 + seed, noise=0.4)
        student = RidgeStudent(STARS, lambda texts, x=x: x[[t.row for t in texts]])
        texts = [Text(TextId(str(i)), "", i) for i in range(n + 200)]
        student.fit(texts[:n], y[:n], np.ones(n, np.float32), np.random.default_rng(0))
        found = student.predict(texts[n:])
        doubts.append(found.doubt)
        wrong.append([abs(v - min(5, max(1, t))) > 0.5 for v, t in zip(found.values, y[n:].tolist(), strict=True)])
    doubt, off = np.concatenate(doubts), np.concatenate(wrong)
    assert off.mean() == pytest.approx(doubt.mean(), abs=0.03)
    order = np.argsort(doubt)
    for part in np.array_split(order, 5):
        assert off[part].mean() == pytest.approx(doubt[part].mean(), abs=0.06)


def test_doubt_is_the_probability_beyond_the_tolerance_and_an_end_of_the_scale_has_one_side() -> None:
    expected = Expected(np.array([3.2, 5.6, 0.9]), np.array([0.5, 0.5, 0.5]), 10.0)
    middle, high, low = doubt_in(np.array([3.0, 5.0, 1.0]), expected, STARS).tolist()
    t = stats.t(10.0)
    assert middle == pytest.approx(1 - (t.cdf(0.3 / 0.5) - t.cdf(-0.7 / 0.5)))
    assert high == pytest.approx(t.cdf((4.5 - 5.6) / 0.5))
    assert low == pytest.approx(1 - t.cdf((1.5 - 0.9) / 0.5), abs=1e-6)


def texts_of(said: Sequence[str]) -> list[Text]:
    return [Text(TextId(s), s, i) for i, s in enumerate(said)]


def test_it_says_grades_and_comes_back_from_its_folder(tmp_path: Path) -> None:
    x, y = made(50, 6, 7)
    texts = texts_of([str(i) for i in range(50)])
    student, again = (RidgeStudent(STARS, lambda texts: x[[t.row for t in texts]]) for _ in range(2))
    student.fit(texts, y, np.ones(50, np.float32), np.random.default_rng(0))
    found = student.predict(texts)
    assert set(found.values) <= {1.0, 2.0, 3.0, 4.0, 5.0}
    student.save(str(tmp_path / "kept"))
    again.load(str(tmp_path / "kept"))
    assert again.predict(texts).values == found.values
    assert (again.predict(texts).doubt == found.doubt).all()
    with pytest.raises(ModelError, match="no regression can be read there"):
        again.load(str(tmp_path))
    other = RidgeStudent(STARS, lambda texts: x[[t.row for t in texts], :3])
    other.load(str(tmp_path / "kept"))
    with pytest.raises(ModelError, match="taught on vectors of 6 numbers, these have 3"):
        other.predict(texts)


def test_a_job_of_regression_has_it_and_no_other(tmp_path: Path) -> None:
    settings = {
        "task": {"kind": "regression", "scale": {"low": 1, "high": 5}},
        "data": {"pool": "pool.csv"},
        "oracle": {"base_url": "http://127.0.0.1:1/v1", "model": "m", "price": {"input": 1, "output": 1}},
        "budget": {"dollars": 1},
    }
    job = Job.of(settings, tmp_path)
    assert isinstance(build_student(job, Regression(job.task), lambda texts: np.ones((len(texts), 2))), RidgeStudent)
    other = Job.of(settings | {"task": {"labels": ["a", "b"]}, "student": {"kind": "ridge"}}, tmp_path)
    with pytest.raises(JobFileError, match="ridge is for tasks of regression, and not for classification"):
        build_student(other, Classification(TaskSettings(labels={"a": "", "b": ""})), lambda texts: np.ones((1, 2)))
