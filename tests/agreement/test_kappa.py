"""Cohen's kappa of two lists of values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from agent.agreement import cohens_kappa


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
