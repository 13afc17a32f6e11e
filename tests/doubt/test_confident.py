"""Confident learning, against the loop that its paper describes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.doubt import confidently_other


def slowly(said: list[int], probabilities: np.ndarray) -> list[bool]:
    """Label by label: is there a class that the model is confident of, and is it another one."""
    classes = probabilities.shape[1]
    usual = {
        c: np.mean([row[c] for row, label in zip(probabilities, said, strict=True) if label == c])
        for c in range(classes)
        if c in said
    }
    found = []
    for row, label in zip(probabilities, said, strict=True):
        confident = [c for c in usual if row[c] >= usual[c] - 1e-6]
        likeliest = int(row.argmax()) if len(confident) > 1 else confident[0] if confident else label
        found.append(likeliest != label)
    return found


@st.composite
def labelled(draw: st.DrawFn) -> tuple[list[int], np.ndarray]:
    classes, n = draw(st.integers(2, 5)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    said = rng.integers(0, draw(st.integers(1, classes)), n)
    return said.tolist(), rng.dirichlet(np.full(classes, draw(st.sampled_from([0.2, 1.0, 5.0]))), n)


@given(labelled())
def test_it_is_what_the_paper_says(what: tuple[list[int], np.ndarray]) -> None:
    said, probabilities = what
    found = confidently_other(np.array(said), probabilities.astype(np.float32))
    assert found.tolist() == slowly(said, probabilities.astype(np.float32).astype(np.float64))


def test_labels_that_a_model_is_sure_are_others_are_found_and_those_it_agrees_with_are_not() -> None:
    said = np.array([0] * 10 + [1] * 10)
    sure = np.array([[0.9, 0.1]] * 10 + [[0.1, 0.9]] * 10)
    sure[3] = [0.05, 0.95]
    assert np.flatnonzero(confidently_other(said, sure)).tolist() == [3]
