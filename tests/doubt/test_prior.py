"""A preference for some labels, found from texts without content or from many texts, and divided out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.doubt import Prior


def test_a_class_that_is_named_whatever_the_text_says_loses_its_lead() -> None:
    prior = Prior.of(np.array([[0.7, 0.2, 0.1], [0.9, 0.05, 0.05], [np.nan] * 3]), "content_free")
    assert prior is not None
    assert prior.answers == 2
    assert prior.shares == pytest.approx((0.8, 0.125, 0.075))
    assert prior.without(np.array([[0.8, 0.125, 0.075]]))[0] == pytest.approx([1 / 3] * 3)
    assert prior.without(np.array([[0.6, 0.3, 0.1]]))[0].argmax() == 1


def test_a_batch_of_few_answers_tells_nothing_of_the_model() -> None:
    assert Prior.of(np.full((29, 2), 0.5), "batch") is None
    assert Prior.of(np.full((30, 2), 0.5), "batch") is not None
    assert Prior.of(np.full((3, 2), np.nan), "content_free") is None


@given(st.integers(0, 10_000))
def test_a_prior_that_a_model_was_given_is_divided_out_again(seed: int) -> None:
    rng = np.random.default_rng(seed)
    honest, lean = rng.dirichlet(np.ones(4), 20), rng.dirichlet(np.full(4, 5.0))
    told = honest * lean
    told /= told.sum(axis=1, keepdims=True)
    prior = Prior(tuple(lean.tolist()), 3, "content_free")
    assert prior.without(told) == pytest.approx(honest, abs=1e-6)
