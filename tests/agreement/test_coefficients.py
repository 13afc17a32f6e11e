"""Kappas and alpha against libraries, published tables and the slow, obvious way of computing them."""

from __future__ import annotations

import math
import time
import warnings
from itertools import combinations, permutations

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import cohen_kappa_score

from agent.agreement import Coefficient, agreed, coefficients, cohen, fleiss_and_krippendorff

# 30 patients, 6 psychiatrists, 5 diagnoses (Fleiss 1971, table 1), in the order of the ratings
DIAGNOSES = """
444444 222555 233335 555555 222444 113333 333355 113334 114444 555555 144444 124444 222333 144444 224445
333335 111455 111112 224444 133555 555555 244444 224555 114444 144445 222224 111155 224444 133333 555555
"""
# 12 units, 4 observers (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C)
OBSERVERS = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
TABLES = st.tuples(st.integers(1, 12), st.integers(2, 5), st.integers(2, 4)).flatmap(
    lambda s: st.tuples(hnp.arrays(np.int64, (s[0], s[1]), elements=st.integers(-1, s[2] - 1)), st.just(s[2]))
)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def both(table: np.ndarray, classes: int) -> tuple[Coefficient, Coefficient]:
    found = fleiss_and_krippendorff(table, classes, rng(), resamples=0)
    assert found is not None
    return found


def slow_cohen(a: np.ndarray, b: np.ndarray) -> float:
    pairs = [(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True) if x >= 0 and y >= 0]
    same = sum(x == y for x, y in pairs) / len(pairs)
    classes = {x for p in pairs for x in p}
    chance = sum(sum(x == c for x, _ in pairs) * sum(y == c for _, y in pairs) for c in classes) / len(pairs) ** 2
    return (same - chance) / (1 - chance) if chance < 1 else math.nan


def slow_fleiss(table: np.ndarray, classes: int) -> float:
    """Each unit counts once: the agreement of its own pairs of ratings, and its own shares of the labels."""
    units = [[x for x in row if x >= 0] for row in table.tolist()]
    units = [u for u in units if len(u) > 1]
    same = sum(sum(x == y for x, y in permutations(u, 2)) / (len(u) * (len(u) - 1)) for u in units) / len(units)
    shares = [sum(u.count(c) / len(u) for u in units) / len(units) for c in range(classes)]
    chance = sum(p * p for p in shares)
    return (same - chance) / (1 - chance) if chance < 1 - 1e-12 else math.nan


def slow_alpha(table: np.ndarray) -> float:
    units = [[x for x in row if x >= 0] for row in table.tolist()]
    units = [u for u in units if len(u) > 1]
    ratings = [x for u in units for x in u]
    n = len(ratings)
    apart = sum(sum(x != y for x, y in permutations(u, 2)) / (len(u) - 1) for u in units) / n
    chance = sum(x != y for x, y in permutations(ratings, 2)) / (n * (n - 1))
    return 1 - apart / chance if chance else math.nan


def one_against_the_rest(table: np.ndarray, label: int) -> np.ndarray:
    return np.where(table < 0, -1, (table == label).astype(np.int64))


def test_fleiss_published_table_has_his_kappa() -> None:
    table = np.array([[int(x) - 1 for x in row] for row in DIAGNOSES.split()])
    kappa, _ = both(table, 5)
    assert kappa.overall.value == pytest.approx(0.430, abs=5e-4)
    assert [f.value for f in kappa.labels] == pytest.approx([0.245, 0.245, 0.520, 0.471, 0.566], abs=5e-4)


def test_krippendorffs_published_example_has_his_alpha() -> None:
    table = np.array([[-1 if x == "." else int(x) - 1 for x in row] for row in OBSERVERS]).T
    _, alpha = both(table, 5)
    assert alpha.overall.value == pytest.approx(0.743, abs=5e-4)


@given(TABLES)
def test_each_is_what_the_slow_way_gives(made: tuple[np.ndarray, int]) -> None:
    table, classes = made
    found = fleiss_and_krippendorff(table, classes, rng(), resamples=0)
    if not ((table >= 0).sum(axis=1) > 1).any():
        assert found is None
    else:
        assert found is not None
        fleiss, alpha = found
        assert fleiss.overall.value == pytest.approx(slow_fleiss(table, classes), abs=1e-9, nan_ok=True)
        assert alpha.overall.value == pytest.approx(slow_alpha(table), abs=1e-9, nan_ok=True)
        for label in range(classes):
            rest = one_against_the_rest(table, label)
            assert fleiss.labels[label].value == pytest.approx(slow_fleiss(rest, 2), abs=1e-9, nan_ok=True)
            assert alpha.labels[label].value == pytest.approx(slow_alpha(rest), abs=1e-9, nan_ok=True)
    a, b = table[:, 0], table[:, 1]
    kappa = cohen(a, b, classes, rng(), resamples=0)
    if not ((a >= 0) & (b >= 0)).any():
        assert kappa is None
        return
    assert kappa is not None
    assert kappa.overall.value == pytest.approx(slow_cohen(a, b), abs=1e-9, nan_ok=True)
    for label in range(classes):
        rest = [one_against_the_rest(x, label) for x in (a, b)]
        assert kappa.labels[label].value == pytest.approx(slow_cohen(*rest), abs=1e-9, nan_ok=True)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60))
def test_cohens_kappa_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs).T
    if len(set(a.tolist()) | set(b.tolist())) > 1:
        found = cohen(a, b, 4, rng(), resamples=0)
        assert found is not None
        assert found.overall.value == pytest.approx(cohen_kappa_score(a, b), abs=1e-9)
        assert (agreed(a, b)) == (int((a == b).sum()), len(a))


@given(TABLES)
def test_alpha_is_that_of_the_package_krippendorff(made: tuple[np.ndarray, int]) -> None:
    table, classes = made
    usable = table[(table >= 0).sum(axis=1) > 1]
    if len(set(usable[usable >= 0].tolist())) < 2:
        return  # there the package refuses or gives another convention
    theirs = np.where(table < 0, np.nan, table).T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alpha = krippendorff.alpha(theirs, level_of_measurement="nominal", value_domain=list(range(classes)))
    assert both(table, classes)[1].overall.value == pytest.approx(alpha, abs=1e-9)


def test_where_all_give_one_label_nothing_can_be_said() -> None:
    table = np.zeros((5, 3), np.int64)
    kappa, alpha = both(table, 2)
    for found in (kappa, alpha, cohen(table[:, 0], table[:, 1], 2, rng())):
        assert found is not None
        assert math.isnan(found.overall.value)
        assert all(math.isnan(f.value) for f in found.labels)


def raters(units: int, many: int, right: float, classes: int = 5, seed: int = 1) -> np.ndarray:
    """Raters who say the truth with that chance, and else anything."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, classes, (units, 1))
    return np.where(draw.random((units, many)) < right, truth, draw.integers(0, classes, (units, many)))


def test_intervals_hold_the_true_value_about_as_often_as_they_promise() -> None:
    # raters who know the truth with chance r and else guess evenly: kappa and alpha are r * r
    held = np.zeros(3)
    for seed in range(200):
        table = raters(150, 3, 0.8, seed=seed)
        pair = cohen(table[:, 0], table[:, 1], 5, np.random.default_rng(seed), 300)
        several = fleiss_and_krippendorff(table, 5, np.random.default_rng(seed), 300)
        assert pair is not None
        assert several is not None
        held += [f.overall.lo <= 0.64 <= f.overall.hi for f in (pair, *several)]
    assert np.all((held / 200 > 0.90) & (held / 200 <= 0.99)), held


def test_counting_patterns_and_drawing_units_give_the_same_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    table = raters(1000, 4, 0.7, classes=3)
    counted = fleiss_and_krippendorff(table, 3, rng())
    monkeypatch.setattr(coefficients, "FEW", 10**9)
    drawn = fleiss_and_krippendorff(table, 3, rng())
    assert counted is not None
    assert drawn is not None
    for one, other in zip(counted, drawn, strict=True):
        assert one.overall.value == other.overall.value
        assert one.overall.lo == pytest.approx(other.overall.lo, abs=0.01)
        assert one.overall.hi == pytest.approx(other.overall.hi, abs=0.01)


def test_the_same_seed_gives_the_same_interval() -> None:
    table = raters(300, 3, 0.7)
    assert fleiss_and_krippendorff(table, 5, rng()) == fleiss_and_krippendorff(table, 5, rng())


@pytest.mark.parametrize("classes", [5, 77])
def test_a_hundred_thousand_units_and_five_raters_take_seconds(classes: int) -> None:
    table = raters(100_000, 5, 0.6, classes)
    began = time.process_time()
    found = fleiss_and_krippendorff(table, classes, rng())
    for i, j in combinations(range(5), 2):
        cohen(table[:, i], table[:, j], classes, rng())
    assert time.process_time() - began < 15  # less than 5 on a quiet machine
    assert found is not None
    assert found[1].overall.value == pytest.approx(0.36, abs=0.02)


@pytest.mark.parametrize("table", [np.array([[0, 5]]), np.array([[0, -2]]), np.array([0, 1]), np.array([[0.5, 1]])])
def test_what_is_no_table_of_classes_is_refused(table: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"classes are|whole numbers"):
        fleiss_and_krippendorff(table, 3, rng())
