"""When a job stops, and that a student that learnt nothing does not stop it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, f1_score

from agent.job import StopSettings
from agent.selection import StopReason, StopState, cohens_kappa, f_change_bound, should_stop

GOING_ON = StopState(affordable=100, candidates=1000, labels=50, rounds=3, agreements=(0.5, 0.6, 0.7))


def reason(state: StopState, **settings: object) -> StopReason | None:
    stop = should_stop(state, StopSettings(**settings))  # type: ignore[arg-type]
    return stop and stop.reason


def state(**changes: object) -> StopState:
    known = {name: getattr(GOING_ON, name) for name in StopState.__slots__}
    return StopState(**{**known, **changes})


def test_a_job_goes_on_while_there_is_money_text_and_something_to_learn() -> None:
    assert should_stop(GOING_ON, StopSettings()) is None


@pytest.mark.parametrize(
    ("changes", "settings", "expected"),
    [
        ({"affordable": 0}, {}, StopReason.BUDGET),
        ({"candidates": 0}, {}, StopReason.POOL),
        ({"candidates": 0, "affordable": 0}, {}, StopReason.POOL),
        ({"labels": 50}, {"max_labels": 50}, StopReason.MAX_LABELS),
        ({"labels": 49}, {"max_labels": 50}, None),
        ({"rounds": 4}, {"max_rounds": 4}, StopReason.MAX_ROUNDS),
        ({"rounds": 3}, {"max_rounds": 4}, None),
        ({"agreements": (0.1, 0.99, 0.99, 0.99)}, {}, StopReason.AGREEMENT),
        ({"agreements": (0.99, 0.99)}, {}, None),
        ({"agreements": (0.99, 0.99, 0.9)}, {}, None),
        ({"agreements": (0.1, 0.9)}, {"agreement": 0.9, "window": 1}, StopReason.AGREEMENT),
        ({"agreements": (1.0, 1.0, 1.0)}, {"agreement": None}, None),
        ({"agreements": (1.0, float("nan"), 1.0)}, {}, None),
    ],
)
def test_each_reason_stops_a_job_at_its_limit_and_not_before(
    changes: dict[str, object], settings: dict[str, object], expected: StopReason | None
) -> None:
    assert reason(state(**changes), **settings) is expected


def test_the_message_says_what_settled_and_how_much_f_may_still_have_moved() -> None:
    stop = should_stop(state(agreements=(0.99, 1.0, 0.99)), StopSettings())
    assert stop is not None
    assert "last 3 students" in stop.message
    assert "at most 0.040" in stop.message


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=40))
def test_kappa_agrees_with_scikit_learn_wherever_it_is_defined(pairs: list[tuple[str, str]]) -> None:
    a, b = [p[0] for p in pairs], [p[1] for p in pairs]
    if len(set(a) | set(b)) > 1:
        assert cohens_kappa(a, b) == pytest.approx(cohen_kappa_score(a, b), abs=1e-9)


def test_two_students_that_always_say_the_same_class_have_not_settled() -> None:
    assert cohens_kappa(["a"] * 9, ["a"] * 9) == 0
    assert cohens_kappa(["a"] * 9, ["b"] * 9) == 0


def test_kappa_reads_lists_and_objects_by_their_content() -> None:
    assert cohens_kappa([["x"], [], {"b": 1, "a": 2}], [("x",), [], {"a": 2, "b": 1}]) == 1
    assert cohens_kappa([["x", "y"], ["x"]], [["x"], ["x", "y"]]) < 0
    assert cohens_kappa(["[]", []], ["[]", []]) == 1


@pytest.mark.parametrize(("a", "b"), [([], []), (["x"], ["x", "y"])])
def test_kappa_of_nothing_or_of_unequal_lengths_is_refused(a: list[str], b: list[str]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        cohens_kappa(a, b)


@given(st.integers(2, 60), st.floats(0, 1), st.floats(0, 0.4), st.integers(0, 999))
def test_f_never_changes_by_more_than_the_bound(n: int, positive: float, flipped: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gold, before = rng.random(n) < positive, rng.random(n) < 0.5
    after = before ^ (rng.random(n) < flipped)
    change = abs(f1_score(gold, before, zero_division=0.0) - f1_score(gold, after, zero_division=0.0))
    kappa = cohens_kappa(before.tolist(), after.tolist())
    assert change <= f_change_bound(kappa) + 1e-9


def test_the_bound_is_four_points_at_a_kappa_of_099() -> None:
    assert f_change_bound(0.99) == pytest.approx(0.0404, abs=1e-4)
    assert f_change_bound(1) == 0
    assert f_change_bound(-0.5) == f_change_bound(0) == f_change_bound(0.1) == 1
